//! Files that flags name: variables, labels, profiles.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use varve_types::{Environment, container::parse::env, limits};

use crate::error::go_text;

/// The variables of `--env-file` and then of `--env`, where a name alone is the caller's.
pub(crate) fn variables(
    environment: &Environment,
    paths: &[PathBuf],
    given: &[String],
) -> Result<Vec<String>, String> {
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    let mut variables = of_lines(paths, lookup)?;
    variables.extend(given.iter().map(|variable| match lookup(variable) {
        Some(value) if !variable.contains('=') => format!("{variable}={value}"),
        _ => variable.clone(),
    }));
    Ok(variables)
}

/// The labels of `--label-file`.
pub(crate) fn labels(paths: &[PathBuf]) -> Result<Vec<String>, String> {
    of_lines(paths, |_| None)
}

fn of_lines(
    paths: &[PathBuf],
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    for path in paths {
        let bytes = read(path)?;
        let found = env::lines(&bytes, &lookup);
        let path = path.display();
        lines.extend(found.map_err(|error| format!("invalid env file ({path}): {error}"))?);
    }
    Ok(lines)
}

/// The profile for seccomp of a file, as JSON without spaces.
pub(crate) fn profile(path: &str) -> Result<String, String> {
    let failed = |error: &str| format!("opening seccomp profile ({path}) failed: {error}");
    let bytes = read(Path::new(path)).map_err(|error| failed(&error))?;
    let value: serde_json::Value = serde_json::from_slice(&bytes)
        .map_err(|error| format!("compacting json for seccomp profile ({path}) failed: {error}"))?;
    Ok(value.to_string())
}

/// Reads a file whole, up to a limit.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| go_text("open", path, &error))?;
    let mut bytes = Vec::new();
    let max = limits::FLAG_FILE_SIZE_BYTES_MAX;
    file.take(max + 1).read_to_end(&mut bytes).map_err(|error| go_text("read", path, &error))?;
    if bytes.len() as u64 > max {
        let error = io::Error::from(io::ErrorKind::FileTooLarge);
        return Err(go_text("read", path, &error));
    }
    Ok(bytes)
}
