//! `RUN`.

use std::fmt::Write as _;

use std::collections::HashSet;

use super::{
    DocumentStep, Op, RunMount, RunStep, Vertex, VertexId,
    build::{Builder, Current},
    stage::takes_files,
};
use crate::{
    error::{Problem, Result},
    expand::Variables as _,
    glob::join,
    heredoc,
    instruction::{CommandLine, Instruction, Mount, MountKind, Run},
};

/// Where a script with `#!` in a here-document is seen by the program.
const SCRIPT_DIRECTORY: &str = "/dev/pipes";
const SCRIPT_MODE: u32 = 0o755;
const SECRET_DIRECTORY: &str = "/run/secrets";
const SECRET_MODE: u32 = 0o400;
const SOCKET_MODE: u32 = 0o600;
const CACHE_MODE: u32 = 0o755;
const PROXIES: &[&str] = &["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

impl Builder<'_> {
    pub(super) fn run(
        &mut self,
        current: &mut Current,
        from: &Instruction,
        run: &Run,
        sources: &[Option<usize>],
    ) -> Result<()> {
        let mut text = from.code.clone();
        let mut mounts = Vec::new();
        for (index, written) in run.mounts.iter().enumerate() {
            let mount = Mount::parse(written, |word| self.word(current, word, from.lines))?;
            let source = sources.get(index).copied().flatten();
            mounts.push(self.mount(current, &mount, source)?);
        }
        let mut line = run.line.clone();
        if let (Some(first), true) = (run.heredocs.first(), line.shell) {
            let words = line.words.first().cloned().unwrap_or_default();
            if heredoc::parse_word(&words).ok().flatten().is_some() {
                let _ = write!(text, " ({})", summary(&first.content));
                line = self.script(from, first, &mut mounts);
            } else {
                line.words = vec![with_documents(words, &run.heredocs)];
            }
        }
        let arguments = current.with_shell(&line);
        let mut expander = self.planner.expander;
        expander.keep_quotes = true;
        expander.keep_unset = true;
        let name = self.named(current, expander, &text);
        let created_by = created_by(current, &arguments);
        let options = self.planner.options;
        let op = Op::Run(RunStep {
            base: current.root,
            arguments,
            environment: current.environment.clone(),
            proxies: self.proxies(),
            directory: current.directory().to_owned(),
            user: current.image.config.config.user.clone(),
            mounts,
            network: run.network.unwrap_or(options.network),
            security: run.security,
            devices: run.devices.clone(),
            extra_hosts: options.extra_hosts.clone(),
            shm_size_bytes: options.shm_size_bytes,
            ulimits: options.ulimits.clone(),
        });
        let ignore_cache = self.planner.states[current.index].ignore_cache;
        let layer = self.add(Vertex { name, lines: Some(from.lines), op, ignore_cache });
        current.root = Some(layer);
        current.commit(created_by, Some(layer));
        Ok(())
    }

    /// `RUN <<EOF` alone: the text is the shell's line, or a script that names its interpreter.
    fn script(
        &mut self,
        from: &Instruction,
        heredoc: &heredoc::Heredoc,
        mounts: &mut Vec<RunMount>,
    ) -> CommandLine {
        let text = heredoc.text();
        if !text.starts_with("#!") {
            return CommandLine { words: vec![text], shell: true };
        }
        let op = Op::Document(DocumentStep { file: heredoc.name.clone(), mode: SCRIPT_MODE, text });
        let document = self.add(Vertex {
            name: "[internal] preparing inline document".to_owned(),
            lines: Some(from.lines),
            op,
            ignore_cache: false,
        });
        mounts.push(RunMount::Bind {
            from: Some(document),
            source: "/".to_owned(),
            target: SCRIPT_DIRECTORY.to_owned(),
            read_only: true,
        });
        CommandLine { words: vec![format!("{SCRIPT_DIRECTORY}/{}", heredoc.name)], shell: true }
    }

    /// Proxies given as build arguments, under both spellings.
    fn proxies(&self) -> Vec<(String, String)> {
        let mut proxies = Vec::new();
        for name in PROXIES {
            let given = self.planner.options.build_args.iter();
            let Some((_, value)) = given.rev().find(|(key, _)| key.eq_ignore_ascii_case(name))
            else {
                continue;
            };
            proxies.push(((*name).to_owned(), value.clone()));
            proxies.push((name.to_ascii_lowercase(), value.clone()));
        }
        proxies
    }

    fn mount(
        &mut self,
        current: &Current,
        mount: &Mount,
        source: Option<usize>,
    ) -> Result<RunMount> {
        let from = if takes_files(mount.kind) { self.mount_root(mount, source)? } else { None };
        let target = || {
            let target = join(current.directory(), &mount.target);
            if target == "/" { Err(Problem::MountTarget(target)) } else { Ok(target) }
        };
        let path = join("/", &mount.source);
        let owner =
            |mode| (mount.uid.unwrap_or(0), mount.gid.unwrap_or(0), mount.mode.unwrap_or(mode));
        let given = |text: &String| (!text.is_empty()).then(|| join(current.directory(), text));
        Ok(match mount.kind {
            MountKind::Bind => {
                RunMount::Bind { from, source: path, target: target()?, read_only: mount.read_only }
            }
            MountKind::Cache => {
                let target = target()?;
                let id = if mount.id.is_empty() { target.clone() } else { mount.id.clone() };
                RunMount::Cache {
                    id,
                    from,
                    source: path,
                    target,
                    sharing: mount.sharing.unwrap_or_default(),
                    read_only: mount.read_only,
                    owner: owner(CACHE_MODE),
                }
            }
            MountKind::Tmpfs => RunMount::Tmpfs { target: target()?, size_bytes: mount.size_bytes },
            MountKind::Secret => {
                let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
                let id = [&mount.id, &mount.source].into_iter().find(|id| !id.is_empty());
                let id = id.cloned().unwrap_or_else(|| last(&mount.target));
                let file = format!("{SECRET_DIRECTORY}/{}", last(&id));
                let env = mount.env.clone().filter(|env| !env.is_empty());
                let target = given(&mount.target).or((env.is_none()).then_some(file));
                RunMount::Secret {
                    id,
                    target,
                    env,
                    required: mount.required,
                    owner: owner(SECRET_MODE),
                }
            }
            MountKind::Ssh => RunMount::Ssh {
                id: if mount.id.is_empty() { "default".to_owned() } else { mount.id.clone() },
                target: given(&mount.target),
                required: mount.required,
                owner: owner(SOCKET_MODE),
            },
        })
    }

    /// What a mount takes its files from: another state, or the context where a bind names none.
    fn mount_root(&mut self, mount: &Mount, source: Option<usize>) -> Result<Option<VertexId>> {
        if mount.from.is_empty() {
            if mount.kind == MountKind::Cache {
                return Ok(None);
            }
            let root = Some(self.local(None));
            self.take_path(root, &mount.source);
            return Ok(root);
        }
        let Some(source) = source else { return Ok(None) };
        let root = self
            .root_of(source, |_| Problem::LaterMount(mount.from.clone(), mount.target.clone()))?;
        self.take_path(root, &mount.source);
        Ok(root)
    }
}

/// The first line of a here-document, for the step's name.
fn summary(text: &str) -> String {
    let mut lines = text.trim().lines();
    let first = lines.next().unwrap_or_default();
    let more = if lines.next().is_some() { "..." } else { "" };
    format!("{first}{more}")
}

/// A line with here-documents for the shell to read.
fn with_documents(mut line: String, heredocs: &[heredoc::Heredoc]) -> String {
    for heredoc in heredocs {
        line.push('\n');
        line.push_str(&heredoc.content);
        line.push_str(&heredoc.name);
    }
    line
}

/// The entry of the history: build arguments in scope with their values, then the words.
fn created_by(current: &Current, arguments: &[String]) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut seen = HashSet::new();
    for argument in current.arguments.iter().filter(|argument| seen.insert(&argument.key)) {
        let value = current.environment.get(&argument.key);
        words.push(format!("{}={}", argument.key, value.unwrap_or_default()));
    }
    if !words.is_empty() {
        words.insert(0, format!("|{}", words.len()));
    }
    words.extend_from_slice(arguments);
    format!("RUN {} # buildkit", words.join(" "))
}
