//! Tar files to order: the plainest ustar there is, written apart from the product's own code.

const BLOCK_SIZE_BYTES: usize = 512;

/// A tar being written.
#[derive(Debug, Default)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    pub(crate) fn directory(&mut self, path: &str) {
        self.header(&format!("{path}/"), b'5', 0o755, 0);
    }

    pub(crate) fn file(&mut self, path: &str, bytes: &[u8]) {
        self.header(path, b'0', 0o644, bytes.len());
        self.0.extend_from_slice(bytes);
        self.pad();
    }

    fn header(&mut self, path: &str, kind: u8, mode: u32, size_bytes: usize) {
        assert!(path.len() <= 100, "no long names here");
        let mut block = [0; BLOCK_SIZE_BYTES];
        let mut put =
            |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, path);
        put(100, &format!("{mode:07o}"));
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{size_bytes:011o}"));
        put(136, &format!("{:011o}", 1_700_000_000));
        put(148, "        ");
        put(257, "ustar");
        put(263, "00");
        block[156] = kind;
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(BLOCK_SIZE_BYTES), 0);
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK_SIZE_BYTES, 0);
        self.0
    }
}
