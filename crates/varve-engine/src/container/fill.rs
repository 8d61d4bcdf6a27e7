//! What an image has at a volume's place goes into the volume, when that is empty, as in Docker.

use std::{fs::File, io::Read as _, os::fd::AsFd as _, path::Path};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use varve_fs::{
    extract::{self, Extraction, Marks, Source},
    layer::LayerParser,
    root::Root,
    upper,
};
use varve_types::container::{Container, MountKind, MountPoint, VolumeName};

use crate::{Engine, Error, Result};

const PIECE_SIZE_BYTES: usize = 1 << 17;
const THREADS: usize = 2;

impl Engine {
    /// Fills the container's volumes that are empty and to be filled. Directories get the mode and
    /// owner that they have in the image.
    pub(crate) fn fill_volumes(&self, container: &Container, rootfs: &Path) -> Result<()> {
        let wanted = |mount: &&MountPoint| {
            mount.kind == MountKind::Volume && mount.copy_image_content && mount.subpath.is_empty()
        };
        for mount in container.mounts.iter().filter(wanted) {
            let Ok(name) = mount.name.parse::<VolumeName>() else { continue };
            let data = self.store.volume_data(&name);
            let is_empty = std::fs::read_dir(&data).is_ok_and(|mut names| names.next().is_none());
            let root = Root::open(rootfs).map_err(|source| unreadable(container, source))?;
            let Ok(place) = root.open_directory(Path::new(&mount.destination)) else { continue };
            if is_empty {
                fill(&place, &data).map_err(|error| unreadable(container, error))?;
            }
        }
        Ok(())
    }
}

fn unreadable(container: &Container, source: std::io::Error) -> Error {
    Error::Unreadable { image: container.image.clone(), source }
}

/// Copies all that is in a directory, by way of a tar.
pub(crate) fn fill(from: &Root, to: &Path) -> std::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let from = rustix::fs::openat2(from, ".", flags, Mode::empty(), ResolveFlags::BENEATH)?;
    let spool = rustix::fs::open(
        to.parent().unwrap_or(to),
        OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC,
        Mode::RUSR | Mode::WUSR,
    )?;
    let (mut spool, _) = upper::write_layer(from.as_fd(), Marks::None, File::from(spool))
        .map_err(std::io::Error::other)?;
    std::io::Seek::rewind(&mut spool)?;
    let mut parser = LayerParser::new();
    let mut buffer = vec![0; PIECE_SIZE_BYTES];
    loop {
        let count = spool.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        parser.update(&buffer[..count]).map_err(std::io::Error::other)?;
    }
    let (_, tree) = parser.finish().map_err(std::io::Error::other)?;
    let target = rustix::fs::open(to, flags, Mode::empty())?;
    let source = Source::Layer(&tree, &spool);
    let request = Extraction { source, marks: Marks::None, threads: THREADS };
    extract::extract(&request, target.as_fd()).map_err(std::io::Error::other)?;
    // The root itself is not in the tar.
    let facts = rustix::fs::fstat(&from)?;
    let (uid, gid) =
        (rustix::fs::Uid::from_raw(facts.st_uid), rustix::fs::Gid::from_raw(facts.st_gid));
    let _ = rustix::fs::fchown(&target, Some(uid), Some(gid));
    rustix::fs::fchmod(&target, Mode::from_raw_mode(facts.st_mode & 0o7777))?;
    Ok(())
}
