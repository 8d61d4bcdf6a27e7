//! Why an index could not be written or read.

use std::io;

use varve_types::Kind;

/// Why a tree's index could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A named limit was passed.
    #[error("{what}: more than {limit}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// By how much.
        limit: u64,
    },
    /// Bytes of the tar that the index must hold could not be read.
    #[error("the layer's tar cannot be read")]
    Read(#[source] io::Error),
    /// The index could not be stored.
    #[error("the layer's index cannot be written")]
    Write(#[source] io::Error),
}

/// Why an index could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not an index that we wrote. `offset` is where in it the fault was seen.
    #[error("the layer's index is damaged at byte {offset}: {fault}")]
    Damaged {
        /// Where in the index.
        offset: u64,
        /// What is wrong there.
        fault: IndexFault,
    },
    /// A named limit was passed.
    #[error("{what}: more than {limit}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// By how much.
        limit: u64,
    },
    /// The index, or the tar that it speaks of, could not be read.
    #[error("the layer's index or tar cannot be read")]
    Read(#[source] io::Error),
    /// What was read could not be passed on.
    #[error("the file's content cannot be passed on")]
    Write(#[source] io::Error),
}

/// What is wrong with an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IndexFault {
    /// The magic number is not there.
    #[error("this is no index")]
    Magic,
    /// The sum over the superblock is not the recorded one.
    #[error("the checksum is wrong")]
    Checksum,
    /// The index uses a part of the format that we never write.
    #[error("a feature is used that no index has")]
    Feature,
    /// The bytes end too early.
    #[error("the index ends too early")]
    End,
    /// A number points out of the index or the tar.
    #[error("a position is out of range")]
    Range,
    /// An inode is of no known kind, or not what its place wants.
    #[error("an inode is of the wrong kind")]
    Inode,
    /// A directory's entries are not as they must be.
    #[error("a directory's entries are wrong")]
    Directory,
    /// What the index says of the tree beyond EROFS is not as it must be.
    #[error("the notes are wrong")]
    Notes,
    /// Attributes are not as they must be.
    #[error("extended attributes are wrong")]
    Xattr,
}

impl WriteError {
    /// The class of the error.
    pub fn kind(&self) -> Kind {
        match self {
            WriteError::Limit { .. } => Kind::Exhausted,
            WriteError::Read(_) | WriteError::Write(_) => Kind::Internal,
        }
    }
}

impl ReadError {
    /// The class of the error.
    pub fn kind(&self) -> Kind {
        match self {
            ReadError::Damaged { .. } => Kind::Corrupt,
            ReadError::Limit { .. } => Kind::Exhausted,
            ReadError::Read(_) | ReadError::Write(_) => Kind::Internal,
        }
    }
}
