//! Where the files of a build and its Dockerfile come from.

use std::{
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use varve_engine::build::{ContextSource, DockerfileSource, GitRef, git};
use varve_types::limits;

use super::{Args, refused};
use crate::error::CommandError;

/// Bytes of a tar's first header.
const HEADER_SIZE_BYTES: usize = 512;

/// What is read from standard input besides the bytes that were looked at.
pub(crate) type Stdin = io::Chain<io::Cursor<Vec<u8>>, BufReader<io::Stdin>>;

/// A context that was found, and the Dockerfile for it.
pub(crate) struct Prepared {
    place: Place,
    dockerfile: File,
    /// Bytes of standard input that were looked at.
    seen: Vec<u8>,
}

enum Place {
    Directory(PathBuf),
    Tar,
    Empty,
    Git(GitRef),
    Http(String),
}

enum File {
    Bytes(Vec<u8>),
    /// Relative to the root of the context.
    Context(String),
    /// Relative to the working directory.
    Host(PathBuf),
}

impl Prepared {
    /// Finds the context. Standard input is read as far as is needed to know what it is; a
    /// Dockerfile on it is read whole.
    pub(crate) fn new(args: &Args) -> Result<Self, CommandError> {
        let path = args.path.as_str();
        let file = args.file.as_deref().filter(|file| !file.is_empty());
        let in_context = || File::Context(file.unwrap_or("Dockerfile").to_owned());
        if path == "-" {
            return Self::from_stdin(file);
        }
        let from_flag = |otherwise: &dyn Fn() -> File| match file {
            Some("-") => read_dockerfile(io::stdin()).map(File::Bytes),
            _ => Ok(otherwise()),
        };
        if path.is_empty() {
            let text = "please specify build context (e.g. \".\" for the current directory)";
            return Err(refused(text));
        }
        if Path::new(path).is_dir() {
            let host = || match file {
                Some(file) => File::Host(PathBuf::from(file)),
                None => File::Context("Dockerfile".to_owned()),
            };
            let dockerfile = from_flag(&host)?;
            let place = Place::Directory(PathBuf::from(path));
            return Ok(Self { place, dockerfile, seen: Vec::new() });
        }
        let place = match git::parse(path) {
            Err(reason) => {
                return Err(refused(format_args!("unable to prepare context: {reason}")));
            }
            Ok(Some(repository)) => Place::Git(repository),
            Ok(None) if git::is_http(path) => Place::Http(path.to_owned()),
            Ok(None) => {
                let text = format!("unable to prepare context: path {path:?} not found");
                return Err(refused(text));
            }
        };
        Ok(Self { place, dockerfile: from_flag(&in_context)?, seen: Vec::new() })
    }

    /// Standard input is a context when it begins as an archive does, else a Dockerfile.
    fn from_stdin(file: Option<&str>) -> Result<Self, CommandError> {
        if file == Some("-") {
            let text = "invalid argument: can't use stdin for both build context and dockerfile";
            return Err(refused(text));
        }
        let mut seen = Vec::new();
        let looked = io::stdin().lock().take(2 * HEADER_SIZE_BYTES as u64).read_to_end(&mut seen);
        looked.map_err(|error| {
            refused(format_args!("failed to peek context header from STDIN: {error}"))
        })?;
        let in_context = File::Context(file.unwrap_or("Dockerfile").to_owned());
        if seen.is_empty() {
            return Ok(Self { place: Place::Empty, dockerfile: in_context, seen });
        }
        if is_archive(&seen) {
            return Ok(Self { place: Place::Tar, dockerfile: in_context, seen });
        }
        if file.is_some() {
            let text = "ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles";
            return Err(refused(text));
        }
        let bytes = read_dockerfile(io::Cursor::new(seen).chain(io::stdin()))?;
        Ok(Self { place: Place::Empty, dockerfile: File::Bytes(bytes), seen: Vec::new() })
    }

    /// Standard input from its beginning.
    pub(crate) fn stdin(&self) -> Stdin {
        io::Cursor::new(self.seen.clone()).chain(BufReader::new(io::stdin()))
    }

    /// Whether it can be read a second time.
    pub(crate) fn is_lasting(&self) -> bool {
        !matches!(self.place, Place::Tar)
    }

    /// Context and Dockerfile as the engine takes them.
    pub(crate) fn sources<'a>(
        &'a self,
        stdin: &'a mut Stdin,
    ) -> (ContextSource<'a>, DockerfileSource<'a>) {
        let context = match &self.place {
            Place::Directory(path) => ContextSource::Directory(path),
            Place::Tar => ContextSource::Tar(stdin),
            Place::Empty => ContextSource::Empty,
            Place::Git(repository) => ContextSource::Git(repository.clone()),
            Place::Http(url) => ContextSource::Http(url),
        };
        let dockerfile = match &self.dockerfile {
            File::Bytes(bytes) => DockerfileSource::Bytes(bytes.clone()),
            File::Context(path) => DockerfileSource::Context(path),
            File::Host(path) => DockerfileSource::File(path),
        };
        (context, dockerfile)
    }

    /// The Dockerfile's name as the user knows it.
    pub(crate) fn dockerfile_name(&self) -> String {
        match (&self.dockerfile, &self.place) {
            (File::Bytes(_), _) => "Dockerfile".to_owned(),
            (File::Host(path), _) => path.display().to_string(),
            (File::Context(path), Place::Directory(root)) => root.join(path).display().to_string(),
            (File::Context(path), _) => path.clone(),
        }
    }
}

/// Reads a Dockerfile, of one byte more than the planner takes at most.
fn read_dockerfile(from: impl Read) -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    let mut limited = from.take(limits::DOCKERFILE_SIZE_BYTES_MAX as u64 + 1);
    limited
        .read_to_end(&mut bytes)
        .map_err(|error| refused(format_args!("failed to read Dockerfile from STDIN: {error}")))?;
    Ok(bytes)
}

/// Whether bytes begin as an archive, plain or compressed.
fn is_archive(bytes: &[u8]) -> bool {
    const MAGIC: &[&[u8]] =
        &[b"BZh", &[0x1f, 0x8b, 0x08], b"\xfd7zXZ\0", &[0x28, 0xb5, 0x2f, 0xfd]];
    MAGIC.iter().any(|magic| bytes.starts_with(magic)) || is_tar_header(bytes)
}

/// Whether the checksum of a tar's header is right.
fn is_tar_header(bytes: &[u8]) -> bool {
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    let Some(header) = bytes.get(..HEADER_SIZE_BYTES) else { return false };
    let text = std::str::from_utf8(&header[CHECKSUM]).unwrap_or_default();
    let digits = text.trim_matches(|c| matches!(c, ' ' | '\0'));
    let Ok(stored) = u32::from_str_radix(digits, 8) else { return false };
    let byte = |(at, byte): (usize, &u8)| {
        if CHECKSUM.contains(&at) { u32::from(b' ') } else { u32::from(*byte) }
    };
    let sum: u32 = header.iter().enumerate().map(byte).sum();
    // An archive without members is zeros, which add up to no more than the checksum's blanks.
    stored == sum || header.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::is_archive;

    #[test]
    fn archives_are_told_from_dockerfiles_by_their_first_bytes() {
        let mut tar = vec![0; 512];
        tar[..4].copy_from_slice(b"file");
        let sum: u32 = tar.iter().map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
        tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert!(is_archive(&tar));
        tar[0] = b'g';
        assert!(!is_archive(&tar));
        assert!(is_archive(&[0x1f, 0x8b, 0x08, 0]));
        assert!(is_archive(b"BZh91AY"));
        assert!(!is_archive(b"FROM busybox\n"));
        assert!(!is_archive(&b"FROM busybox\n".repeat(60)));
    }
}
