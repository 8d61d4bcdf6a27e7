//! `volume ls`, `volume inspect` and `volume prune`.

use varve_types::container::{
    Volume,
    listing::{self, PruneReport, VolumeUsage},
};

use super::{facts::size_of, volumes::users};
use crate::{Engine, Filters, Result};

/// The label by which Docker tells the volumes that nobody named.
const ANONYMOUS: &str = "com.docker.volume.anonymous";

impl Engine {
    /// Lists volumes by name.
    pub fn list_volumes(&self, filters: &Filters) -> Result<Vec<listing::Volume>> {
        filters.only(&["dangling", "driver", "label", "name"])?;
        let dangling = filters.flag("dangling")?;
        let (names, drivers) = (filters.names("name"), filters.names("driver"));
        let mut listed = Vec::new();
        for (volume, users) in self.volumes()? {
            let shown = self.shown_volume(&volume);
            let passes = dangling.is_none_or(|dangling| dangling == (users == 0))
                && names.pass(&[volume.name.as_str()])
                && drivers.pass(&[&volume.driver])
                && labels_pass(filters, &shown);
            if passes {
                listed.push(shown);
            }
        }
        Ok(listed)
    }

    /// Everything about a volume.
    pub fn inspect_volume(&self, name: &str) -> Result<listing::Volume> {
        Ok(self.shown_volume(&self.volume(name)?))
    }

    /// All volumes by name, with how they are used.
    pub(crate) fn used_volumes(&self) -> Result<Vec<listing::Volume>> {
        let with_usage = |(volume, users): (Volume, usize)| -> Result<listing::Volume> {
            let usage = VolumeUsage { links: users as u64, size_bytes: self.volume_size(&volume)? };
            Ok(listing::Volume { usage: Some(usage), ..self.shown_volume(&volume) })
        };
        self.volumes()?.into_iter().map(with_usage).collect()
    }

    /// Removes the volumes that no container has: those that nobody named, or all of them where
    /// the filter `all` says so.
    pub fn prune_volumes(&self, filters: &Filters) -> Result<PruneReport> {
        filters.only(&["all", "label", "label!"])?;
        let named_too = filters.flag("all")?.unwrap_or(false);
        let mut report = PruneReport::default();
        for volume in self.store.volumes()? {
            let chosen = (named_too || volume.anonymous)
                && labels_pass(filters, &self.shown_volume(&volume));
            if !chosen {
                continue;
            }
            let size_bytes = self.volume_size(&volume)?;
            let locked = self.store.lock_containers()?;
            let (containers, _) = self.store.containers()?;
            if users(&containers, &volume.name).next().is_none()
                && locked.remove_volume(&volume.name)?
            {
                report.reclaimed_bytes += size_bytes;
                report.removed.push(volume.name.to_string());
            }
        }
        Ok(report)
    }

    fn volume_size(&self, volume: &Volume) -> Result<u64> {
        size_of(&self.store.volume_data(&volume.name), volume.name.as_str())
    }

    fn shown_volume(&self, volume: &Volume) -> listing::Volume {
        let mut labels = volume.labels.clone();
        if volume.anonymous {
            labels.get_or_insert_default().insert(ANONYMOUS.to_owned(), String::new());
        }
        listing::Volume {
            name: volume.name.to_string(),
            created: Some(volume.created),
            mountpoint: self.store.volume_data(&volume.name).display().to_string(),
            labels,
            options: volume.options.clone(),
            usage: None,
        }
    }
}

fn labels_pass(filters: &Filters, volume: &listing::Volume) -> bool {
    let labels = volume.labels.iter().flatten();
    filters.labels_fit(labels.map(|(name, value)| (name.as_str(), value.as_str())))
}
