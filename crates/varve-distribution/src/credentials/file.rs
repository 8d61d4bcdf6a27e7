//! Files that hold credentials: docker's `config.json`, containers' `auth.json`.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use serde::Serialize as _;
use serde_json::{Map, Value};
use varve_fs::durable;

use super::{Credential, CredentialsError, domain_of};
use crate::go_json;

/// Bytes of a configuration file.
const FILE_SIZE_BYTES_MAX: u64 = 4 << 20;

/// `auth` members are seen with and without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A file as it was read. Members that we do not know stay as they are.
#[derive(Debug, Clone, Default)]
pub(super) struct AuthFile {
    pub(super) path: PathBuf,
    members: Map<String, Value>,
    /// Why the file could not be read; then it is not written either.
    broken: Option<String>,
}

impl AuthFile {
    /// Reads a file. One that is not there has no members; one that cannot be read has none
    /// either, and says why.
    pub(super) fn read(path: &Path) -> Self {
        let mut file = Self { path: path.to_owned(), ..Self::default() };
        match read_limited(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => file.broken = Some(error.to_string()),
            Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => {}
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(members) => file.members = members,
                Err(error) => {
                    let complaint = go_json::describe(&bytes);
                    file.broken = Some(complaint.unwrap_or_else(|| error.to_string()));
                }
            },
        }
        file
    }

    pub(super) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// A member that is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// The helper that keeps the credentials of one registry.
    pub(super) fn helper(&self, key: &str) -> Option<&str> {
        self.members.get("credHelpers")?.get(key)?.as_str().filter(|name| !name.is_empty())
    }

    /// The credential that is kept under exactly this key, or under a key that means the same
    /// registry.
    pub(super) fn find(&self, key: &str) -> Option<Credential> {
        let auths = self.members.get("auths")?.as_object()?;
        if let Some(found) = auths.get(key).and_then(parse_entry) {
            return Some(found);
        }
        let domain = domain_of(key);
        let mut same = auths.iter().filter(|(own, _)| domain_of(own) == domain);
        same.find_map(|(_, entry)| parse_entry(entry))
    }

    /// The credential whose key is the longest beginning of `domain/path`, at a slash
    /// (containers-auth.json(5)).
    pub(super) fn find_nearest(&self, domain: &str, path: &str) -> Option<Credential> {
        let auths = self.members.get("auths")?.as_object()?;
        let mut name = format!("{domain}/{path}");
        loop {
            if let Some(found) = auths.get(name.trim_end_matches('/')).and_then(parse_entry) {
                return Some(found);
            }
            match name.rfind('/') {
                Some(slash) => name.truncate(slash),
                None => return self.find(domain),
            }
        }
    }

    /// Keeps a credential (`None`: only notes that a helper has one). Tells whether the file
    /// was changed.
    pub(super) fn store(
        &mut self,
        key: &str,
        credential: Option<&Credential>,
    ) -> Result<bool, CredentialsError> {
        let entry = credential.map_or_else(|| Value::Object(Map::new()), entry_of);
        let auths = self.auths()?;
        if auths.get(key) == Some(&entry) {
            return Ok(false);
        }
        auths.insert(key.to_owned(), entry);
        auths.sort_keys();
        self.write()?;
        Ok(true)
    }

    /// Removes a registry's entries. Tells whether there were any.
    pub(super) fn erase(&mut self, key: &str) -> Result<bool, CredentialsError> {
        if self.members.get("auths").is_none() && self.broken.is_none() {
            return Ok(false);
        }
        let auths = self.auths()?;
        let before = auths.len();
        let variants = [key.to_owned(), format!("https://{key}"), format!("http://{key}")];
        auths.retain(|own, _| !variants.contains(own));
        if auths.len() == before {
            return Ok(false);
        }
        self.write()?;
        Ok(true)
    }

    fn auths(&mut self) -> Result<&mut Map<String, Value>, CredentialsError> {
        if let Some(reason) = &self.broken {
            return Err(CredentialsError::Broken {
                path: self.path.clone(),
                reason: reason.clone(),
            });
        }
        let auths = self.members.entry("auths").or_insert_with(|| Value::Object(Map::new()));
        if !auths.is_object() {
            *auths = Value::Object(Map::new());
        }
        match auths {
            Value::Object(auths) => Ok(auths),
            // Made one just now; serde_json has no way to say so.
            _ => unreachable!("auths is an object"),
        }
    }

    /// Writes the file as docker does: indented with tabs, no final newline, for its owner only.
    fn write(&self) -> Result<(), CredentialsError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| CredentialsError::Io { action, path, source }
        };
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        Value::Object(self.members.clone())
            .serialize(&mut serializer)
            .map_err(io::Error::from)
            .and_then(|()| bytes.flush())
            .map_err(failed("write", &self.path))?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            durable::create_directories(folder, 0o700).map_err(failed("create", folder))?;
        }
        // A link stays a link: what it points at is replaced.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let mode = fs::metadata(&path).map_or(0o600, |found| found.permissions().mode() & 0o777);
        durable::replace(&path, &bytes, mode).map_err(failed("write", &path))
    }
}

fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_SIZE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// One entry of `auths`. An empty one notes that a helper has the credential.
fn parse_entry(entry: &Value) -> Option<Credential> {
    let text = |name: &str| entry.get(name)?.as_str().filter(|text| !text.is_empty());
    let decoded = text("auth").and_then(|auth| LENIENT.decode(auth.trim()).ok());
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let (username, password) = match decoded.as_deref().and_then(|pair| pair.split_once(':')) {
        Some((username, password)) => (username, password.trim_end_matches('\0')),
        None => (text("username").unwrap_or_default(), text("password").unwrap_or_default()),
    };
    if let Some(token) = text("identitytoken") {
        let (username, token) = (username.to_owned(), token.to_owned());
        return Some(Credential::IdentityToken { username, token });
    }
    if username.is_empty() {
        return None;
    }
    Some(Credential::Password { username: username.to_owned(), password: password.to_owned() })
}

fn entry_of(credential: &Credential) -> Value {
    let auth = |username: &str, password: &str| STANDARD.encode(format!("{username}:{password}"));
    match credential {
        Credential::Password { username, password } => {
            serde_json::json!({ "auth": auth(username, password) })
        }
        Credential::IdentityToken { username, token } if username.is_empty() => {
            serde_json::json!({ "identitytoken": token })
        }
        Credential::IdentityToken { username, token } => {
            serde_json::json!({ "auth": auth(username, ""), "identitytoken": token })
        }
    }
}
