//! What became of a container, and `inspect`: everything that is known of it.

use std::{fs::File, os::fd::AsFd as _, path::Path};

use varve_runtime::state;
use varve_types::container::{
    Container, State,
    listing::{ContainerSize, FactPaths, Facts},
};

use super::ContainerError;
use crate::{Engine, Error, Result};

impl Engine {
    /// What is true of a container now; nothing is put in order.
    pub(crate) fn read_state(&self, container: &Container) -> Result<State> {
        let state = state::read(&self.store.container_path(&container.id));
        Ok(state.map_err(|error| ContainerError::state(container, error))?)
    }

    /// Everything about a container, with its sizes where they are asked for.
    pub fn inspect_container(&self, name: &str, with_size: bool) -> Result<Facts> {
        let container = self.container(name)?;
        let state = self.read_state(&container)?;
        let directory = self.store.container_path(&container.id);
        let execs: Vec<String> = state.execs.iter().map(|exec| exec.id.clone()).collect();
        let size = if with_size { Some(self.container_size(&container)?) } else { None };
        let text = |path: &str| directory.join(path).display().to_string();
        let driver_data = [("UpperDir", text("upper")), ("WorkDir", text("work"))];
        Ok(Facts {
            network: self.networks_now()?.facts(&container, &state),
            exec_ids: (!execs.is_empty()).then_some(execs),
            paths: paths(&directory, &container),
            driver: "varve".to_owned(),
            driver_data: driver_data.map(|(name, path)| (name.to_owned(), path)).into(),
            size,
            container,
            state,
        })
    }

    /// Bytes that a container changed, and with them those of its image.
    pub fn container_size(&self, container: &Container) -> Result<ContainerSize> {
        let writable_bytes = self.writable_size(container)?;
        let root_bytes = writable_bytes + self.content_size(&container.layers);
        Ok(ContainerSize { writable_bytes, root_bytes })
    }

    /// Bytes of the files that a container has changed or made.
    pub(crate) fn writable_size(&self, container: &Container) -> Result<u64> {
        size_of(&self.store.container_path(&container.id).join("upper"), container.name.as_str())
    }
}

/// Bytes below a directory of a container or volume, which is called so in messages.
pub(crate) fn size_of(directory: &Path, owner: &str) -> Result<u64> {
    let opened = match File::open(directory) {
        Ok(opened) => opened,
        // It was removed since.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(source) => {
            let path = directory.to_owned();
            return Err(varve_store::Error::Io { action: "open", path, source }.into());
        }
    };
    varve_fs::upper::size(opened.as_fd())
        .map_err(|source| Error::Upper { container: owner.to_owned(), source })
}

/// The files that stand in for those of the image, once the container was started.
fn paths(directory: &Path, container: &Container) -> FactPaths {
    let there = |name: &str| {
        let path = directory.join(name);
        if path.exists() { path.display().to_string() } else { String::new() }
    };
    let has_log = container.host_config.log_config.kind == "json-file";
    let log = varve_runtime::monitor::log_path(directory, &container.id.to_string());
    FactPaths {
        resolv_conf: there("resolv.conf"),
        hostname: there("hostname"),
        hosts: there("hosts"),
        log: if has_log && log.exists() { log.display().to_string() } else { String::new() },
    }
}
