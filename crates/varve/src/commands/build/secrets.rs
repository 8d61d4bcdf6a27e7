//! `--secret` and `--ssh`

use std::{fs, os::unix::fs::FileTypeExt as _, path::Path};

use varve_engine::build::{BuildSecret, SecretValue, SshAgent};
use varve_types::Environment;

use super::{fields, refused};
use crate::error::{self, CommandError};

/// Docker's limit of a secret.
const SECRET_SIZE_BYTES_MAX: u64 = 500 * 1024;

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

/// Reads `--ssh`: `default`, or `NAME=SOCKET`.
pub(crate) fn ssh(text: &str, environment: &Environment) -> Result<SshAgent, CommandError> {
    let (id, path) = text.split_once('=').unwrap_or((text, ""));
    let socket = match path {
        "" => environment.get("SSH_AUTH_SOCK").unwrap_or_default(),
        path => path,
    };
    if socket.is_empty() {
        let text = "invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set";
        return Err(refused(text));
    }
    let socket = Path::new(socket);
    let facts =
        fs::metadata(socket).map_err(|error| refused(error::go_text("stat", socket, &error)))?;
    if !facts.file_type().is_socket() {
        let text =
            "is no socket of an agent; add the key to one with `ssh-add`, and give --ssh default";
        return Err(refused(format_args!("{} {text}", socket.display())));
    }
    let id = if id.is_empty() { "default" } else { id };
    Ok(SshAgent { id: id.to_owned(), socket: socket.to_owned() })
}
