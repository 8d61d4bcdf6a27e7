//! Keys of steps: what decides whether the cache has a step's result.
//!
//! A key is the digest of the step's definition, the keys of its inputs, and digests of contents
//! that only the solver knows: of the files that a copy takes, of a fetched file, of a commit. It
//! does not hold names of steps, lines of the Dockerfile, times, proxies or secrets, so the same
//! step has the same key on every machine.

use varve_types::{Digest, digest::Hasher};

use super::{CopySource, Mode, Op, Plan, RunMount, RunStep, Vertex};

/// The first thing hashed; changes when the meaning of steps does, or of what is kept of them. (1:
/// records from before links that end below a directory, and real times of what programs moved.)
const VERSION: &str = "varve step 2";

/// The key of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepKey(pub Digest);

/// The key of a step from its definition, the keys of its inputs (in the order of
/// [`Vertex::inputs`]) and digests of the contents it takes.
pub fn step_key(definition: &Digest, inputs: &[StepKey], contents: &[Digest]) -> StepKey {
    let mut writer = Writer::new("key");
    writer.text(&definition.to_string());
    writer.list("inputs", inputs.iter().map(|key| key.0.to_string()));
    writer.list("contents", contents.iter().map(Digest::to_string));
    StepKey(writer.hasher.finish())
}

impl Plan {
    /// The keys of all steps; `contents` tells the digests of what a step takes.
    pub fn keys(&self, contents: impl Fn(&Vertex) -> Vec<Digest>) -> Vec<StepKey> {
        let mut keys: Vec<StepKey> = Vec::with_capacity(self.vertices.len());
        for vertex in &self.vertices {
            let inputs: Vec<StepKey> = vertex.inputs().iter().map(|id| keys[id.0]).collect();
            keys.push(step_key(&vertex.definition(), &inputs, &contents(vertex)));
        }
        keys
    }
}

/// Hashes texts so that none can be taken for part of another.
struct Writer {
    hasher: Hasher,
}

impl Writer {
    fn new(kind: &str) -> Self {
        let mut writer = Self { hasher: Hasher::new() };
        writer.text(VERSION);
        writer.text(kind);
        writer
    }

    fn text(&mut self, text: &str) {
        self.hasher.update(&(text.len() as u64).to_be_bytes());
        self.hasher.update(text.as_bytes());
    }

    fn field(&mut self, name: &str, value: impl std::fmt::Display) {
        self.text(name);
        self.text(&value.to_string());
    }

    fn option(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        self.field(name, value.is_some());
        if let Some(value) = value {
            self.text(&value.to_string());
        }
    }

    fn list(&mut self, name: &str, values: impl IntoIterator<Item = impl AsRef<str>>) {
        let values: Vec<_> = values.into_iter().collect();
        self.field(name, values.len());
        for value in values {
            self.text(value.as_ref());
        }
    }
}

impl Vertex {
    /// The digest of what the step is, without what it is based on: inputs are told apart by their
    /// keys.
    pub fn definition(&self) -> Digest {
        let writer = match &self.op {
            Op::Image(step) => {
                // The name does not count: the same content has the same digest under every one.
                let mut writer = Writer::new("image");
                writer.field("id", step.id);
                writer.field("platform", step.platform.normalized());
                writer
            }
            Op::Local(step) => {
                let mut writer = Writer::new("local");
                writer.option("context", step.context.as_ref());
                writer
            }
            Op::Git(step) => {
                let mut writer = Writer::new("git");
                writer.field("remote", &step.remote);
                writer.field("reference", &step.reference);
                writer.field("subdirectory", &step.subdirectory);
                writer.field("checksum", &step.checksum);
                writer.field("keep git dir", step.keep_git_dir);
                writer.field("submodules", step.submodules);
                writer
            }
            Op::Http(step) => {
                let mut writer = Writer::new("http");
                writer.field("url", &step.url);
                writer.field("file", &step.file);
                writer.option("checksum", step.checksum);
                writer
            }
            Op::Document(step) => {
                let mut writer = Writer::new("document");
                writer.field("file", &step.file);
                writer.field("mode", step.mode);
                writer.field("text", &step.text);
                writer
            }
            Op::Mkdir(step) => {
                let mut writer = Writer::new("mkdir");
                writer.field("base", step.base.is_some());
                writer.field("path", &step.path);
                writer.field("user", &step.user);
                writer
            }
            Op::Merge { base, .. } => {
                let mut writer = Writer::new("merge");
                writer.field("base", base.is_some());
                writer
            }
            Op::Copy(step) => copy(step),
            Op::Run(step) => run(step),
        };
        writer.hasher.finish()
    }
}

fn copy(step: &super::CopyStep) -> Writer {
    let mut writer = Writer::new("copy");
    writer.field("base", step.base.is_some());
    writer.field("destination", &step.destination.path);
    writer.field("directory", step.destination.directory);
    writer.field("owner", &step.owner);
    match &step.mode {
        None => writer.field("mode", ""),
        Some(Mode::Bits(bits)) => writer.field("mode", format_args!("{bits:o}")),
        Some(Mode::Symbols(symbols)) => writer.field("mode", symbols),
    }
    writer.list("exclude", &step.exclude);
    writer.field("actions", step.actions.len());
    for action in &step.actions {
        writer.field("from", action.from.is_some());
        writer.field("unpack", action.unpack);
        match &action.source {
            CopySource::All => writer.text("all"),
            CopySource::Path(path) => writer.field("path", path),
            CopySource::Parents { directory, pattern, required } => {
                writer.field("directory", directory);
                writer.field("pattern", pattern);
                writer.field("required", required);
            }
        }
    }
    writer
}

fn run(step: &RunStep) -> Writer {
    let mut writer = Writer::new("run");
    writer.field("base", step.base.is_some());
    writer.list("arguments", &step.arguments);
    let environment = step.environment.iter().map(|(name, value)| format!("{name}={value}"));
    writer.list("environment", environment);
    writer.field("directory", &step.directory);
    writer.field("user", &step.user);
    writer.field("network", step.network.as_str());
    writer.field("security", format_args!("{:?}", step.security));
    writer.list("devices", &step.devices);
    let hosts = step.extra_hosts.iter().map(|(name, address)| format!("{name}={address}"));
    writer.list("hosts", hosts);
    writer.option("shm", step.shm_size_bytes);
    let ulimits = step.ulimits.iter().map(|u| format!("{}={}:{}", u.name, u.soft, u.hard));
    writer.list("ulimits", ulimits);
    writer.field("mounts", step.mounts.len());
    for mount in &step.mounts {
        run_mount(&mut writer, mount);
    }
    writer
}

fn run_mount(writer: &mut Writer, mount: &RunMount) {
    match mount {
        RunMount::Bind { from, source, target, read_only } => {
            writer.field("bind", from.is_some());
            writer.field("source", source);
            writer.field("target", target);
            writer.field("read only", read_only);
        }
        RunMount::Cache { id, from, source, target, sharing, read_only, owner } => {
            writer.field("cache", from.is_some());
            writer.field("id", id);
            writer.field("source", source);
            writer.field("target", target);
            writer.field("sharing", sharing.as_str());
            writer.field("read only", read_only);
            writer.field("owner", format_args!("{owner:?}"));
        }
        RunMount::Tmpfs { target, size_bytes } => {
            writer.field("tmpfs", target);
            writer.option("size", *size_bytes);
        }
        RunMount::Secret { id, target, env, required, owner } => {
            writer.field("secret", id);
            writer.option("target", target.as_ref());
            writer.option("env", env.as_ref());
            writer.field("required", required);
            writer.field("owner", format_args!("{owner:?}"));
        }
        RunMount::Ssh { id, target, required, owner } => {
            writer.field("ssh", id);
            writer.option("target", target.as_ref());
            writer.field("required", required);
            writer.field("owner", format_args!("{owner:?}"));
        }
    }
}
