//! References: the names of images.

use std::{borrow::Cow, fmt, str::FromStr};

use crate::{Digest, Printable};

/// The registry that a bare name belongs to.
pub const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DEFAULT_DOMAIN: &str = "index.docker.io";
const OFFICIAL_NAMESPACE: &str = "library";
/// The tag that a name without tag and digest gets.
pub const DEFAULT_TAG: &str = "latest";
/// Bytes of domain and path together.
pub const NAME_SIZE_BYTES_MAX: usize = 255;

/// Why a text is not a reference. The texts are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The grammar does not fit.
    #[error("invalid reference format")]
    Format,
    /// The repository has upper-case letters. Holds the repository's path.
    #[error("invalid reference format: repository name ({}) must be lowercase", Printable(.0))]
    Uppercase(String),
    /// The whole text could be mistaken for an image ID.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    LooksLikeId(String),
    /// Domain and path have more than [`NAME_SIZE_BYTES_MAX`] bytes.
    #[error("repository name must not be more than 255 characters")]
    TooLong,
    /// A digest of an algorithm other than SHA-256.
    #[error("unsupported digest algorithm")]
    Algorithm,
}

/// A repository: a registry's domain and a path in it, such as `docker.io` and `library/busybox`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    domain: String,
    path: String,
}

/// A repository with an optional tag and an optional digest, normalized as Docker does:
/// `busybox` is `docker.io/library/busybox` (distribution/reference grammar).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    repository: Repository,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Repository {
    /// Parses a name without tag and digest.
    pub fn parse(name: &str) -> Result<Self, ReferenceError> {
        let reference: Reference = name.parse()?;
        if reference.tag.is_some() || reference.digest.is_some() {
            return Err(ReferenceError::Format);
        }
        Ok(reference.repository)
    }

    /// The registry's host and optional port: `docker.io`, `127.0.0.1:5000`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The path inside the registry: `library/busybox`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The short form that listings show: `busybox`, `127.0.0.1:5000/team/app`.
    pub fn familiar(&self) -> String {
        if self.domain == DEFAULT_DOMAIN {
            let short = self.path.strip_prefix("library/").filter(|rest| !rest.contains('/'));
            return short.unwrap_or(&self.path).to_owned();
        }
        self.to_string()
    }

    /// This repository with a tag. The tag must be valid.
    pub fn with_tag(&self, tag: &str) -> Result<Reference, ReferenceError> {
        if !is_tag(tag) {
            return Err(ReferenceError::Format);
        }
        Ok(Reference { repository: self.clone(), tag: Some(tag.to_owned()), digest: None })
    }

    /// This repository with a digest.
    pub fn with_digest(&self, digest: Digest) -> Reference {
        Reference { repository: self.clone(), tag: None, digest: Some(digest) }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)
    }
}

impl Reference {
    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag, when one was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, when one was given.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Whether there is neither tag nor digest.
    pub fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// Adds the tag `latest` when there is neither tag nor digest.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.is_name_only() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// What a registry is asked for: the digest when there is one, else the tag, else `latest`.
    pub fn manifest_name(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// The short form: `busybox:1.36`, `team/app@sha256:…`.
    pub fn familiar(&self) -> String {
        self.shown(self.repository.familiar())
    }

    fn shown(&self, mut name: String) -> String {
        if let Some(tag) = &self.tag {
            name.push(':');
            name.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            name.push('@');
            name.push_str(&digest.to_string());
        }
        name
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown(self.repository.to_string()))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if is_image_id(text) {
            return Err(ReferenceError::LooksLikeId(text.to_owned()));
        }
        let (domain, remainder) = split_domain(text);
        let name_end = remainder.find([':', '@']).unwrap_or(remainder.len());
        // Docker looks at everything before the tag, so a digest's letters do not matter.
        let before_tag = &remainder[..remainder.find(':').unwrap_or(remainder.len())];
        if before_tag.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(ReferenceError::Uppercase(before_tag.to_owned()));
        }
        let path = &remainder[..name_end];
        if !is_domain(domain) || !is_path(path) {
            return Err(ReferenceError::Format);
        }
        let (tag, digest) = parse_suffix(&remainder[name_end..])?;
        if domain.len() + 1 + path.len() > NAME_SIZE_BYTES_MAX {
            return Err(ReferenceError::TooLong);
        }
        let repository = Repository { domain: domain.to_owned(), path: path.to_owned() };
        Ok(Self { repository, tag, digest })
    }
}

/// Splits the registry's domain off, adding `docker.io` and `library/` where Docker does.
fn split_domain(text: &str) -> (&str, Cow<'_, str>) {
    let is_domain = |first: &str| {
        first.contains(['.', ':'])
            || first == "localhost"
            || first.bytes().any(|b| b.is_ascii_uppercase())
    };
    let (domain, remainder) = match text.split_once('/') {
        Some((first, rest)) if is_domain(first) => (first, rest),
        _ => (DEFAULT_DOMAIN, text),
    };
    let domain = if domain == LEGACY_DEFAULT_DOMAIN { DEFAULT_DOMAIN } else { domain };
    if domain == DEFAULT_DOMAIN && !remainder.contains('/') {
        return (domain, Cow::Owned(format!("{OFFICIAL_NAMESPACE}/{remainder}")));
    }
    (domain, Cow::Borrowed(remainder))
}

fn parse_suffix(suffix: &str) -> Result<(Option<String>, Option<Digest>), ReferenceError> {
    let (tag, digest) = match suffix.split_once('@') {
        Some((tag, digest)) => (tag, Some(digest)),
        None => (suffix, None),
    };
    let tag = match tag.strip_prefix(':') {
        Some(tag) if is_tag(tag) => Some(tag.to_owned()),
        None if tag.is_empty() => None,
        _ => return Err(ReferenceError::Format),
    };
    let digest = match digest {
        None => None,
        Some(text) => Some(text.parse().map_err(|error| match error {
            crate::digest::DigestError::Algorithm => ReferenceError::Algorithm,
            crate::digest::DigestError::Format => ReferenceError::Format,
        })?),
    };
    Ok((tag, digest))
}

fn is_image_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a text is a tag: `[\w][\w.-]{0,127}`.
pub fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = tag.as_bytes();
    (1..=128).contains(&bytes.len())
        && word(bytes[0])
        && bytes.iter().all(|&b| word(b) || matches!(b, b'.' | b'-'))
}

/// A host name, IPv4 or bracketed IPv6 address, and an optional port.
fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, after)) => {
                let hex = |b: u8| b.is_ascii_hexdigit() || b == b':';
                if address.is_empty() || !address.bytes().all(hex) {
                    return false;
                }
                match after.strip_prefix(':') {
                    Some(port) => ("", Some(port)),
                    None if after.is_empty() => ("", None),
                    None => return false,
                }
            }
            None => return false,
        },
        None => match domain.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (domain, None),
        },
    };
    let port_fits = port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    let component = |c: &str| {
        let bytes = c.as_bytes();
        !bytes.is_empty()
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
            && bytes[0] != b'-'
            && bytes[bytes.len() - 1] != b'-'
    };
    port_fits && (domain.starts_with('[') || host.split('.').all(component))
}

/// Whether a text is a repository's path: components of `[a-z0-9]+` joined by `.`, `_`, `__` or any number of `-`.
pub fn is_path(path: &str) -> bool {
    path.split('/').all(is_path_component)
}

fn is_path_component(component: &str) -> bool {
    let alphanumeric = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9');
    let bytes = component.as_bytes();
    let mut at = 0;
    loop {
        let start = at;
        while at < bytes.len() && alphanumeric(bytes[at]) {
            at += 1;
        }
        if at == start {
            return false;
        }
        if at == bytes.len() {
            return true;
        }
        match bytes[at] {
            b'.' => at += 1,
            b'_' => at += if bytes.get(at + 1) == Some(&b'_') { 2 } else { 1 },
            b'-' => {
                while bytes.get(at) == Some(&b'-') {
                    at += 1;
                }
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match text.parse::<Reference>() {
            Ok(reference) => format!("{reference} | {}", reference.familiar()),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn bare_names_belong_to_docker_hub() {
        check("alpine", "docker.io/library/alpine | alpine");
        check("alpine:3.20", "docker.io/library/alpine:3.20 | alpine:3.20");
        check("team/app", "docker.io/team/app | team/app");
        check("docker.io/library/busybox", "docker.io/library/busybox | busybox");
        check("index.docker.io/busybox", "docker.io/library/busybox | busybox");
        check("docker.io/library/a/b", "docker.io/library/a/b | library/a/b");
    }

    #[test]
    fn a_first_part_with_dot_colon_or_capitals_is_a_registry() {
        check("127.0.0.1:5000/a", "127.0.0.1:5000/a | 127.0.0.1:5000/a");
        check("localhost/a", "localhost/a | localhost/a");
        check("Foo/a", "Foo/a | Foo/a");
        check("[::1]:5000/a:b", "[::1]:5000/a:b | [::1]:5000/a:b");
    }

    #[test]
    fn digests_may_stand_alone_or_behind_a_tag() {
        let digest = format!("sha256:{}", "0".repeat(64));
        check(&format!("a:b@{digest}"), &format!("docker.io/library/a:b@{digest} | a:b@{digest}"));
        check("busybox@sha256:123", "error: invalid reference format");
    }

    #[test]
    fn upper_case_is_refused_by_name() {
        check(
            "Foo",
            "error: invalid reference format: repository name (library/Foo) must be lowercase",
        );
        check("a/B:c", "error: invalid reference format: repository name (a/B) must be lowercase");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            ":",
            "a:",
            "a:b:c",
            "a/",
            "/a",
            "a//b",
            "a b",
            "-a",
            "a-",
            "a___b",
            "a..b",
            "@",
            "a@",
            "https://a/b",
        ] {
            check(text, "error: invalid reference format");
        }
        check(
            &"a".repeat(64),
            &format!(
                "error: invalid repository name ({}), cannot specify 64-byte hexadecimal strings",
                "a".repeat(64)
            ),
        );
        check(&format!("a:{}", "b".repeat(129)), "error: invalid reference format");
        check(
            &format!("a/{}", "b".repeat(256)),
            "error: repository name must not be more than 255 characters",
        );
    }
}
