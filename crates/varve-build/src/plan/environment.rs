//! Variables in order, shared between steps until one changes them.

use std::sync::Arc;

use varve_types::limits;

use crate::{error::Problem, expand::Variables};

/// Names and values, in the order in which they were first set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    entries: Arc<Vec<(String, String)>>,
    size_bytes: usize,
}

impl Environment {
    /// The variables in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    /// Sets a variable, in the place that it has.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        let entries = Arc::make_mut(&mut self.entries);
        if let Some((_, old)) = entries.iter_mut().find(|(known, _)| known == name) {
            self.size_bytes = self.size_bytes - old.len() + value.len();
            value.clone_into(old);
        } else {
            self.size_bytes += name.len() + value.len();
            entries.push((name.to_owned(), value.to_owned()));
        }
        if self.size_bytes > limits::BUILD_ENVIRONMENT_SIZE_BYTES_MAX {
            return Err(Problem::EnvironmentTooLarge);
        }
        Ok(())
    }
}

impl Variables for Environment {
    fn get(&self, name: &str) -> Option<&str> {
        self.entries.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
