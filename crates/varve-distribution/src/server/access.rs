//! Who may do what: a password file, and whether anything may be written.

use std::{
    collections::{HashMap, HashSet},
    fmt, fs,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use varve_types::{Digest, Hasher, limits};

use super::{reply::Problem, storage::Error};

/// Passwords remembered as verified, so that bcrypt is not paid for on every request.
const VERIFIED_MAX: usize = 1_024;

/// What a registry asks of its clients.
#[derive(Debug, Default)]
pub struct Access {
    /// Only these users, when there is such a file.
    pub htpasswd: Option<Htpasswd>,
    /// Whether nothing may be written.
    pub read_only: bool,
}

impl Access {
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(htpasswd) = &self.htpasswd else { return Ok(()) };
        let (user, password) = basic(headers).ok_or(Problem::Unauthorized)?;
        if htpasswd.verify(&user, &password)? { Ok(()) } else { Err(Problem::Unauthorized) }
    }
}

/// A password file as `htpasswd -B` makes it, read again when it changes.
pub struct Htpasswd {
    path: PathBuf,
    state: Mutex<State>,
    /// Of this process only: what `State::verified` holds is worth nothing elsewhere.
    salt: [u8; 32],
}

#[derive(Default)]
struct State {
    stamp: Option<Stamp>,
    users: HashMap<String, String>,
    verified: HashSet<Digest>,
}

/// Tells whether a file is the one that was read.
#[derive(PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size_bytes: u64,
    changed: (i64, i64),
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Htpasswd").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Htpasswd {
    /// Reads a password file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt)
            .map_err(io::Error::other)
            .map_err(Error::io("make a salt for", path))?;
        let htpasswd = Self { path: path.to_owned(), state: Mutex::default(), salt };
        htpasswd.reload(&mut htpasswd.state.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(htpasswd)
    }

    fn reload(&self, state: &mut State) -> Result<(), Error> {
        let mut file = fs::File::open(&self.path).map_err(Error::io("open", &self.path))?;
        let metadata = file.metadata().map_err(Error::io("read", &self.path))?;
        let stamp = Stamp {
            inode: metadata.ino(),
            size_bytes: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        };
        if state.stamp.as_ref() == Some(&stamp) {
            return Ok(());
        }
        let mut text = String::new();
        (&mut file)
            .take(limits::HTPASSWD_SIZE_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(Error::io("read", &self.path))?;
        let users =
            parse(&text).map_err(|line| Error::Htpasswd { path: self.path.clone(), line })?;
        *state = State { stamp: Some(stamp), users, verified: HashSet::new() };
        Ok(())
    }

    fn verify(&self, user: &str, password: &str) -> Result<bool, Error> {
        let seen = self.seen(user, password);
        let hash = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            self.reload(&mut state)?;
            if state.verified.contains(&seen) {
                return Ok(true);
            }
            state.users.get(user).cloned()
        };
        // An unknown user costs as much time as a known one.
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| UNKNOWN_USER.to_owned());
        let right = bcrypt::verify(password, &hash).unwrap_or(false) && known;
        if right {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            // The file may have been read again in between.
            if state.users.get(user) == Some(&hash) && state.verified.len() < VERIFIED_MAX {
                state.verified.insert(seen);
            }
        }
        Ok(right)
    }

    fn seen(&self, user: &str, password: &str) -> Digest {
        let mut hasher = Hasher::new();
        hasher.update(&self.salt);
        hasher.update(&(user.len() as u64).to_le_bytes());
        hasher.update(user.as_bytes());
        hasher.update(password.as_bytes());
        hasher.finish()
    }
}

/// Hash of a password that nobody knows, with the cost that `htpasswd -B` uses.
const UNKNOWN_USER: &str = "$2y$05$abcdefghijklmnopqrstuuXNEhQjQnDkd0ImvZrm2q2OQB4JXLGQi";

/// Parses the lines of a password file; the error is the number of a line.
fn parse(text: &str) -> Result<HashMap<String, String>, usize> {
    let mut users = HashMap::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (user, hash) = line.split_once(':').ok_or(at + 1)?;
        let bcrypt = ["$2y$", "$2b$", "$2a$"].iter().any(|prefix| hash.starts_with(prefix));
        if user.is_empty() || !bcrypt || hash.len() != 60 {
            return Err(at + 1);
        }
        users.insert(user.to_owned(), hash.to_owned());
    }
    Ok(users)
}

/// The user and password of a `Basic` authorization.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(token.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bcrypt_lines_are_taken() {
        let hash = UNKNOWN_USER;
        let users = parse(&format!("# people\n\nalice:{hash}\n")).unwrap();
        assert_eq!(users["alice"], hash);
        assert_eq!(parse(&format!("alice:{hash}\nbob:{{SHA}}x\n")), Err(2));
        assert_eq!(parse("alice"), Err(1));
    }

    #[test]
    fn basic_authorization_is_user_and_password() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "basic YTpiOmM=".parse().unwrap());
        assert_eq!(basic(&headers), Some(("a".to_owned(), "b:c".to_owned())));
        headers.insert(header::AUTHORIZATION, "Bearer YTpi".parse().unwrap());
        assert_eq!(basic(&headers), None);
    }
}
