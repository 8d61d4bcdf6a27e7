//! Pinning a whole image for an operation that reads it.

use varve_types::Digest;

use crate::{Lease, Result, Store, lease::Pin, mark, sweep::Node};

impl Store {
    /// Pins everything that a manifest or index reaches and returns `true`, or `false` when it
    /// is not here (any more). From then on no sweep takes a part of it away.
    pub fn pin_image(&self, lease: &Lease, target: &Digest) -> Result<bool> {
        let publishing = self.publishing()?;
        if self.blob_size(target)?.is_none() {
            return Ok(false);
        }
        let reached = mark::reached([Node::Manifest(*target)], |node| self.points_at(node))?;
        let pins: Vec<Pin> = reached
            .into_iter()
            .filter_map(|node| match node {
                Node::Manifest(digest) | Node::Config(digest) | Node::Blob(digest) => {
                    Some(Pin::Blob(digest))
                }
                Node::Layer(diff_id) => Some(Pin::Layer(diff_id)),
                // An image knows nothing of them.
                Node::Times(_) => None,
            })
            .collect();
        lease.pin(&publishing, &pins)?;
        Ok(true)
    }
}
