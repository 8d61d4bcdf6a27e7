//! The tar that `save` writes: blobs and documents of nobody, of the times that it is told.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use varve_fs::tar;
use varve_store::{BlobReader, ahead::Ahead};

use crate::archive::{Error, Result};

/// What passes between the store and the output at once.
const BUFFER_SIZE_BYTES: usize = 128 << 10;
/// From this size on it pays to read and hash a blob on a thread of its own.
const LARGE_SIZE_BYTES: u64 = 1 << 20;

/// Writes members in the order in which they come.
pub(super) struct ArchiveWriter<'a> {
    tar: tar::Writer<BufWriter<&'a mut dyn Write>>,
    /// Permissions of blobs, when they are not those of other files.
    blob_mode: Option<u32>,
}

impl<'a> ArchiveWriter<'a> {
    pub(super) fn new(output: &'a mut dyn Write) -> Self {
        let output = BufWriter::with_capacity(BUFFER_SIZE_BYTES, output);
        Self { tar: tar::Writer::new(output), blob_mode: None }
    }

    /// Gives blobs and documents that ask for it other permissions.
    pub(super) fn with_blob_mode(self, mode: u32) -> Self {
        Self { blob_mode: Some(mode), ..self }
    }

    pub(super) fn directory(&mut self, path: &str, seconds: i64) -> Result<()> {
        let directory = tar::NewEntry::directory(path.as_bytes());
        let entry = tar::NewEntry { mtime: time(seconds), ..directory };
        self.tar.append_bytes(&entry, b"").map_err(Error::Write)
    }

    pub(super) fn document(&mut self, path: &str, seconds: i64, bytes: &[u8]) -> Result<()> {
        let file = tar::NewEntry::file(path.as_bytes(), bytes.len() as u64);
        let entry = tar::NewEntry { mtime: time(seconds), ..file };
        self.tar.append_bytes(&entry, bytes).map_err(Error::Write)
    }

    /// Writes a document of no time with the permissions of blobs.
    pub(super) fn read_only_document(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let file = tar::NewEntry::file(path.as_bytes(), bytes.len() as u64);
        let mode = self.blob_mode.unwrap_or(file.mode);
        let entry = tar::NewEntry { mtime: time(0), mode, ..file };
        self.tar.append_bytes(&entry, bytes).map_err(Error::Write)
    }

    /// Writes a blob. It is read to its end, where its digest is checked.
    pub(super) fn blob(
        &mut self,
        path: &str,
        size: u64,
        seconds: i64,
        content: BlobReader,
    ) -> Result<()> {
        let file = tar::NewEntry::file(path.as_bytes(), size);
        let mode = self.blob_mode.unwrap_or(file.mode);
        let entry = tar::NewEntry { mtime: time(seconds), mode, ..file };
        if size >= LARGE_SIZE_BYTES {
            self.watched(&entry, Ahead::of(content))
        } else {
            self.watched(&entry, BufReader::with_capacity(BUFFER_SIZE_BYTES, content))
        }
    }

    fn watched(&mut self, entry: &tar::NewEntry, content: impl BufRead) -> Result<()> {
        let mut watched = Watched { inner: content, error: None };
        let written = self.tar.append_buffered(entry, &mut watched);
        let end = written.and_then(|()| watched.fill_buf().map(<[u8]>::len));
        match (end, watched.error) {
            (_, Some(error)) => Err(Error::Read(error)),
            (Err(error), None) => Err(Error::Write(error)),
            (Ok(0), None) => Ok(()),
            (Ok(_), None) => {
                let text = "a blob is larger than it was when the archive was begun";
                Err(Error::Read(io::Error::new(io::ErrorKind::InvalidData, text)))
            }
        }
    }

    pub(super) fn finish(self) -> Result<()> {
        self.tar.finish().map_err(Error::Write)?;
        Ok(())
    }
}

fn time(seconds: i64) -> tar::Time {
    tar::Time { seconds, nanoseconds: 0 }
}

/// A reader that remembers its failure, so that it is not taken for one of the output.
struct Watched<R> {
    inner: R,
    error: Option<io::Error>,
}

impl<R: BufRead> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Watched<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let error = &mut self.error;
        self.inner.fill_buf().map_err(|found| {
            let kind = found.kind();
            error.get_or_insert(found);
            kind.into()
        })
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
    }
}
