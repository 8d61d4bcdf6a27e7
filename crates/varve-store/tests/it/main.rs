//! Stories about the store, told through its public functions.

mod check;
mod ingest;
mod made;
mod names;
mod other_tools;
mod processes;
