//! `--secret` and `--ssh`

use std::{fs, io::Read as _, os::unix::fs::FileTypeExt as _, path::Path};

use varve_engine::build::{BuildSecret, SecretValue, SshAgent, SshKeyFile, SshSource, run::SshKey};
use varve_types::Environment;

use super::{fields, refused};
use crate::error::{self, CommandError};

/// Docker's limit of a secret.
const SECRET_SIZE_BYTES_MAX: u64 = 500 * 1024;
/// Docker's limit of a private key.
const SSH_KEY_SIZE_BYTES_MAX: u64 = 100 * 1024;

/// Reads `--secret`: `id=NAME`, with `src=FILE` or `env=VARIABLE`.
pub(crate) fn secret(text: &str, environment: &Environment) -> Result<BuildSecret, CommandError> {
    let (mut id, mut file, mut variable, mut kind) = (String::new(), None, None, None);
    for (key, value) in fields::pairs(text, "secret")? {
        match key.as_str() {
            "type" if value == "file" || value == "env" => kind = Some(value),
            "type" => return Err(refused(format_args!("unsupported secret type {value:?}"))),
            "id" => id = value,
            "source" | "src" => file = Some(value).filter(|value| !value.is_empty()),
            "env" => variable = Some(value).filter(|value| !value.is_empty()),
            _ => {
                return Err(refused(format_args!("unexpected key '{key}' in '{key}={value}'")));
            }
        }
    }
    if kind.as_deref() == Some("env") && variable.is_none() {
        variable = file.take();
    }
    if id.is_empty() {
        return Err(refused("secret missing ID"));
    }
    if variable.is_none() && file.is_none() {
        match environment.get(&id) {
            Some(_) => variable = Some(id.clone()),
            None => file = Some(id.clone()),
        }
    }
    if let Some(variable) = variable {
        let bytes = environment.get(&variable).unwrap_or_default().as_bytes().to_vec();
        return Ok(BuildSecret { id, value: SecretValue::Bytes(bytes) });
    }
    let path = Path::new(file.as_deref().unwrap_or_default());
    let facts = fs::metadata(path).map_err(|error| {
        let reason = error::go_text("stat", path, &error);
        refused(format_args!("failed to stat {}: {reason}", path.display()))
    })?;
    if facts.len() > SECRET_SIZE_BYTES_MAX {
        return Err(refused(format_args!("secret {id} too big. max size 500KB")));
    }
    Ok(BuildSecret { id, value: SecretValue::File(path.to_owned()) })
}

/// Reads `--ssh`: `default`, `NAME=SOCKET`, or `NAME=KEY[,KEY]`.
pub(crate) fn ssh(text: &str, environment: &Environment) -> Result<SshAgent, CommandError> {
    let (id, paths) = text.split_once('=').unwrap_or((text, ""));
    let paths = match paths {
        "" => environment.get("SSH_AUTH_SOCK").unwrap_or_default(),
        paths => paths,
    };
    if paths.is_empty() {
        let text = "invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set";
        return Err(refused(text));
    }
    let (mut socket, mut keys) = (None, Vec::new());
    for path in paths.split(',').map(Path::new) {
        if socket.is_some() {
            return Err(refused("only single socket allowed"));
        }
        let facts =
            fs::metadata(path).map_err(|error| refused(error::go_text("stat", path, &error)))?;
        if facts.file_type().is_socket() {
            socket = Some(path.to_owned());
            continue;
        }
        keys.push(SshKeyFile { path: path.to_owned(), key: key(path)? });
    }
    let source = match socket {
        Some(_) if !keys.is_empty() => {
            return Err(refused("invalid combination of keys and sockets"));
        }
        Some(socket) => SshSource::Socket(socket),
        None => SshSource::Keys(keys.into()),
    };
    let id = if id.is_empty() { "default" } else { id };
    Ok(SshAgent { id: id.to_owned(), source })
}

/// The private key in a file.
fn key(path: &Path) -> Result<SshKey, CommandError> {
    let shown = path.display();
    let mut text = Vec::new();
    let open = fs::File::open(path).map_err(|error| {
        refused(format_args!("failed to open {shown}: {}", error::go_text("open", path, &error)))
    })?;
    open.take(SSH_KEY_SIZE_BYTES_MAX).read_to_end(&mut text).map_err(|error| {
        refused(format_args!("failed to read {shown}: {}", error::go_text("read", path, &error)))
    })?;
    SshKey::parse(&text).map_err(|error| refused(format_args!("failed to parse {shown}: {error}")))
}
