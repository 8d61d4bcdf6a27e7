//! Who is asked before each call of a program that changes the disk.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// The variable that names the socket, for debug builds of varve.
pub(crate) const VARIABLE: &str = "VARVE_TEST_DURABLE_CALLS";

/// A call that is about to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The name of the call.
    pub(crate) call: String,
    /// The inode of what it is made on; 0 if there is none yet.
    pub(crate) inode: u64,
    /// Empty where it is made on an open file.
    pub(crate) path: PathBuf,
}

impl Asked {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.trim_end_matches('\n').splitn(3, ' ');
        let (call, inode, path) = (words.next()?, words.next()?, words.next()?);
        Some(Self { call: call.to_owned(), inode: inode.parse().ok()?, path: path.into() })
    }

    /// Whether the call needs room on the disk.
    pub(crate) fn takes_room(&self) -> bool {
        const CALLS: [&str; 7] =
            ["Create", "CreateDirectory", "Write", "Truncate", "Sync", "Rename", "Link"];
        CALLS.contains(&self.call.as_str())
    }

    /// Whether the call is about mounts, not files.
    pub(crate) fn is_mount(&self) -> bool {
        ["Mount", "Unmount"].contains(&self.call.as_str())
    }
}

/// What is to become of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is made.
    Go,
    /// The process is killed in its place.
    Die,
    /// It is not made, and fails with this error.
    Fail(i32),
}

/// Runs `programs`, which are told of `socket`; each call that one of them is about to make is told to `answer`.
/// One call happens at a time.
pub(crate) fn oversee<T>(
    socket: &Path,
    programs: impl FnOnce() -> T,
    answer: impl FnMut(&Asked) -> Answer + Send,
) -> T {
    let _ = fs::remove_file(socket);
    let listener = UnixListener::bind(socket).expect("a socket");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let overseer = scope.spawn(|| listen(&listener, &over, answer));
        let came = programs();
        over.store(true, Ordering::SeqCst);
        drop(UnixStream::connect(socket));
        overseer.join().expect("no panic");
        came
    })
}

fn listen(listener: &UnixListener, over: &AtomicBool, mut answer: impl FnMut(&Asked) -> Answer) {
    while let Ok((mut stream, _)) = listener.accept() {
        if over.load(Ordering::SeqCst) {
            return;
        }
        let mut line = String::new();
        let read = BufReader::new(&stream).read_line(&mut line);
        // A process that ends while it asks.
        let Some(asked) = read.ok().and_then(|_| Asked::read(&line)) else { continue };
        let said = match answer(&asked) {
            Answer::Go => "go\n".to_owned(),
            Answer::Die => "die\n".to_owned(),
            Answer::Fail(number) => format!("{number}\n"),
        };
        // Until the call has been made, or the process is dead.
        if stream.write_all(said.as_bytes()).is_ok() {
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
}
