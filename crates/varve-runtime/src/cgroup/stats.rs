//! What a group has used, out of its files.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::cgroup::{Part, Version};

/// What a container uses and has used. Zero where the machine does not count it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Memory.
    pub memory: MemoryStats,
    /// Processors.
    pub cpu: CpuStats,
    /// Processes.
    pub pids: PidStats,
    /// Block devices.
    pub block: BlockStats,
}

/// Memory in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStats {
    /// In use, page cache included.
    pub usage: u64,
    /// The part of it that is page cache nobody used of late; docker does not show it.
    pub inactive_file: u64,
    /// The limit; none when there is none.
    pub limit: Option<u64>,
}

/// Processor time in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuStats {
    /// All of it.
    pub total: u64,
    /// In programs.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
}

/// Numbers of processes and threads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PidStats {
    /// Now.
    pub current: u64,
    /// At most; none when there is no limit.
    pub limit: Option<u64>,
}

/// Bytes moved since the container began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockStats {
    /// Read.
    pub read: u64,
    /// Written.
    pub write: u64,
}

/// v1 shows "no limit" as the greatest number of pages in bytes.
const NO_LIMIT_V1: u64 = 0x7fff_ffff_ffff_0000;

pub(super) fn read(parts: &[Part]) -> Stats {
    let mut stats = Stats::default();
    for part in parts {
        let directory = part.directory.as_path();
        match part.hierarchy.version {
            Version::V2 => read_v2(directory, &mut stats),
            Version::V1 => {
                for controller in &part.hierarchy.controllers {
                    read_v1(directory, controller, &mut stats);
                }
            }
        }
    }
    stats
}

pub(super) fn oom_kills(parts: &[Part]) -> u64 {
    let counts = |part: &&Part| part.hierarchy.controllers.iter().any(|name| name == "memory");
    let file = |part: &Part| match part.hierarchy.version {
        Version::V1 => "memory.oom_control",
        Version::V2 => "memory.events",
    };
    let count = |part: &Part| keyed(&text(&part.directory, file(part)), "oom_kill");
    parts.iter().filter(counts).filter_map(count).sum()
}

fn read_v2(directory: &Path, stats: &mut Stats) {
    if let Some(usage) = number(directory, "memory.current") {
        stats.memory.usage = usage;
        stats.memory.limit = number(directory, "memory.max");
        stats.memory.inactive_file =
            keyed(&text(directory, "memory.stat"), "inactive_file").unwrap_or_default();
    }
    let cpu = text(directory, "cpu.stat");
    let micros = |key| keyed(&cpu, key).map(|n| n * 1000);
    if let Some(total) = micros("usage_usec") {
        stats.cpu.total = total;
        stats.cpu.user = micros("user_usec").unwrap_or_default();
        stats.cpu.system = micros("system_usec").unwrap_or_default();
    }
    if let Some(current) = number(directory, "pids.current") {
        stats.pids = PidStats { current, limit: number(directory, "pids.max") };
    }
    for line in text(directory, "io.stat").lines() {
        for field in line.split(' ') {
            match field.split_once('=').map(|(key, n)| (key, n.parse::<u64>().unwrap_or(0))) {
                Some(("rbytes", bytes)) => stats.block.read += bytes,
                Some(("wbytes", bytes)) => stats.block.write += bytes,
                _ => {}
            }
        }
    }
}

fn read_v1(directory: &Path, controller: &str, stats: &mut Stats) {
    match controller {
        "memory" => {
            stats.memory.usage = number(directory, "memory.usage_in_bytes").unwrap_or_default();
            let limit = number(directory, "memory.limit_in_bytes");
            stats.memory.limit = limit.filter(|limit| *limit < NO_LIMIT_V1);
            stats.memory.inactive_file =
                keyed(&text(directory, "memory.stat"), "total_inactive_file").unwrap_or_default();
        }
        "cpuacct" => {
            stats.cpu.total = number(directory, "cpuacct.usage").unwrap_or_default();
            stats.cpu.user = number(directory, "cpuacct.usage_user").unwrap_or_default();
            stats.cpu.system = number(directory, "cpuacct.usage_sys").unwrap_or_default();
        }
        "pids" => {
            stats.pids.current = number(directory, "pids.current").unwrap_or_default();
            stats.pids.limit = number(directory, "pids.max");
        }
        "blkio" => {
            for line in text(directory, "blkio.throttle.io_service_bytes_recursive").lines() {
                let mut fields = line.split(' ').skip(1);
                let kind = fields.next();
                let bytes = fields.next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
                match kind {
                    Some("Read") => stats.block.read += bytes,
                    Some("Write") => stats.block.write += bytes,
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn text(directory: &Path, file: &str) -> String {
    fs::read_to_string(directory.join(file)).unwrap_or_default()
}

fn number(directory: &Path, file: &str) -> Option<u64> {
    text(directory, file).trim().parse().ok()
}

fn keyed(text: &str, key: &str) -> Option<u64> {
    let mut rows = text.lines().filter_map(|line| line.split_once(' '));
    rows.find(|row| row.0 == key)?.1.trim().parse().ok()
}
