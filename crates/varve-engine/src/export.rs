//! `image export`: an image's root file system as one tar, or as files in a directory.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::fd::AsFd as _,
    path::Path,
};

use varve_fs::{
    durable,
    extract::{self, ExtractError, Extracted, Extraction, Marks, Source},
};
use varve_types::Platform;

use crate::{Contents, Engine, Error, Result};

/// An image that is ready to be written, so that nothing is written when it is not all here.
#[derive(Debug)]
pub struct Exporting {
    contents: Contents,
    tars: Vec<File>,
}

impl Engine {
    /// Finds and merges the image to export.
    pub fn prepare_export(&self, image: &str, platform: Option<&Platform>) -> Result<Exporting> {
        let contents = self.contents(image, platform)?;
        let tars = (0..contents.layers.len()).map(|layer| self.layer_tar(&contents, layer));
        let tars = tars.collect::<Result<_>>()?;
        Ok(Exporting { contents, tars })
    }

    /// Writes the tar: what a container of the image would find, without whiteouts.
    pub fn export(&self, exporting: &Exporting, output: &mut dyn Write) -> Result<()> {
        let mut output = Watched::new(output);
        let Err(error) = exporting.contents.stack.write_tar(&exporting.tars, &mut output) else {
            return Ok(());
        };
        Err(if output.has_failed {
            Error::Output(error)
        } else {
            exporting.contents.unreadable(error)
        })
    }
}

impl Engine {
    /// Makes the files in a directory, which is made where it is missing and must be empty. They
    /// get their owners, times and attributes, so that this wants the right to give them. After an
    /// error what was made is left, for whoever looks why.
    pub fn export_to(&self, exporting: &Exporting, directory: &Path) -> Result<Extracted> {
        let failed = |action: &'static str| {
            let path = directory.display().to_string();
            move |source: io::Error| Error::File { action, path, source }
        };
        durable::create_directory(directory, 0o755).map_err(failed("mkdir"))?;
        let is_empty = fs::read_dir(directory).map_err(failed("open"))?.next().is_none();
        if !is_empty {
            return Err(failed("open")(rustix::io::Errno::NOTEMPTY.into()));
        }
        let target = File::open(directory).map_err(failed("open"))?;
        let source = Source::Stack(&exporting.contents.stack, &exporting.tars);
        let request = Extraction { source, marks: Marks::None, threads: THREADS };
        extract::extract(&request, target.as_fd()).map_err(|error| match error {
            ExtractError::Io { path: below, source, .. } => {
                let path = directory.join(String::from_utf8_lossy(&below).as_ref());
                let path = path.display().to_string();
                Error::File { action: "write", path, source }
            }
            other @ ExtractError::TarTooShort { .. } => {
                exporting.contents.unreadable(io::Error::other(other))
            }
        })
    }
}

/// Threads that make files.
const THREADS: usize = 4;

/// Tells errors of writing from those of reading.
pub(crate) struct Watched<'a> {
    inner: &'a mut dyn Write,
    has_failed: bool,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(inner: &'a mut dyn Write) -> Self {
        Self { inner, has_failed: false }
    }

    /// Whether what failed was the writing.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed
    }
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes);
        // What was only interrupted is tried again.
        self.has_failed |=
            written.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.inner.flush();
        self.has_failed |= flushed.is_err();
        flushed
    }
}
