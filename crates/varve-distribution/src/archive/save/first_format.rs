//! The JSON documents that Docker's archives have for the layers of an image, one each, as its
//! first image format had them. Nothing of today reads them, but Docker writes them, and who
//! compares archives expects them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use varve_types::{ChainId, Digest, Document, ImageConfig, RunConfig};

use crate::{archive::config_json::run_config, go_json};

/// When layers below the top were made, as Docker has it.
const LONG_AGO: &str = "1970-01-01T00:00:00Z";

/// What of a config only the first format has.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Remains {
    container: String,
    container_config: Option<RunConfig>,
}

/// A document for each layer of an image, from the lowest to the top one, which has the whole
/// image's config.
pub(super) fn documents(image: &Document<ImageConfig>) -> Vec<Vec<u8>> {
    let chain = ChainId::chain(image.diff_ids());
    let mut documents = Vec::with_capacity(chain.len());
    let mut parent: Option<Digest> = None;
    for (at, layer) in chain.iter().enumerate() {
        let mut members = if at + 1 == chain.len() { top(image) } else { below() };
        let id = id(&members, layer, parent.as_ref());
        members.insert("os".to_owned(), json!(image.os));
        let mut document = Map::new();
        document.insert("id".to_owned(), json!(id.hex()));
        if let Some(parent) = parent {
            document.insert("parent".to_owned(), json!(parent.hex()));
        }
        document.extend(members);
        documents.push(go_json::to_vec(&document));
        parent = Some(id);
    }
    documents
}

/// What a layer below the top says of itself.
fn below() -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("created".to_owned(), json!(LONG_AGO));
    members.insert("container_config".to_owned(), run_config(&RunConfig::default()));
    members
}

/// What the top layer says, in the order of Docker's own type.
fn top(image: &Document<ImageConfig>) -> Map<String, Value> {
    // A config that has something else there is written without it.
    let remains: Remains = serde_json::from_slice(image.bytes()).unwrap_or_default();
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| {
        if value != "" {
            members.insert(name.to_owned(), value);
        }
    };
    put("comment", json!(image.comment));
    put("created", json!(image.created.map(|time| time.to_string())));
    put("container", json!(remains.container));
    put("container_config", run_config(&remains.container_config.unwrap_or_default()));
    put("docker_version", json!(image.docker_version));
    put("author", json!(image.author));
    put("config", run_config(&image.config));
    put("architecture", json!(image.architecture));
    put("variant", json!(image.variant));
    put("os", json!(image.os));
    members
}

/// The ID: the digest of what is said, of the layers up to here and of the parent, sorted.
fn id(members: &Map<String, Value>, layers: &ChainId, parent: Option<&Digest>) -> Digest {
    let mut sorted: BTreeMap<&str, Value> =
        members.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    sorted.insert("layer_id", json!(layers.to_string()));
    if let Some(parent) = parent {
        sorted.insert("parent", json!(parent.to_string()));
    }
    Digest::of(&go_json::to_vec(&sorted))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As recorded of Docker 26.1.5: its IDs, and the digests and sizes of its documents.
    #[test]
    fn documents_are_dockers_to_the_last_byte() {
        let layers = [
            "873ff068f77948ae935343806c502bc3de271a7b9a2df15307aa36f1ccc3ee12",
            "c2a3981a1ab681d45405ec442f3cd073cf125e7ca8116788e54e4b513ba4983c",
            "4964eb38d923f48799e504a91d822815d84cb8b956d40c2af0fb896b4550c294",
            "23392a7ea69debc47b3e0662e5eaf3ee23882ef026995c6572010d532204f7ca",
        ];
        let config = json!({
            "architecture": "amd64",
            "config": {
                "Env": [
                    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                    "K=v"
                ],
                "Cmd": ["cat", "/hard"],
                "WorkingDir": "/",
                "ArgsEscaped": true
            },
            "created": "2026-11-20T13:32:25.72662215Z",
            "os": "linux",
            "rootfs": {
                "type": "layers",
                "diff_ids": layers.map(|hex| format!("sha256:{hex}")),
            },
        });
        let config = ImageConfig::parse(config.to_string().into_bytes()).unwrap();
        let found: Vec<(usize, String)> = documents(&config)
            .iter()
            .map(|document| (document.len(), Digest::of(document).hex()))
            .collect();
        let recorded = [
            (401, "66a423e7fe2374c7ecd69bf16212788fd6809f31dd1cde5c54565a6596fd091b"),
            (477, "17486f242743d9297f858b36592e5e940b86feaeee1b591f69f0386365ae98e3"),
            (477, "2e6955a68890f32977fb81c51c3f508470b547d7f7ea42683b5231b39e165294"),
            (883, "02cde0512575313bb8771bc9dbf4a481d260a2f15c2c6a02d06c3ee7e9cf3a85"),
        ];
        assert_eq!(found, recorded.map(|(size, hex)| (size, hex.to_owned())));
    }

    #[test]
    fn a_config_of_another_shape_is_still_an_image() {
        let config = json!({
            "architecture": "amd64", "os": "linux", "container": 7, "container_config": "none",
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(b"layer")]},
        });
        let config = ImageConfig::parse(config.to_string().into_bytes()).unwrap();
        let documents = documents(&config);
        let document: Value = serde_json::from_slice(&documents[0]).unwrap();
        assert_eq!(document["created"], Value::Null);
        assert_eq!(document["architecture"], "amd64");
    }
}
