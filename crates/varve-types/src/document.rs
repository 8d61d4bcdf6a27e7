//! A value parsed from JSON, with the exact bytes it came from.

use std::ops::Deref;

use crate::Digest;

/// A parsed manifest, index or config together with its exact bytes and their digest.
///
/// The bytes are what is stored, sent and hashed; the value is for reading only.
#[derive(Debug, Clone)]
pub struct Document<T> {
    bytes: Vec<u8>,
    digest: Digest,
    value: T,
}

impl<T> Document<T> {
    /// Joins a value to the bytes it was parsed from.
    pub fn new(bytes: Vec<u8>, value: T) -> Self {
        let digest = Digest::of(&bytes);
        Self { bytes, digest, value }
    }

    /// The exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The digest of the exact bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The number of bytes.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The parsed value.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// Takes the document apart.
    pub fn into_parts(self) -> (Vec<u8>, T) {
        (self.bytes, self.value)
    }
}

impl<T> Deref for Document<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
