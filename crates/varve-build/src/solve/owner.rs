//! Whose the files are: `--chown`, and `USER` for the directory that `WORKDIR` makes.

use std::io::Read as _;

use varve_fs::tree::LastLink;
use varve_types::limits;

use super::{copy_error::CopyError, layer_files::LayerFiles};

/// A user and a group, as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Who `text` is: `user`, `user:group`, names or numbers. As in docker a number is a group, too,
/// unless one is given; a name's group is the one in the base's `/etc/passwd`; and a name that
/// nobody has is root.
pub(super) fn resolve(text: &str, base: Option<&LayerFiles>) -> Result<Owner, CopyError> {
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    let mut owner = Owner::default();
    let read = |file| read(text, file, base);
    if let Some(uid) = number(user) {
        owner = Owner { uid, gid: uid };
    } else if !user.is_empty() {
        let passwd = read("etc/passwd")?;
        let found = entries(&passwd).find(|fields| fields.first() == Some(&user));
        if let Some(fields) = found {
            let field = |index: usize| fields.get(index).and_then(|text| number(text));
            owner = Owner { uid: field(2).unwrap_or(0), gid: field(3).unwrap_or(0) };
        }
    }
    if let Some(gid) = number(group) {
        owner.gid = gid;
    } else if !group.is_empty() {
        let groups = read("etc/group")?;
        let found = entries(&groups).find(|fields| fields.first() == Some(&group));
        if let Some(gid) = found.and_then(|fields| fields.get(2).and_then(|text| number(text))) {
            owner.gid = gid;
        }
    }
    Ok(owner)
}

fn number(text: &str) -> Option<u32> {
    text.parse::<i32>().ok().and_then(|number| u32::try_from(number).ok())
}

fn entries(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| line.split(':').collect())
}

/// The text of a file of the base; empty where there is none.
fn read(owner: &str, file: &'static str, base: Option<&LayerFiles>) -> Result<String, CopyError> {
    let refused = |why| CopyError::Owner { owner: owner.to_owned(), file, why };
    let Some(base) = base else { return Ok(String::new()) };
    let found = base.stack().find(file.as_bytes(), LastLink::Followed);
    let Some(id) = found.map_err(|_| refused("is a link that leads nowhere"))? else {
        return Ok(String::new());
    };
    let reader = base.reader(id).ok_or_else(|| refused("is not a regular file"))?;
    let mut bytes = Vec::new();
    let limit = limits::PASSWD_SIZE_BYTES_MAX;
    let read = reader.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|_| refused("cannot be read"))?;
    if bytes.len() as u64 > limit {
        return Err(refused("is larger than 4 MiB"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
