//! A repository's `index.json`: its tags and manifests.

use std::{collections::BTreeMap, fs, io};

use varve_fs::{durable, lock::FileLock};
use varve_types::{Descriptor, Digest, Index, media_type};

use super::{Error, Result, Storage};
use crate::server::name::RepositoryName;

/// The annotation that holds a tag; `skopeo` and others find images by it.
pub const TAG_ANNOTATION: &str = "org.opencontainers.image.ref.name";
/// The annotation that tells which manifest this one refers to, so that referrers are found
/// without reading every manifest.
pub(in crate::server) const SUBJECT_ANNOTATION: &str = "dev.varve.subject";

/// A manifest to store.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewManifest<'a> {
    /// The tag that shall name it.
    pub tag: Option<&'a str>,
    /// What it is.
    pub media_type: &'a str,
    /// Its exact bytes.
    pub bytes: &'a [u8],
    /// The manifest that it refers to.
    pub subject: Option<Digest>,
    /// What must be in the repository first.
    pub requires: &'a [Digest],
}

impl Storage {
    pub(super) fn lock_index(&self, name: &RepositoryName) -> Result<FileLock> {
        let path = self.directory(name).join("_lock");
        FileLock::exclusive(&path).map_err(Error::io("lock", &path))
    }

    /// The rows of a repository's table; `None` when there is no such repository.
    pub fn rows(&self, name: &RepositoryName) -> Result<Option<Vec<Descriptor>>> {
        let path = self.directory(name).join("index.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let index: Index =
            serde_json::from_slice(&bytes).map_err(|source| Error::Index { path, source })?;
        Ok(Some(index.manifests))
    }

    pub(super) fn write_index(&self, name: &RepositoryName, rows: &[Descriptor]) -> Result<()> {
        let path = self.directory(name).join("index.json");
        let index = Index {
            schema_version: 2,
            media_type: Some(media_type::OCI_INDEX.to_owned()),
            artifact_type: None,
            manifests: rows.to_vec(),
            subject: None,
            annotations: BTreeMap::new(),
        };
        let bytes = serde_json::to_vec(&index)
            .map_err(|source| Error::Index { path: path.clone(), source })?;
        durable::replace(&path, &bytes, 0o644).map_err(Error::io("write", &path))
    }

    /// Changes a repository's rows under its lock; writes when `change` returns true.
    fn update_index(
        &self,
        name: &RepositoryName,
        change: impl FnOnce(&mut Vec<Descriptor>) -> Result<bool>,
    ) -> Result<bool> {
        if self.rows(name)?.is_none() {
            return Ok(false);
        }
        let _lock = self.lock_index(name)?;
        let mut rows = self.rows(name)?.unwrap_or_default();
        let changed = change(&mut rows)?;
        if changed {
            self.write_index(name, &rows)?;
        }
        Ok(changed)
    }

    /// The manifest that a tag names.
    pub fn tagged(&self, name: &RepositoryName, tag: &str) -> Result<Option<Descriptor>> {
        let rows = self.rows(name)?.unwrap_or_default();
        Ok(rows.into_iter().find(|row| row.annotation(TAG_ANNOTATION) == Some(tag)))
    }

    /// The manifest with this digest.
    pub fn manifest(&self, name: &RepositoryName, digest: &Digest) -> Result<Option<Descriptor>> {
        let rows = self.rows(name)?.unwrap_or_default();
        Ok(rows.into_iter().find(|row| row.digest == *digest))
    }

    /// Stores a manifest whose `requires` are in the repository, and points its tag at it.
    pub fn put_manifest(&self, name: &RepositoryName, new: &NewManifest<'_>) -> Result<Descriptor> {
        let mut row =
            Descriptor::new(new.media_type, Digest::of(new.bytes), new.bytes.len() as u64);
        if let Some(subject) = new.subject {
            row.annotations.insert(SUBJECT_ANNOTATION.to_owned(), subject.to_string());
        }
        if let Some(tag) = new.tag {
            row.annotations.insert(TAG_ANNOTATION.to_owned(), tag.to_owned());
        }
        let missing = |digests: &[Digest]| -> Result<Vec<Digest>> {
            let mut missing = Vec::new();
            for digest in digests {
                if self.blob_size(name, digest)?.is_none() {
                    missing.push(*digest);
                }
            }
            Ok(missing)
        };
        // First without the lock: a refused manifest makes no repository.
        let absent = missing(new.requires)?;
        if !absent.is_empty() {
            return Err(Error::Missing(absent));
        }
        self.create_repository(name)?;
        self.update_index(name, |rows| {
            let absent = missing(new.requires)?;
            if !absent.is_empty() {
                return Err(Error::Missing(absent));
            }
            self.put_blob(name, new.bytes)?;
            Ok(put_row(rows, row.clone()))
        })?;
        Ok(row)
    }

    /// Takes a tag away. The manifest stays, to be had by its digest. Returns whether the tag was there.
    pub fn remove_tag(&self, name: &RepositoryName, tag: &str) -> Result<bool> {
        self.update_index(name, |rows| Ok(take_tag(rows, tag)))
    }

    /// Removes a manifest with all its tags. Returns whether it was there.
    pub fn remove_manifest(&self, name: &RepositoryName, digest: &Digest) -> Result<bool> {
        if self.rows(name)?.is_none() {
            return Ok(false);
        }
        let _lock = self.lock_index(name)?;
        let mut rows = self.rows(name)?.unwrap_or_default();
        let before = rows.len();
        rows.retain(|row| row.digest != *digest);
        if rows.len() == before {
            return Ok(false);
        }
        self.write_index(name, &rows)?;
        self.unlink_blob(name, digest)?;
        Ok(true)
    }
}

/// Puts a row in; returns whether anything changed. A manifest that loses its last tag keeps a
/// row without one.
fn put_row(rows: &mut Vec<Descriptor>, row: Descriptor) -> bool {
    if rows.contains(&row) {
        return false;
    }
    if let Some(tag) = row.annotation(TAG_ANNOTATION) {
        take_tag(rows, tag);
        let tagged = |row: &Descriptor| row.annotation(TAG_ANNOTATION).is_some();
        rows.retain(|other| other.digest != row.digest || tagged(other));
    } else {
        // The type may be a new one; a manifest that has a row keeps its tags.
        let mut known = false;
        for other in rows.iter_mut().filter(|other| other.digest == row.digest) {
            known = true;
            other.media_type.clone_from(&row.media_type);
        }
        if known {
            return true;
        }
    }
    rows.push(row);
    true
}

fn take_tag(rows: &mut Vec<Descriptor>, tag: &str) -> bool {
    let Some(at) = rows.iter().position(|row| row.annotation(TAG_ANNOTATION) == Some(tag)) else {
        return false;
    };
    let digest = rows[at].digest;
    if rows.iter().filter(|row| row.digest == digest).count() > 1 {
        rows.remove(at);
    } else {
        rows[at].annotations.remove(TAG_ANNOTATION);
    }
    true
}
