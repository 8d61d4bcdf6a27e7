//! What became of a container.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What became of a container (`varve/containers/<id>/state.json`). The process that watches the
/// container writes it, whole and by rename. Whoever reads it does not believe that a process
/// is alive before it compared [`ProcessIdentity`] with the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// What it is in the middle of.
    pub status: Status,
    /// Its first process, while there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessIdentity>,
    /// The process that watches it, while there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor: Option<ProcessIdentity>,
    /// Exit code of the last run: 128 and the signal's number for one that was killed.
    pub exit_code: i32,
    /// Why it could not be started; empty when it could.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// The kernel killed a process of the last run for want of memory.
    pub oom_killed: bool,
    /// When it was last started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When the last run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Restarts by policy since it was started by hand.
    pub restart_count: u32,
    /// Somebody has sent it a signal since it was started by hand: `unless-stopped` does not start
    /// it again.
    pub stopped_by_hand: bool,
    /// What its health check says, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// What `exec` runs in it beside its command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub execs: Vec<ExecState>,
}

/// A process that `exec` runs in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecState {
    /// Its ID, 64 hexadecimal digits.
    pub id: String,
    /// The process.
    pub process: ProcessIdentity,
}

/// What a container is in the middle of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made, never started.
    #[default]
    Created,
    /// Its first process lives.
    Running,
    /// All of its processes are frozen.
    Paused,
    /// It ended, and its policy starts it again soon.
    Restarting,
    /// It is being removed.
    Removing,
    /// It ended.
    Exited,
    /// It could not be removed whole.
    Dead,
}

/// Every status, in the order of docker's messages.
const STATUSES: [(Status, &str); 7] = [
    (Status::Created, "created"),
    (Status::Running, "running"),
    (Status::Paused, "paused"),
    (Status::Restarting, "restarting"),
    (Status::Removing, "removing"),
    (Status::Exited, "exited"),
    (Status::Dead, "dead"),
];

impl Status {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        STATUSES[self as usize].1
    }

    /// Reads docker's word.
    pub fn parse(text: &str) -> Option<Self> {
        STATUSES.iter().find(|(_, name)| *name == text).map(|(status, _)| *status)
    }

    /// Whether its processes exist, frozen or not.
    pub fn has_processes(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    /// Whether docker calls it running: also while it is paused or about to start again.
    pub fn is_running(self) -> bool {
        self.has_processes() || self == Self::Restarting
    }
}

/// A process that is not mistaken for a later one with the same number: the number, when it
/// started, and the boot that both belong to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessIdentity {
    /// Its number on the host.
    pub pid: u32,
    /// When it started: ticks since the boot (field 22 of `/proc/PID/stat`).
    pub start_ticks: u64,
    /// The boot (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
}

/// What a health check says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Health {
    /// The verdict.
    pub status: HealthStatus,
    /// Failures in a row up to now.
    pub failing_streak: u32,
    /// The last five checks, oldest first.
    pub log: Vec<HealthResult>,
}

/// The verdict of a health check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Not known yet.
    #[default]
    Starting,
    /// The last check succeeded.
    Healthy,
    /// As many checks as `Retries` failed in a row.
    Unhealthy,
}

impl HealthStatus {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthResult {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Exit code of the check's command; -1 when it took too long.
    pub exit_code: i32,
    /// The first 4,096 bytes that it wrote.
    pub output: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_statuses_are_read_back() {
        for (status, word) in STATUSES {
            assert_eq!(status.as_str(), word);
            assert_eq!(Status::parse(word), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), word);
        }
        assert_eq!(Status::parse("foo"), None);
    }

    #[test]
    fn a_state_of_an_older_version_is_read_with_what_it_has() {
        let state: State = serde_json::from_str(r#"{"status":"exited","exitCode":3}"#).unwrap();
        assert_eq!((state.status, state.exit_code), (Status::Exited, 3));
    }
}
