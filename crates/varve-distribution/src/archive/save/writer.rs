//! The tar that `save` writes: blobs and documents of nobody, of the times that it is told.

use std::io::{self, BufReader, BufWriter, Read, Write};

use varve_fs::tar;

use crate::archive::{Error, Result};

/// What passes between the store and the output at once.
const BUFFER_SIZE_BYTES: usize = 128 << 10;

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
        content: impl Read,
    ) -> Result<()> {
        let file = tar::NewEntry::file(path.as_bytes(), size);
        let mode = self.blob_mode.unwrap_or(file.mode);
        let entry = tar::NewEntry { mtime: time(seconds), mode, ..file };
        let watched = Watched { inner: content, error: None };
        let mut buffered = BufReader::with_capacity(BUFFER_SIZE_BYTES, watched);
        let written = self.tar.append(&entry, &mut buffered);
        let end = written.and_then(|()| buffered.read(&mut [0; 1]));
        match (end, buffered.into_inner().error) {
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

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            let kind = error.kind();
            self.error.get_or_insert(error);
            kind.into()
        })
    }
}
