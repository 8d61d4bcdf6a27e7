//! How many bytes files take in the protocol in which docker's client sends them: what it tells of
//! a transfer, so that `transferring context: 147B` means the same here.
//!
//! ```text
//! entry   Packet { stat: Stat { path, mode, uid, gid, size, mod_time, linkname } }
//! bytes   Packet { type: DATA, ID, data }, of 32 KiB at most, and one without data behind them
//! end     Packet { type: FIN }
//! ```
//!
//! Members are protocol buffers: a byte for the tag, then a number in groups of seven bits, or a
//! length and as many bytes. What is zero or empty is left out. A time takes nine bytes.

/// Bytes of a file in one packet.
const DATA_SIZE_BYTES_MAX: u64 = 32 << 10;
const TYPE_SIZE_BYTES: u64 = 2;
const TIME_SIZE_BYTES: u64 = 10;

/// What a file is, as far as its entry's size depends on that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentKind {
    /// A directory.
    Directory,
    /// A regular file of so many bytes.
    File(u64),
    /// A symbolic link whose text has so many bytes.
    Symlink(u64),
    /// Something else.
    Other,
}

/// Counts the bytes of one transfer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transfer {
    entries: u64,
    size_bytes: u64,
}

impl Transfer {
    /// Counts an entry; gives its number.
    pub fn entry(&mut self, path_size_bytes: u64, kind: SentKind, (uid, gid): (u32, u32)) -> u64 {
        // Go keeps kinds in the upper bits of a mode.
        let (mode, special) = match kind {
            SentKind::Directory => (1 << 31, 0),
            SentKind::File(size_bytes) => (0o400, number(size_bytes)),
            SentKind::Symlink(size_bytes) => (1 << 27, number(size_bytes) + text(size_bytes)),
            SentKind::Other => (1 << 26, 0),
        };
        let owner = number(uid.into()) + number(gid.into());
        let stat = text(path_size_bytes) + number(mode) + owner + special + TIME_SIZE_BYTES;
        self.size_bytes += text(stat);
        self.entries += 1;
        self.entries - 1
    }

    /// Counts the bytes of a file.
    pub fn data(&mut self, entry: u64, size_bytes: u64) {
        let (whole, rest) = (size_bytes / DATA_SIZE_BYTES_MAX, size_bytes % DATA_SIZE_BYTES_MAX);
        let packet = |size_bytes| TYPE_SIZE_BYTES + number(entry) + text(size_bytes);
        self.size_bytes += whole * packet(DATA_SIZE_BYTES_MAX);
        if rest > 0 {
            self.size_bytes += packet(rest);
        }
    }

    /// Counts the packet that says that a file is over.
    pub fn data_end(&mut self, entry: u64) {
        self.size_bytes += TYPE_SIZE_BYTES + number(entry);
    }

    /// Bytes of what was counted, as whoever sends it tells them.
    pub fn sent(&self) -> u64 {
        self.size_bytes
    }

    /// Bytes of what was counted and the end, as whoever takes it tells them.
    pub fn received(&self) -> u64 {
        self.size_bytes + TYPE_SIZE_BYTES
    }

    /// Bytes of a transfer of one file of root's.
    pub fn of_file(name: &str, size_bytes: u64) -> u64 {
        let mut transfer = Self::default();
        let entry = transfer.entry(name.len() as u64, SentKind::File(size_bytes), (0, 0));
        transfer.data(entry, size_bytes);
        transfer.data_end(entry);
        transfer.received()
    }
}

/// Bytes of a member that is a number.
fn number(value: u64) -> u64 {
    if value == 0 { 0 } else { 1 + groups(value) }
}

/// Bytes of a member that is so many bytes.
fn text(size_bytes: u64) -> u64 {
    if size_bytes == 0 { 0 } else { 1 + groups(size_bytes) + size_bytes }
}

/// Groups of seven bits.
fn groups(value: u64) -> u64 {
    u64::from(64 - value.leading_zeros()).div_ceil(7).max(1)
}

#[cfg(test)]
mod tests {
    use super::{SentKind, Transfer};

    #[test]
    fn transfers_take_as_many_bytes_as_docker_told_of_them() {
        assert_eq!(Transfer::default().received(), 2);
        assert_eq!(Transfer::of_file("Dockerfile", 836), 875);
        let mut context = Transfer::default();
        context.entry(3, SentKind::Directory, (0, 0));
        let files = [("dir/a.txt", 2), ("dir/b.md", 2), ("file.txt", 6)];
        let places = files.map(|(path, size_bytes)| {
            let kind = SentKind::File(size_bytes);
            (context.entry(path.len() as u64, kind, (0, 0)), size_bytes)
        });
        assert_eq!(context.received(), 107);
        for (entry, size_bytes) in places {
            context.data(entry, size_bytes);
            context.data_end(entry);
        }
        assert_eq!(context.received(), 147);
    }

    #[test]
    fn large_files_are_sent_in_pieces() {
        let mut transfer = Transfer::default();
        transfer.data(1, 2 * (32 << 10) + 1);
        assert_eq!(transfer.sent(), 2 * (2 + 2 + 4 + (32 << 10)) + (2 + 2 + 3));
    }
}
