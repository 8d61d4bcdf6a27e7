//! `export`: a container's root file system as one tar.

use std::io::Write;

use varve_types::{Ctx, container::Container};

use crate::{Engine, Error, Result, export::Watched};

impl Engine {
    /// The container to export; an error before anything is written.
    pub fn prepare_container_export(&self, name: &str) -> Result<Container> {
        self.container(name)
    }

    /// Writes the tar: image and changes as one, without what is mounted into the container.
    pub fn export_container(
        &self,
        ctx: &Ctx<'_>,
        container: &Container,
        output: &mut dyn Write,
    ) -> Result<()> {
        let view = self.view(ctx, container)?;
        let root = view.root()?;
        let directory = root
            .open_to_change(".".as_ref())
            .map_err(|source| Error::Unreadable { image: container.image.clone(), source })?;
        let mut output = Watched::new(output);
        let directory = std::os::fd::AsFd::as_fd(&directory);
        let written = varve_fs::upper::write_shown(directory, self.marks()?, &mut output).map(drop);
        match written {
            Ok(()) => Ok(()),
            Err(varve_fs::upper::UpperError::Write(source)) if output.has_failed() => {
                Err(Error::Output(source))
            }
            Err(source) => Err(Error::Upper { container: container.name.to_string(), source }),
        }
    }
}
