//! Networks of containers, tried in network namespaces that the tests make: a "machine" that the
//! code under test believes to be on, a "world" behind a cable, and a namespace for each container.

mod crash;
mod names;
mod ports;
mod traffic;
mod world;
