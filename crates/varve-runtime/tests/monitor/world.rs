//! One container in a directory of its own, and what is asked of it.

use std::{
    ffi::OsString,
    fs,
    path::PathBuf,
    process::{Child, Command},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use varve_runtime::{
    attach::{Attach, Attached, Client, Condition, Exec, Exit, Pace, Refused, Signal},
    logs::{self, Ask, Entry, Reader},
    monitor::{self, Config, Starter},
    state::{self, Recovered, State, Status},
};

use crate::machine::{Machine, Now};

pub(crate) const ID: &str = "4711aa";

pub(crate) struct Container {
    _holder: TempDir,
    pub(crate) config: Config,
    monitor: Option<Child>,
    /// Words before the monitor's own: `timeout`, say.
    pub(crate) before: Vec<String>,
}

impl Container {
    /// A container that runs `words`, changed by `change`.
    pub(crate) fn new(words: &[&str], change: impl FnOnce(&mut Config)) -> Self {
        // A path that no socket's address holds.
        let holder = tempfile::Builder::new().prefix(&"long".repeat(30)).tempdir().unwrap();
        let dir = holder.path().join("container");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("command"), words.join("\n")).unwrap();
        let mut config = Config {
            id: ID.to_owned(),
            dir,
            run_dir: holder.path().join("run"),
            stop_signal: String::new(),
            tty: false,
            size: None,
            open_stdin: false,
            stdin_once: false,
            restart: "no".parse().unwrap(),
            auto_remove: false,
            log: logs::Options::default(),
            health: None,
        };
        change(&mut config);
        Self { _holder: holder, config, monitor: None, before: Vec::new() }
    }

    /// A container that runs a line of shell.
    pub(crate) fn shell(line: &str) -> Self {
        Self::new(&["/bin/sh", "-c", line], |_| {})
    }

    fn launch(
        &mut self,
        attach: Option<Attach>,
    ) -> Result<Result<Option<Client>, Refused>, monitor::MonitorError> {
        let mut words: Vec<OsString> = self.before.iter().map(OsString::from).collect();
        words.extend(["env".into(), "VARVE_TEST_ROLE=1".into()]);
        words.push(std::env::current_exe().unwrap().into());
        words.extend(
            ["role_of_the_monitor", "--exact", "--nocapture", "--test-threads=1"]
                .map(OsString::from),
        );
        let program = PathBuf::from(words.remove(0));
        let mut starter = Starter::new(program, words);
        let Some(attach) = attach else {
            let started = starter.start(&self.config)?;
            self.monitor = Some(started.monitor);
            return Ok(started.answer.map(|_| None));
        };
        let started = starter.start_attached(&self.config, attach)?;
        self.monitor = Some(started.monitor);
        Ok(started.answer.map(Some))
    }

    /// Starts it and hears everything of it.
    pub(crate) fn start_attached(&mut self) -> Client {
        self.launch(Some(everything(Pace::Wait))).unwrap().unwrap().unwrap()
    }

    pub(crate) fn try_start(&mut self) -> Result<Result<(), Refused>, monitor::MonitorError> {
        Ok(self.launch(None)?.map(|_| ()))
    }

    pub(crate) fn start(&mut self) -> &mut Self {
        self.try_start().unwrap().unwrap();
        self
    }

    pub(crate) fn attach(&self, pace: Pace) -> Client {
        Client::attach(&self.config.run_dir, everything(pace)).unwrap()
    }

    /// Runs a line of shell beside the container's command.
    pub(crate) fn exec(&self, line: &str, tty: bool, attach: Option<Attach>) -> Client {
        let words = serde_json::to_string(&["/bin/sh", "-c", line]).unwrap();
        let process = serde_json::value::RawValue::from_string(words).unwrap();
        let exec = Exec { id: "e1".into(), process, tty, size: None, attach };
        Client::exec(&self.config.run_dir, exec).unwrap()
    }

    pub(crate) fn signal(&self, number: i32) {
        let signal = Signal { number, ends: true };
        Client::signal(&self.config.run_dir, signal).unwrap();
    }

    /// Waits for the end of the container and of its monitor.
    pub(crate) fn end(&mut self) -> State {
        let _ = Client::wait(&self.config.run_dir, Condition::Removed);
        if let Some(mut monitor) = self.monitor.take() {
            monitor.wait().unwrap();
        }
        self.state()
    }

    pub(crate) fn kill_monitor(&mut self) {
        let mut monitor = self.monitor.take().unwrap();
        monitor.kill().unwrap();
        monitor.wait().unwrap();
    }

    pub(crate) fn state(&self) -> State {
        state::read(&self.config.dir).unwrap()
    }

    pub(crate) fn machine(&self) -> Machine {
        Machine::new(&self.config.dir, self.config.auto_remove)
    }

    pub(crate) fn recover(&self) -> Recovered {
        use varve_types::Clock as _;
        state::recover(&self.config.dir, &mut self.machine(), Now.now()).unwrap()
    }

    pub(crate) fn log_with(&self, ask: Ask) -> Vec<Entry> {
        let mut reader = Reader::open(&self.config.dir, &self.config.log_path(), ask).unwrap();
        std::iter::from_fn(|| reader.next_entry().unwrap()).collect()
    }

    /// The log's text, both streams.
    pub(crate) fn log(&self) -> String {
        self.log_with(Ask::default()).into_iter().map(|entry| entry.text).collect()
    }

    pub(crate) fn notes(&self) -> String {
        fs::read_to_string(self.config.dir.join("notes")).unwrap()
    }

    /// Nothing of it runs and no file of it is in the way.
    #[track_caller]
    pub(crate) fn expect_clean(&self) {
        eventually(|| self.machine().processes().is_empty());
        let status = self.state().status;
        assert!(matches!(status, Status::Exited | Status::Created), "{status:?}");
        drop(state::lock(&self.config.dir).unwrap());
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(mut monitor) = self.monitor.take() {
            let _ = monitor.kill();
            let _ = monitor.wait();
        }
        varve_runtime::monitor::Executor::kill_all(&mut self.machine());
    }
}

/// Attached to all streams.
pub(crate) fn everything(pace: Pace) -> Attach {
    Attach { stdin: true, stdout: true, stderr: true, pace }
}

/// Everything that a client hears, until the exit.
pub(crate) fn listen(client: &mut Client) -> (String, String, Exit) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match client.hear().unwrap() {
            Attached::Stdout(bytes) => out.extend(bytes),
            Attached::Stderr(bytes) => err.extend(bytes),
            Attached::Exit(exit) => {
                return (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), exit);
            }
        }
    }
}

/// Waits for what must come true soon.
#[track_caller]
pub(crate) fn eventually(mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < until, "it did not come true in half a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a program is there; without it the test cannot be made.
pub(crate) fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}
