//! Files that a build fetches: of `ADD http://…`, and contexts that are addresses.

use std::{
    fs::File,
    io::{self, Read, Seek as _},
};

use rustix::fs::{Mode, OFlags};
use varve_fs::durable;
use varve_types::{Ctx, Digest, Hasher, limits};

use crate::{Engine, Error};

/// A file that was fetched. It has no name.
#[derive(Debug)]
pub(super) struct Fetched {
    /// At its begin.
    pub(super) file: File,
    pub(super) size_bytes: u64,
    pub(super) digest: Digest,
}

const BUFFER_SIZE_BYTES: usize = 128 << 10;

impl Engine {
    /// Fetches an address.
    pub(super) fn fetch(&self, ctx: &Ctx<'_>, url: &str) -> Result<Fetched, Error> {
        let mut body = self.registries.client(ctx).download(url)?;
        self.spool(&mut body)
    }

    /// Takes all that comes into a file without a name.
    pub(super) fn spool(&self, source: &mut dyn Read) -> Result<Fetched, Error> {
        let mut file = self.nameless_file()?;
        let (mut hasher, mut size_bytes) = (Hasher::new(), 0);
        let mut buffer = vec![0; BUFFER_SIZE_BYTES];
        loop {
            let count = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(varve_store::Error::Source(error).into()),
            };
            size_bytes += count as u64;
            if size_bytes > limits::LAYER_INFLATED_SIZE_BYTES_MAX {
                let (actual, limit) = (size_bytes, limits::LAYER_INFLATED_SIZE_BYTES_MAX);
                return Err(
                    varve_store::Error::Limit { what: "fetched size", actual, limit }.into()
                );
            }
            hasher.update(&buffer[..count]);
            durable::write_all(&file, &buffer[..count]).map_err(Error::Output)?;
        }
        file.rewind().map_err(Error::Output)?;
        Ok(Fetched { file, size_bytes, digest: hasher.finish() })
    }

    /// A file on the store's disk that is gone when it is closed.
    pub(super) fn nameless_file(&self) -> Result<File, Error> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let directory = self.store.root().join("varve");
        let file = rustix::fs::open(&directory, flags, Mode::RUSR | Mode::WUSR);
        Ok(File::from(file.map_err(|errno| Error::Output(errno.into()))?))
    }
}
