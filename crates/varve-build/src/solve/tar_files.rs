//! A tar that is a context: given on standard input, or fetched.

use std::{
    fs::File,
    io::{BufReader, Read},
};

use varve_fs::{
    compression::decode,
    durable,
    layer::{LayerError, TreeParser},
    tar::Time,
    tree::{Content, Tree},
};
use varve_store::Store;
use varve_types::{DiffId, Digest, Kind, limits};

use super::{Fault, FileStatus, Files, LayerFiles, name::text_of};
use crate::{Ignore, select::Listing};

const BUFFER_SIZE_BYTES: usize = 128 << 10;

/// The files of a tar. As of every context they are root's, whatever the tar says, have no extended
/// attributes, and each name is a file of its own.
#[derive(Debug)]
pub struct TarFiles {
    files: LayerFiles,
    listing: Listing,
    /// What programs see as the time of all files, where it is not the tar's.
    time: Option<Time>,
}

impl TarFiles {
    /// Reads a tar, plain or compressed, to its end. Its plain bytes are kept in `into`, an empty
    /// file that nobody else uses and that needs no name.
    pub fn read(source: impl Read + Send, into: File, ignore: &Ignore) -> Result<Self, Fault> {
        let source = BufReader::with_capacity(BUFFER_SIZE_BYTES, source);
        let (_, plain) = decode(source).map_err(|error| Fault::new(Kind::Invalid, error))?;
        let tree = keep(plain, &into)?;
        let mut walk = tree.walk();
        while let Some((path, id)) = walk.next() {
            if let Content::Whiteout = tree.inode(id).content {
                let text = format!("/{} of the context would hide another file", text_of(path));
                return Err(Fault::new(Kind::Invalid, text));
            }
        }
        let files = LayerFiles::new(vec![(tree, into)])?;
        let listing = files.listing().without(ignore);
        Ok(Self { files, listing, time: None })
    }

    /// A context that is kept as a layer of a store, which must be pinned. Programs see `time` as
    /// that of all files.
    pub fn kept(store: &Store, layer: &DiffId, time: Time) -> Result<Self, Fault> {
        let files = LayerFiles::open(store, &[*layer])?;
        let listing = files.listing().without(&Ignore::default());
        Ok(Self { files, listing, time: Some(time) })
    }
}

/// Reads a tar's tree, and keeps its bytes.
fn keep(mut plain: impl Read, into: &File) -> Result<Tree, Fault> {
    let refused = |error: LayerError| Fault::new(error.kind(), error);
    let mut parser = TreeParser::new();
    let mut buffer = vec![0; BUFFER_SIZE_BYTES];
    let mut position = 0;
    loop {
        let count = match plain.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(refused(LayerError::Read(error))),
        };
        parser.update(&buffer[..count]).map_err(refused)?;
        durable::write_all_at(into, &buffer[..count], position)
            .map_err(|error| Fault::new(Kind::Internal, error))?;
        position += count as u64;
        if position > limits::LAYER_INFLATED_SIZE_BYTES_MAX {
            let limit = limits::LAYER_INFLATED_SIZE_BYTES_MAX;
            return Err(refused(LayerError::Limit { what: "bytes of a context", limit }));
        }
    }
    // Nobody asks for the digest.
    let (_, tree) = parser.finish(DiffId(Digest::of(b""))).map_err(refused)?;
    Ok(tree)
}

impl Files for TarFiles {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn status(&self, path: &str) -> Result<FileStatus, Fault> {
        let status = self.files.status(path)?;
        let mtime = self.time.unwrap_or(status.mtime);
        Ok(FileStatus { uid: 0, gid: 0, xattrs: Vec::new(), links: None, mtime, ..status })
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read + Send + '_>, Fault> {
        self.files.open(path)
    }

    fn digest(&self, path: &str) -> Result<Digest, Fault> {
        self.files.digest(path)
    }
}
