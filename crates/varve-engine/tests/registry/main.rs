//! Stories about an engine, its store, and registries that do not do as they should.

mod bench;
mod bytes;
mod crowd;
mod disks;
mod documents;
mod hosts;
mod layers;
mod platforms;
mod progress;
mod pushes;
