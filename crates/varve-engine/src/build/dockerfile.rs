//! Which file is the Dockerfile, which one its `.dockerignore`, and reading them.

use std::{
    io::{self, Read},
    path::Path,
};

use varve_build::{
    Ignore, Source, ignore, plan,
    solve::{Files, StepId, Transfer},
};
use varve_fs::root::Root;
use varve_types::{Kind, limits};

use super::{
    BuildError, DockerfileSource,
    failure::{failed, go_file_text},
    patience,
    shown::ShownStep,
};

/// What a build is told by files.
pub(super) struct Definition {
    /// The Dockerfile.
    pub(super) source: Source,
    /// What its `.dockerignore` leaves out.
    pub(super) ignore: Ignore,
    /// Bytes that the transfer of the `.dockerignore` counts, if there is one.
    pub(super) ignore_size_bytes: u64,
    /// The step that was shown while the Dockerfile was read.
    pub(super) step: StepId,
}

/// Where files can be read from before a build begins: the context.
pub(super) enum Place<'a> {
    /// A directory.
    Directory(&'a Root),
    /// An archive or a checkout.
    Files(&'a dyn Files),
    /// Nowhere.
    Nothing,
}

impl Place<'_> {
    /// The bytes of a file; `None` when it is not there.
    pub(super) fn read(&self, path: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Directory(root) => found(root.open_file(Path::new(path)))?
                .map(|file| read(&mut { file }, limit))
                .transpose(),
            Self::Nothing => Ok(None),
            Self::Files(files) => {
                let path = path.trim_start_matches("./").trim_matches('/');
                let followed = files.listing().followed(path);
                match files.open(followed.as_deref().unwrap_or(path)) {
                    Ok(mut reader) => read(&mut *reader, limit).map(Some),
                    Err(fault) if fault.kind() == Kind::NotFound => Ok(None),
                    Err(fault) => Err(io::Error::other(fault)),
                }
            }
        }
    }
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(reader: &mut dyn Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed, so that the parser sees that it is too much.
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the Dockerfile and its `.dockerignore`; shown as docker's first step.
pub(super) fn read_definition<'s>(
    dockerfile: &DockerfileSource<'_>,
    context: &Place<'_>,
    step: impl FnOnce(String) -> ShownStep<'s>,
) -> Result<Definition, BuildError> {
    let (name, found) = match dockerfile {
        DockerfileSource::Bytes(bytes) => ("Dockerfile".to_owned(), Ok(Some(bytes.clone()))),
        DockerfileSource::Context(path) => {
            (base_name(path), context.read(path, limits::DOCKERFILE_SIZE_BYTES_MAX as u64))
        }
        DockerfileSource::File(path) => {
            let name = base_name(&path.to_string_lossy());
            (name, read_file(path, limits::DOCKERFILE_SIZE_BYTES_MAX as u64))
        }
    };
    let step = step(plan::load_definition_name(&name));
    let id = step.id();
    let cannot = |action: &str, why: &io::Error| {
        let text = format!("failed to read dockerfile: {action} {name}: {}", go_file_text(why));
        failed(crate::error::io_kind(why), text)
    };
    let bytes = match found {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            if let Place::Nothing = context {
                let text = "no local sources enabled";
                step.fail(text);
                let text = format!("failed to read dockerfile: {text}");
                return Err(failed(Kind::NotFound, text));
            }
            step.transferred("transferring dockerfile:", Transfer::default().received());
            step.done();
            return Err(cannot("open", &io::Error::from_raw_os_error(2)));
        }
        Err(error) => {
            step.done();
            let action = if error.kind() == io::ErrorKind::IsADirectory { "read" } else { "open" };
            return Err(cannot(action, &error));
        }
    };
    step.transferred("transferring dockerfile:", Transfer::of_file(&name, bytes.len() as u64));
    step.done();
    let (ignore, ignore_size_bytes) = read_ignore(dockerfile, context)?;
    Ok(Definition { source: Source::new(name, bytes), ignore, ignore_size_bytes, step: id })
}

/// The file beside the Dockerfile that is named for it, else the context's.
fn read_ignore(
    dockerfile: &DockerfileSource<'_>,
    context: &Place<'_>,
) -> Result<(Ignore, u64), BuildError> {
    let limit = limits::IGNORE_SIZE_BYTES_MAX as u64;
    let own = match dockerfile {
        DockerfileSource::Bytes(_) => Ok(None),
        DockerfileSource::Context(path) => context.read(&ignore::file_names(path)[0], limit),
        DockerfileSource::File(path) => {
            let mut own = path.as_os_str().to_owned();
            own.push(".dockerignore");
            read_file(Path::new(&own), limit)
        }
    };
    let bytes = match own {
        Ok(None) => context.read(".dockerignore", limit),
        own => own,
    };
    let unreadable = |error: io::Error| {
        let text = format!("failed to read .dockerignore: {}", go_file_text(&error));
        failed(crate::error::io_kind(&error), text)
    };
    let none = (Ignore::default(), Transfer::default().received());
    let Some(bytes) = bytes.map_err(unreadable)? else { return Ok(none) };
    let ignore = Ignore::parse(&bytes).map_err(|error| {
        let text = format!("failed to parse .dockerignore: {error}");
        failed(error.kind(), text)
    })?;
    Ok((ignore, Transfer::of_file(".dockerignore", bytes.len() as u64)))
}

fn read_file(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    found(patience::read(path, limit, &|| true))
}

fn base_name(path: &str) -> String {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path).to_owned()
}
