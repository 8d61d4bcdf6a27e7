//! Tars of every kind, parsed in pieces of every size, compared with what other programs make
//! and read.

mod corpus;
mod cuts;
mod damaged_index;
mod disk;
mod facts;
mod faults;
mod index;
mod mounted;
mod others;
mod parser;
mod raw;
mod round_trip;
mod shown;
mod tree;
