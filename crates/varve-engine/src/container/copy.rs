//! `cp`: files put into a container and taken out of it.
//!
//! As in Docker a copy is a tar that one side writes and the other unpacks; only the name of what
//! is copied is settled before, by what is at the destination. Paths in the container are resolved
//! beneath its root by the kernel, its volumes and binds included.

mod path;

use std::{
    io::{self, Read, Write},
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

use varve_fs::{
    overlay::Marks,
    root::Root,
    unpack::{UnpackError, Unpacking, unpack},
    upper::{UpperError, write_copy},
};
use varve_types::{Ctx, container::Container};

pub(super) use self::path::clean_absolute;
use self::path::{Destination, Source};
use super::{ContainerError, view::View};
use crate::{Engine, Error, Result};

/// What to take out of a container.
#[derive(Debug, Clone, Copy)]
pub struct CopyOut<'a> {
    /// The container.
    pub container: &'a str,
    /// The path in it.
    pub path: &'a str,
    /// Copy what a symbolic link at the end of the path points to.
    pub follow_link: bool,
}

/// What to put into a container.
#[derive(Debug, Clone, Copy)]
pub struct CopyIn<'a> {
    /// The container.
    pub container: &'a str,
    /// The path in it.
    pub path: &'a str,
}

/// How much was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Bytes of the tar.
    pub size_bytes: u64,
}

impl Engine {
    /// Copies out of a container to an absolute path of the host, which may end in `/` or `/.`.
    /// Files are the caller's; with `keep_owners` the owners are those in the container.
    pub fn copy_out(
        &self,
        ctx: &Ctx<'_>,
        request: CopyOut<'_>,
        to: &str,
        keep_owners: bool,
    ) -> Result<Copied> {
        let destination = Destination::on_host(to)?;
        let container = self.container(request.container)?;
        let view = self.view(ctx, &container)?;
        view.inside(|root| {
            let source = Source::in_container(root, request)?;
            let name = destination.name_of(&source)?;
            let target = open_on_host(destination.directory())?;
            transfer((&source, self.marks()?), &name, target, Unpacking { keep_owners })
        })
    }

    /// Writes what is taken out of a container as a tar.
    pub fn copy_out_as_tar(
        &self,
        ctx: &Ctx<'_>,
        request: CopyOut<'_>,
        output: &mut (dyn Write + Send),
    ) -> Result<Copied> {
        let container = self.container(request.container)?;
        self.view(ctx, &container)?.inside(|root| {
            let source = Source::in_container(root, request)?;
            source.write(source.base(), self.marks()?, output).map_err(|error| match error {
                UpperError::Write(error) => Error::Output(error),
                source => Error::Upper { container: request.container.to_owned(), source },
            })
        })
    }

    /// Copies an absolute path of the host, which may end in `/` or `/.`, into a container. Owners
    /// are kept by number.
    pub fn copy_in(
        &self,
        ctx: &Ctx<'_>,
        from: &str,
        follow_link: bool,
        request: CopyIn<'_>,
    ) -> Result<Copied> {
        let source = Source::on_host(from, follow_link)?;
        let container = self.container(request.container)?;
        let view = self.view(ctx, &container)?;
        view.inside(|root| {
            let destination = Destination::in_container(root, request.path);
            let name = destination.name_of(&source)?;
            let target = open_in_container(root, &container, request, destination.directory())?;
            let how = Unpacking { keep_owners: true };
            transfer((&source, Marks::None), &name, target, how)
        })
    }

    /// Unpacks a tar in a directory of a container.
    pub fn copy_in_tar(
        &self,
        ctx: &Ctx<'_>,
        input: &mut (dyn Read + Send),
        request: CopyIn<'_>,
    ) -> Result<Copied> {
        let container = self.container(request.container)?;
        let view: View<'_> = self.view(ctx, &container)?;
        view.inside(|root| {
            let destination = Destination::in_container(root, request.path);
            if !destination.is_directory() {
                let CopyIn { container, path } = request;
                let text = format!("destination \"{container}:{path}\" must be a directory");
                return Err(Error::Copy(text));
            }
            let target = open_in_container(root, &container, request, destination.directory())?;
            let mut input = Counted { inner: input, size_bytes: 0 };
            unpack(&mut input, target.as_fd(), Unpacking { keep_owners: true })
                .map_err(Error::Unpack)?;
            Ok(Copied { size_bytes: input.size_bytes })
        })
    }
}

/// Writes a tar of what is seen through an overlay with such marks, and unpacks it at the same time.
fn transfer(
    (source, marks): (&Source, Marks),
    name: &[u8],
    target: OwnedFd,
    how: Unpacking,
) -> Result<Copied> {
    let (reader, writer) = io::pipe().map_err(Error::Output)?;
    let (sent, unpacked) = std::thread::scope(|scope| {
        let sending = scope.spawn(move || source.write(name, marks, writer));
        let unpacked = unpack(reader, target.as_fd(), how);
        let sent = sending.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (sent, unpacked)
    });
    let wrong = |error: UnpackError| match error {
        // The other side ended before: that it did is the error to tell.
        UnpackError::Tar(_) => None,
        error => Some(Error::Unpack(error)),
    };
    match (sent, unpacked.map_err(wrong)) {
        (_, Err(Some(error))) => Err(error),
        (Err(error), _) => Err(source.unreadable(error)),
        (Ok(copied), Ok(())) => Ok(copied),
        (Ok(_), Err(None)) => Err(Error::Unpack(varve_fs::layer::LayerError::UnexpectedEof.into())),
    }
}

/// Counts bytes on their way.
struct Counted<T> {
    inner: T,
    size_bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.size_bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(bytes)?;
        self.size_bytes += count as u64;
        Ok(count)
    }
}

impl Source {
    fn write(&self, name: &[u8], marks: Marks, target: impl Write) -> Result<Copied, UpperError> {
        // A tar is written in many small pieces.
        let target = io::BufWriter::with_capacity(1 << 16, target);
        let target = Counted { inner: target, size_bytes: 0 };
        let (directory, own_name) = self.place();
        let (target, _) = write_copy((directory.as_fd(), own_name), name, marks, target)?;
        Ok(Copied { size_bytes: target.size_bytes })
    }

    fn unreadable(&self, source: UpperError) -> Error {
        Error::Upper { container: self.owner().to_owned(), source }
    }
}

fn open_on_host(path: &str) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| Error::File {
        action: "open",
        path: path.to_owned(),
        source: errno.into(),
    })
}

/// Opens the directory of a container that something is to be unpacked in.
fn open_in_container(
    root: &Root,
    container: &Container,
    request: CopyIn<'_>,
    directory: &str,
) -> Result<OwnedFd> {
    let invalid = |text: &str| Error::from(ContainerError::Invalid(text.to_owned()));
    let opened = root.open_to_change(Path::new(directory)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ContainerError::NoFile {
            path: directory.to_owned(),
            container: request.container.to_owned(),
        }
        .into(),
        io::ErrorKind::NotADirectory => invalid("extraction point is not a directory"),
        _ => Error::File { action: "open", path: directory.to_owned(), source: error },
    })?;
    let path = clean_absolute(directory);
    let is_in = |place: &str| {
        path == place || path.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'))
    };
    let mounts = container.mounts.iter().filter(|mount| is_in(&mount.destination));
    match mounts.max_by_key(|mount| mount.destination.len()) {
        Some(mount) if !mount.rw => Err(invalid("mounted volume is marked read-only")),
        None if container.host_config.readonly_rootfs => {
            Err(invalid("container rootfs is marked read-only"))
        }
        _ => Ok(opened),
    }
}
