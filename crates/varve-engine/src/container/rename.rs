//! `rename`: another name for a container.

use varve_store::Named;
use varve_types::container::ContainerName;

use super::ContainerError;
use crate::{Engine, Result};

impl Engine {
    /// Gives a container another name.
    pub fn rename_container(&self, container: &str, name: &str) -> Result<()> {
        let containers = self.store().lock_containers()?;
        let mut container = self.container(container)?;
        let name: ContainerName = name.parse().map_err(|_| {
            // Docker's daemon puts a slash in front of every name before it looks at it.
            let shown = format!("/{}", name.trim_start_matches('/'));
            ContainerError::NewName(varve_types::container::NameError(shown))
        })?;
        if container.name == name {
            return Err(ContainerError::SameName.into());
        }
        match containers.rename(&mut container, name.clone())? {
            Named::Taken(id) => {
                let taken = ContainerError::NameInUse { name, id };
                Err(ContainerError::Invalid(format!("Error when allocating new name: {taken}"))
                    .into())
            }
            Named::Done | Named::NoImage(_) => self.rename_in_networks(&container),
        }
    }
}
