//! `stats`: what containers use, counted twice with a second between.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use varve_runtime::cgroup::Stats;
use varve_types::{
    Ctx,
    container::{Container, ContainerId, NetworkMode, listing::Usage},
};

use crate::{Engine, Result};

/// Time between the two counts that the share of a processor is told by.
const BETWEEN: Duration = Duration::from_secs(1);

impl Engine {
    /// Counts what containers use: those named, else all that run; with `all`, also those that do
    /// not, of which there is nothing to count. Takes a second.
    pub fn container_usage(
        &self,
        ctx: &Ctx<'_>,
        names: &[String],
        all: bool,
    ) -> Result<Vec<Usage>> {
        let mut rows = Vec::new();
        if names.is_empty() {
            let (mut containers, _) = self.store().containers()?;
            containers.sort_by_key(|container| std::cmp::Reverse(container.created));
            for container in containers {
                let pid = self.pid_of(ctx, &container);
                if all || pid.is_some() {
                    rows.push((container.id.to_string(), container, pid));
                }
            }
        } else {
            for name in names {
                let container = self.container(name)?;
                let pid = self.pid_of(ctx, &container);
                rows.push((name.clone(), container, pid));
            }
        }
        let (first, begun) = (self.count(&rows), Instant::now());
        if !first.is_empty() {
            std::thread::sleep(BETWEEN);
        }
        let (second, elapsed) = (self.count(&rows), begun.elapsed());
        let machine_bytes = memory_of_machine();
        let usage = |(called, container, pid): (String, Container, Option<u32>)| {
            let mut usage = Usage {
                container: called,
                id: container.id.to_string(),
                name: container.name.to_string(),
                ..Usage::default()
            };
            if let (Some(before), Some(stats)) =
                (first.get(&container.id), second.get(&container.id))
            {
                fill(&mut usage, before, stats, elapsed);
                let limit = stats.memory.limit.unwrap_or(machine_bytes);
                usage.memory_limit_bytes = limit.min(machine_bytes);
                // The host's interfaces are not the container's.
                let mode = NetworkMode::of(&container.host_config.network_mode);
                if let Some(pid) = pid.filter(|_| mode != NetworkMode::Host) {
                    let text = fs::read_to_string(format!("/proc/{pid}/net/dev"));
                    (usage.received_bytes, usage.sent_bytes) = moved(&text.unwrap_or_default());
                }
            }
            usage
        };
        Ok(rows.into_iter().map(usage).collect())
    }

    fn pid_of(&self, ctx: &Ctx<'_>, container: &Container) -> Option<u32> {
        let state = self.running_state(ctx, container).ok()?;
        state.process.map(|process| process.pid)
    }

    fn count(&self, rows: &[(String, Container, Option<u32>)]) -> BTreeMap<ContainerId, Stats> {
        let running = rows.iter().filter(|(_, _, pid)| pid.is_some());
        let counted = running.filter_map(|(_, container, _)| {
            // One that ended meanwhile has nothing to count.
            let stats = self.runtime(container).ok()?.stats(&container.id.to_string()).ok()?;
            Some((container.id, stats))
        });
        counted.collect()
    }
}

fn fill(usage: &mut Usage, before: &Stats, stats: &Stats, elapsed: Duration) {
    let used = stats.cpu.total.saturating_sub(before.cpu.total);
    usage.cpu_percent = used as f64 / elapsed.as_nanos() as f64 * 100.0;
    usage.memory_bytes = stats.memory.usage.saturating_sub(stats.memory.inactive_file);
    usage.read_bytes = stats.block.read;
    usage.written_bytes = stats.block.write;
    usage.pids = stats.pids.current;
}

/// Bytes received and sent over all interfaces but the loopback, out of `/proc/PID/net/dev`.
fn moved(text: &str) -> (u64, u64) {
    let rows = text.lines().filter_map(|line| line.split_once(':'));
    let of_others = rows.filter(|(name, _)| name.trim() != "lo");
    of_others.fold((0, 0), |(received, sent), (_, counts)| {
        let mut counts = counts.split_whitespace().map(|count| count.parse().unwrap_or(0));
        (received + counts.next().unwrap_or(0), sent + counts.nth(7).unwrap_or(0))
    })
}

fn memory_of_machine() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_that_of_all_interfaces_but_the_loopback() {
        let text = "Inter-|   Receive |  Transmit\n \
                    face |bytes    packets errs drop fifo frame compressed multicast|bytes\n    \
                    lo:     999 9 0 0 0 0 0 0 999 9 0 0 0 0 0 0\n  \
                    eth0:     586 7 0 0 0 0 0 0 42 1 0 0 0 0 0 0\n  \
                    eth1:  100 7 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n";
        assert_eq!(moved(text), (686, 50));
    }

    #[test]
    fn a_processor_and_a_half_are_150_percent() {
        let (before, mut after) = (Stats::default(), Stats::default());
        after.cpu.total = 3_000_000_000;
        (after.memory.usage, after.memory.inactive_file) = (500, 200);
        let mut usage = Usage::default();
        fill(&mut usage, &before, &after, Duration::from_secs(2));
        assert_eq!(format!("{:.2}", usage.cpu_percent), "150.00");
        assert_eq!(usage.memory_bytes, 300);
    }
}
