//! Verifying what builds left: records, second indexes, cache mounts.

use std::{collections::HashSet, path::Path};

use varve_types::Digest;

use super::{
    Cause, Check, existing,
    layers::{foreign, is_torn},
};
use crate::{
    Result, cache_mounts, index, ready,
    sweep::{entries, listed},
};

impl Check<'_> {
    /// A record that makes no sense, or whose layer is not here, is as good as none. A second index
    /// that a record of another boot names is looked at by its first use.
    pub(super) fn cache(&mut self) -> Result<()> {
        for (name, path) in existing(entries(&self.store.root().join("varve/cache")))? {
            let name = name.to_string_lossy().into_owned();
            let digest = name.strip_prefix(crate::cache::NOTES_PREFIX).unwrap_or(&name);
            let shown = Path::new("varve/cache").join(&name);
            if Digest::from_hex(digest).is_err() && !name.starts_with('.') {
                self.stray(shown, "its name is not a key");
            } else if let Ok(key) = Digest::from_hex(&name)
                && self.store.read_cache_record(&key)?.is_none()
                && !is_torn(&std::fs::read(&path).unwrap_or_default())
            {
                let problem = "it is not the record of its key";
                self.found(shown.clone(), problem, Cause::Derived(shown));
            }
        }
        let mut trusted = HashSet::new();
        for record in self.store.cache_records()? {
            if record.boot.is_some() && record.boot.as_deref() == self.store.boot() {
                trusted.extend(record.times);
            }
        }
        for (name, path) in existing(entries(&self.store.root().join("varve/times")))? {
            let shown = Path::new("varve/times").join(&name);
            let Some(times) = name.to_str().and_then(|name| Digest::from_hex(name).ok()) else {
                self.stray(shown, "its name is not a digest");
                continue;
            };
            let known = [index::FILE_NAME, ready::TREE, ready::TREE_NOTE];
            if let Some((text, stray)) = foreign(&path, &known)? {
                self.found(&shown, text, Cause::Stray(stray));
            }
            if trusted.contains(&times) && !self.store.are_times_whole(&times)? {
                let problem = format!("{} does not hash to its name", index::FILE_NAME);
                self.found(&shown, problem, Cause::Derived(shown.clone()));
            }
        }
        let here: HashSet<Digest> =
            existing(listed(&self.store.root().join("varve/times")))?.into_iter().collect();
        for times in trusted.into_iter().filter(|times| !here.contains(times)) {
            let path = Path::new("varve/times").join(times.hex());
            self.found(&path, "it is missing", Cause::Derived(path.clone()));
        }
        self.cache_mounts()
    }

    /// What lies in them is not ours to judge.
    fn cache_mounts(&mut self) -> Result<()> {
        let directory = self.store.root().join("varve/cache-mounts");
        let known = self.store.cache_mount_places()?;
        for (name, path) in existing(entries(&directory))? {
            let name = name.to_string_lossy().into_owned();
            let shown = Path::new("varve/cache-mounts").join(&name);
            let problem = match known.iter().find(|place| place.name == name) {
                None if name == cache_mounts::LOCK => None,
                None => Some("its name is not that of a cache mount".to_owned()),
                Some(place) => cache_mounts::problem(place, &path)?,
            };
            if let Some(problem) = problem {
                let path = directory.join(&name);
                self.found(shown, problem, Cause::Stray(path));
            }
        }
        Ok(())
    }
}
