//! Reading and writing tar.
//!
//! [`Parser`] is the one strict parser of the product: it takes bytes in pieces of any size, opens
//! nothing, and tells of each entry what it is and where in the tar its data lies. [`Reader`]
//! wraps it around a [`std::io::Read`] for archives; [`crate::layer::LayerParser`] builds a
//! layer's tree with it. [`Writer`] makes tars whose bytes depend on nothing but what it is given.
//!
//! Understood are the seventh edition's headers, ustar, GNU (long names, base-256 numbers, sparse
//! files) and PAX (records for one entry and for all, extended attributes, sparse files 0.0, 0.1
//! and 1.0). Where programs disagree on what a tar means, Go's `archive/tar`, and so Docker, is
//! followed; what could be read in two ways is refused.
//!
//! # Invariants
//!
//! 1. A path that comes out is relative to the root and has no empty part, `.` or `..`.
//! 2. What comes out does not depend on how the bytes were cut into pieces.
//! 3. No input makes the parser panic or hold more than a few MiB.

mod header;
mod parser;
mod path;
mod pax;
mod reader;
mod writer;

pub use parser::{Event, Parser};
pub(crate) use path::lossy;
pub use reader::{Member, Reader};
pub use writer::{NewEntry, Writer};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// Another name of a file.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A socket, known by the type bits in its mode. There is nothing that it could become.
    Socket,
}

/// A point in time: seconds since 1970, and nanoseconds that have passed since then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time {
    /// Seconds; negative before 1970.
    pub seconds: i64,
    /// Below one thousand million.
    pub nanoseconds: u32,
}

/// A device's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Device {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

/// A piece of a sparse file that is not a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Where in the file it begins.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
}

/// An extended attribute: name and value, both any bytes.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// An entry of a tar, with everything that extension headers say worked in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The path below the root, without leading and trailing slash. The root itself is empty.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// The lower twelve bits of the mode.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When the content last changed.
    pub mtime: Time,
    /// A symbolic link's text as it stands; a hard link's target as a path below the root.
    pub link_target: Vec<u8>,
    /// A device's numbers.
    pub device: Device,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<Xattr>,
    /// Bytes of the file; for a sparse one, holes included.
    pub size: u64,
    /// Where in the uncompressed tar the data begins.
    pub data_offset: u64,
    /// Bytes of data in the tar, without padding.
    pub stored_size: u64,
    /// Of a sparse file, what the stored bytes are: these regions one after the other.
    pub sparse: Option<Vec<Region>>,
}
