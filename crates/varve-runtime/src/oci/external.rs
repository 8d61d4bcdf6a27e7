//! Installed runtimes: runc, crun and any other with the same command line.
//!
//! ```text
//! <state_dir>/<id>/state.json       what is kept of a container here
//! <state_dir>/<id>/bundle/          the configuration as this runtime is given it
//! <state_dir>/<id>/log, pid, …      how it answers
//! <state_dir>/.runtime/             the runtime's own state (`--root`)
//! ```
//!
//! The runtime makes the container; its control group is read, frozen and limited by its path, as
//! the embedded runtime's is. Its messages come from its log file. It writes them to the
//! container's standard error too, which cannot be helped: that is the stream it was given.

mod command;
mod reply;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::command::Call;
use crate::{
    cgroup::{Cgroup, Machine, Stats, Unenforced},
    oci::{
        Created, Delete, OciError, Process, Reach, Resources, Runtime, Started, State, Status,
        Stdio, checked_id, io_error,
    },
};

/// Where programs of the system are, for a runtime and its helpers.
pub(crate) const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The version of the specification that every runtime in use reads; some refuse later ones.
const SPECIFICATION: &str = "1.0.2";

/// An installed runtime.
#[derive(Debug, Clone)]
pub struct External {
    program: PathBuf,
    state_dir: PathBuf,
    role: PathBuf,
}

/// What is kept of a container here.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    bundle: PathBuf,
    cgroup: Cgroup,
    /// Whether the group was made here, because the runtime could not.
    ours: bool,
}

impl External {
    /// A runtime by name, looked for in the directories of `path` (`PATH`) and the system's, or by
    /// path. States are kept in `state_dir`, which is to be gone after a reboot. Runtimes have
    /// states of one name each: two kinds must not share a directory.
    pub fn find(
        runtime: &str,
        path: &str,
        state_dir: impl Into<PathBuf>,
    ) -> Result<Self, OciError> {
        let found = if runtime.contains('/') {
            Some(PathBuf::from(runtime)).filter(|program| program.is_file())
        } else {
            let directories = path.split(':').chain(SYSTEM_PATH.split(':'));
            let absolute = directories.filter(|directory| directory.starts_with('/'));
            absolute.map(|one| Path::new(one).join(runtime)).find(|program| program.is_file())
        };
        let missing = || OciError::Foreign {
            program: runtime.to_owned(),
            message: "executable file not found in $PATH".to_owned(),
        };
        let program = found.filter(|_| !runtime.is_empty()).ok_or_else(missing)?;
        let role = PathBuf::from("/proc/self/exe");
        Ok(Self { program, state_dir: state_dir.into(), role })
    }

    /// The same with another program to play our roles (see [`role`](crate::role)).
    #[must_use]
    pub fn with_program(mut self, role: impl Into<PathBuf>) -> Self {
        self.role = role.into();
        self
    }

    fn directory(&self, id: &str) -> Result<PathBuf, OciError> {
        Ok(self.state_dir.join(checked_id(id)?))
    }

    fn record(&self, id: &str) -> Result<Record, OciError> {
        let path = self.directory(id)?.join("state.json");
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OciError::NotFound(id.to_owned()));
            }
            other => other.map_err(io_error("read", &path))?,
        };
        serde_json::from_slice(&text)
            .map_err(|error| io_error("understand", path)(io::Error::other(error)))
    }

    /// crun runs where one version of control groups is mounted, and refuses both.
    fn refuses(&self, machine: &Machine) -> bool {
        self.program.file_name().is_some_and(|name| name == "crun") && !machine.is_unified()
    }

    fn call<'a>(&'a self, directory: &'a Path, private: bool) -> Call<'a> {
        Call {
            program: &self.program,
            role: &self.role,
            root: self.state_dir.join(".runtime"),
            directory,
            private,
        }
    }

    fn make(
        &self,
        id: &str,
        bundle: &Path,
        directory: &Path,
        stdio: Stdio,
    ) -> Result<Created, OciError> {
        let machine = Machine::detect().map_err(io_error("read", "/proc/self/mountinfo"))?;
        let ours = self.refuses(&machine);
        let terminal = matches!(stdio, Stdio::Terminal);
        let adapted = adapt(id, bundle, terminal, ours)?;
        let copy = directory.join("bundle");
        fs::create_dir(&copy).map_err(io_error("create", &copy))?;
        let path = copy.join("config.json");
        fs::write(&path, adapted.config.to_string()).map_err(io_error("write", path))?;
        let (cgroup, mut unenforced) = if ours {
            Cgroup::create(&machine, &adapted.cgroup)
                .map_err(io_error("create", &adapted.cgroup))?
        } else {
            (Cgroup::default(), Vec::new())
        };
        let call = self.call(directory, ours);
        let create = ["create".to_owned(), "--bundle".to_owned(), copy.display().to_string()];
        let made = call.start(&create, id, stdio, OciError::Create);
        let finished = made.and_then(|(pid, terminal)| {
            let cgroup = if ours {
                cgroup
                    .add(pid)
                    .map_err(io_error("put the first process into", "the container's cgroup"))?;
                unenforced.extend(cgroup.apply(&adapted.resources));
                cgroup.clone()
            } else {
                Cgroup::find(&machine, &adapted.cgroup)
            };
            let record = Record { bundle: bundle.to_owned(), cgroup, ours };
            let path = directory.join("state.json");
            let text = serde_json::to_vec(&record).map_err(io::Error::other);
            text.and_then(|text| fs::write(&path, text)).map_err(io_error("write", path))?;
            Ok(Created { pid, terminal, unenforced: std::mem::take(&mut unenforced) })
        });
        if finished.is_err() {
            let _ = call.plain(&["delete", "--force", id]);
            let _ = cgroup.kill(Signal::KILL);
            let _ = cgroup.delete();
        }
        finished
    }
}

/// A configuration as an installed runtime is given it.
struct Adapted {
    config: Value,
    cgroup: String,
    resources: Resources,
}

/// Changes the configuration where runtimes differ: version, absolute paths, the terminal that was
/// asked for, and no control groups where the runtime cannot make them.
fn adapt(id: &str, bundle: &Path, terminal: bool, ours: bool) -> Result<Adapted, OciError> {
    let path = bundle.join("config.json");
    let text = fs::read(&path).map_err(io_error("read", path))?;
    let wrong = |error: serde_json::Error| OciError::Config(error.to_string());
    let mut config: Value = serde_json::from_slice(&text).map_err(wrong)?;
    if !config["process"].is_object() || !config["root"]["path"].is_string() {
        return Err(OciError::Config("there is no process or root".to_owned()));
    }
    config["ociVersion"] = json!(SPECIFICATION);
    config["process"]["terminal"] = json!(terminal);
    let absolute = |text: &str| json!(bundle.join(text).display().to_string());
    config["root"]["path"] = absolute(config["root"]["path"].as_str().unwrap_or_default());
    let mut mounts = config["mounts"].take();
    if let Some(mounts) = mounts.as_array_mut() {
        for mount in mounts.iter_mut() {
            let options = mount["options"].as_array().into_iter().flatten();
            let bind = mount["type"] == "bind"
                || options.clone().any(|option| option == "bind" || option == "rbind");
            if let Some(source) = mount["source"].as_str().filter(|_| bind) {
                mount["source"] = absolute(source);
            }
        }
        mounts.retain(|mount| !ours || mount["type"] != "cgroup");
    }
    if !mounts.is_null() {
        config["mounts"] = mounts;
    }
    if !config["linux"].is_object() {
        config["linux"] = json!({});
    }
    let resources = config["linux"]["resources"].clone();
    let resources = match &resources {
        Value::Null => Resources::default(),
        _ => serde_json::from_value(resources).map_err(wrong)?,
    };
    let cgroup = config["linux"]["cgroupsPath"].as_str().filter(|path| !path.is_empty());
    let cgroup = cgroup.map_or_else(|| format!("/varve/{id}"), str::to_owned);
    config["linux"]["cgroupsPath"] = json!(cgroup);
    if ours && let Some(linux) = config["linux"].as_object_mut() {
        linux.remove("resources");
        linux.remove("cgroupsPath");
    }
    Ok(Adapted { config, cgroup, resources })
}

impl Runtime for External {
    fn create(&self, id: &str, bundle: &Path, stdio: Stdio) -> Result<Created, OciError> {
        let directory = self.directory(id)?;
        fs::create_dir_all(&self.state_dir).map_err(io_error("create", &self.state_dir))?;
        match fs::create_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(OciError::Exists(id.to_owned()));
            }
            other => other.map_err(io_error("create", &directory))?,
        }
        let made = self.make(id, bundle, &directory, stdio);
        if made.is_err() {
            let _ = fs::remove_dir_all(&directory);
        }
        made
    }

    fn start(&self, id: &str) -> Result<(), OciError> {
        let state = self.state(id)?.status;
        if state != Status::Created {
            return Err(OciError::State { id: id.to_owned(), state });
        }
        let (directory, record) = (self.directory(id)?, self.record(id)?);
        self.call(&directory, record.ours).plain(&["start", id])
    }

    fn exec(&self, id: &str, process: &Process, stdio: Stdio) -> Result<Started, OciError> {
        let (directory, record) = (self.directory(id)?, self.record(id)?);
        let state = self.state(id)?.status;
        if state != Status::Running && state != Status::Created {
            return Err(OciError::State { id: id.to_owned(), state });
        }
        let mut process = process.clone();
        process.terminal = matches!(stdio, Stdio::Terminal);
        // Several may be started at once: each has its files in a directory of its own.
        let name = varve_fs::durable::random_name().map_err(io_error("name", &directory))?;
        let own = directory.join(name);
        fs::create_dir(&own).map_err(io_error("create", &own))?;
        let started = self.start_process(id, &process, &own, &record, stdio);
        let _ = fs::remove_dir_all(&own);
        started
    }

    fn kill(&self, id: &str, signal: Signal, reach: Reach) -> Result<(), OciError> {
        let record = self.record(id)?;
        if reach == Reach::All && !record.cgroup.is_empty() {
            let what = "the processes of the container";
            return record.cgroup.kill(signal).map_err(io_error("signal", what));
        }
        let state = self.state(id)?.status;
        if state == Status::Stopped {
            return Err(OciError::State { id: id.to_owned(), state });
        }
        let directory = self.directory(id)?;
        self.call(&directory, false).plain(&["kill", id, &signal.as_raw().to_string()])
    }

    fn pause(&self, id: &str) -> Result<(), OciError> {
        self.freeze(id, true)
    }

    fn resume(&self, id: &str) -> Result<(), OciError> {
        self.freeze(id, false)
    }

    fn delete(&self, id: &str, how: Delete) -> Result<(), OciError> {
        let directory = self.directory(id)?;
        let call = self.call(&directory, false);
        match (self.record(id), how) {
            (Ok(record), _) => {
                let state = self.state(id)?.status;
                if how == Delete::Stopped && state != Status::Stopped {
                    return Err(OciError::State { id: id.to_owned(), state });
                }
                let what = "the container's cgroup";
                record.cgroup.kill(Signal::KILL).map_err(io_error("kill", what))?;
                call.plain(&["delete", "--force", id])?;
                record.cgroup.delete().map_err(io_error("remove", what))?;
            }
            (Err(OciError::NotFound(_)), Delete::Force) if directory.exists() => {
                let _ = call.plain(&["delete", "--force", id]);
            }
            (Err(OciError::NotFound(_)), Delete::Force) => return Ok(()),
            (Err(error), _) => return Err(error),
        }
        fs::remove_dir_all(&directory).map_err(io_error("remove", directory))
    }

    fn state(&self, id: &str) -> Result<State, OciError> {
        let (directory, record) = (self.directory(id)?, self.record(id)?);
        let reply = self.call(&directory, false).state(id)?;
        let frozen = reply.status == Status::Running && record.cgroup.is_frozen();
        let status = if frozen { Status::Paused } else { reply.status };
        let pid = (status != Status::Stopped).then_some(reply.pid);
        Ok(State { status, pid, bundle: record.bundle })
    }

    fn pids(&self, id: &str) -> Result<Vec<i32>, OciError> {
        let record = self.record(id)?;
        if record.cgroup.is_empty() {
            return Ok(self.state(id)?.pid.into_iter().collect());
        }
        record.cgroup.pids().map_err(io_error("read", "the container's cgroup"))
    }

    fn update(&self, id: &str, resources: &Resources) -> Result<Vec<Unenforced>, OciError> {
        Ok(self.record(id)?.cgroup.apply(resources))
    }

    fn stats(&self, id: &str) -> Result<Stats, OciError> {
        Ok(self.record(id)?.cgroup.stats())
    }

    fn oom_kills(&self, id: &str) -> Result<u64, OciError> {
        Ok(self.record(id)?.cgroup.oom_kills())
    }
}

impl External {
    fn start_process(
        &self,
        id: &str,
        process: &Process,
        own: &Path,
        record: &Record,
        stdio: Stdio,
    ) -> Result<Started, OciError> {
        let path = own.join("process.json");
        let text = serde_json::to_vec(process).map_err(io::Error::other);
        text.and_then(|text| fs::write(&path, text)).map_err(io_error("write", &path))?;
        let exec = ["exec", "--detach", "--process"].map(str::to_owned);
        let arguments = [exec.as_slice(), &[path.display().to_string()]].concat();
        let call = self.call(own, record.ours);
        let (pid, terminal) = call.start(&arguments, id, stdio, OciError::Exec)?;
        if record.ours {
            // It may be gone again by now.
            let _ = record.cgroup.add(pid);
        }
        Ok(Started { pid, terminal })
    }

    fn freeze(&self, id: &str, frozen: bool) -> Result<(), OciError> {
        let record = self.record(id)?;
        let state = self.state(id)?.status;
        let wanted = if frozen { Status::Running } else { Status::Paused };
        if state != wanted {
            return Err(OciError::State { id: id.to_owned(), state });
        }
        record.cgroup.freeze(frozen).map_err(io_error("freeze", "the container's cgroup"))
    }
}
