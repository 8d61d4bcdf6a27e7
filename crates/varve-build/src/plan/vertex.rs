//! Vertices: what a solver does, one by one.

use varve_types::{Digest, Platform, Reference, container::Ulimit};

use super::Environment;
use crate::{
    git::GitRef,
    instruction::{RunNetwork, Security, Sharing},
    source::Lines,
};

/// A vertex, by its place in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VertexId(pub usize);

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vertex {
    /// What progress calls it: `[builder 2/4] WORKDIR /app`.
    pub name: String,
    /// The instruction; `None` for what belongs to none.
    pub lines: Option<Lines>,
    /// What is done.
    pub op: Op,
    /// Whether it is done although it is in the cache.
    pub ignore_cache: bool,
}

/// What is done in a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// The file system of an image.
    Image(ImageStep),
    /// Files of a directory of the caller.
    Local(LocalStep),
    /// A checkout.
    Git(GitStep),
    /// One file, fetched.
    Http(HttpStep),
    /// One file whose text is in the Dockerfile.
    Document(DocumentStep),
    /// Files taken from other steps.
    Copy(CopyStep),
    /// A directory, with its parents.
    Mkdir(MkdirStep),
    /// A program.
    Run(RunStep),
    /// A layer, made alone, on top of another file system (`COPY --link`).
    Merge {
        /// Below; `None` is empty.
        base: Option<VertexId>,
        /// Above.
        layer: VertexId,
    },
}

/// The file system of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageStep {
    /// The name it was found by.
    pub reference: Reference,
    /// The platform asked for.
    pub platform: Platform,
    /// What was found, as [`super::ResolvedImage::id`] said.
    pub id: Digest,
}

/// Files of a directory of the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalStep {
    /// The named context; `None` is the context.
    pub context: Option<String>,
    /// The paths and patterns that steps take from it, so that others need not be read; `None` for
    /// all.
    pub paths: Option<Vec<String>>,
}

/// A checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitStep {
    /// What `git` is given.
    pub remote: String,
    /// Branch, tag or commit; empty for the default branch.
    pub reference: String,
    /// The directory wanted; empty for all.
    pub subdirectory: String,
    /// The commit it must be; empty for any.
    pub checksum: String,
    /// Whether `.git` is kept.
    pub keep_git_dir: bool,
    /// Whether submodules are fetched.
    pub submodules: bool,
}

/// A whole context: without `.git` and with submodules, where the address does not say otherwise.
impl From<GitRef> for GitStep {
    fn from(git: GitRef) -> Self {
        Self {
            remote: git.remote,
            reference: git.reference,
            subdirectory: git.subdirectory,
            checksum: git.checksum,
            keep_git_dir: git.keep_git_dir.unwrap_or(false),
            submodules: git.submodules.unwrap_or(true),
        }
    }
}

/// One file, fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpStep {
    /// From where.
    pub url: String,
    /// The file's name; empty for the one that its server gives it.
    pub file: String,
    /// What it must hash to.
    pub checksum: Option<Digest>,
}

/// One file whose text is in the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentStep {
    /// The file's name.
    pub file: String,
    /// Its mode.
    pub mode: u32,
    /// Its text.
    pub text: String,
}

/// Files taken from other steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyStep {
    /// The file system they come to; `None` is empty.
    pub base: Option<VertexId>,
    /// What is taken, in order.
    pub actions: Vec<CopyAction>,
    /// Where to.
    pub destination: Destination,
    /// `--chown`, expanded: names or numbers; empty is root.
    pub owner: String,
    /// `--chmod`.
    pub mode: Option<Mode>,
    /// `--exclude`, each.
    pub exclude: Vec<String>,
}

/// One source of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyAction {
    /// The step it is taken from; `None` is empty.
    pub from: Option<VertexId>,
    /// What is taken.
    pub source: CopySource,
    /// Whether an archive is unpacked.
    pub unpack: bool,
}

/// What is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopySource {
    /// A path or pattern, from the root, links followed; of a directory what is in it.
    Path(String),
    /// What fits a pattern below a directory, with its parent directories (`--parents`).
    Parents {
        /// The directory, which may be a pattern: what stood before `/./`, or the root.
        directory: String,
        /// The pattern below it.
        pattern: String,
        /// Whether something must fit: when there are no wildcards.
        required: bool,
    },
    /// All of it: a checkout, a fetched file, a document.
    All,
}

/// Where files are copied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The path, absolute and clean.
    pub path: String,
    /// Whether it is a directory even if there is none yet: it was written with a slash.
    pub directory: bool,
}

/// `--chmod`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// A number.
    Bits(u32),
    /// Changes, such as `u+x,go-w`.
    Symbols(String),
}

/// A directory, with its parents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MkdirStep {
    /// Where; `None` is empty.
    pub base: Option<VertexId>,
    /// The path, absolute and clean.
    pub path: String,
    /// Whose it is; empty is root.
    pub user: String,
}

/// A program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStep {
    /// The file system it sees; `None` is empty.
    pub base: Option<VertexId>,
    /// Program and arguments, with the shell.
    pub arguments: Vec<String>,
    /// Its environment, of `ENV` and `ARG`.
    pub environment: Environment,
    /// Proxies, in its environment too; they do not count for the cache.
    pub proxies: Vec<(String, String)>,
    /// Its directory.
    pub directory: String,
    /// Its user; empty is root.
    pub user: String,
    /// Mounts.
    pub mounts: Vec<RunMount>,
    /// Its network.
    pub network: RunNetwork,
    /// What it may do.
    pub security: Security,
    /// Devices, by CDI name.
    pub devices: Vec<String>,
    /// Lines of `/etc/hosts`: name and address.
    pub extra_hosts: Vec<(String, String)>,
    /// Bytes of `/dev/shm`.
    pub shm_size_bytes: Option<i64>,
    /// Limits.
    pub ulimits: Vec<Ulimit>,
}

/// A mount of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunMount {
    /// Files of another step; what is written to them is dropped.
    Bind {
        /// The step; `None` is empty.
        from: Option<VertexId>,
        /// The path in it, absolute.
        source: String,
        /// Where to, absolute.
        target: String,
        /// Whether it cannot be written.
        read_only: bool,
    },
    /// A directory that outlives the build.
    Cache {
        /// Its ID.
        id: String,
        /// The step that it is filled from when new; `None` is empty.
        from: Option<VertexId>,
        /// The path in it, absolute.
        source: String,
        /// Where to, absolute.
        target: String,
        /// Who may use it at one time.
        sharing: Sharing,
        /// Whether it cannot be written.
        read_only: bool,
        /// Owner, group and mode of the directory when new.
        owner: (u32, u32, u32),
    },
    /// A file system in memory.
    Tmpfs {
        /// Where to, absolute.
        target: String,
        /// Bytes it may hold.
        size_bytes: Option<i64>,
    },
    /// A secret.
    Secret {
        /// Its ID.
        id: String,
        /// The file that holds it; `None` when only a variable does.
        target: Option<String>,
        /// The variable that holds it.
        env: Option<String>,
        /// Whether the build fails without it.
        required: bool,
        /// Owner, group and mode of the file.
        owner: (u32, u32, u32),
    },
    /// A socket of an agent.
    Ssh {
        /// Its ID.
        id: String,
        /// Where the socket is; `None` where the solver likes.
        target: Option<String>,
        /// Whether the build fails without it.
        required: bool,
        /// Owner, group and mode of the socket.
        owner: (u32, u32, u32),
    },
}

impl Vertex {
    /// The steps that must be done before, in the order in which their keys count. A step may
    /// stand here twice.
    pub fn inputs(&self) -> Vec<VertexId> {
        match &self.op {
            Op::Image(_) | Op::Local(_) | Op::Git(_) | Op::Http(_) | Op::Document(_) => Vec::new(),
            Op::Mkdir(step) => step.base.into_iter().collect(),
            Op::Merge { base, layer } => base.iter().copied().chain([*layer]).collect(),
            Op::Copy(step) => {
                let from = step.actions.iter().filter_map(|action| action.from);
                step.base.into_iter().chain(from).collect()
            }
            Op::Run(step) => {
                let from = step.mounts.iter().filter_map(|mount| match mount {
                    RunMount::Bind { from, .. } | RunMount::Cache { from, .. } => *from,
                    _ => None,
                });
                step.base.into_iter().chain(from).collect()
            }
        }
    }

    /// Whether the step adds a layer to what it is based on.
    pub fn makes_layer(&self) -> bool {
        matches!(self.op, Op::Copy(_) | Op::Mkdir(_) | Op::Run(_))
    }
}
