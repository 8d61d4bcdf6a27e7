//! The monitor's side of a log: whole lines appended, files replaced when they are full.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use varve_fs::durable;

use super::{
    LogError, Stream, line,
    options::{Driver, Options},
    split::{Cut, Splitter},
    tail,
};

/// Bytes of finished lines that are written at once.
const BATCH_SIZE_BYTES: usize = 64 << 10;

/// Writes a container's log. When the disk is full, what cannot be written is lost, counted, and
/// the container goes on, as in docker: the log never stops it.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
    size_bytes: u64,
    size_bytes_max: Option<u64>,
    files_max: u32,
    attributes: String,
    streams: [Half; 2],
    batch: Vec<u8>,
    lost_bytes: u64,
}

#[derive(Debug, Default)]
struct Half {
    splitter: Splitter,
    continued: bool,
    /// The time of a line's first piece; its other pieces have it too.
    begun_at: String,
}

impl Writer {
    /// Opens the log at `path` to append to it; `None` when none is to be kept. What a loss of
    /// power left of a last line is cut off.
    pub fn open(path: &Path, options: &Options) -> Result<Option<Self>, LogError> {
        if options.driver == Driver::None {
            return Ok(None);
        }
        let file = durable::open_or_create(path, 0o640).map_err(LogError::io("open", path))?;
        let size_bytes = tail::whole_lines_end(&file).map_err(LogError::io("read", path))?;
        let mut writer = Self {
            path: path.to_owned(),
            file,
            size_bytes,
            size_bytes_max: options.size_bytes_max,
            files_max: options.files_max,
            attributes: attributes(options),
            streams: Default::default(),
            batch: Vec::new(),
            lost_bytes: 0,
        };
        writer.cut_back().map_err(LogError::io("truncate", path))?;
        Ok(Some(writer))
    }

    /// Takes what was written to `stream`, at `now`.
    pub fn feed(&mut self, stream: Stream, bytes: &[u8], now: Timestamp) {
        self.take(stream, now, |splitter, continued, out| splitter.feed(bytes, continued, out));
    }

    /// Takes the end of `stream`: what has no line feed yet is an entry without one.
    pub fn finish(&mut self, stream: Stream, now: Timestamp) {
        self.take(stream, now, |splitter, continued, out| splitter.finish(continued, out));
    }

    /// Bytes that could not be written.
    pub fn lost_bytes(&self) -> u64 {
        self.lost_bytes
    }

    /// Makes what was written survive a loss of power.
    pub fn sync(&self) -> Result<(), LogError> {
        durable::sync(&self.file).map_err(LogError::io("sync", &self.path))
    }

    fn take(
        &mut self,
        stream: Stream,
        now: Timestamp,
        split: impl FnOnce(&mut Splitter, &mut bool, &mut dyn FnMut(Cut<'_>)),
    ) {
        let now = line::file_time(now);
        let which = match stream {
            Stream::Stdout => 0,
            Stream::Stderr => 1,
        };
        let mut half = std::mem::take(&mut self.streams[which]);
        let Half { splitter, continued, begun_at } = &mut half;
        split(splitter, continued, &mut |cut| {
            if !cut.continues {
                begun_at.clone_from(&now);
            }
            let start = self.batch.len();
            let Self { batch, attributes, .. } = self;
            line::append(batch, cut.bytes, cut.whole, stream, attributes, begun_at);
            self.appended(start);
        });
        self.streams[which] = half;
        self.flush();
    }

    /// A line was added to the batch at `start`. Docker looks at the file's size before each entry.
    fn appended(&mut self, start: usize) {
        let full = self.size_bytes_max.is_some_and(|max| self.size_bytes + start as u64 >= max);
        if full && self.size_bytes + start as u64 > 0 {
            let next = self.batch.split_off(start);
            self.flush();
            // Where it fails the old file grows on: better than to lose what comes.
            let _ = self.rotate();
            self.batch = next;
        }
        if self.batch.len() >= BATCH_SIZE_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        if durable::write_all(&self.file, &self.batch).is_ok() {
            self.size_bytes += self.batch.len() as u64;
        } else {
            self.lost_bytes += self.batch.len() as u64;
            // A line that was half written goes again; where even that fails, readers skip it.
            let _ = self.cut_back();
        }
        self.batch.clear();
    }

    fn cut_back(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() > self.size_bytes {
            durable::truncate(&self.file, self.size_bytes)?;
        }
        self.file.seek(SeekFrom::Start(self.size_bytes))?;
        Ok(())
    }

    /// Moves each file one number up, drops the last, begins a new one. Never cuts a file that
    /// somebody may be reading.
    fn rotate(&mut self) -> Result<(), LogError> {
        for number in (1..self.files_max).rev() {
            let from = numbered(&self.path, number - 1);
            match durable::rename(&from, &numbered(&self.path, number)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other.map_err(LogError::io("rename", from))?,
            }
        }
        if self.files_max == 1 {
            durable::unlink(&self.path).map_err(LogError::io("remove", &self.path))?;
        }
        self.file =
            durable::create_new(&self.path, 0o640).map_err(LogError::io("create", &self.path))?;
        self.size_bytes = 0;
        Ok(())
    }
}

/// The name of an older file: `….log.1` is the newest of them; 0 is the present one.
pub(super) fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn attributes(options: &Options) -> String {
    if options.attributes.is_empty() {
        return String::new();
    }
    let pairs = options.attributes.iter();
    line::object(pairs.map(|(name, value)| (name.as_str(), value.as_str())))
}
