//! Indexed layers.

use std::fs::File;

use serde::{Deserialize, Serialize};
use varve_fs::layer::LayerSummary;
use varve_types::DiffId;

use crate::{Lease, Result, Store};

/// What is written beside an indexed layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerRecord {
    /// What the parser found.
    #[serde(flatten)]
    pub summary: LayerSummary,
}

impl Store {
    /// The record of an indexed layer, or `None` when it is not here.
    pub fn layer(&self, _diff_id: &DiffId) -> Result<Option<LayerRecord>> {
        todo!()
    }

    /// Pins an indexed layer under a lease if it is present.
    pub fn pin_layer(&self, _lease: &Lease, _diff_id: &DiffId) -> Result<Option<LayerRecord>> {
        todo!()
    }

    /// Opens a layer's uncompressed tar; rebuilds it from its blob where it was dropped.
    pub fn open_layer_tar(&self, _diff_id: &DiffId) -> Result<File> {
        todo!()
    }
}
