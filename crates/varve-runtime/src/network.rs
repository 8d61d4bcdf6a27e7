//! Networks of containers: bridges, addresses, rules, published ports and names.
//!
//! ```text
//!            container                        this machine
//!   eth0 ─────── veth pair ─────── bridge ─── forward, masquerade ─── the world
//!   127.0.0.11:53 ◀── resolver ──┐
//!                                helper ◀── published ports on loopback
//! ```
//!
//! There is no daemon: every command does its part under one lock and writes down what it makes
//! before it makes it ([`Networks`]). What must go on while a container runs is done by the kernel,
//! and by one small process for each container that needs it (`helper`).
//!
//! A user without privileges has all of it in a network of their own (`ground`).
//!
//! # Invariants
//!
//! 1. An interface, a process, a port or an address of a container is named in its record.
//! 2. No two records of one network name the same address, and no two the same port.
//! 3. What records name no more is gone; [`Networks::reconcile`] makes it so after a crash.

mod address;
mod attach;
mod conntrack;
mod detach;
mod error;
mod firewall;
mod ground;
mod helper;
mod inspect;
mod link;
mod netlink;
mod netns;
mod networks;
mod nft;
mod plug;
mod pool;
mod ports;
mod process;
mod record;
mod upkeep;

pub use address::{InvalidMac, InvalidSubnet, Mac, Subnet};
pub use attach::{Attach, Attached, Reconciled, Warning, resolver_address};
pub use detach::Detaching;
pub use error::{Error, PortRefusal, Result};
pub use helper::{HelperCommand, is_asked as helper_is_asked, serve as serve_helper};
pub use inspect::{described, endpoint_facts, network_facts};
pub use netns::Netns;
pub use networks::{Inspected, Networks, NewNetwork, NewPool};
pub use ports::{PublishedPort, Transport};
pub use record::{AddressPool, Driver, Endpoint, Lease, Network, Sandbox, damaged_records};
