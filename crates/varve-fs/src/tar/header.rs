//! One block of 512 bytes: where its fields are and how their numbers are written.
//!
//! Three dialects share the layout up to byte 257: the seventh edition's, POSIX ustar (with a
//! prefix for the name) and GNU (with times, or a sparse map, where ustar has the prefix).

use std::{borrow::Cow, ops::Range};

use crate::layer::HeaderFault;

/// Bytes of one block.
pub(super) const BLOCK_SIZE_BYTES: usize = 512;

pub(super) const NAME: Range<usize> = 0..100;
pub(super) const MODE: Range<usize> = 100..108;
pub(super) const UID: Range<usize> = 108..116;
pub(super) const GID: Range<usize> = 116..124;
pub(super) const SIZE: Range<usize> = 124..136;
pub(super) const MTIME: Range<usize> = 136..148;
pub(super) const CHECKSUM: Range<usize> = 148..156;
pub(super) const TYPE: usize = 156;
pub(super) const LINK_NAME: Range<usize> = 157..257;
pub(super) const MAGIC: Range<usize> = 257..265;
pub(super) const DEVICE_MAJOR: Range<usize> = 329..337;
pub(super) const DEVICE_MINOR: Range<usize> = 337..345;
pub(super) const PREFIX: Range<usize> = 345..500;
/// In the dialect of `star` the prefix ends here and two times follow.
const STAR_PREFIX: Range<usize> = 345..476;
const STAR_TRAILER: Range<usize> = 508..512;
const GNU_ACCESS_TIME: Range<usize> = 345..357;
const GNU_SPARSE: Range<usize> = 386..482;
const GNU_IS_EXTENDED: usize = 482;
const GNU_REAL_SIZE: Range<usize> = 483..495;
const GNU_MORE_SPARSE: Range<usize> = 0..504;
const GNU_MORE_IS_EXTENDED: usize = 504;

/// A block of a tar.
pub(super) type Block = [u8; BLOCK_SIZE_BYTES];

/// A header whose checksum is right.
pub(super) struct Header<'a>(&'a Block);

#[derive(PartialEq, Eq)]
enum Dialect {
    SeventhEdition,
    Ustar,
    Star,
    Gnu,
}

impl<'a> Header<'a> {
    /// Verifies the checksum.
    pub(super) fn parse(block: &'a Block) -> Result<Self, HeaderFault> {
        let recorded = octal(&block[CHECKSUM]).ok_or(HeaderFault::Checksum)?;
        // Some old programs summed signed bytes.
        let is_right = recorded == checksum(block)
            || i64::try_from(recorded).is_ok_and(|recorded| recorded == signed_checksum(block));
        if is_right { Ok(Self(block)) } else { Err(HeaderFault::Checksum) }
    }

    fn dialect(&self) -> Dialect {
        match &self.0[MAGIC] {
            b"ustar  \0" => Dialect::Gnu,
            magic if magic.starts_with(b"ustar\0") => {
                if &self.0[STAR_TRAILER] == b"tar\0" {
                    Dialect::Star
                } else {
                    Dialect::Ustar
                }
            }
            _ => Dialect::SeventhEdition,
        }
    }

    pub(super) fn type_flag(&self) -> u8 {
        self.0[TYPE]
    }

    /// The name with its prefix.
    pub(super) fn path(&self) -> Cow<'a, [u8]> {
        let name = text(&self.0[NAME]);
        let prefix = match self.dialect() {
            Dialect::Ustar => text(&self.0[PREFIX]),
            Dialect::Star => text(&self.0[STAR_PREFIX]),
            // Go before 1.8, and so Docker then, wrote a prefix into GNU headers, where there is
            // none. What cannot be a time and is plain text is such a prefix.
            Dialect::Gnu if number(&self.0[GNU_ACCESS_TIME]).is_none() => {
                let prefix = text(&self.0[PREFIX]);
                if prefix.is_ascii() { prefix } else { b"" }
            }
            Dialect::Gnu | Dialect::SeventhEdition => b"",
        };
        if prefix.is_empty() { name.into() } else { [prefix, b"/", name].concat().into() }
    }

    pub(super) fn link_name(&self) -> &[u8] {
        text(&self.0[LINK_NAME])
    }

    pub(super) fn mode(&self) -> Result<u32, HeaderFault> {
        self.unsigned(MODE, "mode")
    }

    pub(super) fn uid(&self) -> Result<u32, HeaderFault> {
        self.unsigned(UID, "uid")
    }

    pub(super) fn gid(&self) -> Result<u32, HeaderFault> {
        self.unsigned(GID, "gid")
    }

    pub(super) fn size(&self) -> Result<u64, HeaderFault> {
        size(&self.0[SIZE]).ok_or(HeaderFault::Number("size"))
    }

    /// Seconds; negative before 1970.
    pub(super) fn mtime(&self) -> Result<i64, HeaderFault> {
        number(&self.0[MTIME]).ok_or(HeaderFault::Number("mtime"))
    }

    pub(super) fn device(&self) -> Result<(u32, u32), HeaderFault> {
        if self.dialect() == Dialect::SeventhEdition {
            return Ok((0, 0));
        }
        Ok((self.unsigned(DEVICE_MAJOR, "devmajor")?, self.unsigned(DEVICE_MINOR, "devminor")?))
    }

    fn unsigned(&self, field: Range<usize>, name: &'static str) -> Result<u32, HeaderFault> {
        number(&self.0[field])
            .and_then(|value| u32::try_from(value).ok())
            .ok_or(HeaderFault::Number(name))
    }

    /// The part of a sparse map that is in a header of type `S`, the size of the whole file, and
    /// whether a block with more of the map follows.
    pub(super) fn gnu_sparse(&self, map: &mut Vec<(u64, u64)>) -> Result<(u64, bool), HeaderFault> {
        if self.dialect() != Dialect::Gnu {
            return Err(HeaderFault::Sparse);
        }
        read_sparse_slots(&self.0[GNU_SPARSE], map)?;
        let real_size = size(&self.0[GNU_REAL_SIZE]).ok_or(HeaderFault::Number("realsize"))?;
        Ok((real_size, self.0[GNU_IS_EXTENDED] != 0))
    }
}

/// The part of a sparse map that is in a block of its own; whether another one follows.
pub(super) fn more_gnu_sparse(
    block: &Block,
    map: &mut Vec<(u64, u64)>,
) -> Result<bool, HeaderFault> {
    read_sparse_slots(&block[GNU_MORE_SPARSE], map)?;
    Ok(block[GNU_MORE_IS_EXTENDED] != 0)
}

fn read_sparse_slots(slots: &[u8], map: &mut Vec<(u64, u64)>) -> Result<(), HeaderFault> {
    for slot in slots.chunks_exact(24) {
        if slot[0] == 0 {
            break;
        }
        let offset = size(&slot[..12]).ok_or(HeaderFault::Sparse)?;
        let length = size(&slot[12..]).ok_or(HeaderFault::Sparse)?;
        map.push((offset, length));
    }
    Ok(())
}

/// The sum over a header's bytes, its own field counted as spaces.
pub(super) fn checksum(block: &Block) -> u64 {
    // Sixteen sums side by side, none of which can become too large: the compiler makes one
    // instruction of each line of them.
    let mut sums = [0_u16; 16];
    for bytes in block.as_chunks::<16>().0 {
        for (sum, &byte) in sums.iter_mut().zip(bytes) {
            *sum += u16::from(byte);
        }
    }
    let sum: u64 = sums.iter().map(|&sum| u64::from(sum)).sum();
    let own: u64 = block[CHECKSUM].iter().map(|&byte| u64::from(byte)).sum();
    sum - own + CHECKSUM.len() as u64 * u64::from(b' ')
}

/// The same of signed bytes.
fn signed_checksum(block: &Block) -> i64 {
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| i64::from(byte as i8)).sum::<i64>();
    sum(block) - sum(&block[CHECKSUM]) + CHECKSUM.len() as i64 * i64::from(b' ')
}

/// Whether all bytes are zero. Most often they are, so each is looked at.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<16>();
    let all = chunks.iter().fold(0, |all, chunk| all | u128::from_ne_bytes(*chunk));
    rest.iter().fold(all, |all, &byte| all | u128::from(byte)) == 0
}

/// The bytes before the first zero.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or(field)
}

fn size(field: &[u8]) -> Option<u64> {
    number(field).and_then(|value| u64::try_from(value).ok())
}

/// A number in octal digits, or in base 256 where the first bit is set: two's complement in the
/// remaining bits, big end first.
fn number(field: &[u8]) -> Option<i64> {
    if field.first()? & 0x80 == 0 {
        return octal(field).and_then(|value| i64::try_from(value).ok());
    }
    let negative = field[0] & 0x40 != 0;
    let first = if negative { field[0] } else { field[0] & 0x7f };
    let mut value: i64 = if negative { -1 } else { 0 };
    for byte in std::iter::once(first).chain(field[1..].iter().copied()) {
        value = value.checked_mul(256)?.checked_add(i64::from(byte))?;
    }
    Some(value)
}

/// Octal digits between spaces and zero bytes; nothing at all is zero.
fn octal(field: &[u8]) -> Option<u64> {
    usual_octal(field).or_else(|| any_octal(field))
}

/// The same of fields of 8 or 12 bytes that begin with digits and are filled with them, as nearly
/// all are; `None` for others.
fn usual_octal(field: &[u8]) -> Option<u64> {
    if let Ok(field) = field.try_into() {
        return digits(field).map(|(value, _)| value);
    }
    let (&[a, b, c, d], rest) = field.split_first_chunk()?;
    let (front, 8) = digits([b'0', b'0', b'0', b'0', a, b, c, d])? else { return None };
    let (back, count) = digits(rest.try_into().ok()?)?;
    Some(front << (3 * count) | back)
}

fn any_octal(field: &[u8]) -> Option<u64> {
    let is_padding = |byte: &u8| *byte == b' ' || *byte == 0;
    let start = field.iter().position(|byte| !is_padding(byte)).unwrap_or(field.len());
    let mut value = 0_u64;
    for (at, &byte) in field.iter().enumerate().skip(start) {
        match byte {
            b'0'..=b'7' if value >> 61 == 0 => value = value << 3 | u64::from(byte & 7),
            // Behind the digits there is white space at most, up to the first zero byte.
            _ => return text(&field[at..]).trim_ascii().is_empty().then_some(value),
        }
    }
    Some(value)
}

/// Eight bytes that are octal digits but for two spaces or zero bytes at most at their end: the
/// number and how many digits it has. All of them are looked at together.
fn digits(bytes: [u8; 8]) -> Option<(u64, u32)> {
    let is_end = |byte: u8| byte == b' ' || byte == 0;
    let behind = match (is_end(bytes[6]), is_end(bytes[7])) {
        (true, true) => 2,
        (_, is_end) => u32::from(is_end),
    };
    let word = (u64::from_be_bytes(bytes) ^ u64::from_be_bytes([b'0'; 8])) >> (8 * behind);
    if word & !u64::from_be_bytes([7; 8]) != 0 {
        return None;
    }
    // Neighbours become one number: of six bits, of twelve, of twenty-four.
    let word = word & 0x0007_0007_0007_0007 | (word >> 8 & 0x0007_0007_0007_0007) << 3;
    let word = word & 0x3f_0000_003f | (word >> 16 & 0x3f_0000_003f) << 6;
    Some((word & 0xfff | (word >> 32) << 12, 8 - behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_every_tar_writes_them() {
        let cases: [(&[u8], Option<i64>); 14] = [
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"00000000017", Some(0o17)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"0000648\0", None),
            (b"-000001\0", None),
            (b"+000001\0", None),
            (b"77777777777777777777777777", None),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\x80\0\0\0\0\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
        ];
        for (field, expected) in cases {
            assert_eq!(number(field), expected, "{}", field.escape_ascii());
        }
    }

    /// All fields of four kinds of bytes, alone and with digits before or behind them.
    #[test]
    fn the_quick_way_to_read_a_number_never_differs_from_the_other() {
        let mut taken = 0;
        for number in 0..4_usize.pow(8) {
            let byte = |place: usize| b"1\0 8"[number >> (2 * place) & 3];
            let field: [u8; 8] = std::array::from_fn(byte);
            let fields =
                [&field[..], &[&field[..], b"7654"].concat(), &[b"7654", &field[..]].concat()];
            for field in fields {
                if let Some(value) = usual_octal(field) {
                    assert_eq!(Some(value), any_octal(field), "{}", field.escape_ascii());
                    taken += 1;
                }
            }
        }
        assert!(taken > 10, "{taken}");
        assert_eq!(usual_octal(b"0000644\0"), Some(0o644));
        assert_eq!(usual_octal(b"76543210"), Some(0o76_543_210));
        assert_eq!(usual_octal(b"14567234560\0"), Some(0o14_567_234_560));
    }

    #[test]
    fn the_largest_and_smallest_base_256_numbers_survive() {
        let mut field = [0; 12];
        field[4..].copy_from_slice(&i64::MAX.to_be_bytes());
        field[0] = 0x80;
        assert_eq!(number(&field), Some(i64::MAX));
        let mut field = [0xff; 12];
        field[4..].copy_from_slice(&i64::MIN.to_be_bytes());
        assert_eq!(number(&field), Some(i64::MIN));
    }
}
