//! Health checks: when one is due and what its result means, as docker does it.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use varve_types::{
    config::Healthcheck,
    container::{Health, HealthResult, HealthStatus},
    duration,
};

/// Results that are kept.
const RESULTS_MAX: usize = 5;
/// Bytes of one output that are kept.
const OUTPUT_SIZE_BYTES_MAX: usize = 4096;

/// A health check's rules, defaults filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    interval: Duration,
    pub(super) timeout: Duration,
    start_period: Duration,
    start_interval: Duration,
    retries: u32,
}

impl Rules {
    pub(super) fn new(check: &Healthcheck) -> Self {
        let or = |nanoseconds: i64, seconds: u64| match u64::try_from(nanoseconds) {
            Ok(nanoseconds) if nanoseconds > 0 => Duration::from_nanos(nanoseconds),
            _ => Duration::from_secs(seconds),
        };
        Self {
            interval: or(check.interval, 30),
            timeout: or(check.timeout, 30),
            start_period: or(check.start_period, 0),
            start_interval: or(check.start_interval, 5),
            retries: u32::try_from(check.retries).ok().filter(|retries| *retries > 0).unwrap_or(3),
        }
    }

    /// How long to wait for the next check, when the container has run for `running`.
    pub(super) fn delay(&self, running: Duration, status: HealthStatus) -> Duration {
        if running < self.start_period && status == HealthStatus::Starting {
            self.start_interval
        } else {
            self.interval
        }
    }

    /// Adds a result. `started_at` is when the container was started.
    pub(super) fn judge(&self, health: &mut Health, result: HealthResult, started_at: Timestamp) {
        let in_grace = health.status == HealthStatus::Starting
            && result
                .start
                .duration_since(started_at)
                .try_into()
                .is_ok_and(|since: Duration| since < self.start_period);
        if result.exit_code == 0 {
            health.failing_streak = 0;
            health.status = HealthStatus::Healthy;
        } else if !in_grace {
            health.failing_streak += 1;
            if health.failing_streak >= self.retries {
                health.status = HealthStatus::Unhealthy;
            }
        }
        health.log.push(result);
        let excess = health.log.len().saturating_sub(RESULTS_MAX);
        health.log.drain(..excess);
    }
}

/// The container's health check while it runs.
#[derive(Debug)]
pub(super) struct Checks {
    pub(super) rules: Rules,
    /// When the next one is due.
    pub(super) due: Instant,
    pub(super) running: Option<Probe>,
}

/// One check that runs.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) pid: u32,
    pub(super) handle: OwnedFd,
    pub(super) output: Option<OwnedFd>,
    pub(super) start: Timestamp,
    pub(super) deadline: Instant,
    /// It took too long and was killed.
    pub(super) killed: bool,
    pub(super) exit_code: Option<i32>,
    text: Vec<u8>,
}

impl Probe {
    pub(super) fn new(
        pid: u32,
        handle: OwnedFd,
        output: OwnedFd,
        start: Timestamp,
        deadline: Instant,
    ) -> Self {
        let (killed, exit_code, text) = (false, None, Vec::new());
        Self { pid, handle, output: Some(output), start, deadline, killed, exit_code, text }
    }

    /// Keeps the beginning of what it writes.
    pub(super) fn wrote(&mut self, bytes: &[u8]) {
        // One more than is kept tells that there was more.
        let room = (OUTPUT_SIZE_BYTES_MAX + 1).saturating_sub(self.text.len());
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Its result, after it ended.
    pub(super) fn result(&self, end: Timestamp, timeout: Duration) -> HealthResult {
        let kept = &self.text[..self.text.len().min(OUTPUT_SIZE_BYTES_MAX)];
        let mut output = String::from_utf8_lossy(kept).into_owned();
        if self.text.len() > OUTPUT_SIZE_BYTES_MAX {
            output.push_str("...");
        }
        let exit_code = if self.killed {
            let limit = duration::format(timeout.as_nanos() as i64);
            let separator = if output.is_empty() { "" } else { ": " };
            output = format!("Health check exceeded timeout ({limit}){separator}{output}");
            -1
        } else {
            self.exit_code.unwrap_or(-1)
        };
        HealthResult { start: self.start, end, exit_code, output }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn result(at: i64, exit_code: i32) -> HealthResult {
        let time = Timestamp::from_second(at).unwrap();
        HealthResult { start: time, end: time, exit_code, output: String::new() }
    }

    fn verdicts(check: &Healthcheck, results: &[(i64, i32)]) -> Vec<(HealthStatus, u32)> {
        let (rules, mut health) = (Rules::new(check), Health::default());
        let started = Timestamp::from_second(0).unwrap();
        results
            .iter()
            .map(|(at, exit_code)| {
                rules.judge(&mut health, result(*at, *exit_code), started);
                assert!(health.log.len() <= RESULTS_MAX);
                (health.status, health.failing_streak)
            })
            .collect()
    }

    #[test]
    fn three_failures_in_a_row_are_unhealthy_and_one_success_is_healthy() {
        use HealthStatus::{Healthy, Starting, Unhealthy};
        let results = [(1, 1), (2, 1), (3, 1), (4, 0), (5, 1), (6, 0), (7, -1)];
        let expected = [
            (Starting, 1),
            (Starting, 2),
            (Unhealthy, 3),
            (Healthy, 0),
            (Healthy, 1),
            (Healthy, 0),
            (Healthy, 1),
        ];
        assert_eq!(verdicts(&Healthcheck::default(), &results), expected);
    }

    #[test]
    fn failures_in_the_start_period_do_not_count_until_the_first_success() {
        use HealthStatus::{Healthy, Starting, Unhealthy};
        let check = Healthcheck { start_period: 10 * SECOND, retries: 1, ..Healthcheck::default() };
        assert_eq!(verdicts(&check, &[(1, 1), (9, 1)]), [(Starting, 0); 2]);
        assert_eq!(verdicts(&check, &[(1, 1), (10, 1)]), [(Starting, 0), (Unhealthy, 1)]);
        assert_eq!(verdicts(&check, &[(1, 0), (2, 1)]), [(Healthy, 0), (Unhealthy, 1)]);
    }

    #[test]
    fn checks_come_more_often_while_a_container_starts() {
        let check = Healthcheck { start_period: 10 * SECOND, ..Healthcheck::default() };
        let rules = Rules::new(&check);
        let delay = |seconds, status| rules.delay(Duration::from_secs(seconds), status).as_secs();
        assert_eq!(delay(1, HealthStatus::Starting), 5);
        assert_eq!(delay(1, HealthStatus::Healthy), 30);
        assert_eq!(delay(11, HealthStatus::Starting), 30);
    }
}
