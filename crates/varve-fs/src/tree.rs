//! The tree of files that a layer describes.

/// A layer's tree.
#[derive(Debug)]
pub struct Tree {
    _private: (),
}
