//! An executor and a host that run a container's command as a plain process of this machine.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write as _,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use jiff::Timestamp;
use rustix::{
    fs::{CWD, FileType, Mode as FileMode, OFlags, mknodat},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};
use serde_json::value::RawValue;
use varve_runtime::{
    attach::Refused,
    monitor::{self, Created, Executor, Host, Mode, ProcessStdio},
    state::{Leftovers, State},
};
use varve_types::Clock;

/// The time of this machine.
pub(crate) struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Runs what `command` in the container's directory holds, one word a line.
pub(crate) struct Machine {
    pub(crate) dir: PathBuf,
    pub(crate) auto_remove: bool,
    gate: Option<File>,
    /// Whether it finishes when the file `held` is taken away.
    is_held: bool,
}

impl Machine {
    pub(crate) fn new(dir: &Path, auto_remove: bool) -> Self {
        Self { dir: dir.to_owned(), auto_remove, gate: None, is_held: false }
    }

    /// Marks every process of the container, as a cgroup would.
    fn mark(&self) -> String {
        format!("VARVE_TEST_CONTAINER={}", self.dir.display())
    }

    /// Processes of the container that live.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mark = self.mark();
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        numbers
            .filter(|pid| {
                let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environ.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
            })
            .collect()
    }

    fn spawn(&self, words: &[String], stdio: ProcessStdio) -> Result<Created, Refused> {
        let (name, value) =
            self.mark().split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env(name, value).env_remove("VARVE_TEST_ROLE");
        let terminal = match stdio {
            ProcessStdio::Descriptors { input, output, error } => {
                command.stdin(input).stdout(output).stderr(error);
                None
            }
            ProcessStdio::Terminal(_) => {
                let (ours, theirs) = terminal();
                let theirs = || Stdio::from(theirs.try_clone().unwrap());
                command.stdin(theirs()).stdout(theirs()).stderr(theirs());
                Some(ours)
            }
        };
        let child = command.spawn().map_err(|error| Refused {
            message: format!("exec: \"{}\": {error}", words[0]),
            exit_code: 127,
        })?;
        Ok(Created { pid: child.id(), terminal })
    }
}

fn terminal() -> (OwnedFd, OwnedFd) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let path = Path::new(OsStr::from_bytes(name.as_bytes()));
    // The monitor leads a session, and must not come by a terminal that hangs up on it.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let theirs = rustix::fs::open(path, flags, FileMode::empty()).unwrap();
    (ours, theirs)
}

impl Executor for Machine {
    /// A shell that waits at a fifo and then becomes the command.
    fn create(&mut self, bundle: &Path, stdio: ProcessStdio) -> Result<Created, Refused> {
        let gate = bundle.join("gate");
        let _ = fs::remove_file(&gate);
        mknodat(CWD, &gate, FileType::Fifo, FileMode::RUSR | FileMode::WUSR, 0).unwrap();
        let text = fs::read_to_string(bundle.join("command")).unwrap();
        let words: Vec<&str> = text.lines().collect();
        if words == ["refuse"] {
            let message = "exec: \"refuse\": executable file not found in $PATH".to_owned();
            return Err(Refused { message, exit_code: 127 });
        }
        let mut all = Vec::new();
        if matches!(stdio, ProcessStdio::Terminal(_)) {
            all.extend(["setsid", "--ctty"]);
        }
        let gate_text = gate.display().to_string();
        all.extend(["/bin/sh", "-c", r#"read -r _ < "$0"; exec "$@""#, &gate_text]);
        all.extend(words);
        let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
        self.gate = Some(File::options().read(true).write(true).open(&gate).unwrap());
        self.spawn(&all, stdio)
    }

    fn start(&mut self) -> Result<(), Refused> {
        self.gate.as_mut().unwrap().write_all(b"go\n").unwrap();
        Ok(())
    }

    /// `process` is an array of words here.
    fn exec(&mut self, process: &RawValue, stdio: ProcessStdio) -> Result<Created, Refused> {
        let words: Vec<String> = serde_json::from_str(process.get()).unwrap();
        self.spawn(&words, stdio)
    }

    fn freeze(&mut self, frozen: bool) -> Result<(), Refused> {
        self.note(if frozen { "frozen" } else { "thawed" });
        Ok(())
    }

    fn oom_killed(&mut self) -> bool {
        self.dir.join("oom").exists()
    }

    fn kill_all(&mut self) {
        for pid in self.processes() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid as i32) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }

    fn delete(&mut self) {
        self.gate = None;
    }
}

impl Host for Machine {
    fn prepare(&mut self) -> Result<PathBuf, Refused> {
        self.note("prepared");
        self.is_held = self.dir.join("held").exists();
        Ok(self.dir.clone())
    }

    fn release(&mut self, state: &State) {
        self.note(&format!("released {}", state.status.as_str()));
        if self.auto_remove && state.status != varve_runtime::state::Status::Restarting {
            fs::remove_dir_all(&self.dir).unwrap();
        }
    }

    fn keep(&mut self) {
        self.auto_remove = false;
    }

    fn finish(&mut self) {
        if self.is_held {
            while self.dir.join("held").exists() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            self.note("finished");
        }
    }
}

impl Machine {
    fn note(&self, text: &str) {
        let mut notes =
            File::options().append(true).create(true).open(self.dir.join("notes")).unwrap();
        writeln!(notes, "{text}").unwrap();
    }
}

impl Leftovers for Machine {
    fn kill_all(&mut self) {
        Executor::kill_all(self);
    }

    fn release(&mut self, state: &State) {
        Executor::delete(self);
        Host::release(self, state);
    }
}

pub(crate) fn play_the_monitor() -> ! {
    let (config, channel, lock) = monitor::accept().unwrap().order().unwrap();
    let (dir, auto_remove) = (config.dir.clone(), config.auto_remove);
    let mut host = Machine::new(&dir, auto_remove);
    let mut executor = Machine::new(&dir, auto_remove);
    let ended = monitor::run(config, Mode::Detached(channel), lock, &mut host, &mut executor, &Now);
    std::process::exit(i32::from(ended.is_err()));
}
