//! Links, addresses and routes, by way of rtnetlink.

use std::{io, net::IpAddr, os::fd::AsRawFd as _};

use super::{
    address::Subnet,
    netlink::{self, Answer, Attributes, CREATE, EXCL, Request, Socket, Subsystem},
    netns::Netns,
};

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const SET_LINK: u16 = 19;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;

const LINK_ADDRESS: u16 = 1;
const LINK_NAME: u16 = 3;
const LINK_MTU: u16 = 4;
const LINK_MASTER: u16 = 10;
const LINK_KIND: u16 = 18;
const LINK_NETNS_FD: u16 = 28;
const LINK_PROTOCOL: u16 = 12;
const LINK_AF_SPEC: u16 = 26;
const BRIDGE_PORT_HAIRPIN: u16 = 4;
const BRIDGE_PORT_ISOLATED: u16 = 33;

const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const ROUTE_HEADER: usize = 12;
const UP: u32 = 1;

/// What makes a pair of connected interfaces.
#[derive(Debug, Clone)]
pub(crate) struct Veth<'a> {
    /// The end that stays here.
    pub(crate) here: &'a str,
    /// The bridge it goes to.
    pub(crate) bridge: &'a str,
    /// The end in the other namespace.
    pub(crate) there: &'a str,
    /// The other end's hardware address.
    pub(crate) mac: [u8; 6],
    /// Bytes of the largest packet; `None` is the kernel's default.
    pub(crate) mtu: Option<u32>,
    /// Whether it may not talk to other isolated ports of the bridge.
    pub(crate) isolated: bool,
    /// Whether what comes from it may go back to it.
    pub(crate) hairpin: bool,
}

/// The links of one network namespace.
#[derive(Debug)]
pub(crate) struct Links(Socket);

impl Links {
    /// Those of this thread's namespace.
    pub(crate) fn here() -> io::Result<Self> {
        Socket::open(Subsystem::Route).map(Self)
    }

    /// Those of another namespace.
    pub(crate) fn of(netns: &Netns) -> io::Result<Self> {
        netns.route_socket().map(Self)
    }

    /// The number of the interface with this name.
    pub(crate) fn index(&mut self, name: &str) -> io::Result<u32> {
        let attributes = Attributes::default().text(LINK_NAME, name);
        let answer = self.0.get(&link_request(GET_LINK, 0, 0, 0, attributes))?;
        index_of(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Whether there is an interface with this name.
    pub(crate) fn exists(&mut self, name: &str) -> io::Result<bool> {
        match self.index(name) {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Names of all interfaces.
    pub(crate) fn names(&mut self) -> io::Result<Vec<String>> {
        let answers = self.0.list(&link_request(GET_LINK, 0, 0, 0, Attributes::default()))?;
        let name = |answer: &Answer| {
            let attributes = answer.attributes(LINK_HEADER);
            let bytes = netlink::find(&attributes, LINK_NAME)?;
            Some(String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned())
        };
        Ok(answers.iter().filter_map(name).collect())
    }

    /// Makes a bridge. One that exists is an error.
    pub(crate) fn add_bridge(
        &mut self,
        name: &str,
        mac: [u8; 6],
        mtu: Option<u32>,
    ) -> io::Result<()> {
        let mut attributes = Attributes::default()
            .text(LINK_NAME, name)
            .bytes(LINK_ADDRESS, &mac)
            .nest(LINK_KIND, &Attributes::default().text(1, "bridge"));
        if let Some(mtu) = mtu {
            attributes = attributes.u32(LINK_MTU, mtu);
        }
        self.0.ask(&link_request(NEW_LINK, CREATE | EXCL, 0, 0, attributes))
    }

    /// Makes a pair of interfaces: one end up at a bridge here, the other down in `netns`.
    pub(crate) fn add_veth(&mut self, veth: &Veth<'_>, netns: &Netns) -> io::Result<()> {
        let bridge = self.index(veth.bridge)?;
        let mut peer = Attributes::default()
            .text(LINK_NAME, veth.there)
            .bytes(LINK_ADDRESS, &veth.mac)
            .u32(LINK_NETNS_FD, netns.fd().as_raw_fd() as u32);
        let mut here = Attributes::default().text(LINK_NAME, veth.here).u32(LINK_MASTER, bridge);
        if let Some(mtu) = veth.mtu {
            peer = peer.u32(LINK_MTU, mtu);
            here = here.u32(LINK_MTU, mtu);
        }
        let data = Attributes::default().nest_behind(1, &link_header(0, 0, 0), &peer);
        let kind = Attributes::default().text(1, "veth").nest(2, &data);
        let attributes = here.nest(LINK_KIND, &kind);
        self.0.ask(&link_request(NEW_LINK, CREATE | EXCL, 0, UP, attributes))?;
        if veth.isolated || veth.hairpin {
            let index = self.index(veth.here)?;
            let mut port = Attributes::default();
            if veth.isolated {
                port = port.bytes(BRIDGE_PORT_ISOLATED, &[1]);
            }
            if veth.hairpin {
                port = port.bytes(BRIDGE_PORT_HAIRPIN, &[1]);
            }
            let attributes = Attributes::default().nest(LINK_PROTOCOL, &port);
            let mut request = link_request(SET_LINK, 0, index, 0, attributes);
            request.header[0] = 7; // AF_BRIDGE
            self.0.ask(&request)?;
        }
        Ok(())
    }

    /// Brings an interface up.
    pub(crate) fn set_up(&mut self, name: &str) -> io::Result<()> {
        let index = self.index(name)?;
        self.0.ask(&link_request(NEW_LINK, 0, index, UP, Attributes::default()))
    }

    /// Whether the kernel lets an interface have no link-local IPv6 address of its own making.
    pub(crate) fn without_link_local(&mut self, name: &str) -> io::Result<()> {
        let index = self.index(name)?;
        // IFLA_INET6_ADDR_GEN_MODE = IN6_ADDR_GEN_MODE_NONE
        let inet6 = Attributes::default().bytes(8, &[1]);
        let spec = Attributes::default().nest(10, &inet6);
        let attributes = Attributes::default().nest(LINK_AF_SPEC, &spec);
        self.0.ask(&link_request(NEW_LINK, 0, index, 0, attributes))
    }

    /// Removes an interface; one that is missing is fine. Returns whether it was there.
    pub(crate) fn remove(&mut self, name: &str) -> io::Result<bool> {
        let attributes = Attributes::default().text(LINK_NAME, name);
        match self.0.ask(&link_request(DELETE_LINK, 0, 0, 0, attributes)) {
            Ok(()) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives an interface an address; one that it has is fine.
    pub(crate) fn add_address(
        &mut self,
        name: &str,
        address: IpAddr,
        prefix: u8,
    ) -> io::Result<()> {
        let index = self.index(name)?;
        let bytes = octets(address);
        let mut attributes = Attributes::default().bytes(2, &bytes).bytes(1, &bytes);
        let mut flags = 0;
        match Subnet::new(address, prefix).and_then(Subnet::broadcast) {
            Some(broadcast) => attributes = attributes.bytes(4, &octets(broadcast)),
            // IFA_F_NODAD: nobody else has it, and waiting would keep it unusable.
            None => flags = if address.is_ipv6() { 2 } else { 0 },
        }
        let mut header = vec![family(address), prefix, flags, 0];
        header.extend(index.to_ne_bytes());
        exists_already(self.0.ask(&Request {
            kind: NEW_ADDRESS,
            flags: CREATE,
            header,
            attributes,
        }))
    }

    /// Sends everything that has no better route through `gateway`.
    pub(crate) fn set_default_route(&mut self, name: &str, gateway: IpAddr) -> io::Result<()> {
        let index = self.index(name)?;
        let attributes = Attributes::default().bytes(5, &octets(gateway)).u32(4, index);
        // Table main, protocol boot, scope universe, unicast.
        let header = vec![family(gateway), 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];
        let request = Request { kind: NEW_ROUTE, flags: CREATE | 0x100, header, attributes };
        exists_already(self.0.ask(&request))
    }

    /// Every subnet that this machine has an address or a route in, the default route left out.
    pub(crate) fn known_subnets(&mut self) -> io::Result<Vec<Subnet>> {
        let all = |kind, size: usize| Request {
            kind,
            flags: 0,
            header: vec![0; size],
            attributes: Attributes::default(),
        };
        let mut found = Vec::new();
        for answer in self.0.list(&all(GET_ADDRESS, ADDRESS_HEADER))? {
            let attributes = answer.attributes(ADDRESS_HEADER);
            let address = netlink::find(&attributes, 1).and_then(address);
            found.extend(address.and_then(|address| Subnet::new(address, answer.body[1])));
        }
        for answer in self.0.list(&all(GET_ROUTE, ROUTE_HEADER))? {
            let attributes = answer.attributes(ROUTE_HEADER);
            let target = netlink::find(&attributes, 1).and_then(address);
            found.extend(target.and_then(|target| Subnet::new(target, answer.body[1])));
        }
        found.retain(|subnet| subnet.prefix() > 0);
        Ok(found)
    }
}

impl Links {
    /// Whether there is a default route.
    pub(crate) fn leads_out(&mut self) -> io::Result<bool> {
        let all = Request {
            kind: GET_ROUTE,
            flags: 0,
            header: vec![0; ROUTE_HEADER],
            attributes: Attributes::default(),
        };
        // Of no prefix, in the main table, to somewhere.
        let is_default = |answer: &Answer| {
            answer.body.len() >= ROUTE_HEADER
                && (answer.body[1], answer.body[4], answer.body[7]) == (0, 254, 1)
        };
        Ok(self.0.list(&all)?.iter().any(is_default))
    }
}

fn link_header(family: u8, index: u32, flags: u32) -> Vec<u8> {
    let mut header = vec![family, 0, 0, 0];
    header.extend(index.to_ne_bytes());
    header.extend(flags.to_ne_bytes());
    header.extend(flags.to_ne_bytes());
    header
}

fn link_request(kind: u16, flags: u16, index: u32, up: u32, attributes: Attributes) -> Request {
    Request { kind, flags, header: link_header(0, index, up), attributes }
}

fn index_of(answer: &Answer) -> Option<u32> {
    Some(u32::from_ne_bytes(answer.body.get(4..8)?.try_into().ok()?))
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

/// The address's bytes as they travel.
pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// An address from its bytes.
pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// Whether the kernel says that there is no such interface.
fn is_missing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

fn exists_already(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}
