//! Tars of every kind, parsed in pieces of every size, compared with what other programs make
//! and read.

mod round_trip;
