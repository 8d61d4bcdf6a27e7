//! Which IDs of the host a user may give to the people of a container: their own, and the ranges
//! that `/etc/subuid` and `/etc/subgid` have for them (subuid(5), subgid(5)).

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use super::UserNamespaceError;

const USERS: &str = "/etc/subuid";
const GROUPS: &str = "/etc/subgid";
/// Bytes of one of these files, and of `/etc/passwd`.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Lines of a map that the kernel takes (`UID_GID_MAP_MAX_EXTENTS`).
const LINES_MAX: usize = 340;

/// IDs that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first, on the host.
    pub start: u32,
    /// How many; never 0.
    pub count: u32,
}

/// The IDs of a namespace to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// Who is root there.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// What users from 1 on are on the host.
    pub uids: Vec<Range>,
    /// What groups from 1 on are on the host.
    pub gids: Vec<Range>,
    /// Why there are no others, where there are none.
    pub why_single: Option<WhySingle>,
}

/// Why a user has one ID only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhySingle {
    /// A program is not installed.
    NoProgram(&'static str),
    /// A file has no range for the user.
    NoRange(&'static str),
}

impl Ids {
    /// The IDs of whoever runs this.
    pub(super) fn find(path: &OsStr) -> Result<Self, UserNamespaceError> {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let single =
            |why| Self { uid, gid, uids: Vec::new(), gids: Vec::new(), why_single: Some(why) };
        for program in ["newuidmap", "newgidmap"] {
            if !is_installed(program, path) {
                return Ok(single(WhySingle::NoProgram(program)));
            }
        }
        let name = name_in(&read("/etc/passwd")?, uid);
        let ranges =
            |path| Ok::<_, UserNamespaceError>(ranges_in(&read(path)?, name.as_deref(), uid));
        let (uids, gids) = (ranges(USERS)?, ranges(GROUPS)?);
        if uids.is_empty() {
            return Ok(single(WhySingle::NoRange(USERS)));
        }
        if gids.is_empty() {
            return Ok(single(WhySingle::NoRange(GROUPS)));
        }
        Ok(Self { uid, gid, uids, gids, why_single: None })
    }

    /// Whether there is no ID but the user's own.
    pub fn is_single(&self) -> bool {
        self.why_single.is_some()
    }
}

/// The arguments of `newuidmap` and `newgidmap` after the process: triples of inside, outside, count.
pub(super) fn map_words(own: u32, ranges: &[Range]) -> Vec<String> {
    let mut words = vec!["0".to_owned(), own.to_string(), "1".to_owned()];
    let mut inside = 1_u32;
    for range in ranges.iter().take(LINES_MAX - 1) {
        let count = range.count.min(u32::MAX - inside);
        if count == 0 {
            break;
        }
        words.extend([inside, range.start, count].map(|number| number.to_string()));
        inside += count;
    }
    words
}

/// A missing file has nothing to say.
fn read(path: &str) -> Result<String, UserNamespaceError> {
    let path = Path::new(path);
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file
            .take(FILE_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(UserNamespaceError::at("read", path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(UserNamespaceError::at("open", path)(error)),
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn is_installed(program: &str, path: &OsStr) -> bool {
    let mut places = std::env::split_paths(path).map(|directory| directory.join(program));
    places.any(|place| fs::metadata(place).is_ok_and(|facts| facts.is_file()))
}

/// The name of a user in the text of `/etc/passwd`.
fn name_in(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut words = line.split(':');
        let (name, _, number) = (words.next()?, words.next()?, words.next()?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// A user's ranges in the text of `/etc/subuid` or `/etc/subgid`, by name and by number, in the
/// order in which they stand. Lines that make no sense have nothing to say.
fn ranges_in(text: &str, name: Option<&str>, uid: u32) -> Vec<Range> {
    let number = uid.to_string();
    let mine = |owner: &str| Some(owner) == name || owner == number;
    let parse = |line: &str| {
        let mut words = line.trim().split(':');
        let owner = words.next()?;
        let (start, count): (u32, u32) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let is_sound =
            count > 0 && start.checked_add(count - 1).is_some() && words.next().is_none();
        (mine(owner) && is_sound).then_some(Range { start, count })
    };
    text.lines().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# a comment\nanna:100000:65536\nbert:165536:65536\n1000:300000:1000\n\
        anna:x:1\nanna:1\nanna:5:0\nanna:4294967295:2\n anna:400000:10\n";

    #[test]
    fn ranges_go_by_name_and_by_number_in_the_order_of_the_file() {
        let starts = |name, uid| -> Vec<(u32, u32)> {
            ranges_in(TEXT, name, uid).iter().map(|range| (range.start, range.count)).collect()
        };
        assert_eq!(starts(Some("anna"), 1000), [(100_000, 65_536), (300_000, 1000), (400_000, 10)]);
        assert_eq!(starts(Some("bert"), 1001), [(165_536, 65_536)]);
        assert_eq!(starts(None, 1000), [(300_000, 1000)]);
        assert_eq!(starts(Some("carl"), 1002), []);
    }

    #[test]
    fn maps_begin_with_the_user_and_go_on_without_a_gap() {
        let ranges = [Range { start: 100_000, count: 65_536 }, Range { start: 300_000, count: 5 }];
        let words = "0 1000 1 1 100000 65536 65537 300000 5";
        assert_eq!(map_words(1000, &ranges).join(" "), words);
        let whole = [Range { start: 1, count: u32::MAX }; 2];
        assert_eq!(map_words(7, &whole).join(" "), "0 7 1 1 1 4294967294");
    }

    #[test]
    fn names_come_from_the_user_database() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nanna:x:1000:1000::/home/anna:/bin/sh\nbad\n";
        assert_eq!(name_in(passwd, 1000).as_deref(), Some("anna"));
        assert_eq!(name_in(passwd, 1001), None);
    }
}
