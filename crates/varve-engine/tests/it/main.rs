//! Stories about images in one store, without a registry.

mod images;
mod removal;
