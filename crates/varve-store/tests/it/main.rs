//! Stories about the store, told through its public functions.

mod ingest;
mod made;
mod names;
