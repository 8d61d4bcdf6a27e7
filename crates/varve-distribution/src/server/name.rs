//! Names of repositories, and where they lie.

use std::{fmt, path::PathBuf};

use varve_types::reference::{self, NAME_SIZE_BYTES_MAX};

/// The name of a repository: components of lower-case letters and digits, separated by `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// Parses a name by Docker's grammar.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() <= NAME_SIZE_BYTES_MAX && reference::is_path(text))
            .then(|| Self(text.to_owned()))
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The repository's directory, relative to the registry's root. A component that is also the
    /// name of something in an OCI layout gets a `_` behind it, which no name can end with.
    pub(super) fn directory(&self) -> PathBuf {
        self.0.split('/').map(to_directory).collect()
    }

    /// The inverse of [`directory`](Self::directory) for one more component below `parent`.
    pub(super) fn below(parent: Option<&Self>, directory: &str) -> Option<Self> {
        if is_layout_member(directory) {
            return None;
        }
        let component = match directory.strip_suffix('_') {
            Some(component) if is_layout_member(component) => component,
            Some(_) => return None,
            None => directory,
        };
        match parent {
            Some(parent) => Self::parse(&format!("{parent}/{component}")),
            None => Self::parse(component),
        }
    }
}

fn to_directory(component: &str) -> String {
    let mark = if is_layout_member(component) { "_" } else { "" };
    format!("{component}{mark}")
}

fn is_layout_member(name: &str) -> bool {
    matches!(name, "blobs" | "index.json" | "oci-layout")
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, directory: &str) {
        let name = RepositoryName::parse(text).unwrap();
        assert_eq!(name.directory().to_str().unwrap(), directory);
        let mut found = None;
        for component in directory.split('/') {
            found = RepositoryName::below(found.as_ref(), component);
        }
        assert_eq!(found, Some(name));
    }

    #[test]
    fn a_repository_lies_where_its_name_says() {
        check("app", "app");
        check("team/app-1/x.y", "team/app-1/x.y");
    }

    #[test]
    fn a_repository_named_like_a_part_of_a_layout_does_not_meet_it() {
        check("app/blobs", "app/blobs_");
        check("app/blobs/sha256", "app/blobs_/sha256");
        check("index.json", "index.json_");
        assert_eq!(RepositoryName::below(None, "blobs"), None);
        assert_eq!(RepositoryName::below(None, "_varve"), None);
    }

    #[test]
    fn names_that_could_leave_the_root_are_not_names() {
        for text in ["", ".", "..", "a/../b", "/a", "a/", "a//b", "a\0", "A", "_varve", "a\\b"] {
            assert_eq!(RepositoryName::parse(text), None, "{text}");
        }
    }
}
