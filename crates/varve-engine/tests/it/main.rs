//! Stories about images in one store, without a registry.

mod contents;
mod images;
mod removal;
