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
pub(crate) use life::{Expected, create, expect, kill, restart, start, stop, wait};
pub(crate) use lists::{inspect, list, prune, remove, remove_link, rename};
pub(crate) use networks::{
    NewNetwork, connect, create_network, disconnect, inspect_network, list_networks, ports,
    prune_networks, remove_network,
};
pub(crate) use running::{pause, stats, top, unpause, update};
pub(crate) use sessions::{attach, exec, exec_detached, logs, start_attached};
pub(crate) use volumes::{
    create_volume, inspect_volume, list_volumes, prune_volumes, remove_volume,
};

use crate::error::CommandError;

type Result<T> = std::result::Result<T, CommandError>;

/// How the image of a container is got hold of.
#[derive(Debug, Clone, Copy)]
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
