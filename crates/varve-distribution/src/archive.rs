//! Image archives: writing them (`save`), reading them (`load`), and root file systems that
//! become images (`import`).
//!
//! ```text
//! save     store → one tar that is a Docker archive and an OCI image layout at once
//! load     Docker archive, OCI archive or OCI layout → store
//! import   root file system → store, as an image of one layer
//! ```
//!
//! # Invariants
//!
//! 1. Names are never written here: what goes wrong has changed no name.
//! 2. What was loaded is saved bit for bit; a manifest is made only where an archive has none.
//! 3. The bytes of an archive are a function of the images in it.
//!
//! Error texts are Docker's (overlay2 store, 26.1.5), where it has one.

pub mod changes;
pub mod config_json;
mod error;
mod import;
mod load;
mod save;

pub use error::Error;
pub use import::{Import, import};
pub use load::{LoadInput, LoadedImage, load};
pub use save::{BuildArchive, SavedImage, export, save};

/// What this module's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The manifest of an image that came without one. The same parts give the same bytes.
pub fn manifest_bytes<'a>(
    config: &varve_types::Descriptor,
    layers: impl IntoIterator<Item = &'a varve_types::Descriptor>,
) -> Vec<u8> {
    annotated_manifest_bytes(config, layers, &[])
}

/// The same with annotations.
pub fn annotated_manifest_bytes<'a>(
    config: &varve_types::Descriptor,
    layers: impl IntoIterator<Item = &'a varve_types::Descriptor>,
    annotations: &[(String, String)],
) -> Vec<u8> {
    crate::go_json::to_vec(&varve_types::Manifest {
        schema_version: 2,
        media_type: Some(varve_types::media_type::OCI_MANIFEST.to_owned()),
        artifact_type: None,
        config: config.clone(),
        layers: layers.into_iter().cloned().collect(),
        subject: None,
        annotations: annotations.iter().cloned().collect(),
    })
}

/// An index of images that were made here. The same parts give the same bytes.
pub fn index_bytes<'a>(
    manifests: impl IntoIterator<Item = &'a varve_types::Descriptor>,
) -> Vec<u8> {
    crate::go_json::to_vec(&varve_types::Index {
        schema_version: 2,
        media_type: Some(varve_types::media_type::OCI_INDEX.to_owned()),
        artifact_type: None,
        manifests: manifests.into_iter().cloned().collect(),
        subject: None,
        annotations: std::collections::BTreeMap::new(),
    })
}
