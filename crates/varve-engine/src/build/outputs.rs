//! What becomes of a build besides an image in the store: files, archives, pushes.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    os::fd::AsFd as _,
    path::Path,
    thread,
};

use varve_build::solve::{SentKind, Transfer};
use varve_distribution::archive::{self, BuildArchive, SavedImage};
use varve_fs::{
    durable::{self, Pending},
    stack::Stack,
    tree::{Content, Tree},
    unpack::{Unpacking, unpack},
};
use varve_types::{DiffId, Reference};

use super::{BuildError, Destination, publish::StoredImage};
use crate::{Engine, Error};

const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;

impl Engine {
    /// Writes the merged files of layers as one tar. Gives the bytes that docker counts for them.
    fn write_merged(&self, layers: &[DiffId], out: &mut dyn Write) -> Result<u64, Error> {
        let trees: Result<Vec<Tree>, _> = layers.iter().map(|it| self.layer_tree(it)).collect();
        let trees = trees?;
        let image = "that was built".to_owned();
        let stack = Stack::merge(&trees.iter().collect::<Vec<_>>())
            .map_err(|source| Error::Layers { image, source })?;
        let tars: Result<Vec<File>, _> =
            layers.iter().map(|layer| self.store.open_layer_tar(layer)).collect();
        stack.write_tar(&tars?, out).map_err(Error::Output)?;
        Ok(sent_size_bytes(stack.tree()))
    }

    /// Writes files to where a tar is wanted.
    pub(super) fn export_tar(
        &self,
        layers: &[DiffId],
        to: Destination<'_>,
    ) -> Result<(), BuildError> {
        write_to(to, |out| self.write_merged(layers, out).map(drop))
    }

    /// Puts files into a directory, among what is there. They become the caller's. Gives the bytes
    /// that docker counts for them.
    pub(super) fn export_directory(
        &self,
        layers: &[DiffId],
        directory: &Path,
    ) -> Result<u64, BuildError> {
        unpack_into(directory, |out| self.write_merged(layers, out))
    }

    /// Writes an archive with one image.
    pub(super) fn export_archive(
        &self,
        image: &StoredImage,
        names: &[Reference],
        form: BuildArchive,
        to: Destination<'_>,
    ) -> Result<(), BuildError> {
        let saved = SavedImage {
            manifest: image.target.clone(),
            image: image.image,
            tags: names.iter().map(|name| name.clone().or_latest()).collect(),
        };
        write_to(to, |out| Ok(archive::export(&self.store, &saved, form, out)?))
    }
}

/// What docker counts when it sends files to where they are exported to.
fn sent_size_bytes(tree: &Tree) -> u64 {
    let mut transfer = Transfer::default();
    let mut walk = tree.walk();
    while let Some((path, id)) = walk.next() {
        let inode = tree.inode(id);
        let kind = match &inode.content {
            Content::Directory(_) => SentKind::Directory,
            Content::File(file) => SentKind::File(file.size),
            Content::Symlink(text) => SentKind::Symlink(text.len() as u64),
            _ => SentKind::Other,
        };
        let entry = transfer.entry(path.len() as u64, kind, (inode.uid, inode.gid));
        if let SentKind::File(size_bytes) = kind {
            transfer.data(entry, size_bytes);
        }
    }
    transfer.sent()
}

/// Has something written to a file, which is then there whole, or to a stream.
fn write_to(
    to: Destination<'_>,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Error> + Send,
) -> Result<(), BuildError> {
    let path = match to {
        Destination::Stream(stream) => return Ok(write(stream)?),
        Destination::File(path) => path,
        Destination::Directory(path) => return unpack_into(&path, write),
    };
    let cannot = |action: &'static str| {
        let path = path.display().to_string();
        move |source: io::Error| Error::File { action, path, source }
    };
    let mut file = BufWriter::new(Pending::create(&path, FILE_MODE).map_err(cannot("open"))?);
    write(&mut file)?;
    let file = file.into_inner().map_err(|error| cannot("write")(error.into_error()))?;
    Ok(file.commit().map_err(cannot("write"))?)
}

/// Has a tar written, and puts its files into a directory, among what is there. Gives what the writer gives.
fn unpack_into<T: Send>(
    directory: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<T, Error> + Send,
) -> Result<T, BuildError> {
    let cannot = |action: &'static str| {
        let path = directory.display().to_string();
        move |source: io::Error| Error::File { action, path, source }
    };
    durable::create_directories_unsynced(directory, DIRECTORY_MODE).map_err(cannot("mkdir"))?;
    let target = File::open(directory).map_err(cannot("open"))?;
    let (reader, mut writer) = io::pipe().map_err(cannot("open"))?;
    let (written, unpacked) = thread::scope(|scope| {
        let writing = scope.spawn(move || write(&mut writer));
        let unpacked = unpack(reader, target.as_fd(), Unpacking { keep_owners: false });
        let written = writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (written, unpacked)
    });
    // Who fails first makes the other fail; a writer that finds nobody reading says less.
    match written {
        Err(Error::Output(source)) if source.kind() == io::ErrorKind::BrokenPipe => {
            unpacked.map_err(Error::from)?;
            Err(Error::Output(source).into())
        }
        Err(error) => Err(error.into()),
        Ok(value) => {
            unpacked.map_err(Error::from)?;
            Ok(value)
        }
    }
}
