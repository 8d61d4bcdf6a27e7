//! nf_tables by netlink: tables, chains and rules, told to the kernel all at once or not at all.
//! No program is needed; `nft list ruleset` shows what this wrote.

use std::{io, net::IpAddr};

use super::{
    address::Subnet,
    link::octets,
    netlink::{self, APPEND, Attributes, CREATE, Request, Socket, Subsystem},
};

const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const GET_CHAIN: u16 = 4;
const NEW_RULE: u16 = 6;
const GET_RULE: u16 = 7;
const DELETE_RULE: u16 = 8;
const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const HEADER: usize = 4;

const RULE_HANDLE: u16 = 3;
const RULE_USERDATA: u16 = 7;
const CHAIN_POLICY: u16 = 5;

/// A family of addresses, numbered as the kernel does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4 = 2,
    V6 = 10,
}

impl Family {
    /// Where a packet's addresses stand in its header, and how long they are.
    fn layout(self) -> (u32, u32, u32) {
        match self {
            Family::V4 => (12, 16, 4),
            Family::V6 => (8, 24, 16),
        }
    }
}

/// Where a chain is hooked in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hook {
    Prerouting,
    Forward,
    Output,
    Postrouting,
}

/// A chain and its rules.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    /// Absent where other chains jump to it.
    pub(crate) hook: Option<Hook>,
    pub(crate) rules: Vec<Rule>,
}

/// A table and its chains.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) family: Family,
    pub(crate) name: String,
    /// Those that are jumped to come first.
    pub(crate) chains: Vec<Chain>,
}

/// One rule: what must hold, then what is done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rule(Attributes);

/// Expressions, in the words of `nft`.
impl Rule {
    fn push(self, name: &str, data: &Attributes) -> Self {
        let expression = Attributes::default().text(1, name).nest(2, data);
        Self(self.0.nest(1, &expression))
    }

    fn meta(self, key: u32) -> Self {
        self.push("meta", &Attributes::default().be32(1, 1).be32(2, key))
    }

    fn compare(self, equal: bool, value: &[u8]) -> Self {
        let value = Attributes::default().bytes(1, value);
        let data = Attributes::default().be32(1, 1).be32(2, u32::from(!equal)).nest(3, &value);
        self.push("cmp", &data)
    }

    fn payload(self, base: u32, offset: u32, length: u32) -> Self {
        let data = Attributes::default().be32(1, 1).be32(2, base).be32(3, offset).be32(4, length);
        self.push("payload", &data)
    }

    fn masked(self, mask: &[u8]) -> Self {
        let length = mask.len() as u32;
        let data = Attributes::default()
            .be32(1, 1)
            .be32(2, 1)
            .be32(3, length)
            .nest(4, &Attributes::default().bytes(1, mask))
            .nest(5, &Attributes::default().bytes(1, &vec![0; mask.len()]));
        self.push("bitwise", &data)
    }

    fn load(self, register: u32, value: &[u8]) -> Self {
        let value = Attributes::default().bytes(1, value);
        self.push("immediate", &Attributes::default().be32(1, register).nest(2, &value))
    }

    fn verdict(self, verdict: &Attributes) -> Self {
        let value = Attributes::default().nest(2, verdict);
        self.push("immediate", &Attributes::default().be32(1, 0).nest(2, &value))
    }

    /// `iifname NAME`
    pub(crate) fn comes_from(self, interface: &str) -> Self {
        self.meta(6).compare(true, &interface_name(interface))
    }

    /// `oifname NAME`, or `oifname != NAME`
    pub(crate) fn goes_to(self, interface: &str, equal: bool) -> Self {
        self.meta(7).compare(equal, &interface_name(interface))
    }

    /// `ip saddr SUBNET`
    pub(crate) fn source(self, subnet: Subnet) -> Self {
        let family = if subnet.is_ipv4() { Family::V4 } else { Family::V6 };
        let (at, _, length) = family.layout();
        let ones = u128::MAX.checked_shl(128 - u32::from(subnet.prefix())).unwrap_or(0);
        let mask = &ones.to_be_bytes()[..length as usize];
        self.payload(1, at, length).masked(mask).compare(true, &octets(subnet.base()))
    }

    /// `ip daddr ADDRESS`
    pub(crate) fn destination(self, address: IpAddr) -> Self {
        let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
        let (_, at, length) = family.layout();
        self.payload(1, at, length).compare(true, &octets(address))
    }

    /// Not to the loopback addresses: `ip daddr != 127.0.0.0/8`, `ip6 daddr != ::1`
    pub(crate) fn not_to_loopback(self, family: Family) -> Self {
        let (_, at, length) = family.layout();
        match family {
            Family::V4 => self.payload(1, at, 1).compare(false, &[127]),
            Family::V6 => self.payload(1, at, length).compare(false, &1_u128.to_be_bytes()),
        }
    }

    /// `fib daddr type local`
    pub(crate) fn for_this_machine(self) -> Self {
        let data = Attributes::default().be32(1, 1).be32(2, 3).be32(3, 2);
        self.push("fib", &data).compare(true, &2_u32.to_ne_bytes())
    }

    /// `ct state established,related`
    pub(crate) fn belongs_to_known(self) -> Self {
        self.tracked(0, 2 | 4)
    }

    /// `ct status dnat`
    pub(crate) fn after_redirection(self) -> Self {
        self.tracked(2, 1 << 5)
    }

    fn tracked(self, key: u32, any_of: u32) -> Self {
        self.push("ct", &Attributes::default().be32(1, 1).be32(2, key))
            .masked(&any_of.to_ne_bytes())
            .compare(false, &0_u32.to_ne_bytes())
    }

    /// `tcp dport PORT`, of the protocol with this number
    pub(crate) fn port(self, protocol: u8, port: u16) -> Self {
        self.meta(16).compare(true, &[protocol]).payload(2, 2, 2).compare(true, &port.to_be_bytes())
    }

    /// `accept`
    pub(crate) fn accept(self) -> Self {
        self.verdict(&Attributes::default().be32(1, 1))
    }

    /// `drop`
    pub(crate) fn drop(self) -> Self {
        self.verdict(&Attributes::default().be32(1, 0))
    }

    /// `jump CHAIN`
    pub(crate) fn jump(self, chain: &str) -> Self {
        self.verdict(&Attributes::default().be32(1, -3_i32 as u32).text(2, chain))
    }

    /// `dnat to ADDRESS:PORT`
    pub(crate) fn redirect(self, address: IpAddr, port: u16) -> Self {
        let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
        let data = Attributes::default().be32(1, 1).be32(2, family as u32).be32(3, 1).be32(5, 2);
        self.load(1, &octets(address)).load(2, &port.to_be_bytes()).push("nat", &data)
    }

    /// `masquerade`
    pub(crate) fn masquerade(self) -> Self {
        self.push("masq", &Attributes::default())
    }
}

fn interface_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    bytes
}

/// The rules of one network namespace.
#[derive(Debug)]
pub(crate) struct Ruleset(Socket);

impl Ruleset {
    /// That of this thread's namespace.
    pub(crate) fn here() -> io::Result<Self> {
        Socket::open(Subsystem::Netfilter).map(Self)
    }

    /// Makes the table what it says, whatever was in it before; packets see the old rules or the
    /// new ones.
    pub(crate) fn replace(&mut self, table: &Table) -> io::Result<()> {
        let family = table.family;
        let name = || Attributes::default().text(1, &table.name);
        let mut requests = vec![
            request(family, NEW_TABLE, CREATE, name()),
            request(family, DELETE_TABLE, 0, name()),
            request(family, NEW_TABLE, CREATE, name()),
        ];
        for chain in &table.chains {
            let mut attributes = name().text(3, chain.name);
            if let Some(hook) = chain.hook {
                attributes = hooked(attributes, hook);
            }
            requests.push(request(family, NEW_CHAIN, CREATE, attributes));
        }
        for chain in &table.chains {
            for rule in &chain.rules {
                let attributes = name().text(2, chain.name).nest(4, &rule.0);
                requests.push(request(family, NEW_RULE, CREATE | APPEND, attributes));
            }
        }
        self.commit(&requests)
    }

    /// Removes a table with all that is in it; a missing one is fine.
    pub(crate) fn remove(&mut self, family: Family, name: &str) -> io::Result<()> {
        let name = || Attributes::default().text(1, name);
        let make = request(family, NEW_TABLE, CREATE, name());
        self.commit(&[make, request(family, DELETE_TABLE, 0, name())])
    }

    /// Whether there is a table of this name.
    pub(crate) fn has(&mut self, family: Family, name: &str) -> bool {
        let name = Attributes::default().text(1, name);
        self.0.get(&request(family, GET_TABLE, 0, name)).is_ok()
    }

    /// Whether somebody else's chain drops what it does not know. No such chain: no.
    pub(crate) fn drops_by_policy(&mut self, family: Family, table: &str, chain: &str) -> bool {
        let names = Attributes::default().text(1, table).text(3, chain);
        let answer = self.0.get(&request(family, GET_CHAIN, 0, names));
        answer.is_ok_and(|answer| {
            netlink::find(&answer.attributes(HEADER), CHAIN_POLICY) == Some(&0_u32.to_be_bytes())
        })
    }

    /// Puts rules behind those of somebody else's chain, marked so that they are found again.
    pub(crate) fn append(
        &mut self,
        family: Family,
        (table, chain): (&str, &str),
        mark: &str,
        rules: Vec<Rule>,
    ) -> io::Result<()> {
        let add = |rule: Rule| {
            let names = Attributes::default().text(1, table).text(2, chain);
            let attributes = names.nest(4, &rule.0).bytes(RULE_USERDATA, &comment(mark));
            request(family, NEW_RULE, CREATE | APPEND, attributes)
        };
        let requests: Vec<Request> = rules.into_iter().map(add).collect();
        self.commit(&requests)
    }

    /// Removes the rules with this mark from somebody else's chain. Returns how many there were.
    pub(crate) fn take_back(
        &mut self,
        family: Family,
        (table, chain): (&str, &str),
        mark: &str,
    ) -> io::Result<usize> {
        let names = || Attributes::default().text(1, table).text(2, chain);
        let Ok(rules) = self.0.list(&request(family, GET_RULE, 0, names())) else { return Ok(0) };
        let wanted = comment(mark);
        let mut requests = Vec::new();
        for rule in &rules {
            let attributes = rule.attributes(HEADER);
            let handle = netlink::find(&attributes, RULE_HANDLE);
            if netlink::find(&attributes, RULE_USERDATA) == Some(&wanted[..]) {
                let Some(handle) = handle else { continue };
                requests.push(request(family, DELETE_RULE, 0, names().bytes(RULE_HANDLE, handle)));
            }
        }
        self.commit(&requests)?;
        Ok(requests.len())
    }

    fn commit(&mut self, requests: &[Request]) -> io::Result<()> {
        let edge = |kind| Request {
            kind,
            flags: 0,
            header: vec![0, 0, 0, 10],
            attributes: Attributes::default(),
        };
        self.0.ask_together(&edge(BATCH_BEGIN), requests, &edge(BATCH_END))
    }
}

fn hooked(attributes: Attributes, hook: Hook) -> Attributes {
    let (number, priority, kind) = match hook {
        Hook::Prerouting => (0, -100_i32, "nat"),
        Hook::Forward => (2, 0, "filter"),
        Hook::Output => (3, -100, "nat"),
        Hook::Postrouting => (4, 100, "nat"),
    };
    let place = Attributes::default().be32(1, number).be32(2, priority as u32);
    attributes.nest(4, &place).text(7, kind)
}

fn request(family: Family, kind: u16, flags: u16, attributes: Attributes) -> Request {
    Request { kind: SUBSYSTEM | kind, flags, header: vec![family as u8, 0, 0, 0], attributes }
}

/// A rule's comment as `nft` writes it: type 0, length, text with its NUL.
fn comment(text: &str) -> Vec<u8> {
    let mut bytes = vec![0, text.len() as u8 + 1];
    bytes.extend(text.as_bytes());
    bytes.push(0);
    bytes
}
