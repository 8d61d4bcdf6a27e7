//! A further process in a running container. Always done in a role: this process enters the
//! container's namespaces and cannot come back.

use std::{
    fs, io,
    os::fd::{AsFd as _, AsRawFd, OwnedFd},
    panic::{self, AssertUnwindSafe},
    path::Path,
};

use rustix::{
    fs::{CWD, Mode, OFlags},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
    thread::{Gid, Uid},
};

use super::{
    Filters, Step, create, identity, init,
    order::{Done, Failed},
    record::Record,
    streams,
};
use crate::{
    cgroup::Entry,
    oci::{OciError, Process, StartFailure, Status, Stdio, io_error, terminal},
    sys::{self, Side, SingleThread},
};

const GO: &[u8] = b"go";

/// The kinds of namespaces by their names below `/proc/<pid>/ns`, all but the cgroup's, which is
/// entered when the process is in the group.
const KINDS: [(&str, libc::c_int); 6] = [
    ("user", libc::CLONE_NEWUSER),
    ("mnt", libc::CLONE_NEWNS),
    ("pid", libc::CLONE_NEWPID),
    ("net", libc::CLONE_NEWNET),
    ("ipc", libc::CLONE_NEWIPC),
    ("uts", libc::CLONE_NEWUTS),
];

/// What of the container a new process joins by itself.
struct Joins {
    entry: Entry,
    /// The first process, whose cgroup namespace is not ours.
    cgroups: Option<OwnedFd>,
    /// Whether this is the container's user namespace, and not the one before.
    user_namespace: bool,
}

pub(super) fn run(
    state_dir: &Path,
    id: &str,
    mut process: Process,
    stdio: Stdio,
) -> Result<Done, Failed> {
    let record = Record::load(state_dir, id)?;
    let state = record.status();
    if state != Status::Running && state != Status::Created {
        return Err(OciError::State { id: record.id, state }.into());
    }
    let filters = create::filters(&create::read_config(&record.bundle)?)?;
    process.terminal = matches!(stdio, Stdio::Terminal);
    let what = "the container's first process";
    let first = Pid::from_raw(record.pid).ok_or(OciError::Vanished)?;
    let first = pidfd_open(first, PidfdFlags::empty()).map_err(io_error("reach", what))?;
    if !record.is_alive() {
        return Err(OciError::State { id: record.id, state: Status::Stopped }.into());
    }
    let entry = record.cgroup.entry();
    let mut entry = entry.map_err(io_error("open", "the container's cgroup"))?;
    let kinds = kinds(record.pid).map_err(io_error("compare", "namespaces"))?;
    let cgroup_differs =
        differs(record.pid, "cgroup").map_err(io_error("compare", "namespaces"))?;
    create::adjust_oom(&process).and_then(|()| create::hide()).map_err(OciError::Exec)?;
    let (ours, theirs) = terminal::channel().map_err(io_error("open", "a channel"))?;
    let alone = SingleThread::prove().map_err(io_error("start", "the process"))?;
    if kinds != 0 {
        sys::enter_namespaces(first.as_fd(), kinds)
            .map_err(io_error("enter", "the container's namespaces"))?;
    }
    let copied = entry.copy_process(&alone, 0, true).map_err(io_error("start", "the process"));
    let pid = match copied? {
        Side::Child => {
            drop(ours);
            let joins = Joins {
                entry,
                cgroups: cgroup_differs.then_some(first),
                user_namespace: kinds & libc::CLONE_NEWUSER != 0,
            };
            let body = || live(&process, &filters, stdio, joins, &theirs);
            let _ = panic::catch_unwind(AssertUnwindSafe(body));
            sys::exit_now(255);
        }
        Side::Parent { child } => child,
    };
    drop((theirs, stdio));
    let abandon = |error: OciError| {
        let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
        Failed { pid: Some(pid), error }
    };
    let terminal = follow(&ours).map_err(abandon)?;
    Ok(Done { pid, terminal, unenforced: Vec::new() })
}

/// Lets the process go on and waits until it is the program: its end of the channel closes then.
fn follow(channel: &OwnedFd) -> Result<Option<OwnedFd>, OciError> {
    let talk = || io_error("talk to", "the container's process");
    terminal::send(channel, GO, &[]).map_err(talk())?;
    let (mut ready, mut master) = (false, None);
    loop {
        let (answer, fds) = terminal::receive(channel).map_err(talk())?;
        if answer.is_empty() {
            return if ready { Ok(master) } else { Err(OciError::Vanished) };
        }
        match serde_json::from_slice::<Step<()>>(&answer) {
            Ok(Ok(())) => (ready, master) = (true, fds.into_iter().next()),
            Ok(Err(failure)) => return Err(OciError::Exec(failure)),
            Err(_) => return Err(OciError::Vanished),
        }
    }
}

fn kinds(pid: i32) -> io::Result<libc::c_int> {
    KINDS
        .iter()
        .try_fold(0, |all, (name, flag)| Ok(if differs(pid, name)? { all | flag } else { all }))
}

fn differs(pid: i32, name: &str) -> io::Result<bool> {
    let theirs = fs::read_link(format!("/proc/{pid}/ns/{name}"))?;
    Ok(theirs != fs::read_link(format!("/proc/self/ns/{name}"))?)
}

fn live(process: &Process, filters: &Filters, stdio: Stdio, joins: Joins, channel: &OwnedFd) {
    let say = |step: Step<()>, master: Option<&OwnedFd>| {
        let fds: Vec<_> = master.iter().map(|fd| fd.as_fd()).collect();
        terminal::send(channel, &serde_json::to_vec(&step).unwrap_or_default(), &fds)
    };
    match prepare(process, filters, stdio, joins, channel) {
        Err(failure) => drop(say(Err(failure), None)),
        Ok((ready, master)) => {
            if say(Ok(()), master.as_ref()).is_err() {
                return;
            }
            drop(master);
            let program = ready.program();
            let why = crate::oci::errno_text(&ready.exec());
            let _ = say(Err(StartFailure::Other(format!("exec {program}: {why}"))), None);
        }
    }
}

fn prepare(
    process: &Process,
    filters: &Filters,
    stdio: Stdio,
    joins: Joins,
    channel: &OwnedFd,
) -> Step<(identity::Ready, Option<OwnedFd>)> {
    let (go, _) = terminal::receive(channel).map_err(init("wait for the parent"))?;
    if go != GO {
        return Err(StartFailure::Init("the parent is gone".to_owned()));
    }
    joins.entry.take().map_err(init("enter the container's cgroup"))?;
    sys::reset_signals();
    rustix::process::setsid().map_err(init("setsid"))?;
    if let Some(first) = joins.cgroups {
        sys::enter_namespaces(first.as_fd(), libc::CLONE_NEWCGROUP)
            .map_err(init("enter the cgroup namespace"))?;
    }
    if joins.user_namespace {
        rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)
            .and_then(|()| rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT))
            .map_err(init("become root of the user namespace"))?;
    }
    let pair = if process.terminal {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, "/", flags, Mode::empty());
        let root = root.map_err(init("open the root"))?;
        Some(terminal::open(root, process.console_size).map_err(init("open a terminal"))?)
    } else {
        None
    };
    let master = streams::take(stdio, pair, process.user.uid)?;
    let mut kept = vec![channel.as_raw_fd()];
    kept.extend(master.as_ref().map(AsRawFd::as_raw_fd));
    sys::close_all_but(&mut kept).map_err(init("close what is open"))?;
    let ready = identity::assume(process, filters)?;
    Ok((ready, master))
}
