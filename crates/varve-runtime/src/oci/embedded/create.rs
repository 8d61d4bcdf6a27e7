//! Making a container: the parent's side and the first process's, which talk over a channel.

use std::{
    fs, io,
    os::fd::{AsFd as _, AsRawFd, OwnedFd},
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    fs::{Mode, OFlags},
    io::Errno,
    process::{DumpableBehavior, Pid, PidfdFlags, Signal, kill_process, pidfd_open},
    thread::{Gid, Uid},
};

use super::{
    Filters, Step, identity, init, namespaces,
    order::{Done, Failed},
    program,
    record::{self, Record},
    rootfs, streams,
};
use crate::{
    cgroup::{Cgroup, Entry, Machine, Unenforced},
    oci::{
        OciError, Process, StartFailure, Stdio,
        config::{Config, NamespaceKind},
        io_error, terminal,
    },
    seccomp::{self, Architecture},
    sys::{self, Instruction, Side, SingleThread},
};

/// Most bytes of a `config.json`.
const CONFIG_BYTES_MAX: u64 = 16 << 20;

/// The parent's word that the first process may go on.
const GO: &[u8] = b"go";

/// What the first process needs.
struct Birth {
    config: Config,
    bundle: PathBuf,
    cgroup: Cgroup,
    entry: Entry,
    filters: Filters,
    stdio: Stdio,
    /// The process whose child it is.
    guardian: OwnedFd,
}

/// Whether a container of this bundle can be made in this very process.
pub(super) fn may_run_here(config: &Config) -> bool {
    sys::is_single_threaded() && program::is_protected() && !namespaces::need_own_process(config)
}

/// Makes a container with its state at a place: a directory and a name in it. Its first process
/// waits. On failure nothing is left.
pub(super) fn run(
    (state_dir, id): (&Path, &str),
    bundle: &Path,
    mut config: Config,
    stdio: Stdio,
    sibling: bool,
) -> Result<Done, Failed> {
    let filters = filters(&config)?;
    let terminal = matches!(stdio, Stdio::Terminal);
    if let Some(process) = config.process.as_mut() {
        process.terminal = terminal;
    }
    Record::reserve(state_dir, id)?;
    let made = make(state_dir, id, bundle, config, filters, stdio, sibling);
    if made.is_err() {
        let _ = Record::discard(state_dir, id);
    }
    made
}

fn make(
    state_dir: &Path,
    id: &str,
    bundle: &Path,
    config: Config,
    filters: Filters,
    stdio: Stdio,
    sibling: bool,
) -> Result<Done, Failed> {
    record::note_group(state_dir, id, &group_path(id, &config))?;
    let (cgroup, unenforced) = group(id, &config)?;
    let path = record::pipe(state_dir, id);
    // Open for both, so that opening waits for nobody and reading never sees an end.
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let born = rustix::fs::open(&path, flags, Mode::empty())
        .map_err(io_error("open", path))
        .map_err(Failed::from)
        .and_then(|gate| {
            let bundle = bundle.to_owned();
            let guardian = guardian(sibling)?;
            let entry = cgroup.entry().map_err(io_error("open", "the container's cgroup"))?;
            let cgroup = cgroup.clone();
            bear(Birth { config, bundle, cgroup, entry, filters, stdio, guardian }, gate, sibling)
        });
    let stored = born.and_then(|(pid, terminal)| {
        let failed = |error| {
            let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
            Failed { pid: Some(pid), error }
        };
        let record = Record::new(id, pid, bundle, cgroup.clone())
            .map_err(io_error("look at", "the container's first process"))
            .map_err(failed)?;
        record.store(state_dir).map_err(failed)?;
        Ok(Done { pid, terminal, unenforced })
    });
    if stored.is_err() {
        let _ = cgroup.kill(Signal::KILL);
        let _ = cgroup.delete();
    }
    stored
}

/// Reads a bundle's configuration and refuses what this runtime does not do.
pub(super) fn read_config(bundle: &Path) -> Result<Config, OciError> {
    use io::Read as _;
    let path = bundle.join("config.json");
    let mut text = Vec::new();
    let file = fs::File::open(&path).map_err(io_error("open", &path))?;
    file.take(CONFIG_BYTES_MAX).read_to_end(&mut text).map_err(io_error("read", &path))?;
    let config: Config =
        serde_json::from_slice(&text).map_err(|error| OciError::Config(error.to_string()))?;
    let refuse = |text: &str| Err(OciError::Config(text.to_owned()));
    let Some(process) = &config.process else { return refuse("there is no process") };
    if !process.cwd.starts_with('/') {
        return refuse("the working directory is not absolute");
    }
    if !config.is_new(NamespaceKind::Mount) {
        return refuse("a container needs a mount namespace of its own");
    }
    if config.namespace(NamespaceKind::User).is_some_and(|one| one.path.is_some()) {
        return refuse("a user namespace cannot be shared");
    }
    if config.is_new(NamespaceKind::User)
        && (config.linux.uid_mappings.is_empty() || config.linux.gid_mappings.is_empty())
    {
        return refuse("a user namespace needs maps");
    }
    let hooks = config.hooks.iter().flat_map(|hooks| hooks.values());
    if hooks.flatten().any(|list| !list.is_empty()) {
        return refuse("hooks are not supported");
    }
    Ok(config)
}

/// The filters of a container's configuration, as the kernel takes them.
pub(super) fn filters(config: &Config) -> Result<Filters, OciError> {
    match &config.linux.seccomp {
        Some(seccomp) => {
            let wrong = |text: String| OciError::Config(format!("seccomp: {text}"));
            let rules = serde_json::from_str(seccomp.get()).map_err(|e| wrong(e.to_string()))?;
            let native = Architecture::native()
                .ok_or_else(|| wrong("not known on this architecture".to_owned()))?;
            let programs =
                seccomp::compile(&rules, native).map_err(|error| wrong(error.to_string()))?;
            Ok(programs
                .iter()
                .map(|program| program.iter().map(Instruction::from).collect())
                .collect())
        }
        None => Ok(Filters::new()),
    }
}

fn group_path(id: &str, config: &Config) -> String {
    let path = config.linux.cgroups_path.clone().filter(|path| !path.is_empty());
    path.unwrap_or_else(|| format!("/varve/{id}"))
}

fn group(id: &str, config: &Config) -> Result<(Cgroup, Vec<Unenforced>), OciError> {
    let machine = Machine::detect().map_err(io_error("read", "/proc/self/mountinfo"))?;
    let (group, mut unenforced) = Cgroup::create(&machine, &group_path(id, config))
        .map_err(|error| OciError::Config(format!("cgroupsPath: {error}")))?;
    if let Some(resources) = &config.linux.resources {
        // When there is none at all, that was said already.
        if !group.is_empty() {
            unenforced.extend(group.apply(resources));
        }
    }
    unenforced.sort();
    unenforced.dedup();
    Ok((group, unenforced))
}

/// A handle to the process whose child the first process becomes.
fn guardian(sibling: bool) -> Result<OwnedFd, Failed> {
    let me = rustix::process::getpid();
    let process = if sibling { rustix::process::getppid().unwrap_or(me) } else { me };
    let handle = pidfd_open(process, PidfdFlags::empty());
    handle.map_err(|error| io_error("reach", "the container's monitor")(error).into())
}

/// Has the kernel kill this process when the one that watches it is gone: what nobody watches is
/// not to run on. A change of user undoes it.
fn die_with(guardian: &OwnedFd) -> Step<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(init("ask to be killed with the monitor"))?;
    // It may have gone before.
    let mut gone = PollFd::new(guardian, PollFlags::IN);
    match rustix::event::poll(std::slice::from_mut(&mut gone), Some(&Timespec::default())) {
        Ok(0) | Err(Errno::INTR) => Ok(()),
        _ => Err(StartFailure::Init("the monitor is gone".to_owned())),
    }
}

/// Makes the first process, which is to wait at the gate, and waits until it is ready. Returns it
/// with its terminal.
fn bear(mut birth: Birth, gate: OwnedFd, sibling: bool) -> Result<(i32, Option<OwnedFd>), Failed> {
    let failed = |action, what: &'static str| {
        move |error: io::Error| Failed::from(io_error(action, what)(error))
    };
    let (ours, theirs) =
        terminal::channel().map_err(failed("open", "a channel to the first process"))?;
    let alone = SingleThread::prove().map_err(failed("start", "the container's first process"))?;
    namespaces::enter_before(&birth.config).map_err(failed("enter", "the given namespaces"))?;
    let flags = namespaces::born_into(&birth.config);
    let pid = match birth
        .entry
        .copy_process(&alone, flags, sibling)
        .map_err(failed("start", "the container's first process"))?
    {
        Side::Child => {
            drop(ours);
            // Nothing of what the parent was doing may go on in the copy.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| live(birth, &gate, &theirs)));
            sys::exit_now(255);
        }
        Side::Parent { child } => child,
    };
    drop(theirs);
    let abandon = |error: OciError| {
        let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
        Failed { pid: Some(pid), error }
    };
    if birth.config.is_new(NamespaceKind::User) {
        namespaces::write_maps(pid, &birth.config)
            .map_err(io_error("map", "users of the container"))
            .map_err(abandon)?;
    }
    let talk = io_error("talk to", "the container's first process");
    terminal::send(&ours, GO, &[]).map_err(talk).map_err(abandon)?;
    terminal::receive(&ours)
        .map_err(io_error("talk to", "the container's first process"))
        .and_then(|(answer, fds)| {
            if answer.is_empty() {
                return Err(OciError::Vanished);
            }
            match serde_json::from_slice::<Step<()>>(&answer) {
                Ok(Ok(())) => Ok((pid, fds.into_iter().next())),
                Ok(Err(failure)) => Err(OciError::Create(failure)),
                Err(_) => Err(OciError::Vanished),
            }
        })
        .map_err(abandon)
}

/// The first process: makes its surroundings, says how that went, waits, becomes the program.
fn live(birth: Birth, gate: &OwnedFd, channel: &OwnedFd) {
    match prepare(birth, channel, gate) {
        Ok((ready, master)) => {
            let master: Vec<_> = master.iter().map(|fd| fd.as_fd()).collect();
            let text = serde_json::to_vec(&Step::Ok(())).unwrap_or_default();
            if terminal::send(channel, &text, &master).is_err() {
                return;
            }
            drop(master);
            wait_and_become(ready, gate);
        }
        Err(failure) => {
            let text = serde_json::to_vec(&Step::<()>::Err(failure)).unwrap_or_default();
            let _ = terminal::send(channel, &text, &[]);
            // A word of the parent's that nobody has read would take this one out of the channel.
            // The parent hears, and ends this process.
            let _ = terminal::receive(channel);
        }
    }
}

type Prepared = (identity::Ready, Option<OwnedFd>);

fn prepare(birth: Birth, channel: &OwnedFd, gate: &OwnedFd) -> Step<Prepared> {
    wait_for(channel, GO)?;
    sys::reset_signals();
    let Birth { config, bundle, cgroup, entry, filters, stdio, guardian } = birth;
    die_with(&guardian)?;
    rustix::process::setsid().map_err(init("setsid"))?;
    namespaces::enter_inside(&config).map_err(init("join namespaces"))?;
    if config.is_new(NamespaceKind::User) {
        become_root().map_err(init("become root of the user namespace"))?;
    }
    let mut entry = Some(entry);
    let mut enter = || entry.take().map_or(Ok(()), Entry::take);
    if config.is_new(NamespaceKind::Cgroup) {
        enter().map_err(init("enter the container's cgroup"))?;
        sys::unshare(libc::CLONE_NEWCGROUP).map_err(init("unshare the cgroup namespace"))?;
    }
    if config.is_new(NamespaceKind::Network) {
        namespaces::bring_up_loopback().map_err(init("bring up lo"))?;
    }
    let process = config.process.clone().unwrap_or_default();
    adjust_oom(&process)?;
    hide()?;
    let pair = rootfs::enter(&rootfs::Plan { config: &config, bundle: &bundle, cgroup: &cgroup })?;
    namespaces::set_up(&config)?;
    enter().map_err(init("enter the container's cgroup"))?;
    let master = streams::take(stdio, pair, process.user.uid)?;
    let mut kept = vec![channel.as_raw_fd(), gate.as_raw_fd(), guardian.as_raw_fd()];
    kept.extend(master.as_ref().map(AsRawFd::as_raw_fd));
    sys::close_all_but(&mut kept).map_err(init("close what is open"))?;
    let ready = identity::assume(&process, &filters)?;
    die_with(&guardian)?;
    Ok((ready, master))
}

fn wait_for(channel: &OwnedFd, word: &[u8]) -> Step<()> {
    let (said, _) = terminal::receive(channel).map_err(init("wait for the parent"))?;
    if said == word { Ok(()) } else { Err(StartFailure::Init("the parent is gone".to_owned())) }
}

/// In a new user namespace this process is nobody until it says that it is root.
fn become_root() -> Result<(), Errno> {
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
}

/// Sets the preference for want of memory. A machine may not let it be lowered: then it stays.
pub(super) fn adjust_oom(process: &Process) -> Step<()> {
    let Some(preference) = process.oom_score_adj else { return Ok(()) };
    match fs::write("/proc/self/oom_score_adj", preference.to_string()) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other.map_err(init("set oom_score_adj")),
    }
}

/// Keeps processes of the container from looking into this one, which still is ours.
pub(super) fn hide() -> Step<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(init("make the process not dumpable"))
}

fn wait_and_become(ready: identity::Ready, gate: &OwnedFd) {
    let mut word = [0_u8; 1];
    while let Err(Errno::INTR) = rustix::io::read(gate, &mut word) {}
    let program = ready.program();
    let why = ready.exec();
    // Nobody else listens by now; runc says it in the same place and words.
    let text = format!("exec {program}: {}\n", crate::oci::errno_text(&why));
    let [.., error] = sys::standard_streams();
    let _ = rustix::io::write(error, text.as_bytes());
    sys::exit_now(1);
}
