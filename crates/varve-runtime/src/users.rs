//! Who runs a container's command: `--user` and `USER` against the container's own
//! `/etc/passwd` and `/etc/group`.
//!
//! These files are the image's, so they can be anything: they are opened beneath the container's
//! root, must be regular, and no more than [`limits::PASSWD_SIZE_BYTES_MAX`] is read of them.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use varve_fs::root::Root;
use varve_types::{Kind, Printable, limits};

/// The highest user or group number (runtimes take no more).
const ID_MAX: u32 = i32::MAX as u32;

/// Who runs the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedUser {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// All groups: the first is [`gid`](Self::gid), then those that list the user, then those
    /// asked for with `--group-add`. As docker does it, one can be there twice.
    pub additional_gids: Vec<u32>,
    /// Home directory; `/` when nobody says.
    pub home: String,
}

/// Why nobody can run the command. The messages are docker's where docker has one.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// No such name.
    #[error("unable to find user {}: no matching entries in passwd file", Printable(.0))]
    User(String),
    /// No such group.
    #[error("unable to find group {}: no matching entries in group file", Printable(.0))]
    Group(String),
    /// No such group in `--group-add`.
    #[error("Unable to find group {}", Printable(.0))]
    AdditionalGroup(String),
    /// A number that is too large or negative.
    #[error("uids and gids must be in range 0-2147483647")]
    Range,
    /// The user namespace that varve works in has no such user or group.
    #[error(
        "{what} {id} is not in this user namespace, which has {count}: for more, newuidmap and newgidmap \
         must be installed, and /etc/subuid and /etc/subgid must have ranges for who runs varve"
    )]
    NotMapped {
        /// `user` or `group`.
        what: &'static str,
        /// Its number.
        id: u32,
        /// How many there are.
        count: u64,
    },
    /// The file cannot be read, or is no regular file.
    #[error("cannot read {0} of the container")]
    File(&'static str, #[source] io::Error),
    /// The file is too large.
    #[error("{0} of the container is larger than the limit of {limit} bytes", limit = limits::PASSWD_SIZE_BYTES_MAX)]
    TooLarge(&'static str),
}

impl UserError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::User(_) | Self::Group(_) | Self::AdditionalGroup(_) => Kind::NotFound,
            Self::Range | Self::File(..) => Kind::Invalid,
            Self::TooLarge(_) | Self::NotMapped { .. } => Kind::Exhausted,
        }
    }
}

/// Finds out who `user` is (`""`, `name`, `uid`, `name:group`, `uid:gid`) in the container
/// whose root is `root`.
pub fn resolve(root: &Root, user: &str, group_add: &[String]) -> Result<ResolvedUser, UserError> {
    let passwd = read(root, "/etc/passwd")?;
    let group = read(root, "/etc/group")?;
    let user = resolve_in(&passwd, &group, user, group_add)?;
    let map = |name: &str| fs::read_to_string(Path::new("/proc/self").join(name));
    if let (Ok(users), Ok(groups)) = (map("uid_map"), map("gid_map")) {
        check_mapped(&users, "user", user.uid)?;
        check_mapped(&groups, "group", user.gid)?;
        // Where there is one group only, the kernel lets nobody have others, and the runtime asks for
        // none.
        if mapped(&groups).map(|(_, count)| count).sum::<u64>() > 1 {
            user.additional_gids.iter().try_for_each(|gid| check_mapped(&groups, "group", *gid))?;
        }
    }
    Ok(user)
}

/// The first ID and the number of IDs in each line of a map (user_namespaces(7)).
fn mapped(map: &str) -> impl Iterator<Item = (u64, u64)> {
    map.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse);
        let (first, _, count) = (numbers.next()?.ok()?, numbers.next()?, numbers.next()?.ok()?);
        Some((first, count))
    })
}

fn check_mapped(map: &str, what: &'static str, id: u32) -> Result<(), UserError> {
    if mapped(map).any(|(first, count)| (first..first + count).contains(&id.into())) {
        return Ok(());
    }
    Err(UserError::NotMapped { what, id, count: mapped(map).map(|(_, count)| count).sum() })
}

/// [`resolve`], in texts.
pub fn resolve_in(
    passwd: &str,
    group: &str,
    user: &str,
    group_add: &[String],
) -> Result<ResolvedUser, UserError> {
    let (wanted_user, wanted_group) = user.split_once(':').unwrap_or((user, ""));
    let number = number(wanted_user)?;
    let entry = passwd_entries(passwd).find(|entry| match number {
        _ if wanted_user.is_empty() => entry.uid == 0,
        Some(number) => entry.uid == number,
        None => entry.name == wanted_user,
    });
    let (uid, mut gid, home) = match (&entry, number) {
        (Some(entry), _) => (entry.uid, entry.gid, entry.home),
        (None, Some(number)) => (number, 0, "/"),
        (None, None) if wanted_user.is_empty() => (0, 0, "/"),
        (None, None) => return Err(UserError::User(wanted_user.to_owned())),
    };
    let mut others = Vec::new();
    if wanted_group.is_empty() {
        let name = entry.as_ref().map_or("", |entry| entry.name);
        let lists = |entry: &GroupEntry| entry.members.split(',').any(|member| member == name);
        if !name.is_empty() {
            others.extend(group_entries(group).filter(lists).map(|entry| entry.gid));
        }
    } else {
        gid = find_group(group, wanted_group)?
            .ok_or_else(|| UserError::Group(wanted_group.to_owned()))?;
    }
    for name in group_add {
        let gid = find_group(group, name)?;
        others.push(gid.ok_or_else(|| UserError::AdditionalGroup(name.clone()))?);
    }
    let additional_gids = [vec![gid], others].concat();
    let home = if home.is_empty() { "/" } else { home };
    Ok(ResolvedUser { uid, gid, additional_gids, home: home.to_owned() })
}

/// Finds a group by name or number. A number needs no entry.
fn find_group(group: &str, wanted: &str) -> Result<Option<u32>, UserError> {
    let by_name = || group_entries(group).find(|entry| entry.name == wanted);
    Ok(match number(wanted)? {
        Some(number) => Some(number),
        None => by_name().map(|entry| entry.gid),
    })
}

/// Reads a number; `None` for what is none.
fn number(text: &str) -> Result<Option<u32>, UserError> {
    match text.parse::<i128>() {
        Err(_) => Ok(None),
        Ok(number) => match u32::try_from(number) {
            Ok(number) if number <= ID_MAX => Ok(Some(number)),
            _ => Err(UserError::Range),
        },
    }
}

struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct GroupEntry<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Lines of `name:password:uid:gid:comment:home:shell`; others are passed over.
fn passwd_entries(text: &str) -> impl Iterator<Item = PasswdEntry<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next().and_then(|gid| gid.parse().ok()).unwrap_or(0);
        Some(PasswdEntry { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
    })
}

/// Lines of `name:password:gid:members`; others are passed over.
fn group_entries(text: &str) -> impl Iterator<Item = GroupEntry<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some(GroupEntry { name, gid, members: fields.next().unwrap_or_default() })
    })
}

/// Reads a file of the image; one that is not there is empty.
fn read(root: &Root, path: &'static str) -> Result<String, UserError> {
    let file = match root.open_file(Path::new(path)) {
        Ok(file) => file,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(String::new());
        }
        Err(error) => return Err(UserError::File(path, error)),
    };
    let mut bytes = Vec::new();
    file.take(limits::PASSWD_SIZE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| UserError::File(path, error))?;
    if bytes.len() as u64 > limits::PASSWD_SIZE_BYTES_MAX {
        return Err(UserError::TooLarge(path));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
