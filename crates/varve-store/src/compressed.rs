//! Compressed forms of layers that were made here.

use varve_fs::compression::Compressor;
use varve_types::{Descriptor, DiffId};

use crate::{Lease, Result, Store};

impl Store {
    /// The blob that `compressor` makes of a layer, pinned: the one that is here, else made now.
    pub fn compressed_layer(
        &self,
        _lease: &Lease,
        _diff_id: &DiffId,
        _compressor: &Compressor,
    ) -> Result<Descriptor> {
        todo!()
    }
}
