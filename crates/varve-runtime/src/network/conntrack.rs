//! Flows that the kernel remembers.

use std::{io, net::IpAddr};

use super::{
    link::address,
    netlink::{self, Answer, Attributes, Request, Socket, Subsystem, attributes},
};

const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
const HEADER: usize = 4;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const TUPLE_ADDRESSES: u16 = 1;

/// Forgets flows from or to these addresses, so that packets of old ones do not reach whoever has
/// the address next.
pub(crate) fn forget(addresses: &[IpAddr]) -> io::Result<()> {
    let mut socket = Socket::open(Subsystem::Netfilter)?;
    for family in [2_u8, 10] {
        if !addresses.iter().any(|address| address.is_ipv4() == (family == 2)) {
            continue;
        }
        let request = |kind, attributes| Request {
            kind,
            flags: 0,
            header: vec![family, 0, 0, 0],
            attributes,
        };
        let flows = socket.list(&request(GET, Attributes::default()))?;
        for flow in flows.iter().filter(|flow| has_one_of(flow, addresses)) {
            let parts = flow.attributes(HEADER);
            let Some(original) = netlink::find(&parts, ORIGINAL) else { continue };
            let attributes = Attributes::default().bytes(ORIGINAL | 0x8000, original);
            match socket.ask(&request(DELETE, attributes)) {
                // It ended by itself.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
    }
    Ok(())
}

fn has_one_of(flow: &Answer, wanted: &[IpAddr]) -> bool {
    let parts = flow.attributes(HEADER);
    [ORIGINAL, REPLY].iter().filter_map(|kind| netlink::find(&parts, *kind)).any(|tuple| {
        let inner = attributes(tuple);
        let addresses = netlink::find(&inner, TUPLE_ADDRESSES).unwrap_or_default();
        attributes(addresses)
            .iter()
            .filter_map(|(_, bytes)| address(bytes))
            .any(|address| wanted.contains(&address))
    })
}
