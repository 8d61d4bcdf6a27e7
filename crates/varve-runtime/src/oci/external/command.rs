//! One call of an installed runtime.

use std::{
    fs,
    io::{self, Read as _},
    os::fd::{AsRawFd as _, OwnedFd},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::{self, Child, Command},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
};

use super::reply::{self, Reply};
use crate::oci::{OciError, StartFailure, Stdio, embedded::foreign, io_error, terminal};

/// Most bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

pub(super) struct Call<'a> {
    pub(super) program: &'a Path,
    /// The program that plays our roles.
    pub(super) role: &'a Path,
    /// The runtime's own state.
    pub(super) root: PathBuf,
    /// Where its log and the number of the process go.
    pub(super) directory: &'a Path,
    /// Whether it needs a mount namespace with version 2 of control groups, and makes none.
    pub(super) private: bool,
}

impl Call<'_> {
    /// Has a process started. Returns it with its terminal.
    pub(super) fn start(
        &self,
        arguments: &[String],
        id: &str,
        stdio: Stdio,
        failed: fn(StartFailure) -> OciError,
    ) -> Result<(i32, Option<OwnedFd>), OciError> {
        let unusable = io_error("use", self.directory);
        let pid_file = self.directory.join("pid");
        let mut all = self.usual();
        all.extend_from_slice(arguments);
        all.extend(["--pid-file".to_owned(), pid_file.display().to_string()]);
        let console = match stdio {
            Stdio::Terminal => Some(Console::open(self.directory).map_err(unusable)?),
            Stdio::Descriptors { .. } => None,
        };
        if let Some(console) = &console {
            all.extend(["--console-socket".to_owned(), console.path()]);
        }
        all.push(id.to_owned());
        let run = || -> io::Result<(bool, Option<OwnedFd>)> {
            let mut child = self.spawn(all, stdio)?;
            let master = match &console {
                Some(console) => console.receive(&mut child)?,
                None => None,
            };
            Ok((child.wait()?.success(), master))
        };
        let (done, master) = run().map_err(io_error("run", self.program))?;
        if !done {
            return Err(self.failure(failed));
        }
        let text = fs::read_to_string(&pid_file).map_err(io_error("read", &pid_file))?;
        let strange = || io::Error::other("it holds no number");
        let pid = text.trim().parse().map_err(|_| strange());
        Ok((pid.map_err(io_error("read", pid_file))?, master))
    }

    /// Runs a command that starts nothing.
    pub(super) fn plain(&self, arguments: &[&str]) -> Result<(), OciError> {
        self.output(arguments).map(drop)
    }

    /// Asks what a container is doing.
    pub(super) fn state(&self, id: &str) -> Result<Reply, OciError> {
        let answer = self.output(&["state", id])?;
        serde_json::from_slice(&answer)
            .map_err(|error| OciError::Foreign { program: self.name(), message: error.to_string() })
    }

    fn output(&self, arguments: &[&str]) -> Result<Vec<u8>, OciError> {
        let mut all = self.usual();
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let run = || -> io::Result<(bool, Vec<u8>)> {
            let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
            let stdio = Stdio::Descriptors { input: null()?, output: writer, error: null()? };
            let mut child = self.spawn(all, stdio)?;
            let mut answer = Vec::new();
            fs::File::from(reader).take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
            Ok((child.wait()?.success(), answer))
        };
        match run().map_err(io_error("run", self.program))? {
            (true, answer) => Ok(answer),
            (false, _) => Err(self.failure(|failure| OciError::Foreign {
                program: self.name(),
                message: failure.to_string(),
            })),
        }
    }

    fn usual(&self) -> Vec<String> {
        let log = self.log();
        // What an earlier call said is of no interest.
        let _ = fs::remove_file(&log);
        let mut usual = vec!["--root".to_owned(), self.root.display().to_string()];
        usual.extend(["--log".to_owned(), log.display().to_string()]);
        usual.extend(["--log-format".to_owned(), "json".to_owned()]);
        if self.private {
            usual.push("--cgroup-manager=disabled".to_owned());
        }
        usual
    }

    fn spawn(&self, arguments: Vec<String>, stdio: Stdio) -> io::Result<Child> {
        if self.private {
            return foreign::start(self.role, self.program, arguments, stdio);
        }
        let mut command = Command::new(self.program);
        command.args(arguments).current_dir("/");
        match stdio {
            Stdio::Descriptors { input, output, error } => {
                command.stdin(input).stdout(output).stderr(error)
            }
            Stdio::Terminal => command
                .stdin(process::Stdio::null())
                .stdout(process::Stdio::null())
                .stderr(process::Stdio::null()),
        };
        command.spawn()
    }

    fn failure(&self, failed: impl Fn(StartFailure) -> OciError) -> OciError {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        failed(reply::failure(&text, self.directory))
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    fn name(&self) -> String {
        self.program.display().to_string()
    }
}

fn null() -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::open("/dev/null", flags, Mode::empty())?)
}

/// Where the runtime sends the terminal that it opened.
struct Console {
    listener: UnixListener,
    /// A socket's name must be short: this directory is named by its handle.
    directory: fs::File,
}

impl Console {
    fn open(directory: &Path) -> io::Result<Self> {
        let directory = fs::File::open(directory)?;
        let listener = UnixListener::bind(Self::path_in(&directory))?;
        Ok(Self { listener, directory })
    }

    fn path_in(directory: &fs::File) -> String {
        format!("/proc/{}/fd/{}/console", process::id(), directory.as_raw_fd())
    }

    fn path(&self) -> String {
        Self::path_in(&self.directory)
    }

    /// Waits for the terminal, or for the end of a runtime that sends none.
    fn receive(&self, child: &mut Child) -> io::Result<Option<OwnedFd>> {
        let short = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        loop {
            let ended = child.try_wait()?.is_some();
            let mut waiting = [PollFd::new(&self.listener, PollFlags::IN)];
            let ready = match poll(&mut waiting, Some(&short)) {
                Err(rustix::io::Errno::INTR) => 0,
                other => other?,
            };
            if ready > 0 {
                let (connection, _) = self.listener.accept()?;
                let (_, fds) = terminal::receive(&connection)?;
                return Ok(fds.into_iter().next());
            }
            if ended {
                return Ok(None);
            }
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path());
    }
}
