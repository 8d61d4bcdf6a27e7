//! `system check`: is everything that should be here, and is it right?

use varve_store::Finding;

use crate::{Engine, Result};

impl Engine {
    /// Verifies the whole store. Changes nothing.
    pub fn check(&self) -> Result<Vec<Finding>> {
        Ok(self.store.check()?)
    }
}
