//! Counting tests from what `cargo test` and `cargo nextest` print.

use std::fmt;

/// How many tests passed, failed and were skipped.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Counts {
    /// Adds every closing line found in a runner's output.
    pub(crate) fn add(&mut self, output: &str) {
        for line in output.lines().map(str::trim_start) {
            if line.starts_with("test result:") || line.starts_with("Summary [") {
                self.passed += number_before(line, "passed");
                self.failed += number_before(line, "failed") + number_before(line, "timed out");
                self.skipped += number_before(line, "ignored") + number_before(line, "skipped");
            }
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// The number right before a word, 0 when the word is not there.
fn number_before(line: &str, word: &str) -> u64 {
    line.split(word)
        .next()
        .filter(|before| before.len() < line.len())
        .and_then(|before| before.split_whitespace().next_back()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Counts;

    fn count(output: &str) -> String {
        let mut counts = Counts::default();
        counts.add(output);
        counts.to_string()
    }

    #[test]
    fn results_of_cargo_test_are_added_up() {
        let output = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
                      noise: 5 passed\n\
                      test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured";
        assert_eq!(count(output), "5 passed, 4 failed, 1 skipped");
    }

    #[test]
    fn summary_of_nextest_is_understood() {
        let output = "     Summary [   0.01s] 7 tests run: 5 passed (1 slow), 2 failed, 3 skipped";
        assert_eq!(count(output), "5 passed, 2 failed, 3 skipped");
    }
}
