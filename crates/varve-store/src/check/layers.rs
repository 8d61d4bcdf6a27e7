//! Verifying indexed layers, and what is known of stacks of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use varve_types::{DiffId, Digest, Printable, sealed};

use super::{Cause, Check, existing, images::shown, in_parallel, tree};
use crate::{
    LayerRecord, Result, Store, chain, compressed, error::cannot, index, layers::is_tar_of,
    names::Row, ready, stamp, sweep::entries,
};

/// What lies in a layer's directory.
const KNOWN: [&str; 7] = [
    "layer.tar",
    index::FILE_NAME,
    stamp::FILE_NAME,
    ready::TREE,
    ready::TREE_NOTE,
    "record.json",
    compressed::FILE_NAME,
];

/// What is wrong with a layer, and what does not belong into it.
struct Problem {
    layer: DiffId,
    text: String,
    stray: Option<PathBuf>,
}

impl Check<'_> {
    pub(super) fn layers(&mut self, rows: &[Row]) -> Result<()> {
        let directory = self.store.root().join("varve/layers");
        let mut layers = Vec::new();
        for (name, _) in existing(entries(&directory))? {
            if let Some(digest) = name.to_str().and_then(|name| Digest::from_hex(name).ok()) {
                layers.push(DiffId(digest));
            } else {
                self.stray(Path::new("varve/layers").join(&name), "its name is not a digest");
            }
        }
        let wrong = in_parallel(&layers, |layer| {
            let directory = self.store.layer_path(layer);
            if let Some((text, stray)) = foreign(&directory, &KNOWN)? {
                return Ok(Some(Problem { layer: *layer, text, stray: Some(stray) }));
            }
            let problem = layer_problem(self.store, layer)?;
            Ok(problem.map(|text| Problem { layer: *layer, text, stray: None }))
        })?;
        if wrong.is_empty() {
            return Ok(());
        }
        let users = layer_users(self.store, rows)?;
        for Problem { layer, text, stray } in wrong {
            let path = Path::new("varve/layers").join(layer.0.hex());
            let affects = users.get(&layer).cloned().unwrap_or_default();
            let cause = match stray {
                Some(stray) => Cause::Stray(stray),
                None => Cause::Layer(layer),
            };
            self.found_for(path, text, affects.into_iter().collect(), cause);
        }
        Ok(())
    }

    pub(super) fn chains(&mut self) -> Result<()> {
        for (name, path) in existing(entries(&self.store.root().join("varve/chains")))? {
            let shown = Path::new("varve/chains").join(&name);
            if name.to_str().and_then(|name| Digest::from_hex(name).ok()).is_none() {
                self.stray(shown, "its name is not a digest");
                continue;
            }
            let known = [chain::RECORD, chain::MEND, chain::MEND_TREE];
            if let Some((text, stray)) = foreign(&path, &known)? {
                self.found_for(shown, text, Vec::new(), Cause::Stray(stray));
            } else if let Some(problem) = chain_problem(&path)? {
                self.found_for(shown.clone(), problem, Vec::new(), Cause::Derived(shown));
            }
        }
        Ok(())
    }
}

/// What does not belong into a directory: in words, and where it is.
pub(super) fn foreign(directory: &Path, known: &[&str]) -> Result<Option<(String, PathBuf)>> {
    for (name, path) in existing(entries(directory))? {
        let name = name.to_string_lossy().into_owned();
        if !known.contains(&name.as_str()) && !name.starts_with('.') {
            let text = format!("it holds {}, which does not belong there", Printable(&name));
            return Ok(Some((text, path)));
        }
    }
    Ok(None)
}

/// Whether a power loss may have left these bytes of a file that was not synced.
pub(super) fn is_torn(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// What is wrong with an indexed layer. One that an earlier run of the machine did not sync is
/// not wrong yet, whatever is in it: its first use finds out.
fn layer_problem(store: &Store, diff_id: &DiffId) -> Result<Option<String>> {
    let directory = store.layer_path(diff_id);
    let path = directory.join("record.json");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        // Without it the layer is not there.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Ok(Some(format!("its record cannot be read: {error}"))),
    };
    let record = match sealed::parse::<LayerRecord>(&bytes) {
        Ok(record) => record,
        // It is as good as none.
        Err(_) if is_torn(&bytes) => return Ok(None),
        Err(error) => return Ok(Some(format!("its record is not valid: {error}"))),
    };
    if record.boot.is_some() && record.boot.as_deref() != store.boot() {
        return Ok(None);
    }
    if record.summary.diff_id != *diff_id {
        return Ok(Some("its record is that of another layer".to_owned()));
    }
    let tar = directory.join("layer.tar");
    // Beside extracted files it may be left out.
    let is_left_out = ready::tree_marks(&directory).is_some() && !tar.exists();
    if !is_left_out {
        match is_tar_of(&tar, diff_id) {
            Ok(true) => {}
            Ok(false) => return Ok(Some("layer.tar does not hash to the diff ID".to_owned())),
            Err(error) => return Ok(Some(format!("layer.tar cannot be read: {error}"))),
        }
    }
    if let Some(problem) = compressed::problem(&directory) {
        return Ok(Some(problem));
    }
    let path = directory.join(index::FILE_NAME);
    let Some(expected) = record.index else { return Ok(None) };
    match index::open_if(&path, expected) {
        Ok(Some(_)) => {}
        Ok(None) if path.exists() => {
            return Ok(Some("index.erofs is not the one that its record names".to_owned()));
        }
        Ok(None) => return Ok(Some("index.erofs is missing".to_owned())),
        Err(error) => return Ok(Some(format!("index.erofs cannot be read: {error}"))),
    }
    tree::problem(store, &directory, diff_id)
}

/// What is wrong with what is known of a stack. A record that was torn is as good as none.
fn chain_problem(directory: &Path) -> Result<Option<String>> {
    let path = directory.join(chain::RECORD);
    let Some(record) = chain::read(&path)? else {
        let bytes = fs::read(&path).unwrap_or_default();
        return Ok((!is_torn(&bytes)).then(|| "its record is not valid".to_owned()));
    };
    let path = directory.join(chain::MEND);
    let Some(expected) = record.mend else { return Ok(None) };
    let whole = index::open_if(&path, expected).map_err(cannot("read", &path))?.is_some();
    Ok((!whole).then(|| format!("{} is not the one that its record names", chain::MEND)))
}

/// Which names and containers use a layer.
fn layer_users(store: &Store, rows: &[Row]) -> Result<BTreeMap<DiffId, BTreeSet<String>>> {
    let mut users: BTreeMap<DiffId, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        let Ok(config) = store.config(&row.image) else { continue };
        for diff_id in config.diff_ids() {
            users.entry(*diff_id).or_default().insert(shown(row));
        }
    }
    for container in store.containers()?.0 {
        for layer in container.layers.iter().chain(&container.base) {
            users.entry(*layer).or_default().insert(format!("container {}", container.name));
        }
    }
    Ok(users)
}
