//! `--cache-from` and `--cache-to`

use std::path::PathBuf;

use varve_engine::build::{CacheCompression, CacheExport, CacheImport};
use varve_types::Reference;

use super::{fields, refused};
use crate::error::CommandError;

/// One `type=…,key=value` entry.
struct Entry {
    kind: String,
    fields: Vec<(String, String)>,
}

impl Entry {
    fn get(&self, key: &str) -> Option<&str> {
        let found = self.fields.iter().rev().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn reference(&self, what: &str) -> Result<Reference, CommandError> {
        let Some(text) = self.get("ref") else {
            return Err(refused(format_args!("registry cache {what} requires ref")));
        };
        let reference: Result<Reference, _> = text.parse();
        reference
            .map(Reference::or_latest)
            .map_err(|error| refused(format_args!("invalid reference {text:?}: {error}")))
    }

    /// What `compression=` says; a level is accepted and not heeded, as the bytes would differ.
    fn compression(&self) -> Result<CacheCompression, CommandError> {
        match self.get("compression") {
            None | Some("gzip") => Ok(CacheCompression::Gzip),
            Some("zstd") => Ok(CacheCompression::Zstd),
            Some("uncompressed") => Ok(CacheCompression::Uncompressed),
            Some(other) => {
                Err(refused(format_args!("unsupported layer compression type: {other}")))
            }
        }
    }

    fn tag(&self) -> String {
        self.get("tag").unwrap_or("latest").to_owned()
    }
}

/// Reads a flag; names alone are caches in registries.
fn entries(text: &str) -> Result<Vec<Entry>, CommandError> {
    let list = fields::list(text, "cache")?;
    if list.iter().all(|field| !field.contains('=')) {
        let entry = |field: &String| Entry {
            kind: "registry".to_owned(),
            fields: vec![("ref".to_owned(), field.clone())],
        };
        return Ok(list.iter().map(entry).collect());
    }
    let mut entry = Entry { kind: String::new(), fields: Vec::new() };
    for field in list {
        let Some((key, value)) = field.split_once('=') else {
            return Err(refused(format_args!("invalid value {field}")));
        };
        match key.trim().to_lowercase().as_str() {
            "type" => value.clone_into(&mut entry.kind),
            key => entry.fields.push((key.to_owned(), value.to_owned())),
        }
    }
    if entry.kind.is_empty() {
        return Err(refused(format_args!("type required form> {text:?}")));
    }
    Ok(vec![entry])
}

/// Reads `--cache-from`.
pub(crate) fn imports(text: &str) -> Result<Vec<CacheImport>, CommandError> {
    let read = |entry: Entry| match entry.kind.as_str() {
        "registry" => Ok(CacheImport::Registry(entry.reference("importer")?)),
        "local" => match entry.get("src") {
            Some(src) => Ok(CacheImport::Local { directory: PathBuf::from(src), tag: entry.tag() }),
            None => Err(refused("local cache importer requires src")),
        },
        kind => Err(refused(format_args!("unknown cache importer: {kind:?}"))),
    };
    entries(text)?.into_iter().map(read).collect()
}

/// Leaves out directories that have no cache, with docker's warning for each.
pub(crate) fn that_are_there(
    imports: Vec<CacheImport>,
    warnings: &mut Vec<String>,
) -> Vec<CacheImport> {
    let mut there = Vec::new();
    for import in imports {
        if let CacheImport::Local { directory, .. } = &import
            && !directory.join("index.json").exists()
        {
            let shown = directory.display();
            warnings.push(format!(
                "WARNING: local cache import at {shown} not found due to err: could not lock {shown}/index.json.lock: open {shown}/index.json.lock: no such file or directory"
            ));
            continue;
        }
        there.push(import);
    }
    there
}

/// Reads `--cache-to`.
pub(crate) fn exports(text: &str) -> Result<Vec<CacheExport>, CommandError> {
    let read = |entry: Entry| {
        let all_stages = match entry.get("mode") {
            None | Some("min") => false,
            Some("max") => true,
            Some(mode) => return Err(refused(format_args!("invalid cache mode {mode:?}"))),
        };
        match entry.kind.as_str() {
            "inline" => Ok(CacheExport::Inline),
            "registry" => {
                let reference = entry.reference("exporter")?;
                let compression = entry.compression()?;
                Ok(CacheExport::Registry { reference, all_stages, compression })
            }
            "local" => match entry.get("dest") {
                Some(dest) => {
                    let directory = PathBuf::from(dest);
                    let (tag, compression) = (entry.tag(), entry.compression()?);
                    Ok(CacheExport::Local { directory, tag, all_stages, compression })
                }
                None => Err(refused("local cache exporter requires dest")),
            },
            kind => Err(refused(format_args!("unknown cache exporter: {kind:?}"))),
        }
    };
    entries(text)?.into_iter().map(read).collect()
}
