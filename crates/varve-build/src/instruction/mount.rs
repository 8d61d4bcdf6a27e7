//! `RUN --mount=…`.

use varve_types::container::parse_size;

use crate::{
    error::{DockerfileError, Problem, Result},
    suggest::nearest,
};

/// What kind of mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MountKind {
    /// Files of the context, a stage or an image; what is written to them is dropped.
    #[default]
    Bind,
    /// A directory that outlives the build.
    Cache,
    /// A file system in memory.
    Tmpfs,
    /// A secret of `--secret`.
    Secret,
    /// A socket of `--ssh`.
    Ssh,
}

impl MountKind {
    const ALL: [(&'static str, Self); 5] = [
        ("bind", Self::Bind),
        ("cache", Self::Cache),
        ("tmpfs", Self::Tmpfs),
        ("secret", Self::Secret),
        ("ssh", Self::Ssh),
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// Who may use a cache at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// Everybody.
    #[default]
    Shared,
    /// Everybody, each another directory.
    Private,
    /// One after the other.
    Locked,
}

impl Sharing {
    const ALL: [(&'static str, Self); 3] =
        [("shared", Self::Shared), ("private", Self::Private), ("locked", Self::Locked)];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, sharing)| *sharing == self).map_or("", |(name, _)| name)
    }
}

/// A mount as it is written, its variables expanded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mount {
    /// What kind.
    pub kind: MountKind,
    /// A stage, a named context or an image; empty for the context.
    pub from: String,
    /// The path in it.
    pub source: String,
    /// Where to.
    pub target: String,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// The cache's, secret's or socket's ID.
    pub id: String,
    /// Who may use the cache; `None` when not said.
    pub sharing: Option<Sharing>,
    /// Whether the secret or socket must be there.
    pub required: bool,
    /// Bytes that a tmpfs may hold.
    pub size_bytes: Option<i64>,
    /// Mode of the directory, secret or socket.
    pub mode: Option<u32>,
    /// Its owner.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
    /// The variable that holds the secret.
    pub env: Option<String>,
}

const KEYS: &[&str] = &[
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "ro",
    "rw",
    "readwrite",
    "env",
    "size",
];

/// Reads `from` of a mount before its variables are expanded, and whether the row of fields is one.
pub fn mount_source(text: &str) -> Result<String> {
    let mut from = String::new();
    for field in fields(text)? {
        if let Some((key, value)) = field.split_once('=')
            && key.eq_ignore_ascii_case("from")
        {
            if value.split_once('$').is_some_and(|(_, rest)| !rest.is_empty()) {
                return Err(Problem::MountFromVariable.into());
            }
            value.clone_into(&mut from);
        }
    }
    Ok(from)
}

impl Mount {
    /// Reads a mount; `expand` expands the variables of a value.
    pub fn parse(text: &str, mut expand: impl FnMut(&str) -> Result<String>) -> Result<Self> {
        let mut mount = Self::default();
        let mut read_only = None;
        for field in fields(text)? {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key.to_ascii_lowercase(), Some(expand(value)?)),
                None => (field.to_ascii_lowercase(), None),
            };
            let switch = match &value {
                None => Some(true),
                Some(value) => varve_types::go_bool(value),
            };
            match key.as_str() {
                "readonly" | "ro" => read_only = Some(need(&key, value.as_ref(), switch)?),
                "readwrite" | "rw" => read_only = Some(!need(&key, value.as_ref(), switch)?),
                "required" if matches!(mount.kind, MountKind::Secret | MountKind::Ssh) => {
                    mount.required = need(&key, value.as_ref(), switch)?;
                }
                "required" => return Err(Problem::MountKey(key, mount.kind.as_str()).into()),
                _ => {
                    let value = value.ok_or_else(|| Problem::MountField(field.clone()))?;
                    mount.set(&key, value, &field)?;
                }
            }
        }
        mount.check()?;
        let writable = matches!(mount.kind, MountKind::Cache | MountKind::Tmpfs);
        mount.read_only = read_only.unwrap_or(!writable);
        Ok(mount)
    }

    fn set(&mut self, key: &str, value: String, field: &str) -> Result<()> {
        match key {
            "type" => self.kind = word(&value, &MountKind::ALL, Problem::MountType)?,
            "sharing" => self.sharing = Some(word(&value, &Sharing::ALL, Problem::MountSharing)?),
            "from" => self.from = value,
            "source" | "src" => self.source = value,
            "target" | "dst" | "destination" => self.target = value,
            "id" => self.id = value,
            "mode" => self.mode = Some(number(&value, 8, "mode")?),
            "uid" => self.uid = Some(number(&value, 10, "uid")?),
            "gid" => self.gid = Some(number(&value, 10, "gid")?),
            "env" if self.kind == MountKind::Secret => self.env = Some(value),
            "size" if self.kind == MountKind::Tmpfs => {
                let size = parse_size(&value);
                let bad = |_| Problem::MountValue(key.to_owned(), value.clone());
                self.size_bytes = Some(size.map_err(bad)?);
            }
            "env" | "size" => {
                return Err(Problem::MountKey(key.to_owned(), self.kind.as_str()).into());
            }
            _ => {
                let problem = Problem::MountUnknownKey(key.to_owned(), field.to_owned());
                let near = nearest(key, KEYS.iter().copied());
                return Err(DockerfileError::from(problem).suggest(near));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Problem> {
        let kind = self.kind;
        if !matches!(kind, MountKind::Secret | MountKind::Ssh | MountKind::Cache) {
            let set = [
                ("mode", self.mode.is_some()),
                ("uid", self.uid.is_some()),
                ("gid", self.gid.is_some()),
            ];
            if let Some((name, _)) = set.iter().find(|(_, set)| *set) {
                return Err(Problem::MountNotAllowed(name, kind.as_str()));
            }
        }
        if kind == MountKind::Secret {
            let nothing = [&self.source, &self.target, &self.id].iter().all(|text| text.is_empty());
            let wrong = [
                (!self.from.is_empty(), "secret mount should not have a from"),
                (self.sharing.is_some(), "secret mount should not define sharing"),
                (nothing, "invalid secret mount. one of source, target required"),
                (!self.source.is_empty() && !self.id.is_empty(), "both source and id can't be set"),
            ];
            if let Some((_, text)) = wrong.iter().find(|(wrong, _)| *wrong) {
                return Err(Problem::MountCombination(text));
            }
        }
        if kind == MountKind::Ssh && !self.source.is_empty() {
            return Err(Problem::MountCombination("ssh does not support source"));
        }
        if self.sharing.is_some() && kind != MountKind::Cache {
            return Err(Problem::MountNotCache(kind.as_str()));
        }
        Ok(())
    }
}

fn need(key: &str, value: Option<&String>, switch: Option<bool>) -> Result<bool, Problem> {
    let value = || value.cloned().unwrap_or_default();
    switch.ok_or_else(|| Problem::MountValue(key.to_owned(), value()))
}

fn word<T: Copy>(
    value: &str,
    known: &[(&'static str, T)],
    problem: fn(String) -> Problem,
) -> Result<T> {
    let lower = value.to_ascii_lowercase();
    if let Some((_, found)) = known.iter().find(|(name, _)| *name == lower) {
        return Ok(*found);
    }
    let near = nearest(value, known.iter().map(|(name, _)| *name));
    Err(DockerfileError::from(problem(value.to_owned())).suggest(near))
}

fn number(value: &str, base: u32, what: &'static str) -> Result<u32, Problem> {
    let plain = !value.starts_with('+');
    let number = u32::from_str_radix(value, base).ok().filter(|_| plain);
    number.ok_or_else(|| Problem::MountNumber(value.to_owned(), what))
}

/// The fields of a row of comma-separated values (RFC 4180): `"` quotes, `""` is a quote.
fn fields(text: &str) -> Result<Vec<String>, Problem> {
    let mut fields = Vec::new();
    let mut rest = text;
    if rest.is_empty() {
        return Err(Problem::MountFields("EOF"));
    }
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, after) = match rest.split_once(',') {
                Some((field, after)) => (field, Some(after)),
                None => (rest, None),
            };
            if field.contains('"') {
                return Err(Problem::MountFields("bare \" in non-quoted-field"));
            }
            fields.push(field.to_owned());
            match after {
                Some(after) => rest = after,
                None => return Ok(fields),
            }
            continue;
        };
        let mut field = String::new();
        let mut tail = quoted;
        loop {
            let Some((part, after)) = tail.split_once('"') else {
                return Err(Problem::MountFields("extraneous or missing \" in quoted-field"));
            };
            field.push_str(part);
            tail = after;
            match tail.strip_prefix('"') {
                Some(after) => {
                    field.push('"');
                    tail = after;
                }
                None => break,
            }
        }
        fields.push(field);
        match tail.strip_prefix(',') {
            Some(after) => rest = after,
            None if tail.is_empty() => return Ok(fields),
            None => return Err(Problem::MountFields("extraneous or missing \" in quoted-field")),
        }
    }
}
