//! The image table: `index.json`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use varve_types::{Descriptor, Digest, ImageId, Platform, Reference};

use crate::{Result, Store};

/// One descriptor of `index.json`: a reference (`name:tag` or `name@digest`, never both and
/// never neither) or, without one, a dangling image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The name; `None` for a dangling image.
    pub reference: Option<Reference>,
    /// The manifest that is here, or an index all of whose children are here. No annotations.
    pub target: Descriptor,
    /// The image: the digest of the config (of the host's platform, if `target` is an index).
    pub image: ImageId,
    /// `created` of the config.
    pub created: Option<Timestamp>,
    /// Docker's SIZE in bytes.
    pub size_bytes: u64,
    /// The image's platform.
    pub platform: Option<Platform>,
    /// The index it was pulled through, kept beside it.
    pub index: Option<Digest>,
    /// The repository it came from (`docker.io/library/busybox`), for cross-repository mounts.
    pub source: Option<String>,
    /// When this name was last given locally (tag, load, import, build); a pull does not set it.
    pub tagged: Option<Timestamp>,
    /// When the image was pulled or made here.
    pub stored: Option<Timestamp>,
    /// The image it was committed from or built on here, as Docker's `Parent`.
    pub parent: Option<ImageId>,
    /// Whether the manifest was made here (import, commit, build, an archive without one) rather
    /// than by who made the image: its plain layers are compressed when it is pushed.
    /// Annotation `dev.varve.made`.
    pub made_here: bool,
    /// Annotations that other tools wrote; kept as they are.
    pub foreign_annotations: BTreeMap<String, String>,
}

impl Row {
    /// A row without a name that says nothing but what it points at.
    pub fn new(target: Descriptor, image: ImageId) -> Self {
        Self {
            reference: None,
            target,
            image,
            created: None,
            size_bytes: 0,
            platform: None,
            index: None,
            source: None,
            tagged: None,
            stored: None,
            parent: None,
            made_here: false,
            foreign_annotations: BTreeMap::new(),
        }
    }
}

/// The image table at one moment.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// The rows, in the file's order.
    pub rows: Vec<Row>,
}

impl Names {
    /// The row of a reference.
    pub fn get(&self, reference: &Reference) -> Option<&Row> {
        self.rows.iter().find(|row| row.reference.as_ref() == Some(reference))
    }

    /// Puts a row in: the one of the same reference is replaced and returned. A dangling row of
    /// the same image is dropped when a named row comes. When the replaced row was the last of
    /// its image, the image stays as a dangling row.
    pub fn put(&mut self, _row: Row) -> Option<Row> {
        todo!()
    }

    /// Takes the row of a reference out. Leaves no dangling row.
    pub fn take(&mut self, _reference: &Reference) -> Option<Row> {
        todo!()
    }

    /// All rows of an image.
    pub fn of_image(&self, image: ImageId) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.image == image)
    }
}

impl Store {
    /// Reads the image table. Takes no lock. Rows that other tools added are adopted: what their
    /// annotations lack is filled in from the manifest and config.
    pub fn names(&self) -> Result<Names> {
        todo!()
    }

    /// Changes the image table under its lock: read, `change`, write, sync, rename. Nothing is
    /// written when `change` fails or changes nothing. Everything the new rows reach must be
    /// pinned under a live lease or reached by another row.
    pub fn update_names<T, E: From<crate::Error>>(
        &self,
        _change: impl FnOnce(&mut Names) -> Result<T, E>,
    ) -> Result<T, E> {
        todo!()
    }

    /// Like [`update_names`](Self::update_names), holding the store exclusively, and then sweeps:
    /// for `rmi` and `prune`.
    pub fn remove_names<T, E: From<crate::Error>>(
        &self,
        _change: impl FnOnce(&mut Names) -> Result<T, E>,
    ) -> Result<(T, crate::Swept), E> {
        todo!()
    }
}
