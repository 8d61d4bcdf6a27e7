//! The program as users without privileges have it: in a user namespace, with ranges of IDs and with
//! one ID. Where the tests run as root they become such a user.

mod ids;
mod namespace;
mod networks;
mod user;
