//! Reading a log: the last lines or all, and on demand what is added to it.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    FILES_MAX, LINE_SIZE_BYTES_MAX, LogError, follow::Watch, line::Entry, tail, write::numbered,
};

/// Which entries are wanted.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// How many of those that are there.
    pub tail: Tail,
    /// None that are older.
    pub since: Option<Timestamp>,
    /// Nothing from the first that is younger.
    pub until: Option<Timestamp>,
    /// Whether to wait for more until the container ends.
    pub follow: bool,
}

/// How many entries of those that are there, counted from the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tail {
    /// All of them.
    #[default]
    All,
    /// The last so many.
    Lines(u64),
}

impl Tail {
    /// Reads the flag. As in docker, what is not a number, or is negative, means all.
    pub fn parse(text: &str) -> Self {
        text.parse().map_or(Self::All, Self::Lines)
    }
}

/// Reads the entries of a container's log, oldest first.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    ask: Ask,
    /// Files yet to be read, the one being read first.
    files: VecDeque<File>,
    buffer: Vec<u8>,
    consumed: usize,
    /// Inside a line that is longer than any of ours.
    skipping: bool,
    watch: Option<Watch>,
    done: bool,
}

impl Reader {
    /// Opens the log at `path` of the container in `dir`. A log that was never begun is empty.
    pub fn open(dir: &Path, path: &Path, ask: Ask) -> Result<Self, LogError> {
        // Watched before it is looked at, so that nothing happens in between.
        let watch = if ask.follow { Some(Watch::new(dir)?) } else { None };
        let mut reader = Self {
            path: path.to_owned(),
            files: newer_than(path, None).map_err(LogError::io("open", path))?,
            ask,
            buffer: Vec::new(),
            consumed: 0,
            skipping: false,
            watch,
            done: false,
        };
        if let Tail::Lines(lines) = reader.ask.tail {
            reader.skip_to_last(lines).map_err(LogError::io("read", path))?;
        }
        Ok(reader)
    }

    /// The next entry; waits for it when following. `None` at the end.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, LogError> {
        while let Some(line) = self.next_line()? {
            // A line that is none was torn by a loss of power or a full disk.
            let Some(entry) = Entry::parse(&line) else { continue };
            if self.ask.since.is_some_and(|since| entry.time < since) {
                continue;
            }
            if self.ask.until.is_some_and(|until| entry.time > until) {
                self.done = true;
                return Ok(None);
            }
            return Ok(Some(entry));
        }
        Ok(None)
    }

    /// Keeps the files that hold the last lines, and goes to where they begin.
    fn skip_to_last(&mut self, mut lines: u64) -> io::Result<()> {
        let mut kept = VecDeque::new();
        while let Some(mut file) = self.files.pop_back() {
            let (start, found) = tail::last_lines(&file, lines)?;
            file.seek(SeekFrom::Start(start))?;
            kept.push_front(file);
            lines -= found;
            if lines == 0 {
                break;
            }
        }
        self.files = kept;
        Ok(())
    }

    fn next_line(&mut self) -> Result<Option<Vec<u8>>, LogError> {
        loop {
            if self.done {
                return Ok(None);
            }
            if let Some(line) = self.buffered_line() {
                return Ok(Some(line));
            }
            // Asked before reading: what was written before the end is there to be read after it.
            let over = self.watch.as_ref().is_none_or(Watch::is_over);
            let newer = if self.watch.is_some() && self.files.len() <= 1 {
                self.newer().map_err(LogError::io("open", &self.path))?
            } else {
                VecDeque::new()
            };
            if self.fill().map_err(LogError::io("read", &self.path))? {
                continue;
            }
            let another = !newer.is_empty() || self.files.len() > 1;
            if another {
                // The rest of a file that is no longer written to is not a line.
                self.buffer.clear();
                self.consumed = 0;
                self.skipping = false;
                self.files.pop_front();
                self.files.extend(newer);
            } else if over {
                self.done = true;
            } else if let Some(watch) = &self.watch {
                watch.wait()?;
            }
        }
    }

    fn buffered_line(&mut self) -> Option<Vec<u8>> {
        let rest = &self.buffer[self.consumed..];
        if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = rest[..end].to_owned();
            self.consumed += end + 1;
            if std::mem::take(&mut self.skipping) {
                return self.buffered_line();
            }
            return Some(line);
        }
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        if self.buffer.len() > LINE_SIZE_BYTES_MAX {
            self.skipping = true;
            self.buffer.clear();
        }
        None
    }

    /// Reads on in the first file; false at its end.
    fn fill(&mut self) -> io::Result<bool> {
        const READ_SIZE_BYTES: usize = 64 << 10;
        let Some(file) = self.files.front_mut() else { return Ok(false) };
        let start = self.buffer.len();
        self.buffer.resize(start + READ_SIZE_BYTES, 0);
        let read = file.read(&mut self.buffer[start..]);
        self.buffer.truncate(start + read.as_ref().map_or(0, |read| *read));
        Ok(read? > 0)
    }

    /// Files that were begun after the one being read.
    fn newer(&self) -> io::Result<VecDeque<File>> {
        let current = self.files.front().map(identity).transpose()?;
        match std::fs::metadata(&self.path) {
            Ok(present) if Some((present.dev(), present.ino())) == current => Ok(VecDeque::new()),
            _ => newer_than(&self.path, current),
        }
    }
}

/// The log's files that were begun after the `known` one, oldest first; all of them when it is
/// gone or there is none.
fn newer_than(path: &Path, known: Option<(u64, u64)>) -> io::Result<VecDeque<File>> {
    let mut files = VecDeque::new();
    let mut seen = Vec::new();
    // From the newest on, so that a rotation in the meantime shows a file twice, and hides none.
    for number in 0..=FILES_MAX {
        let file = match File::open(numbered(path, number)) {
            Ok(file) => file,
            // Between two steps of a rotation the present file has no name.
            Err(error) if error.kind() == io::ErrorKind::NotFound && number == 0 => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        };
        let this = identity(&file)?;
        if Some(this) == known {
            break;
        }
        if !seen.contains(&this) {
            seen.push(this);
            files.push_front(file);
        }
    }
    Ok(files)
}

fn identity(file: &File) -> io::Result<(u64, u64)> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}
