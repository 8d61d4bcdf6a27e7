//! The user namespace in which a user without privileges builds and runs: there they are root.
//!
//! ```text
//! enter ─ is one there (members)? ── yes ─▶ setns: user and mount namespace
//!                                 └─ no ──▶ unshare, then ID maps: newuidmap and newgidmap with the
//!                                           ranges of /etc/subuid and /etc/subgid (ids), else one ID
//! ```
//!
//! All of a user's commands and monitors that are there at the same time share one, so containers
//! may share namespaces, and what one command mounts the next one finds. Nobody holds it when
//! none of them is left: it ends with the last, and with it all that is mounted in it.
//!
//! A process enters before it has threads; the kernel refuses others.

mod error;
mod ids;
mod members;

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::{
        fd::AsFd as _,
        unix::{ffi::OsStringExt as _, fs::MetadataExt as _, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use rustix::mount::{MountPropagationFlags, mount_change};
use varve_fs::{durable, lock::FileLock};

pub use error::UserNamespaceError;
pub use ids::{Ids, Range, WhySingle};
pub use members::Membership;

use crate::sys;

/// The name under which the program is started to have IDs mapped, from outside of the namespace.
const NAME: &str = "varve-ids";
/// This program.
const PROGRAM: &str = "/proc/self/exe";
/// Bytes of what a helper may complain with.
const COMPLAINT_BYTES_MAX: u64 = 4096;
/// The lock under which is decided which namespace to enter.
const LOCK: &str = "namespace.lock";
/// The code of a helper that could not execute a program, as shells have it.
const NOT_EXECUTED: i32 = 127;
const DIRECTORY_MODE: u32 = 0o700;

/// Enters the namespace of the user who runs this; `run` is the user's run directory, which is made
/// where it is missing, and `path` the directories of programs (`PATH`). The process is a member until
/// the value is dropped.
pub fn enter(run: &Path, path: &OsStr) -> Result<Membership, UserNamespaceError> {
    make_own(run)?;
    let lock = run.join(LOCK);
    let _deciding = FileLock::exclusive(&lock).map_err(UserNamespaceError::at("lock", &lock))?;
    let joined = members::living(run)?.into_iter().any(|member| join(member, run).unwrap_or(false));
    if !joined {
        create(path)?;
    }
    Membership::begin(run)
}

/// Becomes a member of the namespace that the process is in already, started by one who entered.
pub fn stay(run: &Path) -> Result<Membership, UserNamespaceError> {
    Membership::begin(run)
}

/// Whether this process is in a user namespace that is not the machine's first.
pub fn is_inside() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let words: Vec<&str> = map.split_whitespace().collect();
    words != ["0", "0", "4294967295"]
}

/// Makes the run directory, which nobody else may enter: whoever can may command what runs.
fn make_own(run: &Path) -> Result<(), UserNamespaceError> {
    durable::create_directories_unsynced(run, DIRECTORY_MODE)
        .map_err(UserNamespaceError::at("create", run))?;
    let facts = fs::symlink_metadata(run).map_err(UserNamespaceError::at("read", run))?;
    let is_mine = facts.is_dir() && facts.uid() == rustix::process::geteuid().as_raw();
    if is_mine && facts.mode() & 0o022 == 0 {
        Ok(())
    } else {
        Err(UserNamespaceError::NotOurs(run.to_owned()))
    }
}

/// Enters the namespaces of a process; `false` where that would show other files than we see.
fn join(process: u32, run: &Path) -> io::Result<bool> {
    let of = |name: &str| PathBuf::from(format!("/proc/{process}/{name}"));
    let (user, mounts) = (File::open(of("ns/user"))?, File::open(of("ns/mnt"))?);
    if same(&user.metadata()?, &fs::metadata("/proc/self/ns/user")?) {
        return Ok(false);
    }
    // One that was removed has no path.
    let here = rustix::process::getcwd(Vec::new()).ok();
    let here = here.map(|path| PathBuf::from(OsString::from_vec(path.into_bytes())));
    for path in here.as_deref().into_iter().chain([run]) {
        let there = of("root").join(path.strip_prefix("/").unwrap_or(path));
        if !same(&fs::metadata(path)?, &fs::metadata(there)?) {
            return Ok(false);
        }
    }
    sys::enter_namespaces(user.as_fd(), libc::CLONE_NEWUSER)?;
    // From here on there is no way back: what is in the way now is in the way of all that follows.
    sys::enter_namespaces(mounts.as_fd(), libc::CLONE_NEWNS)?;
    if let Some(here) = here {
        rustix::process::chdir(here)?;
    }
    Ok(true)
}

fn same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Makes a namespace of this process's own.
fn create(path: &OsStr) -> Result<(), UserNamespaceError> {
    let ids = Ids::find(path)?;
    let helper = if ids.is_single() { None } else { Some(Helper::start(&ids)?) };
    sys::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS).map_err(UserNamespaceError::refused)?;
    match helper {
        Some(helper) => helper.map()?,
        None => map_alone(&ids)?,
    }
    let root = Path::new("/");
    // What the host mounts is to be seen here, and the reverse is not.
    mount_change(root, MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(|errno| UserNamespaceError::at("keep apart", root)(errno.into()))
}

/// Maps the one ID that nobody has to be asked for.
fn map_alone(ids: &Ids) -> Result<(), UserNamespaceError> {
    let texts = [
        // The kernel wants it: who leaves a group behind could get at what is closed to the group.
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/gid_map", format!("0 {} 1\n", ids.gid)),
        ("/proc/self/uid_map", format!("0 {} 1\n", ids.uid)),
    ];
    for (path, text) in texts {
        fs::write(path, text).map_err(UserNamespaceError::at("write", Path::new(path)))?;
    }
    Ok(())
}

/// A process outside of the new namespace: only there `newuidmap` is who it is on the host.
struct Helper {
    child: std::process::Child,
}

impl Helper {
    fn start(ids: &Ids) -> Result<Self, UserNamespaceError> {
        let mut command = Command::new(PROGRAM);
        command.arg0(NAME).arg(std::process::id().to_string());
        for (own, ranges) in [(ids.uid, &ids.uids), (ids.gid, &ids.gids)] {
            command.arg(ids::map_words(own, ranges).join(" "));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().map_err(UserNamespaceError::at("execute", PROGRAM.as_ref()))?;
        Ok(Self { child })
    }

    fn map(mut self) -> Result<(), UserNamespaceError> {
        let program = Path::new(NAME);
        let failed = UserNamespaceError::at("talk to", program);
        if let Some(mut input) = self.child.stdin.take() {
            // One that has ended by now says why below.
            let _ = input.write_all(b"g");
        }
        let mut said = String::new();
        if let Some(output) = self.child.stderr.take() {
            let _ = output.take(COMPLAINT_BYTES_MAX).read_to_string(&mut said);
        }
        let status = self.child.wait().map_err(failed)?;
        match status.code() {
            Some(0) => Ok(()),
            Some(NOT_EXECUTED) => {
                Err(UserNamespaceError::NotMapped("newuidmap cannot be executed".to_owned()))
            }
            _ => Err(UserNamespaceError::NotMapped(said.trim().to_owned())),
        }
    }
}

/// Whether a program of this name is to have IDs mapped.
pub fn is_asked(own_name: &OsStr) -> bool {
    own_name == NAME
}

/// Has IDs mapped: waits for a word, then starts `newuidmap` and `newgidmap`, which may. Their
/// complaints go to standard error.
pub fn play(line: &[OsString]) -> ExitCode {
    let [_, process, users, groups] = line else { return ExitCode::FAILURE };
    if !matches!(io::stdin().read(&mut [0]), Ok(1)) {
        return ExitCode::FAILURE;
    }
    for (program, map) in [("newuidmap", users), ("newgidmap", groups)] {
        let words = map.to_str().unwrap_or_default().split(' ');
        let status = Command::new(program).arg(process).args(words).stdin(Stdio::null()).status();
        match status {
            Ok(status) if status.success() => {}
            Ok(_) => return ExitCode::FAILURE,
            Err(_) => return ExitCode::from(NOT_EXECUTED as u8),
        }
    }
    ExitCode::SUCCESS
}
