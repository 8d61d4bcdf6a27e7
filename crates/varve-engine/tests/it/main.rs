//! Stories about images in one store, without a registry.

mod build_cache;
mod containers;
mod contents;
mod copies;
mod images;
mod locks;
mod networks;
mod removal;
