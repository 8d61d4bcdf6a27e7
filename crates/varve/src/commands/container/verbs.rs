//! What the commands on containers ask of the engine: one function for each verb.
//!
//! These are the only files in which these commands meet the engine.

mod files;
mod life;
mod lists;
mod networks;
mod running;
mod sessions;
mod volumes;

pub(crate) use files::{commit, copy_from, copy_to, diff, export};
pub(crate) use life::{create, kill, restart, start, stop, wait};
pub(crate) use lists::{inspect, list, prune, remove, rename};
pub(crate) use networks::{
    NewNetwork, connect, create_network, disconnect, inspect_network, list_networks, ports,
    prune_networks, remove_network,
};
pub(crate) use running::{pause, stats, top, unpause, update};
pub(crate) use sessions::{attach, exec, exec_detached, logs, start_attached};
pub(crate) use volumes::{
    create_volume, inspect_volume, list_volumes, prune_volumes, remove_volume,
};

use varve_engine::Filters;
use varve_types::container::RestartPolicy;

use crate::error::CommandError;

type Result<T> = std::result::Result<T, CommandError>;

/// Whether an error says that there is no such container, volume or network.
pub(crate) fn is_missing(error: &CommandError) -> bool {
    error.text().is_some_and(|text| {
        text.contains("No such container: ")
            || text.ends_with(": no such volume")
            || text.contains("network ") && text.ends_with(" not found")
    })
}

/// How the image of a container is got hold of.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "read by the engine's verbs, which come next")]
pub(crate) struct Creation<'a> {
    /// When it is pulled.
    pub(crate) pull: Pull,
    /// Whether nothing is said of the pull.
    pub(crate) quiet: bool,
    /// The platform, as typed.
    pub(crate) platform: Option<&'a str>,
}

/// When the image of a container is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pull {
    Always,
    Missing,
    Never,
}

/// What was made. Warnings go to standard error, each after `WARNING: `.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) id: String,
    pub(crate) warnings: Vec<String>,
}

/// How to end a container.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "read by the engine's verbs, which come next")]
pub(crate) struct Stop<'a> {
    /// The signal that asks, as typed; none for the container's own.
    pub(crate) signal: Option<&'a str>,
    /// Seconds until it is killed, -1 for never; none for the container's own.
    pub(crate) timeout_s: Option<i64>,
}

/// What goes with a container that is removed.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "read by the engine's verbs, which come next")]
pub(crate) struct Remove {
    /// Kill it when it runs.
    pub(crate) force: bool,
    /// It is a link that is to be removed, not a container.
    pub(crate) link: bool,
    /// Its volumes without a name go with it.
    pub(crate) volumes: bool,
}

/// Which containers to list.
#[derive(Debug)]
#[allow(dead_code, reason = "read by the engine's verbs, which come next")]
pub(crate) struct List {
    /// Not only those that run.
    pub(crate) all: bool,
    /// Only so many that were made last, running or not.
    pub(crate) last: Option<usize>,
    pub(crate) filters: Filters,
    /// Whether sizes are counted.
    pub(crate) size: bool,
}

/// A process to run in a container.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exec<'a> {
    pub(crate) command: &'a [String],
    /// `NAME=value`, besides the container's own.
    pub(crate) env: &'a [String],
    /// Empty for the container's own.
    pub(crate) user: &'a str,
    /// Empty for the container's own.
    pub(crate) working_dir: &'a str,
    pub(crate) privileged: bool,
    pub(crate) tty: bool,
}

/// What to show of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Logs {
    pub(crate) since: Option<jiff::Timestamp>,
    pub(crate) until: Option<jiff::Timestamp>,
    /// None for all.
    pub(crate) tail_lines: Option<u64>,
    pub(crate) follow: bool,
    pub(crate) timestamps: bool,
    pub(crate) details: bool,
}

/// How files are copied.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "read by the engine's verbs, which come next")]
pub(crate) struct Copy {
    /// Keep the numbers of user and group.
    pub(crate) archive: bool,
    /// Copy what a link at the end of the source points to.
    pub(crate) follow_link: bool,
    /// Tell on standard error how much was copied.
    pub(crate) progress: bool,
}

/// An image to be made of a container.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "read by the engine's verbs, which come next")]
pub(crate) struct Commit<'a> {
    pub(crate) container: &'a str,
    pub(crate) name: Option<&'a str>,
    pub(crate) author: &'a str,
    pub(crate) message: &'a str,
    pub(crate) changes: &'a [String],
    pub(crate) pause: bool,
}

/// What containers to count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stats<'a> {
    /// None for all that run.
    pub(crate) containers: &'a [String],
    /// With those that do not run.
    pub(crate) all: bool,
}

/// Limits to be changed; none stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Update {
    pub(crate) blkio_weight: Option<u16>,
    pub(crate) cpu_period: Option<i64>,
    pub(crate) cpu_quota: Option<i64>,
    pub(crate) cpu_realtime_period: Option<i64>,
    pub(crate) cpu_realtime_runtime: Option<i64>,
    pub(crate) cpu_shares: Option<i64>,
    pub(crate) nano_cpus: Option<i64>,
    pub(crate) cpuset_cpus: Option<String>,
    pub(crate) cpuset_mems: Option<String>,
    pub(crate) memory_bytes: Option<i64>,
    pub(crate) memory_reservation_bytes: Option<i64>,
    pub(crate) memory_swap_bytes: Option<i64>,
    pub(crate) pids_limit: Option<i64>,
    pub(crate) restart: Option<RestartPolicy>,
}

/// A volume to be made.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "read by the engine's verbs, which come next")]
pub(crate) struct NewVolume<'a> {
    /// None to have a name made up.
    pub(crate) name: Option<&'a str>,
    pub(crate) driver: &'a str,
    /// `NAME=value`
    pub(crate) labels: &'a [String],
    /// `NAME=value`
    pub(crate) options: &'a [String],
}
