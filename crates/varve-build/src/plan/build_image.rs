//! Instructions that change the image's config only, and the history that all of them write.

use std::fmt::Write as _;

use varve_types::{
    ImageConfig, Platform, RunConfig,
    config::{Empty, Healthcheck, History, RootFs},
    container::Signal,
    limits,
};

use super::{
    HISTORY_COMMENT, MkdirStep, Op, Vertex, VertexId,
    build::{Builder, Current},
    ports,
};
use crate::{
    error::{Problem, Result},
    glob::join,
    go_text,
    instruction::{Argument, Command, CommandLine, Instruction},
    parse::Pair,
    source::Lines,
};

const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// The config of an image of nothing.
pub(super) fn empty_config(platform: &Platform) -> ImageConfig {
    let platform = platform.normalized();
    ImageConfig {
        architecture: platform.architecture,
        variant: platform.variant,
        os: platform.os,
        os_version: platform.os_version,
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() },
        config: RunConfig { working_dir: "/".to_owned(), ..RunConfig::default() },
        ..ImageConfig::default()
    }
}

/// A base image's config with what an image built from it keeps: not when it was made, and nothing
/// of the container it may have been committed from. Its triggers became steps.
pub(super) fn base_config(image: ImageConfig) -> ImageConfig {
    let run = image.config;
    ImageConfig {
        architecture: image.architecture,
        variant: image.variant,
        os: image.os,
        os_version: image.os_version,
        author: image.author,
        rootfs: image.rootfs,
        history: image.history,
        config: RunConfig {
            user: run.user,
            exposed_ports: run.exposed_ports,
            env: run.env,
            entrypoint: run.entrypoint,
            cmd: run.cmd,
            volumes: run.volumes,
            working_dir: run.working_dir,
            labels: run.labels,
            stop_signal: run.stop_signal,
            args_escaped: run.args_escaped,
            healthcheck: run.healthcheck,
            shell: run.shell,
            ..RunConfig::default()
        },
        ..ImageConfig::default()
    }
}

impl Current {
    /// Writes an entry of the history; `layer` is the step that makes the entry's layer.
    pub(super) fn commit(&mut self, text: String, layer: Option<VertexId>) {
        self.history_size_bytes += text.len();
        self.image.config.history.push(History {
            created_by: text,
            comment: HISTORY_COMMENT.to_owned(),
            empty_layer: layer.is_none(),
            ..History::default()
        });
        self.image.layers.extend(layer);
    }

    /// The line with the shell before it, where it is one for the shell.
    pub(super) fn with_shell(&self, line: &CommandLine) -> Vec<String> {
        if !line.shell {
            return line.words.clone();
        }
        let shell = self.image.config.config.shell.clone().filter(|shell| !shell.is_empty());
        let mut words = shell.unwrap_or_else(|| DEFAULT_SHELL.map(str::to_owned).to_vec());
        words.push(line.words.join(" "));
        words
    }

    /// The directory of programs and relative paths.
    pub(super) fn directory(&self) -> &str {
        match self.image.config.config.working_dir.as_str() {
            "" => "/",
            directory => directory,
        }
    }
}

impl Builder<'_> {
    pub(super) fn metadata(&mut self, current: &mut Current, from: &Instruction) -> Result<()> {
        let lines = from.lines;
        match &from.command {
            Command::Arg(arguments) => self.arg(current, arguments, lines),
            Command::Env(pairs) => self.env(current, pairs, from),
            Command::Label(pairs) => self.label(current, pairs, from),
            Command::Maintainer(author) => {
                current.image.config.author.clone_from(author);
                current.commit(format!("MAINTAINER {author}"), None);
                Ok(())
            }
            Command::User(user) => {
                let user = self.word(current, user, lines)?;
                current.commit(format!("USER {user}"), None);
                current.image.config.config.user = user;
                Ok(())
            }
            Command::Cmd(line) => {
                self.cmd(current, line, from);
                Ok(())
            }
            Command::Entrypoint(line) => {
                self.entrypoint(current, line, from);
                Ok(())
            }
            Command::Expose(words) => self.expose(current, words, lines),
            Command::Volume(paths) => self.volume(current, paths, lines),
            Command::StopSignal(signal) => {
                let signal = self.word(current, signal, lines)?;
                signal.parse::<Signal>().map_err(Problem::Signal)?;
                current.commit(format!("STOPSIGNAL {signal}"), None);
                current.image.config.config.stop_signal = signal;
                Ok(())
            }
            Command::Shell(shell) => {
                current.commit(format!("SHELL {}", go_text::list(shell)), None);
                current.image.config.config.shell = Some(shell.clone());
                Ok(())
            }
            Command::Healthcheck(check) => {
                self.healthcheck(current, check, from);
                Ok(())
            }
            Command::OnBuild(text) => {
                // Docker writes no history for it.
                current.image.config.config.on_build.get_or_insert_default().push(text.clone());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn arg(&mut self, current: &mut Current, arguments: &[Argument], lines: Lines) -> Result<()> {
        use crate::expand::Variables as _;
        let mut texts = Vec::new();
        for argument in arguments {
            let key = &argument.key;
            self.planner.lint.secret("ARG", key, lines);
            let value = match (self.planner.options.build_args.get(key), &argument.value) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => Some(self.word(current, default, lines)?),
                (None, None) => self.planner.globals.get(key).map(str::to_owned),
            };
            if let Some(value) = &value {
                current.environment.set(key, value)?;
            }
            texts.push(match &value {
                Some(value) => format!("{key}={value}"),
                None => key.clone(),
            });
            current.arguments.push(Argument { value, ..argument.clone() });
        }
        current.commit(format!("ARG {}", texts.join(" ")), None);
        Ok(())
    }

    /// Expands names and values, all with what was set before the instruction.
    fn pairs(
        &mut self,
        current: &Current,
        pairs: &[Pair],
        from: &Instruction,
    ) -> Result<Vec<(String, String)>> {
        let pairs = pairs.iter().map(|pair| {
            let key = self.word(current, &pair.key, from.lines)?;
            let value = self.word(current, &pair.value, from.lines)?;
            if !pair.delimited {
                let name = crate::lint::known_name(&from.name).unwrap_or_default();
                self.planner.lint.legacy_pair(name, from.lines);
            }
            Ok((key, value))
        });
        pairs.collect()
    }

    fn env(&mut self, current: &mut Current, pairs: &[Pair], from: &Instruction) -> Result<()> {
        let mut text = String::from("ENV");
        for (key, value) in self.pairs(current, pairs, from)? {
            self.planner.lint.secret("ENV", &key, from.lines);
            let _ = write!(text, " {key}={value}");
            current.environment.set(&key, &value)?;
            let variables = current.image.config.config.env.get_or_insert_default();
            let known = |old: &&mut String| old.split('=').next() == Some(key.as_str());
            match variables.iter_mut().find(known) {
                Some(old) => *old = format!("{key}={value}"),
                None => variables.push(format!("{key}={value}")),
            }
        }
        current.commit(text, None);
        Ok(())
    }

    fn label(&mut self, current: &mut Current, pairs: &[Pair], from: &Instruction) -> Result<()> {
        let mut text = String::from("LABEL");
        for (key, value) in self.pairs(current, pairs, from)? {
            let _ = write!(text, " {key}={value}");
            current.image.config.config.labels.get_or_insert_default().insert(key, value);
        }
        current.commit(text, None);
        Ok(())
    }

    /// The words of CMD or ENTRYPOINT; the checks want JSON unless a shell was chosen.
    fn program(
        &mut self,
        current: &Current,
        line: &CommandLine,
        from: &Instruction,
    ) -> Vec<String> {
        let chosen = current.image.config.config.shell.as_ref().is_some_and(|s| !s.is_empty());
        if line.shell && !chosen {
            self.planner.lint.json_recommended(&from.name, from.lines);
        }
        current.with_shell(line)
    }

    fn cmd(&mut self, current: &mut Current, line: &CommandLine, from: &Instruction) {
        if let Some(before) = current.cmd.replace(from.lines) {
            self.planner.lint.again(&from.name, before);
        }
        let words = self.program(current, line, from);
        current.commit(format!("CMD {}", go_text::quote_list(&words)), None);
        current.image.config.config.cmd = Some(words);
        current.image.config.config.args_escaped = true;
    }

    fn entrypoint(&mut self, current: &mut Current, line: &CommandLine, from: &Instruction) {
        if let Some(before) = current.entrypoint.replace(from.lines) {
            self.planner.lint.again(&from.name, before);
        }
        let words = self.program(current, line, from);
        current.commit(format!("ENTRYPOINT {}", go_text::quote_list(&words)), None);
        let config = &mut current.image.config.config;
        config.entrypoint = (!words.is_empty()).then_some(words);
        // A base's CMD was made for the base's ENTRYPOINT.
        if current.cmd.is_none() {
            config.cmd = None;
        }
    }

    fn expose(&mut self, current: &mut Current, words: &[String], lines: Lines) -> Result<()> {
        let mut found = Vec::new();
        for word in words {
            let expanded =
                super::arguments::expand(self.planner.expander, word, &current.environment)?;
            for port in expanded.words {
                found.extend(ports::read(&port, self.planner.lint, lines)?);
                if found.len() > limits::EXPOSED_PORTS_MAX {
                    return Err(Problem::TooManyPorts.into());
                }
            }
        }
        let exposed = current.image.config.config.exposed_ports.get_or_insert_default();
        exposed.extend(found.iter().map(|port| (port.clone(), Empty {})));
        found.sort_unstable();
        found.dedup();
        let ports: Vec<String> = found.iter().map(|port| format!("{port}:{{}}")).collect();
        current.commit(format!("EXPOSE map[{}]", ports.join(" ")), None);
        Ok(())
    }

    fn volume(&mut self, current: &mut Current, paths: &[String], lines: Lines) -> Result<()> {
        let mut expanded = Vec::with_capacity(paths.len());
        for path in paths {
            let path = self.word(current, path, lines)?;
            if path.is_empty() {
                return Err(Problem::EmptyVolume.into());
            }
            expanded.push(path);
        }
        let volumes = current.image.config.config.volumes.get_or_insert_default();
        volumes.extend(expanded.iter().map(|path| (path.clone(), Empty {})));
        current.commit(format!("VOLUME {}", go_text::list(&expanded)), None);
        Ok(())
    }

    fn healthcheck(&mut self, current: &mut Current, check: &Healthcheck, from: &Instruction) {
        if let Some(before) = current.healthcheck.replace(from.lines) {
            self.planner.lint.again(&from.name, before);
        }
        let times = [check.interval, check.timeout, check.start_period, check.start_interval];
        let times = times.map(|time| format!("\"{}\"", go_text::duration(time))).join(" ");
        let test = go_text::quote_list(check.test.as_deref().unwrap_or_default());
        let retries = go_text::quote_number(check.retries);
        current.commit(format!("HEALTHCHECK &{{{test} {times} {retries}}}"), None);
        current.image.config.config.healthcheck = Some(check.clone());
    }

    pub(super) fn workdir(
        &mut self,
        current: &mut Current,
        from: &Instruction,
        path: &str,
    ) -> Result<()> {
        let path = self.word(current, path, from.lines)?;
        if !current.workdir_said && !path.starts_with('/') {
            self.planner.lint.relative_workdir(&path, from.lines);
        }
        current.workdir_said = true;
        let path = join(current.directory(), &path);
        current.image.config.config.working_dir.clone_from(&path);
        let name = self.named(current, self.planner.expander, &from.code);
        let mut layer = None;
        if path != "/" {
            let op = Op::Mkdir(MkdirStep {
                base: current.root,
                path: path.clone(),
                user: current.image.config.config.user.clone(),
            });
            let ignore_cache = self.planner.states[current.index].ignore_cache;
            layer = Some(self.add(Vertex { name, lines: Some(from.lines), op, ignore_cache }));
            current.root = layer;
        }
        current.commit(format!("WORKDIR {path}"), layer);
        Ok(())
    }
}
