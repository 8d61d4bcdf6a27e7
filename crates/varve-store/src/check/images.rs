//! Verifying images: what names reach, and every blob.

use std::{
    collections::{BTreeSet, HashSet},
    fs::File,
    io,
    path::{Path, PathBuf},
};

use varve_types::{Container, Descriptor, Digest, Hasher, ManifestKind, Reference};

use super::{BadBlob, Cause, Check, existing, in_parallel};
use crate::{Error, Result, names::Row, sweep::entries};

/// Who needs a blob.
#[derive(Debug, Clone, Default)]
pub(super) struct User {
    pub(super) name: String,
    /// Repositories that may have what it needs.
    pub(super) sources: BTreeSet<String>,
}

/// What is known of a blob by those who need it.
#[derive(Debug, Default)]
pub(super) struct Needed {
    names: BTreeSet<String>,
    sources: BTreeSet<String>,
    size_bytes: Option<u64>,
    is_document: bool,
}

impl User {
    pub(super) fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), sources: BTreeSet::new() }
    }

    /// The names of a row. Where it came from may have it again, and so may the registry that its
    /// name tells; a name without a registry may be anybody's.
    fn of_row(row: &Row) -> Self {
        let own = row.reference.as_ref().map(Reference::repository);
        let told = own.filter(|own| own.domain() != varve_types::reference::DEFAULT_DOMAIN);
        let sources = row.source.iter().cloned().chain(told.map(ToString::to_string));
        Self { name: shown(row), sources: sources.collect() }
    }

    pub(super) fn of_container(container: &Container) -> Self {
        let image: Option<Reference> = container.image.parse().ok();
        let source = image.map(|image| image.repository().to_string());
        Self {
            name: format!("container {}", container.name),
            sources: source.into_iter().collect(),
        }
    }
}

impl Check<'_> {
    pub(super) fn row(&mut self, row: &Row) -> Result<()> {
        let user = User::of_row(row);
        let mut configs = HashSet::new();
        self.reach(&row.target, &user, &mut configs)?;
        if !configs.is_empty() && !configs.contains(&row.image.0) {
            let name = user.name.clone();
            let problem = format!("the image of {name} is not the config of its manifest");
            self.found_for("index.json", problem, vec![name], Cause::Table);
        }
        if let Some(index) = row.index {
            self.present((&index, None), &user, true)?;
        }
        Ok(())
    }

    /// Follows everything that a target reaches and finds what is missing.
    pub(super) fn reach(
        &mut self,
        target: &Descriptor,
        user: &User,
        configs: &mut HashSet<Digest>,
    ) -> Result<()> {
        let mut seen = HashSet::new();
        let mut pending = vec![(target.clone(), true)];
        while let Some((descriptor, is_manifest)) = pending.pop() {
            if !seen.insert(descriptor.digest) {
                continue;
            }
            let wanted = (&descriptor.digest, Some(descriptor.size));
            if !self.present(wanted, user, is_manifest)? || !is_manifest {
                continue;
            }
            match self.store.manifest(&descriptor.digest) {
                Ok(ManifestKind::Manifest(manifest)) => {
                    configs.insert(manifest.config.digest);
                    pending.push((manifest.config.clone(), false));
                    pending.extend(manifest.layers.iter().map(|layer| (layer.clone(), false)));
                }
                Ok(ManifestKind::Index(index)) => {
                    pending.extend(index.manifests.iter().map(|child| (child.clone(), true)));
                }
                // Found by hashing all blobs, or gone since.
                Err(
                    Error::Damaged(_)
                    | Error::Io { .. }
                    | Error::BlobNotFound(_)
                    | Error::Limit { .. },
                ) => {}
                Err(Error::Document { reason, .. }) => {
                    let path = blob_path(&descriptor.digest);
                    self.found_for(
                        path,
                        reason,
                        vec![user.name.clone()],
                        Cause::Useless(descriptor.digest),
                    );
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether a blob is here; takes down who needs it.
    fn present(
        &mut self,
        (digest, size_bytes): (&Digest, Option<u64>),
        user: &User,
        is_document: bool,
    ) -> Result<bool> {
        let needed = self.needed.entry(*digest).or_default();
        needed.names.insert(user.name.clone());
        needed.sources.extend(user.sources.iter().cloned());
        needed.size_bytes = needed.size_bytes.or(size_bytes);
        needed.is_document |= is_document;
        let cause = Cause::Blob(self.bad_blob(digest));
        let affects = vec![user.name.clone()];
        match (self.store.blob_size(digest)?, size_bytes) {
            (None, _) => {
                self.found_for(blob_path(digest), "it is missing", affects, cause);
                Ok(false)
            }
            (Some(actual), Some(expected)) if actual != expected => {
                let problem = format!("it has {actual} bytes, and should have {expected}");
                self.found_for(blob_path(digest), problem, affects, cause);
                Ok(true)
            }
            (Some(_), _) => Ok(true),
        }
    }

    fn bad_blob(&self, digest: &Digest) -> BadBlob {
        let needed = self.needed.get(digest);
        BadBlob {
            digest: *digest,
            size_bytes: needed.and_then(|needed| needed.size_bytes),
            is_document: needed.is_some_and(|needed| needed.is_document),
            sources: needed.map(|it| it.sources.iter().cloned().collect()).unwrap_or_default(),
            is_needed: needed.is_some(),
        }
    }

    pub(super) fn blobs(&mut self) -> Result<()> {
        let directory = self.store.root().join("blobs/sha256");
        let mut blobs = Vec::new();
        for (name, _) in existing(entries(&directory))? {
            if let Some(digest) = name.to_str().and_then(|name| Digest::from_hex(name).ok()) {
                blobs.push(digest);
            } else {
                self.stray(Path::new("blobs/sha256").join(&name), "its name is not a digest");
            }
        }
        let damaged = in_parallel(&blobs, |digest| {
            let path = self.store.blob_path(digest);
            let mut hasher = Hasher::new();
            let hashed = File::open(&path).and_then(|mut file| io::copy(&mut file, &mut hasher));
            let problem = match hashed {
                Ok(_) if hasher.finish() == *digest => return Ok(None),
                Ok(_) => "its bytes do not hash to its name".to_owned(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => format!("it cannot be read: {error}"),
            };
            Ok(Some((*digest, problem)))
        })?;
        for (digest, problem) in damaged {
            let names = self.needed.get(&digest).map(|needed| needed.names.clone());
            let affects = names.unwrap_or_default().into_iter().collect();
            let cause = Cause::Blob(self.bad_blob(&digest));
            self.found_for(blob_path(&digest), problem, affects, cause);
        }
        Ok(())
    }
}

/// What a row is called.
pub(crate) fn shown(row: &Row) -> String {
    row.reference.as_ref().map_or_else(|| row.image.0.short(), Reference::familiar)
}

fn blob_path(digest: &Digest) -> PathBuf {
    Path::new("blobs/sha256").join(digest.hex())
}
