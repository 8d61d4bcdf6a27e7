//! Stories about an engine, its store, and registries that do not do as they should.

mod bench;
mod bytes;
mod documents;
mod layers;
mod platforms;
