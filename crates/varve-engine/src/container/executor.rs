//! The monitor's view of a runtime: errors in Docker's words, filters compiled.

use std::path::Path;

use serde_json::value::RawValue;
use varve_runtime::{
    attach::Refused,
    cgroup::Unenforced,
    monitor::{Created, Executor, ProcessStdio},
    oci::{ConsoleSize, Delete, External, OciError, Process, Reach, Runtime, Stdio},
};
use varve_types::{
    Printable,
    container::{Container, ContainerId, HostConfig},
};

use super::{ContainerError, bundle::start_refused};
use crate::{Engine, Result};

/// Names by which Docker's users know the runtime that is built in.
const EMBEDDED: [&str; 4] = ["", DEFAULT, "io.containerd.runc.v2", "varve"];
/// Docker's name for the runtime of containers that ask for none.
pub(super) const DEFAULT: &str = "runc";

impl Engine {
    /// Who executes a container.
    pub(crate) fn runtime(&self, container: &Container) -> Result<Box<dyn Runtime>> {
        self.find_runtime(&container.host_config)
    }

    /// The runtime that was asked for: ours, or an installed one by name or path.
    pub(super) fn find_runtime(&self, host: &HostConfig) -> Result<Box<dyn Runtime>> {
        let asked = host.runtime.as_str();
        if EMBEDDED.contains(&asked) {
            return Ok(Box::new(self.embedded_runtime()?));
        }
        let unknown = |_| {
            let asked = Printable(asked);
            ContainerError::Invalid(format!("unknown or invalid runtime name: {asked}"))
        };
        let name: String =
            asked.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let states = self.store.run_directory(Path::new("runtimes").join(name))?;
        // The same for who starts it and who watches it: the system's directories.
        Ok(Box::new(External::find(asked, "", states).map_err(unknown)?))
    }
}

/// A runtime and the one container that it is to execute.
pub(crate) struct Executes<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) runtime: Box<dyn Runtime>,
    pub(crate) id: ContainerId,
    /// How many of its processes had been killed for want of memory when last asked.
    pub(crate) oom_kills: u64,
    /// What is not in force of its limits.
    pub(crate) unenforced: Vec<Unenforced>,
}

impl Executor for Executes<'_> {
    fn create(&mut self, bundle: &Path, stdio: ProcessStdio) -> Result<Created, Refused> {
        let id = self.id.to_string();
        let (stdio, _) = of(stdio);
        // What a crash left of an earlier run is not this container.
        let _ = self.runtime.delete(&id, Delete::Force);
        let created = self.runtime.create(&id, bundle, stdio).map_err(|error| refusal(&error))?;
        self.unenforced = created.unenforced;
        Ok(Created { pid: created.pid as u32, terminal: created.terminal })
    }

    fn warnings(&mut self) -> Vec<String> {
        let mut unenforced = std::mem::take(&mut self.unenforced);
        // Of limits that nobody asked for it is enough to know once that there are none.
        unenforced.retain(|it| {
            let is_everything = it.what.starts_with("limits");
            !is_everything || self.engine.is_first_time(&it.what).unwrap_or(true)
        });
        let text = |it: Unenforced| format!("{} not in force: {}", it.what, it.why);
        unenforced.into_iter().map(text).collect()
    }

    fn start(&mut self) -> Result<(), Refused> {
        self.runtime.start(&self.id.to_string()).map_err(|error| refusal(&error))
    }

    fn exec(&mut self, process: &RawValue, stdio: ProcessStdio) -> Result<Created, Refused> {
        let mut process: Process = serde_json::from_str(process.get())
            .map_err(|error| start_refused(error.to_string()))?;
        let (stdio, size) = of(stdio);
        if let Some(size) = size {
            process.console_size = Some(size);
        }
        let started = self.runtime.exec(&self.id.to_string(), &process, stdio);
        let started = started.map_err(|error| refusal(&error))?;
        Ok(Created { pid: started.pid as u32, terminal: started.terminal })
    }

    fn freeze(&mut self, frozen: bool) -> Result<(), Refused> {
        let id = self.id.to_string();
        let done = if frozen { self.runtime.pause(&id) } else { self.runtime.resume(&id) };
        done.map_err(|error| refusal(&error))
    }

    fn oom_killed(&mut self) -> bool {
        let kills = self.runtime.oom_kills(&self.id.to_string()).unwrap_or_default();
        std::mem::replace(&mut self.oom_kills, kills) < kills
    }

    fn kill_all(&mut self) {
        let _ = self.runtime.kill(&self.id.to_string(), rustix::process::Signal::KILL, Reach::All);
    }

    fn delete(&mut self) {
        let _ = self.runtime.delete(&self.id.to_string(), Delete::Force);
        self.oom_kills = 0;
    }
}

fn of(stdio: ProcessStdio) -> (Stdio, Option<ConsoleSize>) {
    match stdio {
        ProcessStdio::Descriptors { input, output, error } => {
            (Stdio::Descriptors { input, output, error }, None)
        }
        ProcessStdio::Terminal(size) => {
            let size = size.map(|size| ConsoleSize { width: size.width, height: size.height });
            (Stdio::Terminal, size)
        }
    }
}

/// A runtime's error in Docker's words.
pub(crate) fn refusal(error: &OciError) -> Refused {
    Refused { message: error.docker_text(), exit_code: error.exit_code() }
}
