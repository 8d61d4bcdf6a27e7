//! Hidden roles: what this program does when the engine has started it itself, in a process of its
//! own that has one thread.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use varve_fs::backend::BackendKind;
use varve_runtime::userns;
use varve_store::{Options, Store};
use varve_types::{Clock, container::ContainerId};

use crate::{Engine, Registries, rootless};

/// How the program is asked to watch a container (first argument).
const MONITOR: &str = "--varve-monitor";
/// How the program is asked to free what was removed from a store.
const EMPTIER: &str = "--varve-emptier";

/// What the program was started for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// To start a container's process.
    Runtime,
    /// To serve a container's ports and names.
    Network,
    /// To have IDs of a user namespace mapped; the whole command line.
    Ids(Vec<OsString>),
    /// To free what was removed of a store: the store, the run directory, where programs are.
    EmptyTrash([OsString; 3]),
    /// To watch a container.
    Monitor {
        /// The store.
        root: PathBuf,
        /// Where run directories are; `None` for the usual place.
        run: Option<PathBuf>,
        /// How layers are shown; `None` for what is best.
        backend: Option<BackendKind>,
    },
    /// To free what was removed from a store.
    Emptier {
        /// The store.
        root: PathBuf,
    },
}

impl Role {
    /// The role that a command line, the program's own name included, asks for.
    pub fn asked(line: &[OsString]) -> Option<Self> {
        let own_name = line.first()?;
        if varve_runtime::role::is_asked(own_name) {
            return Some(Self::Runtime);
        }
        if varve_runtime::network::helper_is_asked(own_name) {
            return Some(Self::Network);
        }
        if userns::is_asked(own_name) {
            return Some(Self::Ids(line.to_vec()));
        }
        match line {
            // The container's ID is for those who list processes.
            [_, role, _id, root, run, backend] if role == MONITOR => Some(Self::Monitor {
                root: root.into(),
                run: Some(run).filter(|run| !run.is_empty()).map(PathBuf::from),
                backend: backend.to_str().and_then(|text| text.parse().ok()),
            }),
            [_, role, words @ ..] if role == rootless::EMPTY_TRASH => {
                words.to_vec().try_into().ok().map(Self::EmptyTrash)
            }
            [_, role, root] if role == EMPTIER => Some(Self::Emptier { root: root.into() }),
            _ => None,
        }
    }

    /// Plays the role until it ends. To be called before any thread exists.
    pub fn play(self, clock: &dyn Clock) -> ExitCode {
        match self {
            Self::Runtime => varve_runtime::role::play(),
            // Nobody would hear why: what it was to serve is not served.
            Self::Network => match varve_runtime::network::serve_helper() {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            },
            Self::Ids(line) => userns::play(&line),
            Self::EmptyTrash(words) => match rootless::play_empty_trash(&words) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            },
            Self::Monitor { root, run, backend } => {
                let options = Options { run, backend, ..Options::default() };
                let engine = Engine::open_with(&root, options, Registries::default());
                let watched = engine.map(|engine| engine.watch(clock).is_ok());
                // Whoever started us was told; there is nobody else.
                if matches!(watched, Ok(true)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Self::Emptier { root } => {
                // What could not be freed is by the next command that removes much.
                let emptied = Store::open(&root).and_then(|store| store.keep_trash_empty());
                if emptied.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
        }
    }
}

/// Starts this program to free what was removed from the store in `root`, for
/// [`Options::emptier`]. For a program whose `main` asks [`Role::asked`]. For users who are not root it is
/// refused: what belongs to users of containers is freed in their namespace, and waited for.
pub fn start_emptier(root: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Command::new("/proc/self/exe")
        .arg(EMPTIER)
        .arg(std::path::absolute(root)?)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .process_group(0)
        .spawn()
        .map(drop)
}

/// The arguments with which the program watches a container.
pub(super) fn monitor_arguments(engine: &Engine, id: &ContainerId) -> Vec<OsString> {
    let options = engine.store().options();
    let id = id.to_string();
    let run = options.run.as_deref().unwrap_or(Path::new(""));
    let backend = options.backend.map(|kind| kind.to_string()).unwrap_or_default();
    let root = engine.store().root();
    let words: [&OsStr; 5] =
        [MONITOR.as_ref(), id.as_ref(), root.as_ref(), run.as_ref(), backend.as_ref()];
    words.map(OsString::from).to_vec()
}
