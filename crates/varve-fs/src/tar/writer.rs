//! Writing tar: the same entries give the same bytes.

use std::io::{self, BufRead, Read, Write};

use super::{
    Device, EntryKind, Time, Xattr,
    header::{
        self, BLOCK_SIZE_BYTES, Block, CHECKSUM, DEVICE_MAJOR, DEVICE_MINOR, GID, LINK_NAME, MAGIC,
        MODE, MTIME, NAME, PREFIX, SIZE, TYPE, UID,
    },
};

/// An entry to be written. Nothing is looked up anywhere: no owner names, no files, no times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry<'a> {
    /// The path, any bytes; a directory's gets its slash by itself.
    pub path: &'a [u8],
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
    /// The target of a link.
    pub link_target: &'a [u8],
    /// A device's numbers.
    pub device: Device,
    /// Extended attributes; written in the order of their names.
    pub xattrs: &'a [Xattr],
    /// Bytes of a file.
    pub size: u64,
}

impl<'a> NewEntry<'a> {
    /// A file that all may read, of the year 1970, root's.
    pub fn file(path: &'a [u8], size: u64) -> Self {
        Self { mode: 0o644, size, ..Self::new(path, EntryKind::File) }
    }

    /// A directory that all may enter.
    pub fn directory(path: &'a [u8]) -> Self {
        Self { mode: 0o755, ..Self::new(path, EntryKind::Directory) }
    }

    /// A symbolic link.
    pub fn symlink(path: &'a [u8], target: &'a [u8]) -> Self {
        Self { mode: 0o777, link_target: target, ..Self::new(path, EntryKind::Symlink) }
    }

    /// Another name for a file that was written before.
    pub fn hard_link(path: &'a [u8], target: &'a [u8]) -> Self {
        Self { mode: 0o644, link_target: target, ..Self::new(path, EntryKind::HardLink) }
    }

    fn new(path: &'a [u8], kind: EntryKind) -> Self {
        Self {
            path,
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            link_target: b"",
            device: Device::default(),
            xattrs: &[],
            size: 0,
        }
    }
}

/// Writes a tar: ustar where an entry fits into it, with a PAX header in front where not.
#[derive(Debug)]
pub struct Writer<W> {
    target: W,
}

impl<W: Write> Writer<W> {
    /// Starts a tar.
    pub fn new(target: W) -> Self {
        Self { target }
    }

    /// Writes an entry whose data, `entry.size` bytes, comes from `data`. Fewer are an error of
    /// kind `UnexpectedEof`; more are left where they are.
    pub fn append(&mut self, entry: &NewEntry, data: &mut dyn Read) -> io::Result<()> {
        self.write_headers(entry)?;
        let written = io::copy(&mut data.take(entry.size), &mut self.target)?;
        if written != entry.size {
            return Err(ended(written, entry.size));
        }
        self.pad(entry.size)
    }

    /// Like [`append`](Self::append) for a source that has buffers of its own: large ones are passed
    /// on as they are.
    pub fn append_buffered(&mut self, entry: &NewEntry, data: &mut dyn BufRead) -> io::Result<()> {
        self.write_headers(entry)?;
        let mut written = 0;
        while written < entry.size {
            let bytes = match data.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                filled => filled?,
            };
            let count = (bytes.len() as u64).min(entry.size - written);
            if count == 0 {
                return Err(ended(written, entry.size));
            }
            self.target.write_all(&bytes[..count as usize])?;
            data.consume(count as usize);
            written += count;
        }
        self.pad(entry.size)
    }

    /// Writes an entry whose data is at hand.
    pub fn append_bytes(&mut self, entry: &NewEntry, mut data: &[u8]) -> io::Result<()> {
        self.append(entry, &mut data)
    }

    /// Writes the end marker and gives the target back.
    pub fn finish(mut self) -> io::Result<W> {
        self.target.write_all(&[0; 2 * BLOCK_SIZE_BYTES])?;
        self.target.flush()?;
        Ok(self.target)
    }

    fn write_headers(&mut self, entry: &NewEntry) -> io::Result<()> {
        let type_flag = match entry.kind {
            EntryKind::File => b'0',
            EntryKind::HardLink => b'1',
            EntryKind::Symlink => b'2',
            EntryKind::CharacterDevice => b'3',
            EntryKind::BlockDevice => b'4',
            EntryKind::Directory => b'5',
            EntryKind::Fifo => b'6',
            EntryKind::Socket => return Err(refused("a socket cannot be written to a tar")),
        };
        if entry.kind != EntryKind::File && entry.size != 0 {
            return Err(refused("only a file has data"));
        }
        if entry.path.contains(&0) || entry.link_target.contains(&0) {
            return Err(refused("a name contains a zero byte"));
        }
        let mut path = entry.path.to_vec();
        if entry.kind == EntryKind::Directory && !path.ends_with(b"/") {
            path.push(b'/');
        }
        let (block, records) = ustar(entry, &path, type_flag)?;
        if !records.is_empty() {
            let mut extension = new_block(b'x', 0o644);
            put_text(&mut extension, NAME, &extension_name(&path));
            put_number(&mut extension, SIZE, records.len() as u64)?;
            seal(&mut extension);
            self.target.write_all(&extension)?;
            self.target.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        self.target.write_all(&block)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let padding = size.next_multiple_of(BLOCK_SIZE_BYTES as u64) - size;
        self.target.write_all(&[0; BLOCK_SIZE_BYTES][..padding as usize])
    }
}

/// An entry's header, and the PAX records for what does not fit into it.
fn ustar(entry: &NewEntry, path: &[u8], type_flag: u8) -> io::Result<(Block, Vec<u8>)> {
    let mut block = new_block(type_flag, entry.mode & 0o7777);
    let mut records = Vec::new();
    if !put_path(&mut block, path) {
        put_text(&mut block, NAME, &path[..NAME.len().min(path.len())]);
        put_record(&mut records, b"path", path);
    }
    put_text(&mut block, LINK_NAME, &entry.link_target[..entry.link_target.len().min(100)]);
    if entry.link_target.len() > LINK_NAME.len() {
        put_record(&mut records, b"linkpath", entry.link_target);
    }
    for (field, name, value) in [
        (UID, "uid", u64::from(entry.uid)),
        (GID, "gid", u64::from(entry.gid)),
        (SIZE, "size", entry.size),
    ] {
        if put_number(&mut block, field.clone(), value).is_err() {
            put_number(&mut block, field, 0)?;
            put_record(&mut records, name.as_bytes(), value.to_string().as_bytes());
        }
    }
    let seconds = u64::try_from(entry.mtime.seconds);
    let fits = seconds.is_ok_and(|seconds| put_number(&mut block, MTIME, seconds).is_ok());
    if !fits {
        put_number(&mut block, MTIME, 0)?;
    }
    if !fits || entry.mtime.nanoseconds != 0 {
        put_record(&mut records, b"mtime", time(entry.mtime).as_bytes());
    }
    put_number(&mut block, DEVICE_MAJOR, u64::from(entry.device.major))?;
    put_number(&mut block, DEVICE_MINOR, u64::from(entry.device.minor))?;
    let mut xattrs: Vec<&Xattr> = entry.xattrs.iter().collect();
    xattrs.sort();
    for (name, value) in xattrs {
        if name.is_empty() || name.contains(&b'=') || name.contains(&0) {
            return Err(refused("a tar cannot hold an extended attribute of this name"));
        }
        put_record(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    seal(&mut block);
    Ok((block, records))
}

/// What is said of data that ends early.
fn ended(written: u64, promised: u64) -> io::Error {
    let text = format!("{written} bytes came for a tar entry of {promised}");
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

fn new_block(type_flag: u8, mode: u32) -> Block {
    let mut block = [0; BLOCK_SIZE_BYTES];
    block[TYPE] = type_flag;
    block[MAGIC].copy_from_slice(b"ustar\x0000");
    for field in [UID, GID, SIZE, MTIME, DEVICE_MAJOR, DEVICE_MINOR] {
        let length = field.len();
        block[field][..length - 1].fill(b'0');
    }
    block[MODE].copy_from_slice(format!("{mode:07o}\0").as_bytes());
    block
}

fn put_text(block: &mut Block, field: std::ops::Range<usize>, text: &[u8]) {
    block[field][..text.len()].copy_from_slice(text);
}

/// Writes octal digits and a zero byte, if the field has the room.
fn put_number(block: &mut Block, field: std::ops::Range<usize>, value: u64) -> io::Result<()> {
    let digits = field.len() - 1;
    let text = format!("{value:0digits$o}\0");
    if text.len() > field.len() {
        return Err(refused("a number does not fit into a tar header"));
    }
    block[field].copy_from_slice(text.as_bytes());
    Ok(())
}

/// Writes the path, cut at a slash where it is long, if that is possible.
fn put_path(block: &mut Block, path: &[u8]) -> bool {
    if path.len() <= NAME.len() {
        put_text(block, NAME, path);
        return true;
    }
    // The name must not become empty: a directory's last slash is no place to cut.
    let first = path.len() - NAME.len() - 1;
    let last = PREFIX.len().min(path.len() - 2);
    let cut = (first..=last).find(|&cut| path[cut] == b'/' && cut > 0);
    let Some(cut) = cut else { return false };
    put_text(block, PREFIX, &path[..cut]);
    put_text(block, NAME, &path[cut + 1..]);
    true
}

/// A name for the PAX header itself, which only old programs show.
fn extension_name(path: &[u8]) -> Vec<u8> {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let mut shown = [b"PaxHeaders.0/", name].concat();
    shown.truncate(NAME.len());
    shown
}

fn put_record(records: &mut Vec<u8>, keyword: &[u8], value: &[u8]) {
    // Space, equals sign and line feed; then the digits of a length that counts themselves.
    let rest = keyword.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} ").as_bytes());
    records.extend_from_slice(keyword);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn time(time: Time) -> String {
    let Time { seconds, nanoseconds } = time;
    let text = if seconds < 0 && nanoseconds > 0 {
        // -1.25 is kept as three quarters past -2.
        format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds)
    } else if nanoseconds > 0 {
        format!("{seconds}.{nanoseconds:09}")
    } else {
        return seconds.to_string();
    };
    text.trim_end_matches('0').to_owned()
}

fn seal(block: &mut Block) {
    let checksum = header::checksum(block);
    block[CHECKSUM].copy_from_slice(format!("{checksum:06o}\0 ").as_bytes());
}
