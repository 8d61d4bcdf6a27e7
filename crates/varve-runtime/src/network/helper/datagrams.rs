//! UDP datagrams taken on one side and carried to the other.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use rustix::event::PollFlags;
use varve_types::limits;

use super::Watched;

const DATAGRAM_SIZE_MAX: usize = 65_535;
/// How long answers are carried back after the last datagram; docker's proxy has the same.
const IDLE_MAX: Duration = Duration::from_secs(90);
/// Datagrams carried before others get their turn.
const TURN_MAX: usize = 64;

/// Published ports and who sent something to them.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    ports: Vec<(UdpSocket, SocketAddr)>,
    flows: Vec<Flow>,
}

#[derive(Debug)]
struct Flow {
    /// Which port it came to.
    port: usize,
    client: SocketAddr,
    /// Connected to the container.
    socket: UdpSocket,
    used: Instant,
}

impl Datagrams {
    pub(super) fn listen(&mut self, socket: UdpSocket, target: SocketAddr) {
        self.ports.push((socket, target));
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.flows.is_empty()
    }

    pub(super) fn watch<'a>(&'a self, into: &mut Vec<Watched<'a>>) {
        into.extend(self.ports.iter().map(|(socket, _)| (socket.as_fd(), PollFlags::IN)));
        into.extend(self.flows.iter().map(|flow| (flow.socket.as_fd(), PollFlags::IN)));
    }

    pub(super) fn turn(&mut self, ready: &[PollFlags], now: Instant) {
        let (ports, flows) = ready.split_at(self.ports.len());
        let mut buffer = vec![0; DATAGRAM_SIZE_MAX];
        for (flow, _) in self.flows.iter_mut().zip(flows).filter(|(_, ready)| !ready.is_empty()) {
            for _ in 0..TURN_MAX {
                // An error says that nobody listens there; the client finds out by hearing nothing.
                let Ok(length) = flow.socket.recv(&mut buffer) else { break };
                let _ = self.ports[flow.port].0.send_to(&buffer[..length], flow.client);
                flow.used = now;
            }
        }
        self.flows.retain(|flow| now.duration_since(flow.used) < IDLE_MAX);
        for (port, _) in ports.iter().enumerate().filter(|(_, ready)| !ready.is_empty()) {
            for _ in 0..TURN_MAX {
                let Ok((length, client)) = self.ports[port].0.recv_from(&mut buffer) else { break };
                if let Some(flow) = self.flow(port, client, now) {
                    flow.used = now;
                    let _ = flow.socket.send(&buffer[..length]);
                }
            }
        }
    }

    fn flow(&mut self, port: usize, client: SocketAddr, now: Instant) -> Option<&mut Flow> {
        let known = self.flows.iter().position(|flow| flow.port == port && flow.client == client);
        let at = if let Some(at) = known {
            at
        } else {
            if self.flows.len() >= limits::RELAYED_FLOWS_MAX {
                return None;
            }
            let socket = connected(self.ports[port].1).ok()?;
            self.flows.push(Flow { port, client, socket, used: now });
            self.flows.len() - 1
        };
        self.flows.get_mut(at)
    }
}

fn connected(target: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(target)?;
    Ok(socket)
}
