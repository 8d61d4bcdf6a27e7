//! Terminals and descriptors on their way between processes.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    },
    pty::OpenptFlags,
    termios::{Winsize, tcsetwinsize},
};

use crate::oci::ConsoleSize;

/// Most descriptors in one message: a request's text and its three streams.
const DESCRIPTORS_MAX: usize = 4;
/// Most bytes of one message; longer texts travel in files.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Two ends of a channel that keeps messages apart.
pub(crate) fn channel() -> io::Result<(OwnedFd, OwnedFd)> {
    let kind = SocketType::SEQPACKET;
    Ok(rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?)
}

/// Sends a message, with descriptors.
pub(crate) fn send(to: impl AsFd, text: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(fds));
    }
    let parts = [IoSlice::new(text)];
    rustix::net::sendmsg(to, &parts, &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives a message and its descriptors; empty when the other end is gone.
pub(crate) fn receive(from: impl AsFd) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut text = vec![0; MESSAGE_BYTES_MAX];
    let received = loop {
        let mut parts = [IoSliceMut::new(&mut text)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        match rustix::net::recvmsg(&from, &mut parts, &mut ancillary, flags) {
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CONNRESET) => return Ok((Vec::new(), Vec::new())),
            other => break other?,
        }
    };
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::Error::other("a message was longer than allowed"));
    }
    text.truncate(received.bytes);
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    Ok((text, fds))
}

/// A terminal of the container this process is in: the side we keep and the side it gets.
pub(crate) struct Pair {
    pub(crate) master: OwnedFd,
    pub(crate) slave: OwnedFd,
}

/// Opens a terminal of the `/dev/pts` of a container, whose root is given. What is there is made sure to be the
/// kernel's: the container may have put something in its place.
pub(crate) fn open(root: impl AsFd, size: Option<ConsoleSize>) -> io::Result<Pair> {
    use rustix::fs::{Mode, OFlags, ResolveFlags};
    const DEVPTS: u64 = 0x1cd1;
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = rustix::fs::openat2(root, "/dev/pts/ptmx", flags, Mode::empty(), how)?;
    let kind = rustix::fs::fstatfs(&master)?.f_type as u64;
    let device = rustix::fs::fstat(&master)?.st_rdev;
    if kind != DEVPTS || device != rustix::fs::makedev(5, 2) {
        return Err(io::Error::other("/dev/pts/ptmx is not the kernel's"));
    }
    rustix::pty::unlockpt(&master)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    if let Some(size) = size {
        let size = Winsize { ws_row: size.height, ws_col: size.width, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size)?;
    }
    Ok(Pair { master, slave })
}
