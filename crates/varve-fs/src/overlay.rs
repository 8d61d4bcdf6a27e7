//! How overlayfs wants to be told what hides, and which attributes are its own.

use serde::{Deserialize, Serialize};

/// How whiteouts and opaque directories are written, and so which attributes act on the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Marks {
    /// Whiteouts are devices 0/0, attributes begin with `trusted.overlay.`: mounted by root.
    Trusted,
    /// Whiteouts are devices 0/0, attributes begin with `user.overlay.`: mounted with `userxattr`.
    User,
    /// As [`User`](Self::User), but whiteouts are empty files with an attribute: for file systems
    /// and sandboxes in which a user namespace may not make such a device. Linux 6.7 or newer.
    UserAttributes,
    /// There are none: what hides nothing need not be written. For merged trees.
    None,
}

impl Marks {
    /// What the names of overlayfs's own attributes begin with.
    pub(crate) fn prefix(self) -> Option<&'static [u8]> {
        match self {
            Marks::Trusted => Some(b"trusted.overlay."),
            Marks::User | Marks::UserAttributes => Some(b"user.overlay."),
            Marks::None => None,
        }
    }

    /// The name under which an attribute of the tar is kept, so that overlayfs shows it and does
    /// not act on it: `trusted.overlay.a` is kept as `trusted.overlay.overlay.a`.
    pub(crate) fn escaped(self, name: &[u8]) -> Vec<u8> {
        match self.prefix().and_then(|prefix| Some((prefix, name.strip_prefix(prefix)?))) {
            Some((prefix, rest)) => [prefix, b"overlay.", rest].concat(),
            None => name.to_vec(),
        }
    }

    /// The reverse of [`escaped`](Self::escaped); `None` for an attribute of overlayfs's own.
    pub(crate) fn unescaped(self, name: &[u8]) -> Option<Vec<u8>> {
        match self.prefix().and_then(|prefix| Some((prefix, name.strip_prefix(prefix)?))) {
            Some((prefix, rest)) => Some([prefix, rest.strip_prefix(b"overlay.")?].concat()),
            None => Some(name.to_vec()),
        }
    }

    /// The name of an attribute of overlayfs's own.
    pub(crate) fn own(self, name: &str) -> Option<Vec<u8>> {
        self.prefix().map(|prefix| [prefix, name.as_bytes()].concat())
    }
}

/// The label that an overlay gets of what `/sys/fs/selinux/enforce` says, if it can be read: where
/// SELinux enforces, one under which every container may use the files. (The tar's own labels are
/// dropped, and those of the store's files are none of a container's.)
pub fn selinux_context(enforce: Option<&str>) -> Option<&'static str> {
    (enforce?.trim() == "1").then_some("system_u:object_r:container_file_t:s0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_is_given_only_where_selinux_enforces() {
        assert_eq!(selinux_context(None), None);
        assert_eq!(selinux_context(Some("0")), None);
        assert_eq!(selinux_context(Some("0\n")), None);
        assert_eq!(selinux_context(Some("")), None);
        let label = Some("system_u:object_r:container_file_t:s0");
        assert_eq!((selinux_context(Some("1")), selinux_context(Some("1\n"))), (label, label));
    }

    #[track_caller]
    fn check(marks: Marks, shown: &str, kept: &str) {
        assert_eq!(marks.escaped(shown.as_bytes()), kept.as_bytes());
        assert_eq!(marks.unescaped(kept.as_bytes()).as_deref(), Some(shown.as_bytes()));
    }

    #[test]
    fn attributes_named_for_overlayfs_are_escaped_and_come_back() {
        check(Marks::Trusted, "trusted.overlay.redirect", "trusted.overlay.overlay.redirect");
        check(Marks::Trusted, "trusted.overlay.overlay.a", "trusted.overlay.overlay.overlay.a");
        check(Marks::Trusted, "user.overlay.redirect", "user.overlay.redirect");
        check(Marks::User, "user.overlay.opaque", "user.overlay.overlay.opaque");
        check(Marks::UserAttributes, "user.overlay.", "user.overlay.overlay.");
        check(Marks::User, "trusted.overlay.opaque", "trusted.overlay.opaque");
        check(Marks::None, "trusted.overlay.opaque", "trusted.overlay.opaque");
        check(Marks::Trusted, "trusted.overlays", "trusted.overlays");
    }

    #[test]
    fn attributes_of_overlayfs_itself_are_nobodys() {
        assert_eq!(Marks::Trusted.unescaped(b"trusted.overlay.origin"), None);
        assert_eq!(Marks::User.unescaped(b"user.overlay.impure"), None);
        assert_eq!(Marks::Trusted.own("opaque").unwrap(), b"trusted.overlay.opaque");
    }
}
