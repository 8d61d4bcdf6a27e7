//! Published ports: which are free, and the sockets that keep them.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt},
};
use serde::{Deserialize, Serialize};
use varve_types::{
    container::{Port, PortBinding, PortBindings, Protocol},
    limits,
};

use super::error::{Error, PortRefusal, Result};

/// The ports that are given when none is asked for, unless the machine says otherwise.
const EPHEMERAL: (u16, u16) = (49_153, 65_535);
const LISTEN_QUEUE: i32 = 4_096;

/// A port of this machine that leads to a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedPort {
    /// The address of this machine; `0.0.0.0` or `::` for all of its family.
    pub host_ip: IpAddr,
    /// The port of this machine.
    pub host_port: u16,
    /// The container's address; of IPv4 for a container without IPv6, whatever `host_ip` is.
    pub container_ip: IpAddr,
    /// The container's port.
    pub container_port: u16,
    /// The protocol.
    pub protocol: Transport,
}

/// A protocol with ports, as it is written in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
}

impl Transport {
    /// Its number in a packet's header.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl From<Protocol> for Transport {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Self::Tcp,
            Protocol::Udp => Self::Udp,
            Protocol::Sctp => Self::Sctp,
        }
    }
}

impl From<Transport> for Protocol {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::Tcp,
            Transport::Udp => Self::Udp,
            Transport::Sctp => Self::Sctp,
        }
    }
}

/// A published port and the socket that keeps others from it.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) port: PublishedPort,
    /// Absent for SCTP: the firewall's rule is all there is.
    pub(crate) socket: Option<OwnedFd>,
}

/// For whom ports are published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Publisher<'a> {
    pub(crate) container: &'a str,
    pub(crate) endpoint: &'a str,
    pub(crate) ipv4: Ipv4Addr,
    pub(crate) ipv6: Option<Ipv6Addr>,
    /// Where ports go that name no address (`com.docker.network.bridge.host_binding_ipv4`).
    pub(crate) default_address: Option<IpAddr>,
}

impl Publisher<'_> {
    /// Takes all the ports, or none. `taken` are other containers'.
    pub(crate) fn bind(
        &self,
        bindings: &PortBindings,
        mut taken: Vec<PublishedPort>,
    ) -> Result<Vec<Bound>> {
        if bindings.values().map(Vec::len).sum::<usize>() > limits::PUBLISHED_PORTS_MAX {
            return Err(Error::TooManyPorts(limits::PUBLISHED_PORTS_MAX));
        }
        let mut bound: Vec<Bound> = Vec::new();
        for (port, places) in bindings {
            for place in places {
                let one = self.bind_one(*port, place, &taken).map_err(|reason| Error::Port {
                    container: self.container.to_owned(),
                    endpoint: self.endpoint.to_owned(),
                    reason,
                })?;
                taken.extend(one.iter().map(|bound| bound.port.clone()));
                bound.extend(one);
            }
        }
        Ok(bound)
    }

    fn bind_one(
        &self,
        port: Port,
        place: &PortBinding,
        taken: &[PublishedPort],
    ) -> std::result::Result<Vec<Bound>, PortRefusal> {
        let addresses = match (place.host_ip.parse::<IpAddr>(), self.default_address) {
            (Ok(address), _) | (Err(_), Some(address)) => vec![address],
            (Err(_), None) if has_ipv6() => {
                vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]
            }
            (Err(_), None) => vec![Ipv4Addr::UNSPECIFIED.into()],
        };
        let (first, last) = asked_range(&place.host_port);
        let mut refusal = PortRefusal::RangeUsedUp;
        for host_port in first..=last {
            let try_all = addresses.iter().map(|address| {
                let published = self.published(*address, host_port, port);
                take(published, taken)
            });
            match try_all.collect() {
                Ok(bound) => return Ok(bound),
                Err(reason) => refusal = reason,
            }
        }
        Err(if first == last { refusal } else { PortRefusal::RangeUsedUp })
    }

    fn published(&self, host_ip: IpAddr, host_port: u16, port: Port) -> PublishedPort {
        let container_ip = match (host_ip, self.ipv6) {
            (IpAddr::V6(_), Some(address)) => address.into(),
            _ => self.ipv4.into(),
        };
        let (container_port, protocol) = (port.number, port.protocol.into());
        PublishedPort { host_ip, host_port, container_ip, container_port, protocol }
    }
}

fn take(port: PublishedPort, taken: &[PublishedPort]) -> std::result::Result<Bound, PortRefusal> {
    let address = SocketAddr::new(port.host_ip, port.host_port);
    let collides = |other: &PublishedPort| {
        let same_place = other.host_ip == port.host_ip
            || (other.host_ip.is_ipv4() == port.host_ip.is_ipv4()
                && (other.host_ip.is_unspecified() || port.host_ip.is_unspecified()));
        other.protocol == port.protocol && other.host_port == port.host_port && same_place
    };
    if taken.iter().any(collides) {
        return Err(PortRefusal::Allocated(address.to_string()));
    }
    match open(&port, address) {
        Ok(socket) => Ok(Bound { port, socket }),
        Err(error) => Err(PortRefusal::Bind {
            protocol: format!(
                "{}{}",
                Protocol::from(port.protocol).as_str(),
                if address.is_ipv4() { 4 } else { 6 }
            ),
            address: address.to_string(),
            reason: words(error),
        }),
    }
}

/// A socket that listens there, and does not wait.
fn open(port: &PublishedPort, address: SocketAddr) -> std::result::Result<Option<OwnedFd>, Errno> {
    let kind = match port.protocol {
        Transport::Tcp => SocketType::STREAM,
        Transport::Udp => SocketType::DGRAM,
        Transport::Sctp => return Ok(None),
    };
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if kind == SocketType::STREAM {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &address)?;
    if kind == SocketType::STREAM {
        listen(&socket, LISTEN_QUEUE)?;
    }
    Ok(Some(socket))
}

fn asked_range(text: &str) -> (u16, u16) {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first > 0 => (first, last),
        _ => ephemeral(),
    }
}

/// The machine's range for ports that nobody chose, which docker gives from as well.
fn ephemeral() -> (u16, u16) {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last))) if first <= last => (first, last),
        _ => EPHEMERAL,
    }
}

fn has_ipv6() -> bool {
    socket_with(AddressFamily::INET6, SocketType::DGRAM, SocketFlags::CLOEXEC, None).is_ok_and(
        |socket| {
            let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
            bind(socket, &any).is_ok()
        },
    )
}

/// The kernel's words as docker prints them.
fn words(error: Errno) -> String {
    let text = std::io::Error::from(error).to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}
