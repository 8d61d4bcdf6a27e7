//! Typed instructions: a node's words with their meaning, variables not yet expanded.

mod flags;
mod mount;
mod read;

pub use mount::{Mount, MountKind, Sharing, mount_source};
pub use read::read;

use varve_types::config::Healthcheck;

use crate::{heredoc::Heredoc, parse::Pair, source::Lines};

/// The names of all instructions.
pub const NAMES: &[&str] = &[
    "FROM",
    "RUN",
    "COPY",
    "ADD",
    "ENV",
    "ARG",
    "CMD",
    "ENTRYPOINT",
    "WORKDIR",
    "USER",
    "EXPOSE",
    "LABEL",
    "VOLUME",
    "SHELL",
    "HEALTHCHECK",
    "STOPSIGNAL",
    "ONBUILD",
    "MAINTAINER",
];

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// The first word, as written.
    pub name: String,
    /// The whole line, continuation lines joined, without blanks around it.
    pub code: String,
    /// Where it is; of a base image's trigger, where the FROM is.
    pub lines: Lines,
    /// What it says.
    pub command: Command,
}

/// What an instruction says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Begins a stage.
    From(From),
    /// Names that `--build-arg` may set.
    Arg(Vec<Argument>),
    /// Environment of what follows and of the image.
    Env(Vec<Pair>),
    /// Labels of the image.
    Label(Vec<Pair>),
    /// The author of the image.
    Maintainer(String),
    /// Files of the context, archives unpacked, or a git or http source.
    Add(Copy),
    /// Files of the context, a stage or an image.
    Copy(Copy),
    /// A program that runs during the build.
    Run(Run),
    /// The directory of what follows and of the image.
    Workdir(String),
    /// The user of what follows and of the image.
    User(String),
    /// The image's default command.
    Cmd(CommandLine),
    /// The image's program.
    Entrypoint(CommandLine),
    /// Ports, sorted.
    Expose(Vec<String>),
    /// Paths that are volumes.
    Volume(Vec<String>),
    /// The signal that asks a container to stop.
    StopSignal(String),
    /// The shell of shell-form instructions.
    Shell(Vec<String>),
    /// How to tell whether a container works.
    Healthcheck(Healthcheck),
    /// An instruction for images that are built from this one, as text.
    OnBuild(String),
}

/// `FROM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// A stage, an image, a named context or `scratch`.
    pub base: String,
    /// The stage's name, in lower case.
    pub name: Option<String>,
    /// `--platform`.
    pub platform: Option<String>,
    /// What the comment above says of the stage.
    pub description: Option<String>,
}

/// One name of `ARG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// The name.
    pub key: String,
    /// The value when none is given.
    pub value: Option<String>,
    /// What the comment above says of it.
    pub description: Option<String>,
}

/// `COPY` or `ADD`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copy {
    /// Paths, patterns or addresses.
    pub sources: Vec<String>,
    /// Files whose text is in the Dockerfile.
    pub documents: Vec<Document>,
    /// Where to.
    pub destination: String,
    /// `--from`.
    pub from: Option<String>,
    /// `--chown`.
    pub owner: String,
    /// `--chmod`.
    pub mode: String,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`, each.
    pub exclude: Vec<String>,
    /// `--checksum`.
    pub checksum: String,
    /// `--unpack`, when given.
    pub unpack: Option<bool>,
    /// `--keep-git-dir`, when given.
    pub keep_git_dir: Option<bool>,
}

/// A file of `COPY <<name /path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The file's name.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Whether variables in it are expanded.
    pub expand: bool,
}

/// Words, or a line for the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// The words; in the shell form one, or none.
    pub words: Vec<String>,
    /// Whether the shell is put before.
    pub shell: bool,
}

/// `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What to run.
    pub line: CommandLine,
    /// Here-documents.
    pub heredocs: Vec<Heredoc>,
    /// `--mount`, each as written.
    pub mounts: Vec<String>,
    /// `--network`.
    pub network: Option<RunNetwork>,
    /// `--security`.
    pub security: Security,
    /// `--device`, each as written.
    pub devices: Vec<String>,
}

/// The network of one `RUN`, or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunNetwork {
    /// A network of the build's own that reaches the outside.
    #[default]
    Default,
    /// Loopback only.
    None,
    /// The host's.
    Host,
}

impl RunNetwork {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::None => "none",
            Self::Host => "host",
        }
    }
}

/// What one `RUN` may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// What containers may.
    #[default]
    Sandbox,
    /// Everything; needs `--allow security.insecure`.
    Insecure,
}
