//! OCI image layouts in directories. Only what index.json reaches is read.

use std::{collections::HashSet, io, path::Path};

use varve_fs::root::Root;
use varve_types::{Descriptor, Digest, Index, ManifestKind, Platform, limits};

use super::{
    contents::{Contents, blob_path},
    docker::parse,
};
use crate::archive::{Error, Result};

/// Takes what the index of a layout reaches, as far as it is there; of indexes inside it, only
/// what is for `platform`, when that is given.
pub(super) fn read(
    path: &Path,
    platform: Option<&Platform>,
    contents: &mut Contents<'_>,
) -> Result<()> {
    let root = Root::open(path).map_err(Error::Read)?;
    let mut layout = Layout { root, platform, contents, seen: HashSet::new() };
    if !layout.take("index.json")? {
        return Err(Error::Missing("index.json".to_owned()));
    }
    let top: Index = parse("index.json", &layout.contents.document("index.json")?)?;
    for descriptor in &top.manifests {
        layout.take_tree(descriptor, 0)?;
    }
    Ok(())
}

struct Layout<'a, 'b> {
    root: Root,
    platform: Option<&'a Platform>,
    contents: &'a mut Contents<'b>,
    seen: HashSet<Digest>,
}

impl Layout<'_, '_> {
    /// Takes a blob and everything below it.
    fn take_tree(&mut self, descriptor: &Descriptor, depth: usize) -> Result<()> {
        if depth > limits::INDEX_DEPTH_MAX {
            return Err(Error::IndexDepth(limits::INDEX_DEPTH_MAX));
        }
        // What was seen is not walked again: indexes that share children would have no end.
        if self.seen.contains(&descriptor.digest) || !self.take_blob(&descriptor.digest)? {
            return Ok(());
        }
        let bytes = self.contents.document(&blob_path(&descriptor.digest))?;
        let kind = ManifestKind::parse(bytes, &descriptor.media_type)?;
        for child in kind.children() {
            let known = child.platform.as_ref().zip(self.platform);
            if known.is_some_and(|(found, wanted)| !wanted.matches(found)) {
                continue;
            }
            match kind {
                ManifestKind::Index(_) => self.take_tree(child, depth + 1)?,
                ManifestKind::Manifest(_) => {
                    // Who needs what is not here will say so.
                    self.take_blob(&child.digest)?;
                }
            }
        }
        Ok(())
    }

    /// Takes a blob once; tells whether it is there.
    fn take_blob(&mut self, digest: &Digest) -> Result<bool> {
        let path = blob_path(digest);
        if !self.seen.insert(*digest) {
            return Ok(self.contents.has(&path));
        }
        self.take(&path)
    }

    /// Takes a regular file beneath the directory. `path` is one of our own making.
    fn take(&mut self, path: &str) -> Result<bool> {
        let mut file = match self.root.open_file(Path::new(path)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::Read(error)),
        };
        let size = file.metadata().map_err(Error::Read)?.len();
        self.contents.take_file(path.as_bytes().to_vec(), size, &mut file)?;
        Ok(true)
    }
}
