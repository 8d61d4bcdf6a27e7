//! The process beside a container that publishes ports or is in a network with names.
//!
//! It keeps the ports of the host from others, serves them where the kernel's redirection does not
//! reach (loopback, IPv6 to a container without it, machines without nf_tables), and answers
//! the container's questions for names. It is this binary in a role of its own, with one thread
//! and named limits. It is given open sockets and opens none to listen; it ends when it is killed
//! with its sandbox, or by itself when the sandbox's record is gone.

mod datagrams;
mod message;
mod relay;
mod resolver;
mod zone;

use std::{
    ffi::{OsStr, OsString},
    io::{self, IoSlice, IoSliceMut, Read as _, Write as _},
    mem::MaybeUninit,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
};
use serde::{Deserialize, Serialize};
use varve_types::{container::ProcessIdentity, limits};

use super::{
    attach::Warning,
    firewall,
    netns::Netns,
    ports::{Bound, PublishedPort, Transport},
    process,
};
use datagrams::Datagrams;
use relay::Relays;
use resolver::Resolver;
use zone::Zones;

/// What a program started as a helper finds as its own name.
const NAME: &str = "varve-net";

/// Whether a program of this name is to be a helper.
pub fn is_asked(own_name: &OsStr) -> bool {
    own_name == NAME
}

/// Where containers ask for names, as with docker.
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// Descriptors in one message; the kernel takes 253.
const DESCRIPTORS_MAX: usize = 200;
/// How often to look whether the sandbox is still there.
const ROUND: Duration = Duration::from_secs(30);
/// How often to look for what has taken too long.
const TICK: Duration = Duration::from_millis(500);

/// How this binary is started for the role of a helper.
#[derive(Debug, Clone)]
pub struct HelperCommand {
    /// The binary.
    pub program: PathBuf,
    /// What it finds as its own name (the first argument).
    pub own_name: OsString,
    /// Further arguments. These or the name must make the process call [`serve`].
    pub arguments: Vec<OsString>,
}

/// The sockets of a container's resolver, in the container.
#[derive(Debug)]
pub(crate) struct ResolverSockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

/// A helper that waits to be told what to do. It ends if that never happens.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) identity: ProcessIdentity,
    socket: UnixStream,
}

#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    record: PathBuf,
    names: PathBuf,
    resolves: bool,
    ports: Vec<PublishedPort>,
}

/// Opens the resolver's sockets in a container's namespace.
pub(crate) fn open_resolver(
    netns: &Netns,
    warnings: &mut Vec<Warning>,
) -> io::Result<ResolverSockets> {
    let (sockets, warning) = netns.inside(|| {
        let sockets = resolver_sockets(0)?;
        let ports = (sockets.udp.local_addr()?.port(), sockets.tcp.local_addr()?.port());
        match firewall::redirect_names(RESOLVER, ports.0, ports.1) {
            Ok(()) => Ok((sockets, None)),
            Err(error) => Ok((resolver_sockets(53)?, Some(error.to_string()))),
        }
    })?;
    warnings.extend(warning.map(Warning::ResolverInTheWay));
    Ok(sockets)
}

fn resolver_sockets(port: u16) -> io::Result<ResolverSockets> {
    let (udp, tcp) = (UdpSocket::bind((RESOLVER, port))?, TcpListener::bind((RESOLVER, port))?);
    udp.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    Ok(ResolverSockets { udp, tcp })
}

impl HelperCommand {
    /// This program again, under a name of its own. Its `main` asks [`is_asked`] first of all.
    pub fn of_this_program() -> Self {
        let program = PathBuf::from("/proc/self/exe");
        Self { program, own_name: NAME.into(), arguments: Vec::new() }
    }

    pub(crate) fn start(&self) -> io::Result<Pending> {
        let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let (ours, theirs) = pair?;
        let child = Command::new(&self.program)
            .arg0(&self.own_name)
            .args(&self.arguments)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()?;
        let identity = process::identify(child.id())?;
        Ok(Pending { identity, socket: ours.into() })
    }
}

impl Pending {
    /// Tells the helper what to do and hands it its sockets.
    pub(crate) fn begin(
        mut self,
        record: PathBuf,
        names: PathBuf,
        resolver: Option<ResolverSockets>,
        bound: Vec<Bound>,
    ) -> io::Result<()> {
        let resolves = resolver.is_some();
        let mut descriptors: Vec<OwnedFd> = Vec::new();
        if let Some(ResolverSockets { udp, tcp }) = resolver {
            descriptors.extend([udp.into(), tcp.into()]);
        }
        let mut ports = Vec::new();
        for Bound { port, socket } in bound {
            if let Some(socket) = socket {
                descriptors.push(socket);
                ports.push(port);
            }
        }
        let settings = serde_json::to_vec(&Settings { record, names, resolves, ports })?;
        self.socket.write_all(&(settings.len() as u64).to_ne_bytes())?;
        self.socket.write_all(&settings)?;
        for chunk in descriptors.chunks(DESCRIPTORS_MAX) {
            let borrowed: Vec<BorrowedFd<'_>> = chunk.iter().map(AsFd::as_fd).collect();
            let mut space =
                vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(&borrowed));
            let one = [IoSlice::new(&[0])];
            sendmsg(&self.socket, &one, &mut control, SendFlags::NOSIGNAL)?;
        }
        Ok(())
    }
}

/// Plays the role of a helper until the end. Standard input is the socket that [`Networks`] gave
/// it; nothing is printed.
///
/// [`Networks`]: super::Networks
pub fn serve() -> io::Result<()> {
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (settings, mut descriptors) = receive(&mut socket)?;
    drop(socket);
    // Not the terminal's, and no job of the shell that started the container.
    let _ = rustix::process::setsid();
    raise_descriptors_max();
    let mut sockets = descriptors.drain(..);
    let zones = Zones::new(settings.record.clone(), settings.names);
    let resolver = if settings.resolves {
        let (Some(udp), Some(tcp)) = (sockets.next(), sockets.next()) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        Some(Resolver::new(udp.into(), tcp.into(), zones))
    } else {
        None
    };
    let (mut relays, mut datagrams) = (Relays::default(), Datagrams::default());
    for (port, socket) in settings.ports.iter().zip(sockets) {
        let target = SocketAddr::new(port.container_ip, port.container_port);
        match port.protocol {
            Transport::Tcp => relays.listen(socket.into(), target),
            Transport::Udp => datagrams.listen(socket.into(), target),
            Transport::Sctp => {}
        }
    }
    serve_all(resolver, relays, datagrams, &settings.record)
}

fn receive(socket: &mut UnixStream) -> io::Result<(Settings, Vec<OwnedFd>)> {
    let mut length = [0; 8];
    socket.read_exact(&mut length)?;
    let length = u64::from_ne_bytes(length);
    if length > limits::NETWORK_RECORD_SIZE_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length as usize];
    socket.read_exact(&mut bytes)?;
    let settings: Settings = serde_json::from_slice(&bytes)?;
    let wanted = settings.ports.len() + if settings.resolves { 2 } else { 0 };
    let mut descriptors = Vec::new();
    while descriptors.len() < wanted {
        let mut space =
            vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let mut one = [IoSliceMut::new(&mut byte)];
        let message = recvmsg(&*socket, &mut one, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        if message.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = part {
                descriptors.extend(received);
            }
        }
    }
    Ok((settings, descriptors))
}

fn raise_descriptors_max() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    // With fewer, fewer connections are served at once.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// What is waited for: a descriptor and events; no events, not now.
pub(crate) type Watched<'a> = (BorrowedFd<'a>, PollFlags);

fn serve_all(
    mut resolver: Option<Resolver>,
    mut relays: Relays,
    mut datagrams: Datagrams,
    record: &std::path::Path,
) -> io::Result<()> {
    let mut looked = Instant::now();
    loop {
        let mut watched: Vec<Watched<'_>> = Vec::new();
        if let Some(resolver) = &resolver {
            resolver.watch(&mut watched);
        }
        let first = watched.len();
        relays.watch(&mut watched);
        let second = watched.len();
        datagrams.watch(&mut watched);
        let waits = datagrams.is_busy() || resolver.as_ref().is_some_and(Resolver::is_busy);
        let ready = wait(&watched, if waits { TICK } else { ROUND })?;
        drop(watched);
        let now = Instant::now();
        if let Some(resolver) = &mut resolver {
            resolver.turn(&ready[..first], now, &mut relays);
        }
        relays.turn(&ready[first..second]);
        datagrams.turn(&ready[second..], now);
        if now.duration_since(looked) > ROUND {
            looked = now;
            if !record.exists() {
                return Ok(());
            }
        }
    }
}

/// Waits for events, or until the time is over. The answer has one entry for each question.
fn wait(watched: &[Watched<'_>], patience: Duration) -> io::Result<Vec<PollFlags>> {
    let mut ready = vec![PollFlags::empty(); watched.len()];
    let asked: Vec<usize> = (0..watched.len()).filter(|at| !watched[*at].1.is_empty()).collect();
    let mut wanted: Vec<PollFd<'_>> =
        asked.iter().map(|at| PollFd::from_borrowed_fd(watched[*at].0, watched[*at].1)).collect();
    let patience =
        Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: i64::from(patience.subsec_nanos()) };
    match poll(&mut wanted, Some(&patience)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    for (at, one) in asked.into_iter().zip(&wanted) {
        ready[at] = one.revents();
    }
    Ok(ready)
}
