//! `--volume`: as the client reads it, and as its daemon does.

use super::FlagError;
use crate::{
    Printable,
    container::{MountKind, Propagation, VolumeName},
};

/// What `-v` names, as far as the client looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spec<'a> {
    /// A path in the container for a volume without a name.
    Anonymous(&'a str),
    /// `SOURCE:DESTINATION[:MODE]`, where the source is a path of the host or a volume's name.
    Bind(&'a str),
}

/// Tells apart what `-v` may be, with the client's complaints. All else is the daemon's to judge
/// (see [`bind`]).
pub fn spec(text: &str) -> Result<Spec<'_>, FlagError> {
    if text.is_empty() {
        return Err(FlagError::new("invalid empty volume spec"));
    }
    if text.chars().count() <= 2 {
        return Ok(Spec::Anonymous(text));
    }
    let refused =
        |why: &str| Err(FlagError::new(format!("invalid spec: {}: {why}", Printable(text))));
    let sections = sections(text);
    if sections.iter().any(|section| section.is_empty()) {
        return refused("empty section between colons");
    }
    match sections.len() {
        1 => Ok(Spec::Anonymous(text)),
        2 | 3 => Ok(Spec::Bind(text)),
        _ => refused("too many colons"),
    }
}

/// Splits at colons; one after a single letter belongs to a drive of Windows, docker thinks.
fn sections(text: &str) -> Vec<&str> {
    let (mut sections, mut start) = (Vec::new(), 0);
    for (at, _) in text.match_indices(':') {
        let mut letters = text[start..at].chars();
        let drive = letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none();
        if !drive {
            sections.push(&text[start..at]);
            start = at + 1;
        }
    }
    sections.push(&text[start..]);
    sections
}

/// `SOURCE:DESTINATION[:MODE]`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind<'a> {
    /// Whether the source is a path of the host or a volume's name.
    pub kind: MountKind,
    /// An absolute path of the host, or a volume's name.
    pub source: &'a str,
    /// An absolute path in the container.
    pub destination: &'a str,
    /// The third part as it is; empty where there is none.
    pub mode: &'a str,
    /// Whether it may not be written.
    pub read_only: bool,
    /// The propagation that the mode names.
    pub propagation: Option<Propagation>,
    /// The mode says `nocopy`: an empty volume is not filled from the image.
    pub no_copy: bool,
    /// The mode asks for a label of SELinux: `z` (shared) or `Z` (private).
    pub label: Option<char>,
}

/// Takes a member of `HostConfig.Binds` apart, with the daemon's complaints (which the client
/// shows after `Error response from daemon: `). Whether the source exists is not looked at.
pub fn bind(text: &str) -> Result<Bind<'_>, FlagError> {
    let refused = || FlagError::new(format!("invalid volume specification: '{}'", Printable(text)));
    let (source, destination, mode) = match text.split(':').collect::<Vec<_>>()[..] {
        ["", ..] => return Err(refused()),
        [source, destination] if mode_is_valid(destination) => {
            let _ = source;
            return Err(refused());
        }
        [source, destination] => (source, destination, ""),
        [source, destination, mode] => (source, destination, mode),
        _ => return Err(refused()),
    };
    if !mode_is_valid(mode) {
        return Err(FlagError::of("invalid mode: ", mode));
    }
    let kind = if source.starts_with('/') { MountKind::Bind } else { MountKind::Volume };
    if let Err(reason) = super::mount::destination(kind.as_str(), destination) {
        return Err(FlagError::new(format!("{}: {reason}", refused())));
    }
    if kind == MountKind::Volume
        && let Err(error) = source.parse::<VolumeName>()
    {
        return Err(FlagError::new(format!("create {}: {error}", Printable(source))));
    }
    let words = || mode.split(',');
    Ok(Bind {
        kind,
        source,
        destination,
        mode,
        read_only: words().any(|word| word == "ro"),
        propagation: words().find_map(Propagation::parse),
        no_copy: words().any(|word| word == "nocopy"),
        label: words().find_map(|word| match word {
            "z" => Some('z'),
            "Z" => Some('Z'),
            _ => None,
        }),
    })
}

/// Whether the words of a mode are known, and none of a kind is there twice.
fn mode_is_valid(mode: &str) -> bool {
    if mode.is_empty() {
        return true;
    }
    let mut counts = [0; 5];
    for word in mode.split(',') {
        let kind = match word {
            "ro" | "rw" => 0,
            "z" | "Z" => 1,
            "nocopy" => 2,
            "consistent" | "cached" | "delegated" => 3,
            word if Propagation::parse(word).is_some() => 4,
            _ => return false,
        };
        counts[kind] += 1;
    }
    counts.iter().all(|&count| count <= 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_spec(text: &str, expected: &str) {
        let shown = match spec(text) {
            Ok(Spec::Anonymous(path)) => format!("anonymous {path}"),
            Ok(Spec::Bind(bind)) => format!("bind {bind}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_client_tells_binds_from_volumes_without_a_name() {
        check_spec("/anon", "anonymous /anon");
        check_spec("/", "anonymous /");
        check_spec("named:/n", "bind named:/n");
        check_spec("/a:/b:ro", "bind /a:/b:ro");
        check_spec("a:b:c:d", "bind a:b:c:d");
        check_spec(":/d", "invalid spec: :/d: empty section between colons");
        check_spec("/a:/b:ro:x", "invalid spec: /a:/b:ro:x: too many colons");
        check_spec("", "invalid empty volume spec");
    }

    #[track_caller]
    fn check_bind(text: &str, expected: &str) {
        let shown = match bind(text) {
            Ok(it) => {
                let access = if it.read_only { "ro" } else { "rw" };
                format!("{} {} at {} {access}", it.kind.as_str(), it.source, it.destination)
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_daemon_takes_binds_apart() {
        check_bind("/home:/d:ro", "bind /home at /d ro");
        check_bind("named:/n", "volume named at /n rw");
        check_bind("named:/n:rw,nocopy,z", "volume named at /n rw");
        check_bind("a:b:c:d", "invalid volume specification: 'a:b:c:d'");
        check_bind("/a:ro", "invalid volume specification: '/a:ro'");
        check_bind("/home:/d:bogus", "invalid mode: bogus");
        check_bind("/home:/d:ro,rw", "invalid mode: ro,rw");
        check_bind(
            "/a:b",
            "invalid volume specification: '/a:b': invalid mount config for type \"bind\": \
             invalid mount path: 'b' mount path must be absolute",
        );
        check_bind(
            "/a:/",
            "invalid volume specification: '/a:/': invalid mount config for type \"bind\": \
             invalid specification: destination can't be '/'",
        );
        check_bind(
            "x/y:/d",
            "create x/y: \"x/y\" includes invalid characters for a local volume name, only \
             \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, \
             use absolute path",
        );
        let short =
            "volume name is too short, names should be at least two alphanumeric characters";
        check_bind("a:/b", &format!("create a: {short}"));
    }

    #[test]
    fn modes_say_what_the_label_and_the_propagation_are() {
        let bind = bind("/a:/b:Z,rslave,ro").unwrap();
        assert_eq!(bind.label, Some('Z'));
        assert_eq!(bind.propagation, Some(Propagation::Rslave));
    }
}
