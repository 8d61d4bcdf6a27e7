//! `build`: a Dockerfile and its context become an image, an archive or files.

mod bases;
mod cache;
mod contexts;
mod dockerfile;
mod failure;
mod fetch;
mod outputs;
mod patience;
mod publish;
mod remote;
mod repository;
pub mod run;
mod shown;
mod verb;
mod world;

use std::{
    fmt,
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use self::run::SshKey;
use varve_build::{
    Dockerfile, DockerfileError, Options, Source, solve::Timestamps, source::Excerpt,
};
pub use varve_build::{
    Options as BuildOptions, Warning,
    git::{self, GitRef},
    instruction::RunNetwork,
    lint::{check_json, check_text, summary},
    plan::{BuildContext, ContextError, NoCache, context_name, outline, targets},
    solve::{BuildEvent, NoWatch, Step, StepId, Stream, Watch},
};
pub use varve_runtime::spec::BuildLimits;
use varve_types::{Digest, ImageId, Kind, Platform, Reference};

/// What to build, from what, and what becomes of it.
pub struct BuildRequest<'a> {
    /// Where files come from.
    pub context: ContextSource<'a>,
    /// Where the Dockerfile comes from.
    pub dockerfile: DockerfileSource<'a>,
    /// Stage, arguments, labels, contexts and settings of steps. `platform`, `show_platform` and
    /// `ignore` are filled in by the engine.
    pub options: Options,
    /// The platforms to build for; none is the machine's own. Several become an index.
    pub platforms: Vec<Platform>,
    /// Whether base images are looked up in their registries although they are here.
    pub pull: bool,
    /// Which times go into layers.
    pub times: BuildTimes,
    /// `SOURCE_DATE_EPOCH` of the caller's environment, in seconds; a build argument of that name
    /// wins over it.
    pub source_date_epoch: Option<i64>,
    /// What `RUN --mount=type=secret` finds.
    pub secrets: Vec<BuildSecret>,
    /// What `RUN --mount=type=ssh` finds.
    pub ssh: Vec<SshAgent>,
    /// Whether `RUN --security=insecure` is allowed (`--allow security.insecure`).
    pub allow_insecure: bool,
    /// Whether `RUN --network=host` is allowed (`--allow network.host`, or `--network host`).
    pub allow_host_network: bool,
    /// What programs may use of the machine.
    pub limits: BuildLimits,
    /// The cgroup below which programs run; empty for the usual one.
    pub cgroup_parent: String,
    /// Further caches to look into.
    pub cache_from: Vec<CacheImport>,
    /// Where the cache is written to besides the store.
    pub cache_to: Vec<CacheExport>,
    /// What becomes of the result. None: it stays in the cache only.
    pub outputs: Vec<BuildOutput<'a>>,
    /// Annotations of the manifest, in order.
    pub annotations: Vec<(String, String)>,
    /// Becomes true when the user gives up.
    pub interrupted: &'a AtomicBool,
}

/// Where the files of a context come from.
pub enum ContextSource<'a> {
    /// A directory of this machine.
    Directory(&'a Path),
    /// A tar, plain or compressed.
    Tar(&'a mut (dyn Read + Send)),
    /// No files at all: the Dockerfile came alone.
    Empty,
    /// A git repository.
    Git(GitRef),
    /// An http or https address of a tar or of a Dockerfile.
    Http(&'a str),
}

/// Where the Dockerfile comes from.
pub enum DockerfileSource<'a> {
    /// A file in the context, under a path relative to its root; `Dockerfile`, when nobody said
    /// otherwise.
    Context(&'a str),
    /// A file of this machine outside of the context.
    File(&'a Path),
    /// These bytes, from standard input.
    Bytes(Vec<u8>),
}

/// Which times go into the layers and the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BuildTimes {
    /// One for the whole build: `SOURCE_DATE_EPOCH`, else the newest `created` of the base images,
    /// else the epoch.
    #[default]
    Epoch,
    /// Docker's behaviour: files keep the times of the context, config and history have the time of
    /// the build.
    Now,
    /// Files keep the times of the context, config and history have the one time of the build.
    Keep,
}

impl BuildTimes {
    /// Which times go into layers.
    pub fn of_layers(self) -> Timestamps {
        match self {
            Self::Epoch => Timestamps::Epoch,
            Self::Now | Self::Keep => Timestamps::Keep,
        }
    }
}

/// A secret that steps may ask for.
#[derive(Clone)]
pub struct BuildSecret {
    /// Its name.
    pub id: String,
    /// What it is.
    pub value: SecretValue,
}

/// What a secret is.
#[derive(Clone)]
pub enum SecretValue {
    /// A file, read when a step asks.
    File(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
}

/// Secrets are not shown.
impl fmt::Debug for BuildSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildSecret").field("id", &self.id).finish_non_exhaustive()
    }
}

/// An agent of SSH keys that steps may ask for.
#[derive(Debug, Clone)]
pub struct SshAgent {
    /// Its name: `default`.
    pub id: String,
    /// Who has the keys.
    pub source: SshSource,
}

/// Who has the keys of an agent.
#[derive(Debug, Clone)]
pub enum SshSource {
    /// Another agent; its socket on this machine.
    Socket(PathBuf),
    /// The builder, from files.
    Keys(Arc<[SshKeyFile]>),
}

/// A private key, and the file that it was read from.
#[derive(Debug)]
pub struct SshKeyFile {
    /// The file.
    pub path: PathBuf,
    /// The key.
    pub key: SshKey,
}

/// A further cache to look into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheImport {
    /// An image in a registry that carries its cache, or a cache of its own.
    Registry(Reference),
    /// A layout that `--cache-to type=local` wrote.
    Local {
        /// The directory.
        directory: PathBuf,
        /// The tag in it.
        tag: String,
    },
}

/// Where the cache is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheExport {
    /// Into the image's config.
    Inline,
    /// Into a registry.
    Registry {
        /// Under this name.
        reference: Reference,
        /// Steps of all stages, not only those whose layers are in the image.
        all_stages: bool,
        /// How its layers are compressed.
        compression: CacheCompression,
    },
    /// Into a directory as a layout.
    Local {
        /// The directory.
        directory: PathBuf,
        /// The tag in it.
        tag: String,
        /// Steps of all stages, not only those whose layers are in the image.
        all_stages: bool,
        /// How its layers are compressed.
        compression: CacheCompression,
    },
}

/// How the layers of a cache are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheCompression {
    /// As a push does it.
    #[default]
    Gzip,
    /// With zstd.
    Zstd,
    /// Not at all.
    Uncompressed,
}

/// What becomes of the result.
pub enum BuildOutput<'a> {
    /// An image in the store.
    Image {
        /// Its names; none leaves it without one.
        names: Vec<Reference>,
        /// Whether it is then pushed under its names.
        push: bool,
    },
    /// Its files, in a directory that is made where it is missing; what is there stays.
    Directory(PathBuf),
    /// Its files as one tar.
    Tar(Destination<'a>),
    /// An archive with an image layout.
    OciArchive {
        /// Names in the archive.
        names: Vec<Reference>,
        /// Where to.
        to: Destination<'a>,
    },
    /// An archive as `save` makes it.
    DockerArchive {
        /// Names in the archive.
        names: Vec<Reference>,
        /// Where to.
        to: Destination<'a>,
    },
}

/// Where an archive goes.
pub enum Destination<'a> {
    /// A file, which is there whole or not at all.
    File(PathBuf),
    /// What would be in the archive, as files in this directory, among what is there.
    Directory(PathBuf),
    /// A stream.
    Stream(&'a mut (dyn Write + Send)),
}

/// What came of a build.
#[derive(Debug, Clone)]
pub struct Built {
    /// The image; none when only files or the cache were asked for.
    pub image: Option<BuiltImage>,
    /// What the build checks found.
    pub warnings: Vec<Warning>,
}

/// The image that came of a build.
#[derive(Debug, Clone)]
pub struct BuiltImage {
    /// Its ID: the config's digest; of several platforms the index's digest.
    pub id: ImageId,
    /// Digest of the manifest, or of the index.
    pub manifest: Digest,
    /// Digest of the manifest as it was last pushed, with compressed layers.
    pub pushed: Option<Digest>,
    /// The names that it got as they were asked for, in order; without a tag stands for `latest`.
    pub names: Vec<Reference>,
}

/// What a Dockerfile is, without building it (`--check`, `--call`).
#[derive(Debug, Clone)]
pub struct Examined {
    /// The text.
    pub source: Source,
    /// What it says, when it can be read.
    pub dockerfile: Option<Dockerfile>,
    /// What the build checks found.
    pub warnings: Vec<Warning>,
    /// Why it cannot be built, when it cannot.
    pub error: Option<DockerfileError>,
}

/// Why a build failed. The text is docker's, without `failed to solve: `.
#[derive(Debug)]
pub struct BuildError {
    /// The lines of the Dockerfile that are to blame.
    pub excerpt: Option<Excerpt>,
    /// What the build checks had found.
    pub warnings: Vec<Warning>,
    /// What was being done.
    pub phase: BuildPhase,
    /// Classifies the error.
    pub kind: Kind,
    /// Why.
    pub cause: Box<dyn std::error::Error + Send + Sync>,
}

/// What a build was doing when it failed: docker words the first by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildPhase {
    /// Reading, planning, running, exporting.
    Solve,
    /// Pushing what was built.
    Push,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}
