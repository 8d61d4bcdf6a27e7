//! What a program needs before it runs, and its run.

use std::{
    fs::File,
    os::fd::OwnedFd,
    path::Path,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    pipe::{PipeFlags, pipe_with},
    process::Signal,
};
use varve_build::{
    instruction::Security,
    plan::RunStep,
    solve::{BuildEvent, RunRequest, Stream},
};
use varve_fs::{durable, root::Root};
use varve_runtime::{
    apparmor, files,
    network::Netns,
    oci::{Delete, Embedded, OciError, Reach, Runtime as _, Stdio},
    probe,
    spec::{self, BuildNetwork, BuildRequest},
    users::{self, ResolvedUser},
};
use varve_types::ContainerId;

use super::{
    Programs,
    agent::Agent,
    error::{ProcessError, RunError},
    mounts::{Caches, Shown},
    output::{self, Clip, Ending},
    stubs,
    workplace::Workplace,
};
use crate::container::{cgroups, whole_text, workdir};

const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";
/// Exit code of docker's runtime when it cannot start a program.
const NOT_STARTED: i32 = 1;

/// What is there for a program while it runs.
pub(super) struct Prepared {
    /// Its network namespace, held until the runtime has entered it and longer.
    _netns: Option<Netns>,
    /// What is mounted for it.
    shown: Shown,
}

impl Prepared {
    /// To be called at the end of the program, however that came.
    pub(super) fn finish(self, now: jiff::Timestamp) -> Result<(), RunError> {
        self.shown.finish(now)
    }
}

impl Programs<'_> {
    /// Makes everything ready but the first process.
    pub(super) fn prepare(
        &self,
        place: &mut Workplace<'_>,
        request: &RunRequest<'_>,
        caches: Caches,
    ) -> Result<Prepared, RunError> {
        let step = request.step;
        let failed = |why| RunError::program(&step.arguments, why);
        let root = Root::open(place.rootfs()).map_err(RunError::io("open", place.rootfs()))?;
        let user = users::resolve(&root, &step.user, &[]).map_err(|error| failed(error.into()))?;
        make_directory(&root, &step.directory, &user)
            .map_err(|text| failed(ProcessError::Directory(text)))?;
        let shown = self.show(place, request, caches)?;
        let mut environment = environment(step, request.times.epoch.seconds);
        environment.extend_from_slice(&shown.environment);
        let network = self.network(place, request);
        let texts = [
            ("hosts", files::build_hosts(spec::HOSTNAME, &step.extra_hosts, network.gateway)),
            ("resolv.conf", network.resolv_conf),
        ];
        for (name, text) in texts {
            place.write(name, text.as_bytes(), 0o644)?;
        }
        let insecure = step.security == Security::Insecure;
        let machine = probe::machine(cgroups(), insecure);
        let profile = if machine.apparmor && !insecure { apparmor_profile()? } else { "" };
        let parent = self.settings.cgroup_parent.trim_matches('/');
        let parent = if parent.is_empty() { "varve" } else { parent };
        let spec = spec::build_spec(&BuildRequest {
            arguments: &step.arguments,
            environment: &environment,
            directory: if step.directory.is_empty() { "/" } else { &step.directory },
            user: &user,
            mounts: &shown.mounts,
            network: match (&network.netns, step.network) {
                (Some(netns), _) => BuildNetwork::Namespace(netns.path()),
                (None, varve_build::instruction::RunNetwork::None) => BuildNetwork::None,
                (None, _) => BuildNetwork::Host,
            },
            insecure,
            apparmor_profile: profile,
            ulimits: &step.ulimits,
            shm_size_bytes: step.shm_size_bytes,
            limits: &self.settings.limits,
            rootfs: place.rootfs(),
            hosts: &place.private("hosts"),
            resolv_conf: &place.private("resolv.conf"),
            cgroup: &format!("/{parent}/{}", place.id()),
            machine: &machine,
        })?;
        // Variables may be secrets: this is in memory too.
        let json = serde_json::to_vec(&spec).map_err(|error| {
            RunError::io("write", place.private("config.json"))(std::io::Error::other(error))
        })?;
        place.write("config.json", &json, 0o600)?;
        Ok(Prepared { _netns: network.netns, shown })
    }

    /// Runs the program until its end. What it writes is told as it comes.
    pub(super) fn execute(
        &self,
        place: &Workplace<'_>,
        request: &RunRequest<'_>,
        prepared: &Prepared,
        before: stubs::Before,
    ) -> Result<(Ending, stubs::Stubs), RunError> {
        let log = |stream, bytes: &[u8]| {
            self.watch.event(&BuildEvent::Log { id: request.id, stream, bytes });
        };
        let limit = self.settings.log_bytes_max;
        let (mut output_clip, mut error_clip) = (Clip::new(limit), Clip::new(limit));
        let runtime = self.engine.embedded_runtime()?;
        let id = place.id().to_string();
        let (streams, stdio) = self.streams()?;
        let created = match runtime.create(&id, place.private_directory(), stdio) {
            Err(OciError::Create(failure)) => {
                let text =
                    format!("runc run failed: unable to start container process: {failure}\n");
                log(Stream::Error, text.as_bytes());
                return Ok((Ending::Code(NOT_STARTED), stubs::Stubs::none()));
            }
            created => created.map_err(RunError::Runtime)?,
        };
        let ran = before.after(place).and_then(|stubs| {
            runtime.start(&id).map_err(RunError::Runtime)?;
            Ok(stubs)
        });
        let kill = || {
            let _ = runtime.kill(&id, Signal::KILL, Reach::All);
        };
        if ran.is_err() {
            kill();
        }
        let room = self.engine.store().cache_mounts_size_bytes_max();
        let (overflowed, (running, end)) = (AtomicBool::new(false), mpsc::channel());
        let over = || ran.is_err() || overflowed.load(Ordering::Acquire) || self.is_over(request);
        let code = thread::scope(|scope| {
            if prepared.shown.has_caches() {
                let (shown, overflowed) = (&prepared.shown, &overflowed);
                scope.spawn(move || {
                    overflowed.store(shown.overflow(room, &end), Ordering::Release);
                });
            }
            for agent in &prepared.shown.agents {
                scope.spawn(|| agent.serve());
            }
            let tell = |stream, bytes: &[u8]| match stream {
                Stream::Output => output_clip.pass(bytes, |bytes| log(stream, bytes)),
                Stream::Error => error_clip.pass(bytes, |bytes| log(stream, bytes)),
            };
            let code = output::follow(created.pid, streams, tell, over, kill);
            prepared.shown.agents.iter().for_each(Agent::stop);
            drop::<mpsc::Sender<()>>(running);
            code
        });
        let ending = code.map(|code| ending(code, &runtime, place.id()));
        if !matches!(ending, Ok(Ending::Code(0))) {
            output_clip.end(|bytes| log(Stream::Output, bytes));
            error_clip.end(|bytes| log(Stream::Error, bytes));
        }
        let _ = runtime.delete(&id, Delete::Force);
        let ending = ending.map_err(RunError::io("wait for", Path::new("the program")))?;
        if ending == Ending::Canceled && overflowed.into_inner() {
            return Err(RunError::CacheMounts { limit: room });
        }
        Ok((ending, ran?))
    }

    /// What a program writes, to read, and as what it gets it: errors apart from output where they are told
    /// apart.
    fn streams(&self) -> Result<((File, Option<File>), Stdio), RunError> {
        let (output, to_output) = channel()?;
        let (error, to_error) = if self.watch.tells_streams() {
            let (error, to_error) = channel()?;
            (Some(error), to_error)
        } else {
            let same = to_output.try_clone();
            (None, same.map_err(RunError::io("make", Path::new("a pipe")))?)
        };
        let null = File::open("/dev/null").map_err(RunError::io("open", "/dev/null"))?;
        let stdio = Stdio::Descriptors { input: null.into(), output: to_output, error: to_error };
        Ok(((output, error), stdio))
    }
}

fn ending(code: Option<i32>, runtime: &Embedded, id: &ContainerId) -> Ending {
    match code {
        None => Ending::Canceled,
        Some(0) => Ending::Code(0),
        Some(_) if runtime.oom_kills(&id.to_string()).unwrap_or_default() > 0 => Ending::Memory,
        Some(code) => Ending::Code(code),
    }
}

/// A pipe whose reading side does not wait.
fn channel() -> Result<(File, OwnedFd), RunError> {
    let failed = RunError::io::<std::io::Error>;
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)
        .map_err(|error| failed("make", Path::new("a pipe"))(error.into()))?;
    fcntl_getfl(&ours)
        .and_then(|flags| fcntl_setfl(&ours, flags | OFlags::NONBLOCK))
        .map_err(|error| failed("make", Path::new("a pipe"))(error.into()))?;
    Ok((ours.into(), theirs))
}

/// The variables of a program, as the step says; docker's builder adds no host name.
fn environment(step: &RunStep, epoch: i64) -> Vec<String> {
    let pairs = step.environment.iter().map(|(name, value)| format!("{name}={value}"));
    let proxies = step.proxies.iter().filter(|(name, _)| {
        // What the Dockerfile says wins.
        !step.environment.names().any(|known| known == name)
    });
    let mut environment: Vec<String> =
        pairs.chain(proxies.map(|(name, value)| format!("{name}={value}"))).collect();
    if !step.environment.names().any(|name| name == SOURCE_DATE_EPOCH) {
        environment.push(format!("{SOURCE_DATE_EPOCH}={epoch}"));
    }
    environment
}

/// Makes the program's directory with its parents where they are missing; they are its user's.
fn make_directory(root: &Root, path: &str, user: &ResolvedUser) -> Result<(), String> {
    if path.is_empty() || path == "/" {
        return Ok(());
    }
    let all: Vec<&Path> = Path::new(path).ancestors().collect();
    let is_missing = |path: &&&Path| {
        let opened = root.open_directory(path);
        opened.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    };
    let missing: Vec<&Path> = all.iter().filter(is_missing).copied().collect();
    if missing.is_empty() && root.open_directory(Path::new(path)).is_ok() {
        return Ok(());
    }
    workdir::make(root, path)?;
    let (uid, gid) = (rustix::fs::Uid::from_raw(user.uid), rustix::fs::Gid::from_raw(user.gid));
    for path in missing {
        let made = root.open_to_change(path);
        let owned = made.and_then(|made| Ok(rustix::fs::fchown(made, Some(uid), Some(gid))?));
        owned.map_err(|error| format!("chown {}: {}", path.display(), whole_text(&error)))?;
    }
    Ok(())
}

fn apparmor_profile() -> Result<&'static str, RunError> {
    apparmor::load_default().map_err(RunError::io("load", apparmor::DEFAULT_PROFILE))?;
    Ok(apparmor::DEFAULT_PROFILE)
}

/// Writes a file that only this build reads.
pub(super) fn write_private(path: &Path, bytes: &[u8], mode: u32) -> Result<(), RunError> {
    durable::replace_unsynced(path, bytes, mode).map_err(RunError::io("write", path))
}
