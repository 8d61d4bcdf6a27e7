//! `diff`: what a container did to its image's files.

use std::{fs::File, os::fd::AsFd as _};

use varve_fs::{diff, stack::Stack, tree::Tree};
use varve_types::container::{
    Container,
    listing::{Change, ChangeKind},
};

use crate::{Engine, Error, Result};

impl Engine {
    /// Lists what a container added, changed and deleted, in the order of the paths.
    pub fn container_changes(&self, name: &str) -> Result<Vec<Change>> {
        let container = self.container(name)?;
        let lower = self.lower_stack(&container)?;
        let path = self.store.container_path(&container.id).join("upper");
        let upper = File::open(&path).map_err(|source| varve_store::Error::Io {
            action: "open",
            path: path.clone(),
            source,
        })?;
        let changes = varve_fs::upper::changes(upper.as_fd(), self.marks()?, lower.tree());
        let changes = changes.map_err(|source| {
            let container = container.name.to_string();
            Error::Upper { container, source }
        })?;
        let shown = changes.into_iter().map(|change| Change {
            kind: match change.kind {
                diff::ChangeKind::Added => ChangeKind::Added,
                diff::ChangeKind::Changed => ChangeKind::Changed,
                diff::ChangeKind::Deleted => ChangeKind::Deleted,
            },
            path: format!("/{}", String::from_utf8_lossy(&change.path)),
        });
        Ok(shown.collect())
    }

    /// What a container has below its changes.
    fn lower_stack(&self, container: &Container) -> Result<Stack> {
        let image = || container.image.clone();
        let layers = container.layers.iter().chain(&container.base);
        let trees = layers.map(|layer| self.layer_tree(layer));
        let trees: Vec<Tree> = trees
            .collect::<Result<_, _>>()
            .map_err(|source| Error::Damaged { image: image(), source })?;
        Stack::merge(&trees.iter().collect::<Vec<_>>())
            .map_err(|source| Error::Layers { image: image(), source })
    }
}
