//! Docker archives of the first format: `repositories`, and `<id>/json` and `<id>/layer.tar` for
//! each layer. Converted as Docker's overlay2 store converts them, to the same image IDs.

use std::{cmp::Ordering, collections::BTreeMap};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use varve_store::StoredLayer;
use varve_types::{Platform, Reference, Repository, RunConfig, limits};

use super::{
    LoadedImage,
    docker::{in_scope, parse, parse_config},
    graph::{Graph, check_operating_system, fits},
};
use crate::{
    archive::{Error, Result, config_json::run_config},
    go_json,
};

/// Since this version of Docker, `<id>/json` has everything as it should be.
const TRUSTED_SINCE: [u64; 3] = [1, 8, 3];

/// The images that `repositories` names.
pub(super) fn images(graph: &Graph<'_>, platform: Option<&Platform>) -> Result<Vec<LoadedImage>> {
    let bytes = graph.contents.document("repositories")?;
    let repositories: BTreeMap<String, BTreeMap<String, String>> = parse("repositories", &bytes)?;
    let mut names: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
    for (name, tags) in &repositories {
        for (tag, id) in tags {
            let reference = Repository::parse(name)?.with_tag(tag)?;
            names.entry(id.clone()).or_default().push(reference);
        }
    }
    let mut images = Vec::new();
    for (id, names) in names {
        images.extend(image(graph, &id, names, platform)?);
    }
    Ok(images)
}

fn image(
    graph: &Graph<'_>,
    id: &str,
    names: Vec<Reference>,
    platform: Option<&Platform>,
) -> Result<Option<LoadedImage>> {
    let chain = chain(graph, id)?;
    let layers = chain
        .iter()
        .map(|(id, _)| graph.any_layer_at(&in_scope(&format!("{id}/layer.tar"))?))
        .collect::<Result<Vec<StoredLayer>>>()?;
    let Some((_, top)) = chain.last() else { return Ok(None) };
    let history: Vec<Value> = chain.iter().map(|(_, image)| history(image)).collect();
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer.record.summary.diff_id).collect();
    let config = parse_config(config(top, &diff_ids, &history))?;
    check_operating_system(&config)?;
    if !fits(&config, platform) {
        return Ok(None);
    }
    let loaded = graph.make_manifest(config, &layers)?.into_loaded(names);
    Ok(Some(LoadedImage { made_here: true, is_silent: true, ..loaded }))
}

/// An image's json and those of its parents, lowest first, with their IDs.
fn chain(graph: &Graph<'_>, id: &str) -> Result<Vec<(String, Map<String, Value>)>> {
    let mut chain = Vec::new();
    let mut next = Some(id.to_owned());
    while let Some(id) = next {
        if chain.len() >= limits::LAYERS_MAX {
            let actual = chain.len() as u64 + 1;
            return Err(Error::Limit {
                what: "number of layers",
                actual,
                limit: limits::LAYERS_MAX as u64,
            });
        }
        let path = in_scope(&format!("{id}/json"))?;
        let image: Map<String, Value> = parse(&path, &graph.contents.document(&path)?)?;
        next = text(&image, "parent").filter(|parent| !parent.is_empty()).map(str::to_owned);
        chain.push((id, image));
    }
    chain.reverse();
    Ok(chain)
}

/// The members of a first-format image that Docker knows, as it writes them.
fn known_members(image: &Map<String, Value>) -> Map<String, Value> {
    let mut known = Map::new();
    for name in
        ["architecture", "author", "comment", "container", "docker_version", "os", "variant"]
    {
        if let Some(value) = text(image, name).filter(|value| !value.is_empty()) {
            known.insert(name.to_owned(), json!(value));
        }
    }
    let config = |name: &str| {
        let value = image.get(name).filter(|value| !value.is_null())?;
        serde_json::from_value::<RunConfig>(value.clone()).ok()
    };
    if let Some(found) = config("config") {
        known.insert("config".to_owned(), run_config(&found));
    }
    let container = config("container_config").unwrap_or_default();
    known.insert("container_config".to_owned(), run_config(&container));
    known.insert("created".to_owned(), json!(created(image)));
    known
}

fn config(
    top: &Map<String, Value>,
    diff_ids: &[varve_types::DiffId],
    history: &[Value],
) -> Vec<u8> {
    let members = if is_trusted(text(top, "docker_version").unwrap_or_default()) {
        top.clone()
    } else {
        known_members(top)
    };
    let mut sorted: BTreeMap<String, Value> = members.into_iter().collect();
    for gone in ["id", "parent", "Size", "parent_id", "layer_id", "throwaway"] {
        sorted.remove(gone);
    }
    sorted.insert("rootfs".to_owned(), json!({"type": "layers", "diff_ids": diff_ids}));
    sorted.insert("history".to_owned(), json!(history));
    go_json::to_vec(&sorted)
}

fn history(image: &Map<String, Value>) -> Value {
    let command = image.get("container_config").and_then(|config| config.get("Cmd"));
    let words = command.and_then(Value::as_array).into_iter().flatten();
    let created_by: Vec<&str> = words.filter_map(Value::as_str).collect();
    let mut step = Map::new();
    let created_by = created_by.join(" ");
    let members = [
        ("created", created(image)),
        ("author", text(image, "author").unwrap_or_default().to_owned()),
        ("created_by", created_by),
        ("comment", text(image, "comment").unwrap_or_default().to_owned()),
    ];
    for (name, value) in members {
        if !value.is_empty() {
            step.insert(name.to_owned(), json!(value));
        }
    }
    Value::Object(step)
}

/// When an image was made; the year one stands for never.
fn created(image: &Map<String, Value>) -> String {
    let time = text(image, "created").and_then(|text| text.parse::<Timestamp>().ok());
    time.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |time| time.to_string())
}

fn text<'a>(image: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    image.get(name).and_then(Value::as_str)
}

fn is_trusted(version: &str) -> bool {
    if version.is_empty() {
        return false;
    }
    let mut parts = version.split('.').map(|part| part.parse::<u64>().unwrap_or(0));
    let version = [0; 3].map(|_: u64| parts.next().unwrap_or(0));
    version.cmp(&TRUSTED_SINCE) != Ordering::Less
}
