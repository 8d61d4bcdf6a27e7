//! The structures on the disk: what the kernel's `fs/erofs/erofs_fs.h` says, as far as we use it.

use super::IndexFault;
use crate::tar::{Device, Time};

/// Inodes begin at multiples of this; their numbers count it.
pub(super) const SLOT_SIZE: u64 = 32;
pub(super) const INODE_COMPACT_SIZE: u64 = 32;
pub(super) const INODE_EXTENDED_SIZE: u64 = 64;
pub(super) const DIRENT_SIZE: usize = 12;
pub(super) const XATTR_HEADER_SIZE: u64 = 12;
/// In a map of chunks: nothing is stored, all bytes are zero.
pub(super) const HOLE: u32 = u32::MAX;
/// A chunk's size is a block's, shifted left by at most this.
pub(super) const CHUNK_BITS_MAX: u32 = 31;

pub(super) const SUPERBLOCK_AT: u64 = 1024;
const SUPERBLOCK_SIZE: usize = 128;
const DEVICE_SLOT_SIZE: usize = 128;
/// Superblock and device slot, the part of the image that they are in being read at once.
pub(super) const HEAD_SIZE: usize = SUPERBLOCK_SIZE + DEVICE_SLOT_SIZE;
const MAGIC: u32 = 0xe0f5_e1e2;
/// The superblock has a checksum; extended inodes have times of last change.
const COMPATIBLE: u32 = 1 | 2;
const CHUNKED_FILES: u32 = 4;
const DEVICE_TABLE: u32 = 8;

const KIND_MASK: u16 = 0o170_000;

/// The unit in which an index places data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockSize {
    /// 512 bytes, as in a tar. Linux mounts it since 6.4.
    Tar,
    /// 4,096 bytes. Nearly all data is copied into the index; for comparing with programs that
    /// know no other size.
    Page,
}

impl BlockSize {
    pub(super) const fn bits(self) -> u32 {
        match self {
            Self::Tar => 9,
            Self::Page => 12,
        }
    }

    pub(super) const fn bytes(self) -> u64 {
        1 << self.bits()
    }

    /// The block behind superblock and device slot, where inodes begin.
    pub(super) const fn first_free(self) -> u64 {
        (SUPERBLOCK_AT + HEAD_SIZE as u64).div_ceil(self.bytes())
    }
}

/// What is said once for the whole image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Superblock {
    pub(super) block_size: BlockSize,
    pub(super) has_chunked_files: bool,
    /// Whether there is a tar to be mounted with it.
    pub(super) has_tar: bool,
    pub(super) root: u16,
    pub(super) inodes: u64,
    /// The time of all compact inodes.
    pub(super) epoch: Time,
    /// Blocks of the index. Those of the tar are numbered from here on.
    pub(super) blocks: u32,
    pub(super) tar_blocks: u32,
    pub(super) xattr_block: u32,
    pub(super) uuid: [u8; 16],
}

impl Superblock {
    /// The bytes from [`SUPERBLOCK_AT`] to the first inode.
    pub(super) fn encode(&self) -> Vec<u8> {
        let inodes_at = self.block_size.first_free() * self.block_size.bytes();
        let mut bytes = vec![0; (inodes_at - SUPERBLOCK_AT) as usize];
        let incompatible = if self.has_tar { DEVICE_TABLE } else { 0 }
            | if self.has_chunked_files { CHUNKED_FILES } else { 0 };
        put_u32(&mut bytes, 0, MAGIC);
        put_u32(&mut bytes, 8, COMPATIBLE);
        bytes[12] = self.block_size.bits() as u8;
        put_u16(&mut bytes, 14, self.root);
        put_u64(&mut bytes, 16, self.inodes);
        put_u64(&mut bytes, 24, self.epoch.seconds as u64);
        put_u32(&mut bytes, 32, self.epoch.nanoseconds);
        put_u32(&mut bytes, 36, self.blocks);
        put_u32(&mut bytes, 40, self.block_size.first_free() as u32);
        put_u32(&mut bytes, 44, self.xattr_block);
        bytes[48..64].copy_from_slice(&self.uuid);
        put_u32(&mut bytes, 80, incompatible);
        if self.has_tar {
            let slot = (SUPERBLOCK_AT as usize + SUPERBLOCK_SIZE) / DEVICE_SLOT_SIZE;
            put_u16(&mut bytes, 86, 1);
            put_u16(&mut bytes, 88, slot as u16);
            put_u32(&mut bytes, SUPERBLOCK_SIZE + 64, self.tar_blocks);
            put_u32(&mut bytes, SUPERBLOCK_SIZE + 68, self.blocks);
        }
        let sum = checksum(&bytes);
        put_u32(&mut bytes, 4, sum);
        bytes
    }

    /// The size of the part of the image that [`Self::decode`] wants, from its first bytes.
    pub(super) fn encoded_size(head: &[u8; HEAD_SIZE]) -> Result<usize, IndexFault> {
        if get_u32(head, 0) != MAGIC {
            return Err(IndexFault::Magic);
        }
        let block_size = block_size(head[12])?;
        Ok((block_size.first_free() * block_size.bytes() - SUPERBLOCK_AT) as usize)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, IndexFault> {
        let mut summed = bytes.to_vec();
        put_u32(&mut summed, 4, 0);
        if checksum(&summed) != get_u32(bytes, 4) {
            return Err(IndexFault::Checksum);
        }
        let incompatible = get_u32(bytes, 80);
        let superblock = Self {
            block_size: block_size(bytes[12])?,
            has_chunked_files: incompatible & CHUNKED_FILES != 0,
            has_tar: incompatible & DEVICE_TABLE != 0,
            root: get_u16(bytes, 14),
            inodes: get_u64(bytes, 16),
            epoch: Time { seconds: get_u64(bytes, 24) as i64, nanoseconds: get_u32(bytes, 32) },
            blocks: get_u32(bytes, 36),
            tar_blocks: get_u32(bytes, SUPERBLOCK_SIZE + 64),
            xattr_block: get_u32(bytes, 44),
            uuid: bytes[48..64].try_into().expect("16 bytes"),
        };
        // Whatever else it says, it is not ours.
        if superblock.encode() != bytes {
            return Err(IndexFault::Feature);
        }
        if superblock.blocks.checked_add(superblock.tar_blocks).is_none() {
            return Err(IndexFault::Range);
        }
        Ok(superblock)
    }
}

fn block_size(bits: u8) -> Result<BlockSize, IndexFault> {
    [BlockSize::Tar, BlockSize::Page]
        .into_iter()
        .find(|size| size.bits() == u32::from(bits))
        .ok_or(IndexFault::Feature)
}

/// CRC-32C without the final complement, as EROFS has it.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            sum >> 1 ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    })
}

/// How an inode's bytes are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataLayout {
    /// In one run of blocks.
    Plain = 0,
    /// Whole blocks in one run, the rest behind the inode.
    Inline = 2,
    /// Through a map behind the inode.
    Chunks = 4,
}

/// An inode as it lies on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawInode {
    pub(super) layout: DataLayout,
    /// Size of the attributes behind it: 0, or 12 and a multiple of 4.
    pub(super) xattrs_size: u64,
    /// With the bits of the file's kind.
    pub(super) mode: u16,
    pub(super) size: u64,
    /// The first block, the bits of a chunk's size, or a device's numbers.
    pub(super) union: u32,
    pub(super) serial: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Time,
    pub(super) links: u32,
}

impl RawInode {
    /// Bytes that it takes, without what is behind it.
    pub(super) fn encoded_size(&self, epoch: Time) -> u64 {
        let is_small = u32::try_from(self.size).is_ok()
            && [self.uid, self.gid, self.links].iter().all(|&id| u16::try_from(id).is_ok());
        if is_small && self.mtime == epoch { INODE_COMPACT_SIZE } else { INODE_EXTENDED_SIZE }
    }

    /// `bytes` are zero; returned are those that were needed.
    pub(super) fn encode<'b>(
        &self,
        epoch: Time,
        bytes: &'b mut [u8; INODE_EXTENDED_SIZE as usize],
    ) -> &'b [u8] {
        let size = self.encoded_size(epoch);
        let is_extended = size == INODE_EXTENDED_SIZE;
        put_u16(bytes, 0, u16::from(is_extended) | (self.layout as u16) << 1);
        let units = match self.xattrs_size {
            0 => 0,
            size => (size - XATTR_HEADER_SIZE) / 4 + 1,
        };
        put_u16(bytes, 2, units as u16);
        put_u16(bytes, 4, self.mode);
        put_u32(bytes, 16, self.union);
        put_u32(bytes, 20, self.serial);
        if is_extended {
            put_u64(bytes, 8, self.size);
            put_u32(bytes, 24, self.uid);
            put_u32(bytes, 28, self.gid);
            put_u64(bytes, 32, self.mtime.seconds as u64);
            put_u32(bytes, 40, self.mtime.nanoseconds);
            put_u32(bytes, 44, self.links);
        } else {
            put_u16(bytes, 6, self.links as u16);
            put_u32(bytes, 8, self.size as u32);
            put_u16(bytes, 24, self.uid as u16);
            put_u16(bytes, 26, self.gid as u16);
        }
        &bytes[..size as usize]
    }

    /// Whether the inode that begins with these two bytes is extended.
    pub(super) fn is_extended(format: [u8; 2]) -> bool {
        format[0] & 1 == 1
    }

    /// `bytes` are as many as [`Self::is_extended`] says.
    pub(super) fn decode(bytes: &[u8], epoch: Time) -> Result<Self, IndexFault> {
        let layout = match get_u16(bytes, 0) >> 1 {
            0 => DataLayout::Plain,
            2 => DataLayout::Inline,
            4 => DataLayout::Chunks,
            _ => return Err(IndexFault::Feature),
        };
        let is_extended = bytes.len() as u64 == INODE_EXTENDED_SIZE;
        let xattrs_size = match get_u16(bytes, 2) {
            0 => 0,
            units => XATTR_HEADER_SIZE + 4 * (u64::from(units) - 1),
        };
        let mtime = || Time { seconds: get_u64(bytes, 32) as i64, nanoseconds: get_u32(bytes, 40) };
        let short = |at| u32::from(get_u16(bytes, at));
        Ok(Self {
            layout,
            xattrs_size,
            mode: get_u16(bytes, 4),
            size: if is_extended { get_u64(bytes, 8) } else { u64::from(get_u32(bytes, 8)) },
            union: get_u32(bytes, 16),
            serial: get_u32(bytes, 20),
            uid: if is_extended { get_u32(bytes, 24) } else { short(24) },
            gid: if is_extended { get_u32(bytes, 28) } else { short(26) },
            mtime: if is_extended { mtime() } else { epoch },
            links: if is_extended { get_u32(bytes, 44) } else { short(6) },
        })
    }

    pub(super) fn kind(&self) -> Option<RawKind> {
        RawKind::ALL.into_iter().find(|kind| kind.mode() == self.mode & KIND_MASK)
    }
}

/// The kinds of files, with the numbers that directory entries give them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RawKind {
    File = 1,
    Directory = 2,
    CharacterDevice = 3,
    BlockDevice = 4,
    Fifo = 5,
    Symlink = 7,
}

impl RawKind {
    const ALL: [Self; 6] = [
        Self::File,
        Self::Directory,
        Self::CharacterDevice,
        Self::BlockDevice,
        Self::Fifo,
        Self::Symlink,
    ];

    pub(super) const fn mode(self) -> u16 {
        match self {
            Self::File => 0o100_000,
            Self::Directory => 0o040_000,
            Self::CharacterDevice => 0o020_000,
            Self::BlockDevice => 0o060_000,
            Self::Fifo => 0o010_000,
            Self::Symlink => 0o120_000,
        }
    }

    pub(super) fn of_dirent(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// As the kernel packs a device's numbers. Bits that it has no room for are lost, as in `mknod`.
pub(super) const fn encode_device(device: Device) -> u32 {
    (device.major & 0xfff) << 8 | device.minor & 0xff | (device.minor & 0xf_ff00) << 12
}

pub(super) const fn decode_device(device: u32) -> Device {
    Device { major: device >> 8 & 0xfff, minor: device & 0xff | device >> 12 & 0xf_ff00 }
}

pub(super) fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

pub(super) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

pub(super) fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

pub(super) fn get_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn get_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

pub(super) fn get_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}
