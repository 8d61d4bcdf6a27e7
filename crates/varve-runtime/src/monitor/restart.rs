//! How long to wait before a container is started again: docker's restart manager.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_mins(1);
/// A run of this length counts as a success, whatever it returned.
const LONG_RUN: Duration = Duration::from_secs(10);

/// Delays that double from 100 ms to a minute while runs are short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    /// The delay after a run that lasted `ran`.
    pub fn after(&mut self, ran: Duration) -> Duration {
        let delay = match self.last {
            Some(last) if ran < LONG_RUN => (last * 2).min(LONGEST),
            _ => FIRST,
        };
        self.last = Some(delay);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_minute_and_a_long_run_begins_anew() {
        let mut backoff = Backoff::default();
        let mut ms = |ran: u64| backoff.after(Duration::from_secs(ran)).as_millis();
        let short: Vec<u128> = (0..12).map(|_| ms(9)).collect();
        let expected =
            [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 60_000, 60_000];
        assert_eq!(short, expected);
        assert_eq!([ms(10), ms(0)], [100, 200]);
    }
}
