//! Network namespaces, held by a file descriptor.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::netlink::{Socket, Subsystem};

/// A network namespace. It lives as long as somebody holds it or runs in it.
#[derive(Debug)]
pub struct Netns {
    fd: OwnedFd,
    /// Opened by the thread that made it: another would have to go in for it.
    route: Mutex<Option<Socket>>,
}

impl Netns {
    /// The one that this process (its calling thread) is in.
    pub fn current() -> io::Result<Self> {
        Self::at(Path::new("/proc/thread-self/ns/net"))
    }

    /// The one that a process is in.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        Self::at(Path::new(&format!("/proc/{pid}/ns/net")))
    }

    /// The one that a file stands for: `/proc/<pid>/ns/net`, or what one is bind-mounted on.
    pub fn at(path: &Path) -> io::Result<Self> {
        Ok(Self::from(OwnedFd::from(File::open(path)?)))
    }

    /// Whether it is the one that this process is in.
    pub(super) fn is_ours(&self) -> io::Result<bool> {
        let (one, other) = (rustix::fs::fstat(&self.fd)?, rustix::fs::fstat(Self::current()?.fd)?);
        Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
    }

    /// A new one, with nothing in it but a loopback interface that is down.
    pub fn create() -> io::Result<Self> {
        let make = || {
            // Deprecated for the sake of `FILES`, which is not asked for; only this thread moves.
            #[expect(deprecated)]
            rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET)?;
            let made = Self::current()?;
            let route = Socket::open(Subsystem::Route)?;
            Ok(Self { route: Mutex::new(Some(route)), ..made })
        };
        in_a_thread(make)
    }

    /// The descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// A path that stands for this namespace as long as this process holds it; what the runtime
    /// spec's `linux.namespaces[].path` wants.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.fd.as_raw_fd()))
    }

    /// A socket of the kernel's for links, addresses and routes inside.
    pub(super) fn route_socket(&self) -> io::Result<Socket> {
        match self.route.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(opened) => Ok(opened),
            None => self.inside(|| Socket::open(Subsystem::Route)),
        }
    }

    /// Does something inside. Sockets opened there stay there. A thread of its own goes in, so
    /// that the caller is never in the wrong place, whatever happens.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        // Only who may change its own place can be moved to where it is.
        if self.is_ours()? {
            return work();
        }
        in_a_thread(|| {
            move_into_link_name_space(self.fd(), Some(LinkNameSpaceType::Network))?;
            work()
        })
    }
}

fn in_a_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread inside panicked")))
    })
}

impl From<OwnedFd> for Netns {
    fn from(fd: OwnedFd) -> Self {
        Self { fd, route: Mutex::default() }
    }
}
