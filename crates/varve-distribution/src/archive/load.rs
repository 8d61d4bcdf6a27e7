//! Reading images from an archive or an OCI image layout.
//!
//! An archive is read once, from front to back, from a file or a pipe: layers go straight into
//! the store as they come, documents are kept, and only when the end has come is it known which
//! of them belong together. The documents are believed in this order:
//!
//! 1. `manifest.json`, a Docker archive. Where the archive has an OCI manifest for the same config
//!    and layers too, that manifest's bytes become the image's.
//! 2. `index.json`, an OCI image layout.
//! 3. `repositories`, a Docker archive of the first format.
//!
//! # Invariants
//!
//! 1. No path of an archive is ever a path of the host: names are keys of a map.
//! 2. Every layer's diff ID is checked against the config before an image is returned.
//! 3. Everything a returned image reaches is in the store and pinned under the lease. Nothing is
//!    named here, so an archive that fails leaves nothing but content for the next sweep.
//! 4. Memory does not grow with the archive, apart from its members' names.

mod contents;
mod directory;
mod docker;
mod first_format;
mod graph;
mod layout;

use std::{
    io::{BufReader, Read},
    path::Path,
};

use jiff::Timestamp;
use varve_fs::{compression, tar};
use varve_store::{Lease, Store};
use varve_types::{Ctx, Descriptor, Digest, ImageId, Platform, Reference};

use self::{contents::Contents, graph::Graph};
use super::{Error, Result};

/// Where images are loaded from.
pub enum LoadInput<'a> {
    /// An archive, plain or compressed, read once.
    Stream(&'a mut (dyn Read + Send)),
    /// A directory that is an OCI image layout.
    Directory(&'a Path),
}

impl std::fmt::Debug for LoadInput<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stream(_) => f.write_str("Stream"),
            Self::Directory(path) => f.debug_tuple("Directory").field(path).finish(),
        }
    }
}

/// An image that is in the store now, under the lease.
#[derive(Debug, Clone)]
pub struct LoadedImage {
    /// The image.
    pub image: ImageId,
    /// Its manifest, or an index all of whose children came along.
    pub target: Descriptor,
    /// The index it was reached through.
    pub index: Option<Digest>,
    /// The names that the archive gives it, with tags.
    pub names: Vec<Reference>,
    /// Its platform.
    pub platform: Platform,
    /// `created` of its config.
    pub created: Option<Timestamp>,
    /// Docker's SIZE in bytes.
    pub size_bytes: u64,
    /// Whether the manifest was made here because the archive had none.
    pub made_here: bool,
    /// Whether Docker says nothing about it (archives of the first format).
    pub is_silent: bool,
}

/// Takes all images of `input` into the store, or those for `platform`. Names are not written.
///
/// A Docker archive that says it has no images gives none; that is not an error.
pub fn load(
    store: &Store,
    lease: &Lease,
    input: LoadInput<'_>,
    platform: Option<&Platform>,
    ctx: &Ctx<'_>,
) -> Result<Vec<LoadedImage>> {
    let mut contents = Contents::new(store, lease, ctx);
    match input {
        LoadInput::Stream(stream) => read_archive(stream, &mut contents)?,
        LoadInput::Directory(path) => directory::read(path, platform, &mut contents)?,
    }
    let graph = Graph::new(store, lease, &contents);
    let images = if contents.has("manifest.json") {
        let images = docker::images(&graph, platform)?;
        match images {
            docker::Images::Found(images) => images,
            docker::Images::OtherPlatforms if contents.has("index.json") => {
                layout::images(&graph, platform)?
            }
            docker::Images::OtherPlatforms => Vec::new(),
            docker::Images::None => return Ok(Vec::new()),
        }
    } else if contents.has("index.json") {
        layout::images(&graph, platform)?
    } else {
        first_format::images(&graph, platform)?
    };
    match platform {
        Some(platform) if images.is_empty() => Err(Error::PlatformNotLoaded(platform.clone())),
        _ => Ok(images),
    }
}

/// Reads a whole archive into the store and `contents`.
fn read_archive(stream: &mut (dyn Read + Send), contents: &mut Contents<'_>) -> Result<()> {
    let buffered = BufReader::with_capacity(128 << 10, stream);
    let (_, plain) = compression::decode(buffered).map_err(Error::reading)?;
    let mut archive = tar::Reader::new(plain);
    while let Some(mut member) = archive.next()? {
        let path = member.path().to_vec();
        match member.kind() {
            tar::EntryKind::File => {
                let size = member.size();
                contents.take_file(path, size, &mut member)?;
            }
            tar::EntryKind::Symlink => {
                let target = member.link_target().to_vec();
                contents.take_symlink(path, &target)?;
            }
            tar::EntryKind::HardLink => {
                let target = member.link_target().to_vec();
                contents.take_hard_link(path, target)?;
            }
            _ => {}
        }
    }
    Ok(())
}
