//! Finding a container by what a user calls it.

use varve_types::container::{Container, ContainerId, ContainerName};

use super::ContainerError;
use crate::{Engine, Result};

/// Hexadecimal digits of an ID.
const ID_DIGITS: usize = 64;

impl Engine {
    /// The container that is called so: by its whole ID, its name, or a prefix of its ID that no
    /// other has; in this order, as in Docker.
    pub fn container(&self, text: &str) -> Result<Container> {
        if text.len() == ID_DIGITS
            && let Ok(id) = text.parse::<ContainerId>()
            && let Some(container) = self.store().container(&id)?
        {
            return Ok(container);
        }
        let id = self.container_id(text)?;
        // It may have been removed since.
        let found = self.store().container(&id)?;
        found.ok_or_else(|| ContainerError::NoSuch(text.to_owned()).into())
    }

    /// The container that has this name or this beginning of an ID.
    fn container_id(&self, text: &str) -> Result<ContainerId> {
        let missing = || ContainerError::NoSuch(text.to_owned()).into();
        if let Ok(name) = text.parse::<ContainerName>()
            && let Some(id) = self.store().container_named(&name)?
        {
            return Ok(id);
        }
        let is_prefix = !text.is_empty()
            && text.len() <= ID_DIGITS
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_prefix {
            return Err(missing());
        }
        let ids = self.store().container_ids()?;
        let mut fitting = ids.into_iter().filter(|id| id.to_string().starts_with(text));
        match (fitting.next(), fitting.next()) {
            (Some(id), None) => Ok(id),
            (None, _) => Err(missing()),
            _ => Err(ContainerError::Ambiguous(text.to_owned()).into()),
        }
    }
}
