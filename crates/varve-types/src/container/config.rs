//! How a container's command runs.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::{
    Kind, Printable, RunConfig,
    config::{Empty, Healthcheck},
};

/// How a container's command runs: docker's `Config`, as JSON member for member in its order.
/// `None` is Go's nil, printed as `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(clippy::zero_sized_map_values, reason = "that is how the JSON is")]
pub struct ContainerConfig {
    /// Host name inside.
    pub hostname: String,
    /// Domain name inside.
    pub domainname: String,
    /// User and perhaps group, by name or number.
    pub user: String,
    /// The command that made it was attached to its input.
    pub attach_stdin: bool,
    /// The command that made it was attached to its output.
    pub attach_stdout: bool,
    /// The command that made it was attached to its error output.
    pub attach_stderr: bool,
    /// Ports as `80/tcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposed_ports: Option<BTreeMap<String, Empty>>,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether its input stays open while nobody is attached.
    pub open_stdin: bool,
    /// Whether its input closes after the first who was attached.
    pub stdin_once: bool,
    /// `NAME=value` pairs; those asked for first, then the image's.
    pub env: Option<Vec<String>>,
    /// The command, or arguments of the entry point.
    pub cmd: Option<Vec<String>>,
    /// How to tell whether it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Windows: the command is already escaped.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub args_escaped: bool,
    /// The image's name as it was typed.
    pub image: String,
    /// Paths that are volumes.
    pub volumes: Option<BTreeMap<String, Empty>>,
    /// Directory in which the command starts.
    pub working_dir: String,
    /// The program.
    pub entrypoint: Option<Vec<String>>,
    /// No network.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub network_disabled: bool,
    /// Instructions for images built from it.
    pub on_build: Option<Vec<String>>,
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Signal that asks it to stop.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Seconds to wait after it; -1 is for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// The shell of shell-form instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

/// Why a container cannot be made as asked. The messages are docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Neither the image nor the user names a command.
    #[error("no command specified")]
    NoCommand,
    /// `-w` does not start at the root.
    #[error(
        "the working directory '{}' is invalid, it needs to be an absolute path",
        Printable(.0)
    )]
    WorkingDir(String),
    /// A variable without a name.
    #[error("invalid environment variable: {}", Printable(.0))]
    Env(String),
}

impl ConfigError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl ContainerConfig {
    /// Adds what the image says where the user said nothing, by docker's rules: the user's
    /// variables come first, an entry point of the user's drops the image's command, an entry
    /// point of one empty word drops the image's entry point. Checks the result.
    pub fn merge_image(&mut self, image: &RunConfig) -> Result<(), ConfigError> {
        if self.user.is_empty() {
            self.user.clone_from(&image.user);
        }
        merge_map(&mut self.exposed_ports, image.exposed_ports.as_ref());
        merge_map(&mut self.volumes, image.volumes.as_ref());
        merge_map(&mut self.labels, image.labels.as_ref());
        self.merge_env(image);
        self.merge_command(image);
        self.merge_healthcheck(image);
        if self.working_dir.is_empty() {
            self.working_dir.clone_from(&image.working_dir);
        }
        if self.stop_signal.is_empty() {
            self.stop_signal.clone_from(&image.stop_signal);
        }
        if self.stop_timeout.is_none() {
            self.stop_timeout = image.stop_timeout;
        }
        self.verify()
    }

    /// The program and its arguments: the entry point's words, then the command's.
    pub fn command(&self) -> Result<(String, Vec<String>), ConfigError> {
        let mut words = self.entrypoint.iter().flatten().chain(self.cmd.iter().flatten()).cloned();
        let path = words.next().ok_or(ConfigError::NoCommand)?;
        Ok((path, words.collect()))
    }

    /// The members that an image made from the container has.
    pub fn to_run_config(&self) -> RunConfig {
        let config = self.clone();
        RunConfig {
            hostname: config.hostname,
            domainname: config.domainname,
            user: config.user,
            attach_stdin: config.attach_stdin,
            attach_stdout: config.attach_stdout,
            attach_stderr: config.attach_stderr,
            exposed_ports: config.exposed_ports,
            tty: config.tty,
            open_stdin: config.open_stdin,
            stdin_once: config.stdin_once,
            env: config.env,
            cmd: config.cmd,
            healthcheck: config.healthcheck,
            args_escaped: config.args_escaped,
            image: config.image,
            volumes: config.volumes,
            working_dir: config.working_dir,
            entrypoint: config.entrypoint,
            network_disabled: config.network_disabled,
            on_build: config.on_build,
            labels: config.labels,
            stop_signal: config.stop_signal,
            stop_timeout: config.stop_timeout,
            shell: config.shell,
        }
    }

    fn merge_env(&mut self, image: &RunConfig) {
        // Images have come with ten thousands of them.
        let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
        let mut env = self.env.take().unwrap_or_default();
        let mut known: HashSet<String> = env.iter().map(|pair| name(pair)).collect();
        for pair in image.env.iter().flatten() {
            if known.insert(name(pair)) {
                env.push(pair.clone());
            }
        }
        self.env = if env.is_empty() { image.env.clone() } else { Some(env) };
    }

    fn merge_command(&mut self, image: &RunConfig) {
        if self.entrypoint.as_ref().is_none_or(Vec::is_empty) {
            if self.cmd.as_ref().is_none_or(Vec::is_empty) {
                self.cmd.clone_from(&image.cmd);
                self.args_escaped = image.args_escaped;
            }
            if self.entrypoint.is_none() {
                self.entrypoint.clone_from(&image.entrypoint);
            }
        }
        if self.entrypoint.as_ref().is_some_and(|words| words.len() == 1 && words[0].is_empty()) {
            self.entrypoint = None;
        }
    }

    fn merge_healthcheck(&mut self, image: &RunConfig) {
        let Some(theirs) = &image.healthcheck else { return };
        let Some(mine) = &mut self.healthcheck else {
            self.healthcheck = Some(theirs.clone());
            return;
        };
        if mine.test.as_ref().is_none_or(Vec::is_empty) {
            mine.test.clone_from(&theirs.test);
        }
        let numbers = [
            (&mut mine.interval, theirs.interval),
            (&mut mine.timeout, theirs.timeout),
            (&mut mine.start_period, theirs.start_period),
            (&mut mine.start_interval, theirs.start_interval),
            (&mut mine.retries, theirs.retries),
        ];
        for (mine, theirs) in numbers {
            if *mine == 0 {
                *mine = theirs;
            }
        }
    }

    fn verify(&self) -> Result<(), ConfigError> {
        self.command()?;
        if !self.working_dir.is_empty() && !self.working_dir.starts_with('/') {
            return Err(ConfigError::WorkingDir(self.working_dir.clone()));
        }
        match self.env.iter().flatten().find(|pair| pair.is_empty() || pair.starts_with('=')) {
            Some(pair) => Err(ConfigError::Env(pair.clone())),
            None => Ok(()),
        }
    }
}

/// Adds what only `theirs` has.
fn merge_map<V: Clone>(
    mine: &mut Option<BTreeMap<String, V>>,
    theirs: Option<&BTreeMap<String, V>>,
) {
    let Some(theirs) = theirs else { return };
    let mine = mine.get_or_insert_default();
    for (name, value) in theirs {
        mine.entry(name.clone()).or_insert_with(|| value.clone());
    }
}
