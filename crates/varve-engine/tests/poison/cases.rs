//! The table.

mod access;
mod bytes;
mod documents;
mod pushes;

use varve_testkit::{Fault, On};
use varve_types::Kind;

use crate::stage::{Case, End, Poison, Verb, always};

pub(crate) fn all() -> Vec<Case> {
    let mut table = Table(Vec::new());
    bytes::add(&mut table);
    documents::add(&mut table);
    access::add(&mut table);
    pushes::add(&mut table);
    table.0
}

/// Cases, as they are written down.
pub(crate) struct Table(Vec<Case>);

impl Table {
    pub(crate) fn add(&mut self, name: &str, verb: Verb, poison: Poison, end: End) {
        self.0.push(Case { name: name.to_owned(), verb, poison, end });
    }

    /// A pull that is refused.
    pub(crate) fn pull(
        &mut self,
        name: &str,
        on: On,
        fault: Fault,
        kind: &'static [Kind],
        words: &str,
    ) {
        self.add(name, Verb::Pull, always(on, fault), End::Refused(kind, words.to_owned()));
    }

    /// A push that is refused.
    pub(crate) fn push(
        &mut self,
        name: &str,
        on: On,
        fault: Fault,
        kind: &'static [Kind],
        words: &str,
    ) {
        self.add(name, Verb::Push, always(on, fault), End::Refused(kind, words.to_owned()));
    }
}

pub(crate) fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Another answer, with one header.
pub(crate) fn answer(status: u16, name: &str, value: &str, body: &[u8]) -> Fault {
    Fault::Respond(status, vec![header(name, value)], body.to_vec())
}

/// What a layer's or config's error may be: which of them depends on what is noticed first.
pub(crate) const WRONG: &[Kind] = &[Kind::Corrupt, Kind::Invalid];
pub(crate) const AWAY: &[Kind] = &[Kind::Unavailable];
pub(crate) const BROKEN: &[Kind] = &[Kind::Corrupt, Kind::Invalid, Kind::Unavailable];
