//! `start`, `stop`, `kill`, `restart` and `wait`.

use std::{
    process::Child,
    time::{Duration, Instant},
};

use varve_fs::lock::FileLock;
use varve_runtime::{
    attach::{Attach, Client, ClientError, Condition, Refused, Signal as ToProcess},
    logs,
    monitor::{self, MonitorError, Started, StartedAttached, Starter},
    state::{self, Recovered, StateError},
};
use varve_store::Sync;
use varve_types::{
    Ctx,
    container::{Container, ContainerId, Signal, State, Status, ends_restarts},
};

use super::{ContainerError, role, volumes, watch::Left};
use crate::{Engine, Error, Result};

/// Seconds that a container has between being asked to stop and being killed.
const STOP_TIMEOUT_S: i64 = 10;
const KILLED_TIME_MAX: Duration = Duration::from_secs(10);
/// This program, which watches.
const PROGRAM: &str = "/proc/self/exe";
/// How long a container may be in the hands of others who start or remove it.
pub(super) const BUSY_TIME_MAX: Duration = Duration::from_secs(30);
/// Between looks at a monitor that has no socket any more and has not let go of its lock.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Locked by `restart` of a container that is to go with its end.
const RESTART_LOCK_FILE: &str = "restart.lock";

/// The monitor that was started, and what it answers.
type Launched<T> = Result<(Result<T, Refused>, Child), MonitorError>;

/// How a container is to be stopped.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stop<'a> {
    /// The signal that asks it, by name or number; without one its own, else `TERM`.
    pub signal: Option<&'a str>,
    /// Seconds until it is killed, negative for never; without one its own, else ten.
    pub timeout_s: Option<i64>,
}

impl Engine {
    /// What is true of a container now. What a monitor that died left is put in order first.
    pub fn container_state(&self, ctx: &Ctx<'_>, container: &Container) -> Result<State> {
        let directory = self.store.container_path(&container.id);
        let mut left = Left { engine: self, container };
        match state::recover(&directory, &mut left, ctx.now()) {
            Ok(Recovered::Sound(state) | Recovered::Mended(state)) => Ok(state),
            // Somebody begins to watch it.
            Err(StateError::Watched) => self.read_state(container),
            Err(error) => Err(ContainerError::state(container, error).into()),
        }
    }

    /// The first process of a container that runs.
    pub(crate) fn running_pid(&self, name: &str) -> Result<u32> {
        let container = self.container(name)?;
        let directory = self.store.container_path(&container.id);
        let state = state::read(&directory).map_err(ContainerError::State)?;
        match state.process.filter(|_| state.status.has_processes()) {
            Some(process) => Ok(process.pid),
            None => Err(ContainerError::CannotJoin(container.id).into()),
        }
    }

    /// Starts a container. One that runs stays as it is. `Err` is
    /// [`ContainerError::NotStarted`] when it could not be started; one that was to go with its end
    /// is gone then. Returns what is not as asked for.
    pub fn start_container(&self, ctx: &Ctx<'_>, container: &Container) -> Result<Vec<String>> {
        self.start_expected(ctx, container, self.starter(&container.id))
    }

    /// [`start_container`](Self::start_container) with a monitor that may wait for it already.
    pub fn start_expected(
        &self,
        ctx: &Ctx<'_>,
        container: &Container,
        starter: Starter,
    ) -> Result<Vec<String>> {
        let started = self.launch(ctx, container, starter, |starter, config| {
            let Started { answer, monitor } = starter.start(config)?;
            Ok((answer, monitor))
        })?;
        if started.is_some() {
            self.forget_read(container);
        }
        Ok(started.map(|granted| granted.warnings).unwrap_or_default())
    }

    /// [`start_container`](Self::start_container), attached from before its command runs. One that
    /// runs is attached to as it is. What is not as asked for is in what the client was granted.
    pub fn start_container_attached(
        &self,
        ctx: &Ctx<'_>,
        container: &Container,
        attach: Attach,
    ) -> Result<Client> {
        self.start_expected_attached(ctx, container, self.starter(&container.id), attach)
    }

    /// [`start_container_attached`](Self::start_container_attached) with a monitor that may wait for
    /// it already.
    pub fn start_expected_attached(
        &self,
        ctx: &Ctx<'_>,
        container: &Container,
        starter: Starter,
        attach: Attach,
    ) -> Result<Client> {
        let started = self.launch(ctx, container, starter, |starter, config| {
            let StartedAttached { answer, monitor } = starter.start_attached(config, attach)?;
            Ok((answer, monitor))
        })?;
        match started {
            Some(client) => Ok(client),
            None => self.attach_container(ctx, container, attach),
        }
    }

    /// What starts the monitor of a container that has this ID, or will have it.
    fn starter(&self, id: &ContainerId) -> Starter {
        Starter::new(PROGRAM, role::monitor_arguments(self, id))
    }

    /// Has a monitor get ready for a container that is about to be
    /// [made](Self::create_container_as) and [started](Self::start_expected).
    pub fn expect_container(&self) -> Result<(ContainerId, Starter)> {
        let id = ContainerId::from_random(volumes::random()?);
        let mut starter = self.starter(&id);
        // Where it cannot be executed, that is told when there is something to be started.
        let _ = starter.call();
        Ok((id, starter))
    }

    /// Has `start` start a container's monitor; `None` where the container runs already.
    fn launch<T>(
        &self,
        ctx: &Ctx<'_>,
        container: &Container,
        mut starter: Starter,
        start: impl Fn(&mut Starter, &monitor::Config) -> Launched<T>,
    ) -> Result<Option<T>> {
        let until = Instant::now() + BUSY_TIME_MAX;
        loop {
            if !self.is_to_be_started(ctx, container)? {
                return Ok(None);
            }
            let config = self.monitor_config(container);
            let started = config.map(|config| start(&mut starter, &config));
            let error: Error = match started {
                Ok(Ok((Ok(started), _))) => return Ok(Some(started)),
                Ok(Ok((Err(refused), mut monitor))) => {
                    let _ = monitor.wait();
                    ContainerError::NotStarted(refused).into()
                }
                // Another command starts or removes it: what becomes of that, counts.
                Ok(Err(MonitorError::Watched)) if Instant::now() < until => continue,
                Ok(Err(error @ MonitorError::Watched)) => {
                    return Err(ContainerError::Monitor(error).into());
                }
                Ok(Err(MonitorError::State(error))) => {
                    ContainerError::state(container, error).into()
                }
                Ok(Err(error)) => ContainerError::Monitor(error).into(),
                Err(error) => error,
            };
            if container.host_config.auto_remove {
                // It never ran: nothing would remove it.
                let _ = self.discard_container(container);
            }
            return Err(error);
        }
    }

    /// What was read of the layers to start a container that goes on alone is cached as files; the
    /// tars' own copy of it is let go, as far as it is on disk. That is only memory.
    fn forget_read(&self, container: &Container) {
        if !container.host_config.auto_remove {
            let _ = self.store.forget_tars(&Self::holder(&container.id), Sync::No);
        }
    }

    /// Whether a container is to be started: one that runs, or soon does again, is not.
    fn is_to_be_started(&self, ctx: &Ctx<'_>, container: &Container) -> Result<bool> {
        match self.container_state(ctx, container)?.status {
            Status::Running | Status::Restarting => Ok(false),
            Status::Paused => Err(ContainerError::StartPaused.into()),
            Status::Removing => Err(ContainerError::StartRemoving.into()),
            _ => Ok(true),
        }
    }

    fn monitor_config(&self, container: &Container) -> Result<monitor::Config> {
        let host = &container.host_config;
        let log = logs::Options::parse(&host.log_config.kind, &host.log_config.config)
            .map_err(|error| ContainerError::Invalid(error.to_string()))?;
        let [height, width] = host.console_size;
        let size = (width > 0 && height > 0).then_some(varve_runtime::attach::Size {
            width: width.try_into().unwrap_or(u16::MAX),
            height: height.try_into().unwrap_or(u16::MAX),
        });
        Ok(monitor::Config {
            id: container.id.to_string(),
            dir: self.store.container_path(&container.id),
            run_dir: self.bundle_path(&container.id)?,
            stop_signal: container.config.stop_signal.clone(),
            tty: container.config.tty,
            size,
            open_stdin: container.config.open_stdin,
            stdin_once: container.config.stdin_once,
            restart: host.restart_policy,
            auto_remove: host.auto_remove,
            log,
            health: None,
        })
    }

    /// Stops a container: asks its first process, and kills it when that takes too long. One that
    /// does not run stays as it is.
    pub fn stop_container(
        &self,
        ctx: &Ctx<'_>,
        container: &Container,
        how: Stop<'_>,
    ) -> Result<()> {
        let signal = Self::stop_signal(container, how.signal)?;
        let timeout = how.timeout_s.or(container.config.stop_timeout).unwrap_or(STOP_TIMEOUT_S);
        if !self.send(ctx, container, signal, true)? {
            return Ok(());
        }
        let Some(until) = killed_at(Instant::now(), timeout) else {
            self.wait_for_end(container)?;
            return Ok(());
        };
        if self.ends_before(container, until)? {
            return Ok(());
        }
        self.kill_and_wait(ctx, container)
    }

    fn stop_signal(container: &Container, asked: Option<&str>) -> Result<Signal> {
        let asked = asked.filter(|text| !text.is_empty());
        let text = asked.unwrap_or(if container.config.stop_signal.is_empty() {
            "TERM"
        } else {
            &container.config.stop_signal
        });
        let signal = text.parse::<Signal>();
        Ok(signal.map_err(|error| ContainerError::Invalid(error.to_string()))?)
    }

    /// Kills a container that runs and waits until it is not there any more.
    pub fn kill_and_wait(&self, ctx: &Ctx<'_>, container: &Container) -> Result<()> {
        if self.send(ctx, container, Signal::KILL, true)? {
            self.ends_before(container, Instant::now() + KILLED_TIME_MAX)?;
        }
        Ok(())
    }

    /// Sends a signal to the first process of a container that runs. Whether its policy starts it
    /// again after that: [`ends_restarts`].
    pub fn kill_container(&self, ctx: &Ctx<'_>, container: &Container, signal: &str) -> Result<()> {
        let signal: Signal =
            signal.parse().map_err(|error: varve_types::container::SignalError| {
                ContainerError::Invalid(error.to_string())
            })?;
        if !self.container_state(ctx, container)?.status.is_running() {
            return Err(ContainerError::NotRunning(container.id).into());
        }
        let ends = ends_restarts(signal.number(), &container.config.stop_signal);
        self.send(ctx, container, signal, ends)?;
        if signal == Signal::KILL {
            self.ends_before(container, Instant::now() + KILLED_TIME_MAX)?;
        }
        Ok(())
    }

    /// Sends a signal. Returns `false` where nothing runs.
    fn send(
        &self,
        ctx: &Ctx<'_>,
        container: &Container,
        signal: Signal,
        ends: bool,
    ) -> Result<bool> {
        let state = self.container_state(ctx, container)?;
        if !state.status.is_running() {
            return Ok(false);
        }
        // What ends it is to reach it; any other signal waits until it goes on.
        if state.status == Status::Paused && ends {
            self.resume_container(container)?;
        }
        let request = ToProcess { number: signal.number(), ends };
        match Client::signal(&self.bundle_path(&container.id)?, request) {
            Ok(()) => Ok(true),
            Err(ClientError::NotRunning | ClientError::Gone) => Ok(false),
            Err(error) => Err(ContainerError::Client(error).into()),
        }
    }

    /// Lets the processes of a paused container go on.
    pub(crate) fn resume_container(&self, container: &Container) -> Result<()> {
        let runtime = self.runtime(container)?;
        let resumed = runtime.resume(&container.id.to_string());
        resumed.map_err(|error| ContainerError::Invalid(error.to_string()))?;
        match Client::paused(&self.bundle_path(&container.id)?, false) {
            Ok(()) | Err(ClientError::NotRunning) => Ok(()),
            Err(error) => Err(ContainerError::Client(error).into()),
        }
    }

    /// Waits for the end of a container that runs. Gives the exit code of its last run.
    pub fn wait_container(&self, ctx: &Ctx<'_>, container: &Container) -> Result<i32> {
        if let Some(code) = self.wait_for_end(container)? {
            return Ok(code);
        }
        Ok(self.container_state(ctx, container)?.exit_code)
    }

    fn wait_for_end(&self, container: &Container) -> Result<Option<i32>> {
        match Client::wait(&self.bundle_path(&container.id)?, Condition::NotRunning) {
            Ok(exit) => Ok(exit.map(|exit| exit.exit_code)),
            Err(ClientError::Gone) => Ok(None),
            Err(error) => Err(ContainerError::Client(error).into()),
        }
    }

    /// Whether a container's last run and all that goes with its end is over by then.
    fn ends_before(&self, container: &Container, until: Instant) -> Result<bool> {
        let directory = self.store.container_path(&container.id);
        loop {
            let state = match state::read(&directory) {
                // It was removed with its end.
                Err(StateError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound =>
                {
                    return Ok(true);
                }
                other => other.map_err(ContainerError::State)?,
            };
            if !state.status.is_running() && state.monitor.is_none() {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            match Client::ends_before(&self.bundle_path(&container.id)?, until) {
                Ok(_) => {}
                // It hears nobody any more, or not yet, and is about to let go.
                Err(ClientError::NotRunning | ClientError::Gone) => {
                    std::thread::sleep(POLL_INTERVAL);
                }
                Err(error) => return Err(ContainerError::Client(error).into()),
            }
        }
    }

    /// Stops a container and starts it again, also one that is to be removed with its end. Returns
    /// what is not as asked for.
    pub fn restart_container(
        &self,
        ctx: &Ctx<'_>,
        container: &Container,
        how: Stop<'_>,
    ) -> Result<Vec<String>> {
        // Whoever lists containers meanwhile is not to think that it was left behind.
        let is_fleeting = container.host_config.auto_remove;
        let _restarting = is_fleeting.then(|| self.lock_restart(container)).transpose()?;
        let kept = match Client::keep(&self.bundle_path(&container.id)?) {
            Ok(kept) => Some(kept),
            Err(ClientError::NotRunning | ClientError::Gone) => None,
            Err(error) => return Err(ContainerError::Client(error).into()),
        };
        self.stop_container(ctx, container, how)?;
        drop(kept);
        self.start_container(ctx, container)
    }
}

impl Engine {
    /// Held while a container that is to go with its end is stopped and started again.
    fn lock_restart(&self, container: &Container) -> Result<FileLock> {
        let path = self.store.container_path(&container.id).join(RESTART_LOCK_FILE);
        FileLock::exclusive(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => {
                ContainerError::NoSuch(container.name.to_string()).into()
            }
            _ => varve_store::Error::Io { action: "lock", path, source }.into(),
        })
    }

    /// Whether nobody restarts a container; nobody begins to while the value is kept.
    pub(super) fn is_not_restarted(&self, container: &Container) -> Option<FileLock> {
        let path = self.store.container_path(&container.id).join(RESTART_LOCK_FILE);
        FileLock::try_exclusive(&path).ok().flatten()
    }
}

/// When a container that has this many seconds to stop is killed; `None` for never, which is what
/// a negative number says, and a time that no clock has.
fn killed_at(now: Instant, timeout_s: i64) -> Option<Instant> {
    let time = u64::try_from(timeout_s).ok().map(Duration::from_secs)?;
    now.checked_add(time)
}

/// What kept a container from being started, if that is what the error says.
pub fn not_started(error: &Error) -> Option<&Refused> {
    match error {
        Error::Container(ContainerError::NotStarted(refused)) => Some(refused),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_more_time_than_any_clock_is_never_killed() {
        let now = Instant::now();
        assert_eq!(killed_at(now, 3), Some(now + Duration::from_secs(3)));
        assert_eq!(killed_at(now, 0), Some(now));
        for never in [-1, i64::MIN, i64::MAX] {
            assert_eq!(killed_at(now, never), None);
        }
    }
}
