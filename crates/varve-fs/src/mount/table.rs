//! What is mounted where: the kernel's table (`/proc/self/mountinfo`), read.

use std::{
    ffi::OsString,
    fs,
    io::Read as _,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx},
    io::Errno,
};

use super::MountError;

/// Bytes of a table with some dozens of rows.
const TEXT_SIZE_BYTES_USUAL: usize = 16 << 10;

/// What is mounted in a mount namespace, as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// In the kernel's order: what covers comes after what is covered.
    pub rows: Vec<Row>,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its number in the namespace.
    pub id: u64,
    /// The number of what it is mounted in.
    pub parent: u64,
    /// Major and minor number of the file system: the same for all mounts of it.
    pub device: (u32, u32),
    /// Which directory of the file system is mounted.
    pub root: PathBuf,
    /// Where.
    pub place: PathBuf,
    /// The mount's own options.
    pub options: String,
    /// Whether what is mounted in it appears in other namespaces as well.
    pub is_shared: bool,
    /// The type of file system.
    pub fs: String,
    /// What was mounted.
    pub source: OsString,
    /// The file system's options.
    pub fs_options: OsString,
}

impl Table {
    /// Reads the table of this process's namespace.
    pub fn read() -> Result<Self, MountError> {
        let path = Path::new("/proc/self/mountinfo");
        // The kernel does not say how long the text is; many small reads cost more than this.
        let mut text = Vec::with_capacity(TEXT_SIZE_BYTES_USUAL);
        fs::File::open(path)
            .and_then(|mut file| file.read_to_end(&mut text))
            .map_err(|source| MountError::Path { action: "read", path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    /// Parses the kernel's text (`proc_pid_mountinfo(5)`).
    pub fn parse(text: &[u8]) -> Result<Self, MountError> {
        let lines = text.split(|&byte| byte == b'\n').enumerate();
        let rows = lines.filter(|(_, line)| !line.is_empty());
        let rows = rows
            .map(|(number, line)| parse_row(line).ok_or(MountError::Table { line: number + 1 }));
        Ok(Self { rows: rows.collect::<Result<_, _>>()? })
    }

    /// What is mounted at a place, the uppermost, which is what is seen, first. The path must be
    /// as the kernel writes it: absolute and through no symbolic link.
    pub fn at<'a>(&'a self, place: &Path) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().rev().filter(move |row| row.place == place)
    }

    /// The mount that a path lies in, or whose place it is.
    pub fn around<'a>(&'a self, path: &Path) -> Option<&'a Row> {
        let rows = self.rows.iter().filter(|row| path.starts_with(&row.place));
        // Of several at one place the last is seen.
        rows.max_by_key(|row| row.place.components().count())
    }

    /// What is mounted at a place or in it, what must be unmounted first, first.
    pub fn beneath<'a>(&'a self, place: &Path) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().rev().filter(move |row| row.place.starts_with(place))
    }
}

/// Whether something is mounted at a place: quicker than reading the whole table.
pub fn is_mounted(place: &Path) -> Result<bool, MountError> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match statx(CWD, place, flags, StatxFlags::empty()) {
        Ok(facts) if facts.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) => {
            Ok(facts.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
        }
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        // Linux 5.8 brought it.
        _ => Ok(Table::read()?.at(place).next().is_some()),
    }
}

fn parse_row(line: &[u8]) -> Option<Row> {
    let mut fields = line.split(|&byte| byte == b' ');
    let mut next = || fields.next().filter(|field| !field.is_empty());
    let (id, parent) = (number(next()?)?, number(next()?)?);
    let numbers = std::str::from_utf8(next()?).ok()?;
    let (major, minor) = numbers.split_once(':')?;
    let device = (major.parse().ok()?, minor.parse().ok()?);
    let (root, place) = (PathBuf::from(unescape(next()?)?), PathBuf::from(unescape(next()?)?));
    let options = text(next()?)?;
    let mut is_shared = false;
    // Any number of optional fields, then a hyphen.
    loop {
        match next()? {
            b"-" => break,
            field => is_shared |= field.starts_with(b"shared:"),
        }
    }
    let fs = text(next()?)?;
    // Either may be empty: whoever mounted it gave no name.
    let source = unescape(fields.next()?)?;
    let fs_options = unescape(fields.next()?)?;
    Some(Row { id, parent, device, root, place, options, is_shared, fs, source, fs_options })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn text(field: &[u8]) -> Option<String> {
    String::from_utf8(field.to_vec()).ok()
}

/// Undoes the kernel's escapes: a backslash and three octal digits.
fn unescape(field: &[u8]) -> Option<OsString> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(3)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()?);
        rest = behind;
    }
    Some(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Expect) {
        let shown = match Table::parse(text.as_bytes()) {
            Err(error) => format!("error: {error}\n"),
            Ok(table) => table.rows.iter().fold(String::new(), |shown, row| {
                let Row {
                    id, parent, device, root, place, options, fs, source, fs_options, ..
                } = row;
                let (major, minor) = device;
                shown
                    + &format!("{id} in {parent} {fs} {major}:{minor} {root:?} at {place:?} ")
                    + &format!("{options} of {source:?} {fs_options:?}\n")
            }),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn rows_are_read_with_any_number_of_optional_fields() {
        check(
            "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n\
             37 36 0:41 / /run rw - tmpfs tmpfs rw\n\
             38 36 0:42 / /x ro shared:1 master:2 propagate_from:3 - overlay overlay ro,lowerdir+=/a\n",
            expect![[r#"
                36 in 35 ext3 98:0 "/mnt1" at "/mnt2" rw,noatime of "/dev/root" "rw,errors=continue"
                37 in 36 tmpfs 0:41 "/" at "/run" rw of "tmpfs" "rw"
                38 in 36 overlay 0:42 "/" at "/x" ro of "overlay" "ro,lowerdir+=/a"
            "#]],
        );
    }

    #[test]
    fn shared_mounts_are_told_from_others() {
        let text = "1 0 0:1 / / rw shared:1 - tmpfs t rw\n2 1 0:2 / /a rw master:1 - tmpfs t rw\n\
                    3 1 0:2 / /b rw master:1 shared:7 - tmpfs t rw\n4 1 0:2 / /c rw - tmpfs t rw\n";
        let table = Table::parse(text.as_bytes()).unwrap();
        let shared: Vec<bool> = table.rows.iter().map(|row| row.is_shared).collect();
        assert_eq!(shared, [true, false, true, false]);
    }

    #[test]
    fn escapes_are_undone_and_empty_sources_taken() {
        check(
            "1 0 0:1 / /with\\040space\\011tab\\134back\\012line rw - tmpfs  rw\n",
            expect![[r#"
                1 in 0 tmpfs 0:1 "/" at "/with space\ttab\\back\nline" rw of "" "rw"
            "#]],
        );
        check(
            "1 0 0:1 / / rw - fuse.sshfs user@host:/a\\040b rw,x=\\054\n",
            expect![[r#"
            1 in 0 fuse.sshfs 0:1 "/" at "/" rw of "user@host:/a b" "rw,x=,"
        "#]],
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_line() {
        check(
            "1 0 0:1 / / rw - tmpfs t rw\n1 0 0:1 / / rw tmpfs t rw\n",
            expect![[r"
            error: line 2 of the kernel's table of mounts makes no sense
        "]],
        );
        check(
            "x 0 0:1 / / rw - tmpfs t rw",
            expect![[r"
            error: line 1 of the kernel's table of mounts makes no sense
        "]],
        );
        check(
            "1 0 0 / / rw - tmpfs t rw",
            expect![[r"
            error: line 1 of the kernel's table of mounts makes no sense
        "]],
        );
        check(
            "1 0 0:1 / /\\04 rw - tmpfs t rw",
            expect![[r"
            error: line 1 of the kernel's table of mounts makes no sense
        "]],
        );
        check(
            "1 0 0:1 / /\\999 rw - tmpfs t rw",
            expect![[r"
            error: line 1 of the kernel's table of mounts makes no sense
        "]],
        );
    }

    #[test]
    fn uppermost_of_several_mounts_at_a_place_comes_first() {
        let text = "1 0 0:1 / / rw - tmpfs t rw\n2 1 0:2 / /a rw - tmpfs t rw\n\
                    3 2 0:3 / /a rw - tmpfs t rw\n4 3 0:4 / /a/b rw - tmpfs t rw\n\
                    5 1 0:5 / /ab rw - tmpfs t rw\n";
        let table = Table::parse(text.as_bytes()).unwrap();
        let ids = |rows: Vec<&Row>| rows.iter().map(|row| row.id).collect::<Vec<_>>();
        assert_eq!(ids(table.at(Path::new("/a")).collect()), [3, 2]);
        assert_eq!(ids(table.beneath(Path::new("/a")).collect()), [4, 3, 2]);
        assert!(table.at(Path::new("/b")).next().is_none());
        let around = |path: &str| table.around(Path::new(path)).map(|row| row.id);
        assert_eq!(around("/a"), Some(3));
        assert_eq!(around("/a/b/c"), Some(4));
        assert_eq!(around("/abc"), Some(1));
    }

    #[test]
    fn the_kernels_own_table_is_understood() {
        let table = Table::read().unwrap();
        assert!(table.at(Path::new("/")).next().is_some());
    }
}
