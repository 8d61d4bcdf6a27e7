//! What a request's path asks for.

use varve_types::{Digest, reference};

use super::{name::RepositoryName, reply::Problem, storage::UploadId};

/// The endpoints of the distribution specification.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Base,
    Catalogue,
    Tags(RepositoryName),
    Referrers(RepositoryName, Digest),
    Manifest(RepositoryName, Target),
    Blob(RepositoryName, Digest),
    Uploads(RepositoryName),
    Upload(RepositoryName, UploadId),
}

/// How a manifest is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Tag(String),
    Digest(Digest),
    /// Neither: never there, and cannot be put.
    Invalid(String),
}

impl Route {
    pub(super) fn parse(path: &str) -> Result<Self, Problem> {
        let path = decode(path, false);
        let rest = match path.strip_prefix("/v2") {
            Some("" | "/") => return Ok(Self::Base),
            Some(rest) => rest.strip_prefix('/').ok_or(Problem::NoSuchPage)?,
            None => return Err(Problem::NoSuchPage),
        };
        if rest == "_catalog" {
            return Ok(Self::Catalogue);
        }
        if let Some(name) =
            rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads"))
        {
            return Ok(Self::Uploads(parse_name(name)?));
        }
        let (front, last) = rest.rsplit_once('/').ok_or(Problem::NoSuchPage)?;
        if let Some(name) = front.strip_suffix("/blobs/uploads") {
            let id = UploadId::parse(last).ok_or(Problem::UploadUnknown)?;
            return Ok(Self::Upload(parse_name(name)?, id));
        }
        let (name, kind) = front.rsplit_once('/').ok_or(Problem::NoSuchPage)?;
        match kind {
            "tags" if last == "list" => Ok(Self::Tags(parse_name(name)?)),
            "manifests" => Ok(Self::Manifest(parse_name(name)?, Target::parse(last)?)),
            "blobs" => Ok(Self::Blob(parse_name(name)?, parse_digest(last)?)),
            "referrers" => Ok(Self::Referrers(parse_name(name)?, parse_digest(last)?)),
            _ => Err(Problem::NoSuchPage),
        }
    }
}

impl Target {
    fn parse(text: &str) -> Result<Self, Problem> {
        if text.contains(':') {
            return parse_digest(text).map(Self::Digest);
        }
        Ok(if reference::is_tag(text) {
            Self::Tag(text.to_owned())
        } else {
            Self::Invalid(text.to_owned())
        })
    }
}

fn parse_name(text: &str) -> Result<RepositoryName, Problem> {
    RepositoryName::parse(text).ok_or_else(|| Problem::NameInvalid(text.to_owned()))
}

pub(super) fn parse_digest(text: &str) -> Result<Digest, Problem> {
    text.parse().map_err(|error| Problem::DigestInvalid(format!("{text}: {error}")))
}

/// The first value of a query parameter.
pub(super) fn query(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key, true) == name).then(|| decode(value, true))
    })
}

/// Undoes percent encoding. What is not encoding is kept as it is, what is not UTF-8 afterwards
/// becomes a character that no grammar here allows.
fn decode(text: &str, plus_is_space: bool) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3).filter(|pair| pair.iter().all(u8::is_ascii_hexdigit));
        match (bytes[at], pair) {
            (b'%', Some(pair)) => {
                let digit = |b: u8| (b as char).to_digit(16).unwrap_or(0) as u8;
                decoded.push(digit(pair[0]) << 4 | digit(pair[1]));
                at += 3;
            }
            (b'+', _) if plus_is_space => {
                decoded.push(b' ');
                at += 1;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Encodes text for use as a query's value.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(byte as char);
            }
            byte => encoded.extend(["%".to_owned(), format!("{byte:02X}")]),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[track_caller]
    fn check(path: &str, expected: &str) {
        let shown = match Route::parse(path) {
            Ok(Route::Tags(name)) => format!("tags of {name}"),
            Ok(Route::Manifest(name, target)) => format!("manifest {target:?} of {name}"),
            Ok(Route::Blob(name, _)) => format!("blob of {name}"),
            Ok(Route::Uploads(name)) => format!("uploads of {name}"),
            Ok(Route::Referrers(name, _)) => format!("referrers of {name}"),
            Ok(other) => format!("{other:?}"),
            Err(problem) => format!("{} {}", problem.status(), problem.code()),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn words_of_the_interface_may_be_parts_of_a_name() {
        check("/v2/manifests/tags/list", "tags of manifests");
        check("/v2/a/blobs/uploads/tags/list", "tags of a/blobs/uploads");
        check("/v2/a/tags/manifests/list", "manifest Tag(\"list\") of a/tags");
        check(&format!("/v2/blobs/blobs/{DIGEST}"), "blob of blobs");
        check("/v2/a/blobs/uploads/", "uploads of a");
        check(&format!("/v2/a/b/referrers/{DIGEST}"), "referrers of a/b");
    }

    #[test]
    fn encoded_paths_are_decoded_before_they_are_judged() {
        check(&format!("/v2/a/blobs/{}", DIGEST.replace(':', "%3A")), "blob of a");
        check("/v2/a%2f..%2f..%2fetc/tags/list", "400 NAME_INVALID");
        check("/v2/%00/tags/list", "400 NAME_INVALID");
    }

    #[test]
    fn nonsense_is_refused_by_its_code() {
        check("/v2", "Base");
        check("/", "404 UNKNOWN");
        check("/v2/x", "404 UNKNOWN");
        check("/v2/A/tags/list", "400 NAME_INVALID");
        check("/v2/a/blobs/sha256:1", "400 DIGEST_INVALID");
        check("/v2/a/manifests/.x", "manifest Invalid(\".x\") of a");
        check("/v2/a/blobs/uploads/../../x", "404 UNKNOWN");
        check("/v2/a/blobs/uploads/x", "404 BLOB_UPLOAD_UNKNOWN");
    }

    #[test]
    fn query_values_are_decoded() {
        assert_eq!(query("a=1&digest=sha256%3Aab&x", "digest").as_deref(), Some("sha256:ab"));
        assert_eq!(query("a=1&x", "x").as_deref(), Some(""));
        assert_eq!(query("a=1", "b"), None);
    }
}
