//! Why bytes are not a layer.

use std::io;

use varve_types::{Kind, Printable};

/// Why bytes are not a layer, or not a tar at all.
///
/// The first two are worded as Docker words them: their texts are what its users know.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The stream ends inside a header, an extension or a file's data.
    #[error("unexpected EOF")]
    UnexpectedEof,
    /// A header is not one. Its block begins at `offset` of the uncompressed tar.
    #[error("archive/tar: invalid tar header")]
    InvalidHeader {
        /// Where the block with the fault, or the entry that it belongs to, begins.
        offset: u64,
        /// What is wrong with it.
        fault: HeaderFault,
    },
    /// An entry is of a type that no file system object corresponds to.
    #[error("unhandled tar header type {type_flag} of `{}`", Printable(path))]
    UnsupportedType {
        /// The entry.
        path: String,
        /// The type flag, as a number.
        type_flag: u8,
    },
    /// A name leads out of the tree with `..`.
    #[error("path `{}` leaves the root of the archive", Printable(path))]
    OutsideRoot {
        /// The name, as it stands in the tar.
        path: String,
    },
    /// An entry lies beneath something that is not a directory, or is the root and none itself.
    #[error("`{}` is not a directory, but something lies in it", Printable(path))]
    NotADirectory {
        /// What is not a directory.
        path: String,
    },
    /// A chain of symbolic links is too long or goes round.
    #[error("too many levels of symbolic links in `{}`", Printable(path))]
    LinkLoop {
        /// The entry whose place was looked for.
        path: String,
    },
    /// A hard link names a directory.
    #[error("hard link `{}` points at the directory `{}`", Printable(path), Printable(target))]
    HardLinkToDirectory {
        /// The link.
        path: String,
        /// The directory.
        target: String,
    },
    /// A named limit was passed.
    #[error("{what}: more than {limit}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// By how much.
        limit: u64,
    },
    /// Any other of these, behind the first entry of a layer.
    #[error("{source} ({}at byte {offset}, last entry `{}`)", source.detail(), Printable(entry))]
    At {
        /// The entry itself, if its header could be read, else the one before it.
        entry: String,
        /// Where in the uncompressed tar the block begins, or the bytes end.
        offset: u64,
        /// What is wrong.
        source: Box<LayerError>,
    },
    /// The source of the bytes failed.
    #[error("the archive cannot be read")]
    Read(#[source] io::Error),
}

/// What is wrong with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// The sum over the block is not the recorded one.
    #[error("the checksum is wrong")]
    Checksum,
    /// A numeric field is neither octal nor a base-256 number in range.
    #[error("the field {0} is not a number that it may hold")]
    Number(&'static str),
    /// A PAX record is not of the form `length keyword=value`.
    #[error("a PAX record is malformed")]
    PaxRecord,
    /// A PAX value is not what its keyword asks for.
    #[error("the PAX value of {0} makes no sense")]
    PaxValue(&'static str),
    /// A global PAX header names a path, a size or a sparse map: it would be that of every file.
    #[error("a global PAX header sets {0}")]
    Global(&'static str),
    /// Two extensions of one kind, or two that disagree, precede one entry.
    #[error("two extension headers contradict each other")]
    Contradiction,
    /// Extensions precede no entry.
    #[error("an extension header is not followed by an entry")]
    Orphan,
    /// A name contains a zero byte, or a link has no target.
    #[error("a name or link target is empty or contains a zero byte")]
    Name,
    /// A sparse map is malformed, not in order, or does not fit the data.
    #[error("the sparse map does not fit")]
    Sparse,
    /// A block of zeros is followed by something else than another one.
    #[error("a single block of zeros lies between entries")]
    LoneZeroBlock,
}

impl LayerError {
    /// The class of the error.
    pub fn kind(&self) -> Kind {
        match self {
            LayerError::UnexpectedEof | LayerError::InvalidHeader { .. } => Kind::Corrupt,
            LayerError::UnsupportedType { .. } => Kind::Unsupported,
            LayerError::OutsideRoot { .. }
            | LayerError::NotADirectory { .. }
            | LayerError::LinkLoop { .. }
            | LayerError::HardLinkToDirectory { .. } => Kind::Invalid,
            LayerError::Limit { .. } => Kind::Exhausted,
            LayerError::At { source, .. } => source.kind(),
            LayerError::Read(_) => Kind::Internal,
        }
    }

    /// The error without its place.
    pub fn what(&self) -> &Self {
        if let LayerError::At { source, .. } = self { source.what() } else { self }
    }

    /// What Docker's words leave out.
    fn detail(&self) -> String {
        match self {
            LayerError::InvalidHeader { fault, .. } => format!("{fault}, "),
            _ => String::new(),
        }
    }
}

impl From<LayerError> for io::Error {
    fn from(error: LayerError) -> Self {
        let kind = match error.what() {
            LayerError::UnexpectedEof => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        if let LayerError::Read(error) = error {
            return error;
        }
        io::Error::new(kind, error)
    }
}
