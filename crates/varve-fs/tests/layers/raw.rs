//! Tars made by hand, header by header, right and wrong ones.

use std::ops::Range;

pub(crate) const NAME: Range<usize> = 0..100;
pub(crate) const MODE: Range<usize> = 100..108;
pub(crate) const UID: Range<usize> = 108..116;
pub(crate) const SIZE: Range<usize> = 124..136;
pub(crate) const MTIME: Range<usize> = 136..148;
pub(crate) const LINK: Range<usize> = 157..257;
pub(crate) const MAGIC: Range<usize> = 257..265;
/// Both numbers of a device.
pub(crate) const DEVICE: Range<usize> = 329..345;
pub(crate) const PREFIX: Range<usize> = 345..500;

/// A tar that grows.
#[derive(Default)]
pub(crate) struct Raw(pub(crate) Vec<u8>);

impl Raw {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A ustar header.
    pub(crate) fn header(self, name: &str, type_flag: u8, size: u64) -> Self {
        self.header_with(name, type_flag, size, &[])
    }

    /// A ustar header with fields overwritten.
    pub(crate) fn header_with(
        mut self,
        name: &str,
        type_flag: u8,
        size: u64,
        fields: &[(Range<usize>, &[u8])],
    ) -> Self {
        let mut block = [0; 512];
        block[NAME][..name.len()].copy_from_slice(name.as_bytes());
        block[MODE].copy_from_slice(b"0000644\0");
        block[UID].copy_from_slice(b"0000000\0");
        block[116..124].copy_from_slice(b"0000000\0");
        block[SIZE].copy_from_slice(format!("{size:011o}\0").as_bytes());
        block[MTIME].copy_from_slice(b"00000000001\0");
        block[156] = type_flag;
        block[MAGIC].copy_from_slice(b"ustar\x0000");
        for (field, bytes) in fields {
            block[field.clone()][..bytes.len()].copy_from_slice(bytes);
        }
        self.0.extend_from_slice(&seal(block));
        self
    }

    /// Data, padded with zeros.
    pub(crate) fn data(self, bytes: &[u8]) -> Self {
        self.data_padded_with(bytes, 0)
    }

    pub(crate) fn data_padded_with(mut self, bytes: &[u8], padding: u8) -> Self {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), padding);
        self
    }

    pub(crate) fn file(self, name: &str, bytes: &[u8]) -> Self {
        self.header(name, b'0', bytes.len() as u64).data(bytes)
    }

    pub(crate) fn directory(self, name: &str) -> Self {
        self.header_with(name, b'5', 0, &[(MODE, b"0000755\0")])
    }

    pub(crate) fn link(self, type_flag: u8, name: &str, target: &str) -> Self {
        self.header_with(name, type_flag, 0, &[(LINK, target.as_bytes())])
    }

    /// An extension header with this text.
    pub(crate) fn extension(self, type_flag: u8, text: &[u8]) -> Self {
        self.header("././@LongLink", type_flag, text.len() as u64).data(text)
    }

    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        self.extension(b'x', &pax_records(records))
    }

    pub(crate) fn global(self, records: &[(&str, &[u8])]) -> Self {
        self.extension(b'g', &pax_records(records))
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The end marker.
    pub(crate) fn end(self) -> Vec<u8> {
        self.bytes(&[0; 1024]).0
    }
}

pub(crate) fn pax_records(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut text = Vec::new();
    for (keyword, value) in records {
        let rest = keyword.len() + value.len() + 3;
        let length =
            (rest..rest + 20).find(|length| *length == rest + length.to_string().len()).unwrap();
        text.extend_from_slice(format!("{length} {keyword}=").as_bytes());
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    text
}

/// Writes the checksum.
pub(crate) fn seal(mut block: [u8; 512]) -> [u8; 512] {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
