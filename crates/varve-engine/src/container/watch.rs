//! The monitor's role: this program again, for one container, until its end.

use std::path::PathBuf;

use jiff::Timestamp;
use varve_runtime::{
    attach::Refused,
    monitor::{self, HealthCheck, Host, Mode, MonitorError},
    network::Netns,
    state::{self, Leftovers},
    userns,
};
use varve_types::{
    Clock,
    container::{Container, State},
};

use super::{
    ContainerError,
    bundle::{Bundle, cgroups, refused},
    executor::Executes,
    release::PutOff,
};
use crate::{Engine, Result};

impl Engine {
    /// Watches the container that whoever started this process names, until its end.
    pub fn watch(&self, clock: &dyn Clock) -> Result<(), MonitorError> {
        let waiting = monitor::accept()?;
        // By it later commands find the user namespace; one that cannot be found still serves.
        let run = self.store.options().run.as_deref().filter(|_| userns::is_inside());
        let _member = run.and_then(|run| userns::stay(run).ok());
        self.get_ready();
        let (mut config, channel, lock) = waiting.order()?;
        let mut first = self.first_bundle(&config.id, clock.now());
        if let Ok((container, bundle)) = &first {
            config.health = health(container, bundle);
        }
        let held = first.as_mut().map(|(_, bundle)| Held::of(bundle)).unwrap_or_default();
        let (container, first) = match first {
            Ok((container, bundle)) => (Some(container), Ok(bundle.path)),
            Err((container, refused)) => (container.map(|it| *it), Err(refused)),
        };
        let runtime = container.as_ref().map(|container| self.runtime(container));
        let (runtime, first) = match runtime {
            Some(Ok(runtime)) => (runtime, first),
            Some(Err(error)) => (self.no_runtime(), Err(refused(error))),
            None => (self.no_runtime(), first),
        };
        let id = config.id.parse().map_err(|_| MonitorError::Protocol)?;
        let mut executor =
            Executes { engine: self, runtime, id, oom_kills: 0, unenforced: Vec::new() };
        let mut host =
            Machine { engine: self, clock, container, first: Some(first), held, put_off: None };
        let mode = Mode::Detached(channel);
        monitor::run(config, mode, lock, &mut host, &mut executor, clock)?;
        Ok(())
    }

    /// Finds out what every container needs to know of this machine, while the first is made. What
    /// cannot be known now is told when it is needed; nothing is made.
    fn get_ready(&self) {
        let _ = self.store.run_directory_names("");
        cgroups();
    }

    /// The container's record, and its bundle made for the first time.
    fn first_bundle(&self, id: &str, now: Timestamp) -> Result<(Container, Bundle), Unprepared> {
        let container = self.container(id).map_err(|error| (None, refused(error)))?;
        match self.prepare(&container, now) {
            Ok(bundle) => Ok((container, bundle)),
            Err(refused) => Err((Some(Box::new(container)), refused)),
        }
    }

    /// Connects a container and makes its bundle.
    fn prepare(&self, container: &Container, now: Timestamp) -> Result<Bundle, Refused> {
        let connected = self.connect_container(container, now).map_err(refused)?;
        self.make_bundle(container, connected)
    }

    /// Stands in where nothing is going to be executed.
    fn no_runtime(&self) -> Box<dyn varve_runtime::oci::Runtime> {
        Box::new(varve_runtime::oci::Embedded::new(self.store.root().join("varve/trash")))
    }

    /// Removes a container that was to go with its end and could not be started.
    pub(crate) fn discard_container(&self, container: &Container) -> Result<()> {
        // Its monitor may have been killed on the way: what that left is known by the record only.
        let directory = self.store.container_path(&container.id);
        let mut left = Left { engine: self, container };
        let recovered = state::recover(&directory, &mut left, container.created);
        if self.store.container(&container.id)?.is_none() {
            return Ok(());
        }
        recovered.map_err(|error| ContainerError::state(container, error))?;
        self.remove_stopped(container, true)
    }
}

/// What was found of a container that could not be prepared, and why it could not.
type Unprepared = (Option<Box<Container>>, Refused);

/// What the monitor asks of the machine for its container.
struct Machine<'a> {
    engine: &'a Engine,
    clock: &'a dyn Clock,
    container: Option<Container>,
    /// What came of the first preparation, until it is asked for.
    first: Option<Result<PathBuf, Refused>>,
    held: Held,
    put_off: Option<PutOff>,
}

/// What of a bundle is kept until the runtime has entered it and longer, or is to be said.
#[derive(Default)]
struct Held {
    /// The container's network namespace.
    _netns: Option<Netns>,
    /// What of its networks does not work here.
    warnings: Vec<String>,
}

impl Held {
    fn of(bundle: &mut Bundle) -> Self {
        Self { _netns: bundle.netns.take(), warnings: std::mem::take(&mut bundle.warnings) }
    }
}

impl Host for Machine<'_> {
    fn prepare(&mut self) -> Result<PathBuf, Refused> {
        if let Some(first) = self.first.take() {
            return first;
        }
        match &self.container {
            Some(container) => {
                let mut bundle = self.engine.prepare(container, self.clock.now())?;
                self.held = Held::of(&mut bundle);
                Ok(bundle.path)
            }
            None => Err(Refused { message: "the container is gone".to_owned(), exit_code: 125 }),
        }
    }

    fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.held.warnings)
    }

    fn release(&mut self, state: &State) {
        self.held = Held::default();
        if let Some(container) = &self.container {
            self.put_off = self.engine.release_container(container, state);
        }
    }

    fn keep(&mut self) {
        if let Some(container) = &mut self.container {
            container.host_config.auto_remove = false;
        }
    }

    fn finish(&mut self) {
        if let Some(put_off) = self.put_off.take() {
            self.engine.finish_release(put_off);
        }
    }
}

/// What a monitor that died left of its container.
pub(crate) struct Left<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) container: &'a Container,
}

impl Leftovers for Left<'_> {
    fn kill_all(&mut self) {
        if let Ok(runtime) = self.engine.runtime(self.container) {
            let id = self.container.id.to_string();
            let reach = varve_runtime::oci::Reach::All;
            let _ = runtime.kill(&id, rustix::process::Signal::KILL, reach);
        }
    }

    fn release(&mut self, state: &State) {
        if let Ok(runtime) = self.engine.runtime(self.container) {
            let _ =
                runtime.delete(&self.container.id.to_string(), varve_runtime::oci::Delete::Force);
        }
        if let Some(put_off) = self.engine.release_container(self.container, state) {
            self.engine.finish_release(put_off);
        }
    }
}

/// The health check of a container: the command, run as the container's own.
fn health(container: &Container, bundle: &Bundle) -> Option<HealthCheck> {
    let check = container.config.healthcheck.clone()?;
    let test = check.test.as_deref()?;
    let args: Vec<String> = match test.split_first()? {
        (kind, command) if kind == "CMD" => command.to_vec(),
        (kind, command) if kind == "CMD-SHELL" => {
            let shell = container.config.shell.clone();
            let shell = shell.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
            shell.into_iter().chain(command.iter().cloned()).collect()
        }
        _ => return None,
    };
    let mut process = bundle.spec.process().clone()?;
    process.set_args(Some(args));
    process.set_terminal(Some(false));
    let process = serde_json::value::to_raw_value(&process).ok()?;
    Some(HealthCheck { check, process })
}
