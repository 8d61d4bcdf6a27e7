//! Archives that are odd or broken in one way each, made from a good one.

use std::path::Path;

use crate::cast::Cast;
use crate::images::{Blob, Form, Image, Tar, gzip};
use crate::world::write;

/// Members of an archive, in order.
#[derive(Clone)]
struct Archive(Vec<(String, Vec<u8>)>);

impl Archive {
    fn of(image: &Image, tag: &str) -> Self {
        let served = image.served(Form::OciTar);
        let blob = |blob: &Blob| (format!("blobs/sha256/{}", blob.hex()), blob.bytes.clone());
        let mut members: Vec<_> = served.blobs.iter().chain([&served.manifest]).map(blob).collect();
        let layers: Vec<String> =
            image.layers.iter().map(|layer| format!("blobs/sha256/{}", layer.hex())).collect();
        let manifest = serde_json::json!([{
            "Config": format!("blobs/sha256/{}", image.config.hex()),
            "RepoTags": [tag],
            "Layers": layers,
        }]);
        let index = serde_json::json!({"schemaVersion": 2, "manifests": [{
            "mediaType": served.media_type,
            "digest": served.manifest.digest.to_string(),
            "size": served.manifest.bytes.len(),
            "annotations": {"org.opencontainers.image.ref.name": tag},
        }]});
        members.push(("index.json".to_owned(), index.to_string().into_bytes()));
        members.push(("manifest.json".to_owned(), manifest.to_string().into_bytes()));
        members.push(("oci-layout".to_owned(), b"{\"imageLayoutVersion\":\"1.0.0\"}".to_vec()));
        Self(members)
    }

    fn without(&self, unwanted: &[&str]) -> Self {
        let mut kept = self.clone();
        kept.0.retain(|(name, _)| !unwanted.iter().any(|part| name.contains(part)));
        kept
    }

    fn with(&self, name: &str, bytes: &[u8]) -> Self {
        let mut changed = self.without(&[name]);
        changed.0.push((name.to_owned(), bytes.to_vec()));
        changed
    }

    /// With the docker manifest as `change` leaves it.
    fn edited(&self, change: impl Fn(&mut serde_json::Value)) -> Self {
        let (_, bytes) = self.0.iter().find(|(name, _)| name == "manifest.json").expect("there");
        let mut manifest = serde_json::from_slice(bytes).expect("JSON");
        change(&mut manifest);
        self.with("manifest.json", manifest.to_string().as_bytes())
    }

    fn tar(&self, prefix: &str) -> Vec<u8> {
        let mut tar = Tar::default();
        for (name, bytes) in &self.0 {
            tar.file(&format!("{prefix}{name}"), 0o644, bytes);
        }
        tar.finish().bytes
    }
}

/// Writes them all into a directory, under the names that the recording uses.
pub(crate) fn write_all(cast: &Cast, directory: &Path) {
    let hello = &cast.hello;
    let good = Archive::of(hello, "hello-world:latest");
    let (layer, config) = (hello.layers[0].hex(), hello.config.hex());
    let put = |name: &str, archive: &Archive| write(&directory.join(name), &archive.tar(""));

    put("nooci.tar", &good.without(&["index.json", "oci-layout"]));
    put("ocionly.tar", &good.without(&["manifest.json"]));
    put("nolayer.tar", &good.without(&[&layer]));
    put("nocfg.tar", &good.without(&[&config]));
    put("badlayer.tar", &good.with(&format!("blobs/sha256/{layer}"), &spoilt(&hello.layers[0])));
    put("badjson.tar", &good.with("manifest.json", b"[{nonsense"));
    put("emptymanifest.tar", &good.with("manifest.json", b"[]"));
    put(
        "countmismatch.tar",
        &good.edited(|manifest| manifest[0]["Layers"] = serde_json::json!([])),
    );
    put("badtag.tar", &good.edited(|manifest| manifest[0]["RepoTags"][0] = "Foo:1".into()));
    put("nulltags.tar", &good.edited(|manifest| manifest[0]["RepoTags"] = serde_json::Value::Null));
    put("traverse.tar", &good.edited(|manifest| manifest[0]["Config"] = "../../etc/passwd".into()));
    write(&directory.join("dotslash.tar"), &good.tar("./"));
    write(&directory.join("classic.tar"), &hello.archive(&["classic:1"]));

    put("windows.tar", &reconfigured(&good, hello, "\"os\":\"linux\"", "\"os\":\"windows\""));
    put("arm64.tar", &reconfigured(&good, hello, "\"amd64\"", "\"arm64\""));
    put("baddiffid.tar", &reconfigured(&good, hello, &layer, &"0".repeat(64)));

    let zipped = gzip(&hello.layers[0]);
    let gzl = good.without(&[&layer]).with("layer.tar.gz", &zipped.bytes).edited(|manifest| {
        manifest[0]["Layers"][0] = "layer.tar.gz".into();
        manifest[0]["RepoTags"][0] = "gzl:1".into();
    });
    put("gzlayer.tar", &gzl);
    put("legacyv1.tar", &legacy(hello));
    put("oci.tar", &Archive::of(hello, "ocitag:1").without(&["manifest.json"]));
}

/// A layer of the same length that is another one.
fn spoilt(layer: &Blob) -> Vec<u8> {
    let mut bytes = layer.bytes.clone();
    bytes[1024] ^= 0xff;
    bytes
}

/// The archive with one thing changed in the config, under the config's new name.
fn reconfigured(good: &Archive, image: &Image, from: &str, to: &str) -> Archive {
    let text = String::from_utf8(image.config.bytes.clone()).expect("UTF-8");
    let config = Blob::new(text.replace(from, to));
    let name = format!("blobs/sha256/{}", config.hex());
    good.with(&name, &config.bytes).edited(|manifest| manifest[0]["Config"] = name.as_str().into())
}

/// An archive from before manifests: a folder a layer, and `repositories`.
fn legacy(image: &Image) -> Archive {
    let id = image.layers[0].hex();
    let json = format!(
        "{{\"id\":\"{id}\",\"created\":\"2020-01-01T00:00:00Z\",\"architecture\":\"amd64\",\
         \"os\":\"linux\",\"config\":{{\"Cmd\":[\"/hello\"]}}}}"
    );
    Archive(vec![
        (format!("{id}/VERSION"), b"1.0".to_vec()),
        (format!("{id}/json"), json.into_bytes()),
        (format!("{id}/layer.tar"), image.layers[0].bytes.clone()),
        ("repositories".to_owned(), format!("{{\"v1img\":{{\"latest\":\"{id}\"}}}}").into_bytes()),
    ])
}
