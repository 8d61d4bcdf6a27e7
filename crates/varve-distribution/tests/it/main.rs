//! Tests of moving images, from outside.

mod server;
