//! Addresses of git repositories, as contexts and as sources of `ADD`.

/// A git repository and what is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GitRef {
    /// What `git` is given.
    pub remote: String,
    /// Branch, tag or commit; empty for the default branch.
    pub reference: String,
    /// The directory wanted; empty for all.
    pub subdirectory: String,
    /// The commit that it must be; empty for any.
    pub checksum: String,
    /// Whether `.git` is kept, when the address says so.
    pub keep_git_dir: Option<bool>,
    /// Whether submodules are fetched, when the address says so.
    pub submodules: Option<bool>,
}

/// Why an address of a repository makes no sense.
pub type GitRefError = &'static str;

/// Reads an address; `None` when it is not one of a git repository.
///
/// Repositories are `git://…`, `ssh://…`, `user@host:path`, and `http://…` or `https://…` that end
/// in `.git`. `#reference:subdirectory` or a query may follow.
pub fn parse(text: &str) -> Result<Option<GitRef>, GitRefError> {
    let (address, fragment) = match text.split_once('#') {
        Some((address, fragment)) => (address, Some(fragment)),
        None => (text, None),
    };
    let (address, query) = match address.split_once('?') {
        Some((address, query)) => (address, Some(query)),
        None => (address, None),
    };
    if !is_repository(address) {
        return Ok(None);
    }
    let mut git = GitRef { remote: address.to_owned(), ..GitRef::default() };
    if let Some(fragment) = fragment {
        let (reference, subdirectory) = fragment.split_once(':').unwrap_or((fragment, ""));
        reference.clone_into(&mut git.reference);
        subdirectory.clone_into(&mut git.subdirectory);
    }
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        git.set(key, value)?;
    }
    let up = git.subdirectory.split('/').any(|part| part == "..");
    if up {
        return Err("subdirectory of a git source leaves the repository");
    }
    // Such words would be flags of the program `git`.
    if git.reference.starts_with('-') || git.remote.starts_with('-') {
        return Err("invalid git reference");
    }
    Ok(Some(git))
}

impl GitRef {
    fn set(&mut self, key: &str, value: &str) -> Result<(), GitRefError> {
        let switch = || match value {
            "" => Ok(Some(true)),
            value => varve_types::go_bool(value).map(Some).ok_or("invalid git source query"),
        };
        match key {
            "ref" | "branch" | "tag" => {
                if !self.reference.is_empty() && self.reference != value {
                    return Err("ref conflicts with other references of the git source");
                }
                let prefix = match key {
                    "branch" => "refs/heads/",
                    "tag" => "refs/tags/",
                    _ => "",
                };
                self.reference = format!("{prefix}{value}");
            }
            "subdir" => value.clone_into(&mut self.subdirectory),
            "checksum" | "commit" => value.clone_into(&mut self.checksum),
            "keep-git-dir" => self.keep_git_dir = switch()?,
            "submodules" => self.submodules = switch()?,
            _ => return Err("unexpected query of a git source"),
        }
        Ok(())
    }
}

fn is_repository(address: &str) -> bool {
    let has = |scheme: &str| address.starts_with(scheme);
    if has("git://") || has("ssh://") {
        return true;
    }
    if has("http://") || has("https://") {
        return address.rsplit_once('.').is_some_and(|(_, end)| end == "git");
    }
    // user@host:path, where the user is a plain word.
    let Some((user, rest)) = address.split_once('@') else { return false };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let host = rest.split_once(':').map(|(host, _)| host);
    !user.is_empty()
        && user.chars().all(plain)
        && host.is_some_and(|host| !host.is_empty() && !host.contains('/'))
}

/// Whether a source is fetched over http as a file.
pub fn is_http(text: &str) -> bool {
    (text.starts_with("http://") || text.starts_with("https://")) && matches!(parse(text), Ok(None))
}

/// The name that a file fetched from this address gets: the last part of the path.
pub fn http_file_name(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let name = percent_decoded(last);
    match name.as_str() {
        "" | "." | ".." => "__unnamed__".to_owned(),
        name if name.contains(['/', '\0']) => "__unnamed__".to_owned(),
        _ => name,
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let decoded = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let (b'%', Some(decoded)) = (byte, decoded) {
            bytes.push(decoded);
            rest = &tail[2..];
        } else {
            bytes.push(*byte);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
