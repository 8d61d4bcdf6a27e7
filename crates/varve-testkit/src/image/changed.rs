//! Images that are not what they say: documents changed after the fact, with digests that fit.

use serde_json::{Value, json};
use varve_types::{Descriptor, DiffId, Digest, ImageId, media_type};

use super::{Built, built::BuiltImage};

impl Built {
    /// A single image with another config; the manifest names it rightly.
    #[must_use]
    pub fn change_config(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let (old, bytes) = self.blobs.remove(0);
        let mut config: Value = serde_json::from_slice(&bytes).expect("a config");
        change(&mut config);
        let bytes = config.to_string().into_bytes();
        let new = Descriptor::of(old.media_type, &bytes);
        self.images[0].id = ImageId(new.digest);
        self.blobs.insert(0, (new.clone(), bytes));
        self.change_manifest(|manifest| manifest["config"] = json!(new))
    }

    /// Another document at the root (a manifest, or the index of several).
    #[must_use]
    pub fn change_manifest(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let (_, bytes) = self.manifests.pop().expect("a manifest");
        let mut manifest: Value = serde_json::from_slice(&bytes).expect("a manifest");
        change(&mut manifest);
        let media_type = manifest["mediaType"].as_str().unwrap_or_default().to_owned();
        let bytes = manifest.to_string().into_bytes();
        self.root = Descriptor::of(media_type, &bytes);
        if let [image] = self.images.as_mut_slice() {
            image.manifest = self.root.clone();
        }
        self.manifests.push((self.root.clone(), bytes));
        self
    }

    /// A single image with other bytes as a layer; the manifest names them rightly, the config
    /// still lists what was there.
    #[must_use]
    pub fn replace_layer(mut self, at: usize, bytes: Vec<u8>) -> Self {
        let new = Descriptor::of(self.images[0].layers[at].media_type.clone(), &bytes);
        self.images[0].layers[at] = new.clone();
        self.blobs[at + 1] = (new.clone(), bytes);
        self.change_manifest(|manifest| manifest["layers"][at] = json!(new))
    }

    /// A single image with other layers, as many as it has: these plain tars, the lowest first.
    #[must_use]
    pub fn with_tars(mut self, tars: Vec<Vec<u8>>) -> Self {
        assert_eq!(tars.len(), self.images[0].tars.len(), "the history lists the layers");
        for (at, tar) in tars.iter().enumerate() {
            self = self.replace_layer(at, tar.clone());
        }
        let diff_ids: Vec<DiffId> = tars.iter().map(|tar| DiffId(Digest::of(tar))).collect();
        self.images[0].diff_ids.clone_from(&diff_ids);
        self.images[0].tars = tars;
        self.change_config(|config| config["rootfs"]["diff_ids"] = json!(diff_ids))
    }

    /// An index of images or of other indexes, each under the descriptor that goes with it.
    pub fn index_of(children: Vec<(Descriptor, Built)>) -> Self {
        let descriptors: Vec<&Descriptor> = children.iter().map(|(child, _)| child).collect();
        let index = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_INDEX,
            "manifests": descriptors,
        });
        let index = index.to_string().into_bytes();
        let root = Descriptor::of(media_type::OCI_INDEX, &index);
        let (mut manifests, mut blobs) = (Vec::new(), Vec::new());
        let mut images: Vec<BuiltImage> = Vec::new();
        for (_, child) in children {
            manifests.extend(child.manifests);
            blobs.extend(child.blobs);
            images.extend(child.images);
        }
        manifests.push((root.clone(), index));
        Self { root, manifests, blobs, images }
    }
}
