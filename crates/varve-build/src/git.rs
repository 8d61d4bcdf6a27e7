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
    let host = git.remote.rsplit_once("://").map_or(git.remote.as_str(), |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    if [git.reference.as_str(), &git.remote, host].iter().any(|word| word.starts_with('-')) {
        return Err("invalid git reference");
    }
    Ok(Some(git))
}

impl GitRef {
    /// The address for people: without a password, with what is wanted behind it.
    pub fn shown(&self) -> String {
        let mut text = without_password(&self.remote);
        if !self.reference.is_empty() || !self.subdirectory.is_empty() {
            text.push('#');
            text.push_str(&self.reference);
        }
        if !self.subdirectory.is_empty() {
            text.push(':');
            text.push_str(&self.subdirectory);
        }
        text
    }

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

/// An address without the name and the password in it.
pub fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, host)) if scheme != "ssh" || user.contains(':') => {
            let rest = &rest[authority.len()..];
            format!("{scheme}://xxxxx:xxxxx@{host}{rest}")
        }
        _ => address.to_owned(),
    }
}

/// Whether a source is fetched over http as a file.
pub fn is_http(text: &str) -> bool {
    (text.starts_with("http://") || text.starts_with("https://")) && matches!(parse(text), Ok(None))
}

#[cfg(test)]
mod tests {
    use super::{parse, without_password};

    #[test]
    fn what_the_program_would_take_for_an_option_is_refused() {
        for address in [
            "ssh://-oProxyCommand=touch/x.git",
            "git@-oProxyCommand=touch:x.git",
            "git://h/x.git#--upload-pack=touch",
            "https://h/x.git?ref=-x",
            "git://u@-h/x",
        ] {
            assert!(parse(address).is_err(), "{address}");
        }
        for address in ["ext::sh -c touch% x", "file:///x.git", "--upload-pack=touch"] {
            assert_eq!(parse(address), Ok(None), "{address}");
        }
    }

    #[test]
    fn passwords_and_tokens_are_not_shown() {
        for (address, shown) in [
            ("https://u:p@h/x.git", "https://xxxxx:xxxxx@h/x.git"),
            ("https://token@h:8443/x.git?a@b", "https://xxxxx:xxxxx@h:8443/x.git?a@b"),
            ("ssh://git@h/x.git", "ssh://git@h/x.git"),
            ("git@h:x.git", "git@h:x.git"),
            ("https://h/a@b", "https://h/a@b"),
        ] {
            assert_eq!(without_password(address), shown);
        }
    }
}
