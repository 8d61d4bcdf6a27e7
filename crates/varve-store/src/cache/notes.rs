//! What is remembered of the files of build contexts: `varve/cache/files-<hex>`.
//!
//! One file for each context, whose form is for those who write it to know. It is no record, and
//! losing it costs time only.

use std::{io, path::PathBuf};

use varve_fs::durable;
use varve_types::{Digest, limits};

use crate::{
    Error, Result, Store,
    blob::prefix,
    error::cannot,
    store::{DIRECTORY_MODE, PRIVATE_MODE},
};

pub(crate) const PREFIX: &str = "files-";

impl Store {
    /// What was remembered of a context's files. After a power loss it may be cut off, or make no
    /// sense.
    pub fn context_notes(&self, context: &Digest) -> Result<Option<Vec<u8>>> {
        let path = self.context_notes_path(context);
        match prefix(&path, limits::CONTEXT_NOTES_SIZE_BYTES_MAX as usize) {
            Ok(notes) => Ok(Some(notes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(cannot("read", &path)(source)),
        }
    }

    /// Remembers something of a context's files in place of what there was.
    pub fn keep_context_notes(&self, context: &Digest, notes: &[u8]) -> Result<()> {
        if notes.len() as u64 > limits::CONTEXT_NOTES_SIZE_BYTES_MAX {
            let (actual, limit) = (notes.len() as u64, limits::CONTEXT_NOTES_SIZE_BYTES_MAX);
            return Err(Error::Limit { what: "size of notes on a context", actual, limit });
        }
        self.make()?;
        let directory = self.root().join("varve/cache");
        durable::create_directory(&directory, DIRECTORY_MODE)
            .map_err(cannot("create", &directory))?;
        let path = self.context_notes_path(context);
        durable::replace_unsynced(&path, notes, PRIVATE_MODE).map_err(cannot("write", &path))
    }

    /// Where that is.
    pub fn context_notes_path(&self, context: &Digest) -> PathBuf {
        self.root().join("varve/cache").join(format!("{PREFIX}{}", context.hex()))
    }
}
