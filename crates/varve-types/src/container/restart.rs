//! When a container is started again.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Signal;
use crate::{Kind, Printable};

/// When a container is started again (docker's `RestartPolicy`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RestartPolicy {
    /// After what.
    pub name: RestartMode,
    /// How often at most, for [`RestartMode::OnFailure`]; 0 is for ever.
    #[serde(default)]
    pub maximum_retry_count: u32,
}

/// After what a container is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartMode {
    /// Never.
    #[default]
    No,
    /// After every end, and with the machine.
    Always,
    /// When the exit code is not 0.
    OnFailure,
    /// As `always`, unless somebody stopped it.
    UnlessStopped,
}

/// Why a text is no restart policy. The messages are docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestartError {
    /// Starts with a colon.
    #[error("invalid restart policy format: no policy provided before colon")]
    Empty,
    /// What follows the colon is no number.
    #[error("invalid restart policy format: maximum retry count must be an integer")]
    Count,
    /// A number where there is nothing to count.
    #[error("invalid restart policy: maximum retry count can only be used with 'on-failure'{}", if *negative { " and cannot be negative" } else { "" })]
    CountUnused {
        /// The number is below zero.
        negative: bool,
    },
    /// A negative number.
    #[error("invalid restart policy: maximum retry count cannot be negative")]
    Negative,
    /// No such policy.
    #[error(
        "invalid restart policy: unknown policy '{}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
        Printable(.0)
    )]
    Unknown(String),
}

impl RestartError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl FromStr for RestartPolicy {
    type Err = RestartError;

    /// Parses `--restart`: a mode, and for `on-failure` perhaps `:` and a count.
    fn from_str(text: &str) -> Result<Self, RestartError> {
        let (name, count) = text.split_once(':').map_or((text, ""), |(name, count)| (name, count));
        if name.is_empty() {
            return if text.is_empty() { Ok(Self::default()) } else { Err(RestartError::Empty) };
        }
        let count: i64 = match count {
            "" => 0,
            count => count.parse().map_err(|_| RestartError::Count)?,
        };
        let name = match name {
            "no" => RestartMode::No,
            "always" => RestartMode::Always,
            "on-failure" => RestartMode::OnFailure,
            "unless-stopped" => RestartMode::UnlessStopped,
            _ => return Err(RestartError::Unknown(name.to_owned())),
        };
        if name != RestartMode::OnFailure && count != 0 {
            return Err(RestartError::CountUnused { negative: count < 0 });
        }
        if count < 0 {
            return Err(RestartError::Negative);
        }
        let maximum_retry_count = u32::try_from(count).unwrap_or(u32::MAX);
        Ok(Self { name, maximum_retry_count })
    }
}

impl RestartPolicy {
    /// Whether a container that ended with `exit_code`, after `restarts` restarts in a row, is
    /// started again. `by_hand`: somebody sent it a signal. Docker minds that with
    /// `unless-stopped`, and otherwise when the signal [ends restarts](ends_restarts).
    pub fn restarts(&self, exit_code: i32, restarts: u32, by_hand: bool) -> bool {
        match self.name {
            RestartMode::No => false,
            RestartMode::Always => true,
            RestartMode::UnlessStopped => !by_hand,
            RestartMode::OnFailure => {
                exit_code != 0
                    && (self.maximum_retry_count == 0 || restarts < self.maximum_retry_count)
            }
        }
    }

    /// Whether a container that ran once is started when the machine is. `by_hand` as above.
    /// `on-failure` is not minded then, as docker's documentation has it.
    pub fn starts_with_machine(&self, by_hand: bool) -> bool {
        match self.name {
            RestartMode::Always => true,
            RestartMode::UnlessStopped => !by_hand,
            RestartMode::No | RestartMode::OnFailure => false,
        }
    }
}

/// Whether no policy starts a container again after it was sent a signal, as in docker: `KILL`, the
/// container's own stop signal, and where it has none (empty) every signal.
pub fn ends_restarts(signal: i32, stop_signal: &str) -> bool {
    let is_own = |own: Signal| own.number() == signal;
    signal == Signal::KILL.number()
        || stop_signal.is_empty()
        || stop_signal.parse().is_ok_and(is_own)
}

impl fmt::Display for RestartMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "no",
            Self::Always => "always",
            Self::OnFailure => "on-failure",
            Self::UnlessStopped => "unless-stopped",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match text.parse::<RestartPolicy>() {
            Ok(policy) => serde_json::to_string(&policy).unwrap(),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn policies_are_read_as_docker_reads_them() {
        check("", r#"{"Name":"no","MaximumRetryCount":0}"#);
        check("always", r#"{"Name":"always","MaximumRetryCount":0}"#);
        check("on-failure:3", r#"{"Name":"on-failure","MaximumRetryCount":3}"#);
        check("unless-stopped:", r#"{"Name":"unless-stopped","MaximumRetryCount":0}"#);
        check(":3", "invalid restart policy format: no policy provided before colon");
        check(
            "on-failure:x",
            "invalid restart policy format: maximum retry count must be an integer",
        );
        check(
            "always:2",
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        );
        check(
            "no:-2",
            "invalid restart policy: maximum retry count can only be used with 'on-failure' and cannot be negative",
        );
        check("on-failure:-2", "invalid restart policy: maximum retry count cannot be negative");
        check(
            "bogus",
            "invalid restart policy: unknown policy 'bogus'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
        );
    }

    #[test]
    fn a_failure_restarts_as_often_as_allowed_and_who_is_unless_stopped_not_after_a_signal() {
        let policy: RestartPolicy = "on-failure:2".parse().unwrap();
        assert!(policy.restarts(1, 1, false));
        assert!(!policy.restarts(1, 2, false));
        assert!(!policy.restarts(0, 0, false));
        let policy: RestartPolicy = "always".parse().unwrap();
        assert!(policy.restarts(0, 100, true));
        let policy: RestartPolicy = "unless-stopped".parse().unwrap();
        assert!(policy.restarts(0, 100, false));
        assert!(!policy.restarts(0, 0, true));
    }

    #[test]
    fn a_kill_and_its_own_stop_signal_end_restarts_and_without_one_every_signal() {
        for (signal, stop_signal, ends) in [
            (9, "", true),
            (1, "", true),
            (9, "SIGQUIT", true),
            (3, "SIGQUIT", true),
            (15, "SIGQUIT", false),
            (37, "RTMIN+3", true),
        ] {
            assert_eq!(ends_restarts(signal, stop_signal), ends, "{signal} {stop_signal}");
        }
    }
}
