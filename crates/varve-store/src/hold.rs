//! Keeping content for an operation that only reads it.
//!
//! Usually a lease does that. Where none can be written (a full disk, a store on a read-only file
//! system) the store's shared lock does, and sweeps wait for as long. Where not even the lock may
//! be opened, whoever is as powerless as we are removes nothing.

use std::io;

use varve_types::Digest;

use crate::{Error, Lease, Result, Store, lease::Pin, store::Publishing};

/// Keeps what was [asked for](Hold::image) until it is dropped.
#[derive(Debug)]
pub struct Hold {
    store: Store,
    lease: Option<Lease>,
    /// Instead of the lease, from the moment on at which that could not be written.
    lock: Option<Publishing>,
}

impl Store {
    /// Begins to keep content for an operation that only reads.
    pub fn hold(&self) -> Result<Hold> {
        let mut hold = Hold { store: self.clone(), lease: None, lock: None };
        if self.is_made() {
            match self.lease() {
                Ok(lease) => hold.lease = Some(lease),
                Err(error) if cannot_be_written(&error) => hold.lock()?,
                Err(error) => return Err(error),
            }
        }
        Ok(hold)
    }
}

impl Hold {
    /// Keeps everything that a manifest or index reaches and returns `true`, or `false` when it
    /// is not here (any more).
    pub fn image(&mut self, target: &Digest) -> Result<bool> {
        if let (Some(lease), None) = (&self.lease, &self.lock) {
            match self.store.pin_image(lease, target) {
                Err(error) if cannot_be_written(&error) => self.lock()?,
                other => return other,
            }
        }
        Ok(self.store.blob_size(target)?.is_some())
    }

    /// Looks, and keeps what `pins` lists of what it finds: nothing goes between the two, nor
    /// until the end of the hold.
    pub(crate) fn look<T>(
        &mut self,
        look: impl Fn() -> Result<T>,
        pins: impl Fn() -> Result<Vec<Pin>>,
    ) -> Result<T> {
        let (Some(lease), None) = (&self.lease, &self.lock) else { return look() };
        let publishing = self.store.publishing()?;
        let found = look()?;
        match lease.pin(&publishing, &pins()?) {
            Err(error) if cannot_be_written(&error) => self.lock = Some(publishing),
            other => other?,
        }
        Ok(found)
    }

    fn lock(&mut self) -> Result<()> {
        match self.store.publishing() {
            Ok(lock) => self.lock = Some(lock),
            Err(error) if cannot_be_written(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn cannot_be_written(error: &Error) -> bool {
    let Error::Io { source, .. } = error else { return false };
    matches!(
        source.kind(),
        io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::PermissionDenied
    )
}
