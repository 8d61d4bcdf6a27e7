//! Images made to order: the same seed gives the same bytes.

mod built;
mod changed;

use serde_json::{Value, json};
use varve_fs::compression::Compressor;
use varve_types::{Descriptor, DiffId, Digest, media_type};

use crate::tar::Tar;
pub use built::{Built, BuiltImage};

/// An image to make.
#[derive(Debug, Clone)]
pub struct Image {
    seed: u64,
    layers: usize,
    layer_size_bytes: usize,
    files: usize,
    form: Form,
    docker: bool,
    platform: String,
    labels: Vec<(String, String)>,
    annotations: Vec<(String, String)>,
    created: String,
    subject: Option<Descriptor>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Gzip,
    Zstd,
}

impl Image {
    /// One gzip layer of 16 KiB, OCI media types, for linux/amd64.
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            layers: 1,
            layer_size_bytes: 16 << 10,
            files: 1,
            form: Form::Gzip,
            docker: false,
            platform: "linux/amd64".to_owned(),
            labels: Vec::new(),
            annotations: Vec::new(),
            created: "2024-01-02T03:04:05Z".to_owned(),
            subject: None,
        }
    }

    /// So many layers.
    #[must_use]
    pub fn layers(mut self, layers: usize) -> Self {
        self.layers = layers;
        self
    }

    /// About so many bytes in each layer's file, compressed or not: the content is noise.
    #[must_use]
    pub fn layer_size_bytes(mut self, layer_size_bytes: usize) -> Self {
        self.layer_size_bytes = layer_size_bytes;
        self
    }

    /// The bytes of a layer in so many files.
    #[must_use]
    pub fn files(mut self, files: usize) -> Self {
        self.files = files.max(1);
        self
    }

    /// Layers compressed with gzip.
    #[must_use]
    pub fn gzip(mut self) -> Self {
        self.form = Form::Gzip;
        self
    }

    /// Layers compressed with zstd.
    #[must_use]
    pub fn zstd(mut self) -> Self {
        self.form = Form::Zstd;
        self
    }

    /// Layers that are plain tars.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.form = Form::Plain;
        self
    }

    /// Docker's media types instead of OCI's.
    #[must_use]
    pub fn docker(mut self) -> Self {
        self.docker = true;
        self
    }

    /// For another platform: `os/architecture` or `os/architecture/variant`.
    #[must_use]
    pub fn platform(mut self, platform: &str) -> Self {
        platform.to_owned().clone_into(&mut self.platform);
        self
    }

    /// With a label.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With an annotation of the manifest.
    #[must_use]
    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        self.annotations.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Created at this time (RFC 3339).
    #[must_use]
    pub fn created(mut self, time: &str) -> Self {
        time.clone_into(&mut self.created);
        self
    }

    /// Referring to another manifest.
    #[must_use]
    pub fn subject(mut self, subject: &Descriptor) -> Self {
        self.subject = Some(Descriptor::new(&subject.media_type, subject.digest, subject.size));
        self
    }

    /// An index of several images, each for its platform.
    pub fn index(images: &[Image]) -> Built {
        Built::index(images)
    }

    /// Makes the image.
    pub fn build(&self) -> Built {
        let tars: Vec<Vec<u8>> = (0..self.layers).map(|layer| self.tar(layer)).collect();
        let config = self.config(&tars).to_string().into_bytes();
        let config_descriptor =
            Descriptor::of(self.pick(media_type::OCI_CONFIG, media_type::DOCKER_CONFIG), &config);
        let layers: Vec<(Descriptor, Vec<u8>)> = tars
            .iter()
            .map(|tar| {
                let blob = self.compress(tar);
                (Descriptor::of(self.layer_type(), &blob), blob)
            })
            .collect();
        let manifest = self.manifest(&config_descriptor, &layers);
        Built::image(
            self.manifest_type(),
            manifest.to_string().into_bytes(),
            (config_descriptor, config),
            layers,
            tars,
        )
    }

    fn manifest(&self, config: &Descriptor, layers: &[(Descriptor, Vec<u8>)]) -> Value {
        let layers: Vec<&Descriptor> = layers.iter().map(|(descriptor, _)| descriptor).collect();
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": self.manifest_type(),
            "config": config,
            "layers": layers,
        });
        if let Some(subject) = &self.subject {
            manifest["subject"] = json!(subject);
        }
        for (name, value) in &self.annotations {
            manifest["annotations"][name] = json!(value);
        }
        manifest
    }

    fn config(&self, tars: &[Vec<u8>]) -> Value {
        let mut parts = self.platform.split('/');
        let (os, architecture) = (parts.next(), parts.next());
        let diff_ids: Vec<DiffId> = tars.iter().map(|tar| DiffId(Digest::of(tar))).collect();
        let history: Vec<Value> = (0..self.layers)
            .map(|layer| json!({"created": self.created, "created_by": format!("layer {layer}")}))
            .collect();
        let mut config = json!({
            "architecture": architecture.unwrap_or("amd64"),
            "os": os.unwrap_or("linux"),
            "created": self.created,
            "config": {"Env": ["PATH=/usr/bin:/bin"], "Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": history,
        });
        if let Some(variant) = parts.next() {
            config["variant"] = json!(variant);
        }
        for (name, value) in &self.labels {
            config["config"]["Labels"][name] = json!(value);
        }
        config
    }

    fn tar(&self, layer: usize) -> Vec<u8> {
        let mut noise = Noise(self.seed.wrapping_mul(0x9e37_79b9).wrapping_add(layer as u64));
        let mut tar = Tar::default();
        let directory = format!("layer-{layer}");
        tar.directory(&directory);
        for file in 0..self.files {
            let mut bytes = vec![0; self.layer_size_bytes / self.files];
            noise.fill(&mut bytes);
            tar.file(&format!("{directory}/file-{file}"), &bytes);
        }
        tar.finish()
    }

    fn compress(&self, tar: &[u8]) -> Vec<u8> {
        let compressor = match self.form {
            Form::Plain => return tar.to_vec(),
            Form::Gzip => Compressor::gzip(),
            Form::Zstd => Compressor::zstd(3),
        };
        let mut blob = Vec::new();
        compressor.compress(&mut &*tar, &mut blob).expect("memory is enough");
        blob
    }

    fn pick(&self, oci: &'static str, docker: &'static str) -> &'static str {
        if self.docker { docker } else { oci }
    }

    fn manifest_type(&self) -> &'static str {
        self.pick(media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST)
    }

    fn layer_type(&self) -> &'static str {
        match self.form {
            Form::Plain => self.pick(media_type::OCI_LAYER, media_type::DOCKER_LAYER),
            Form::Gzip => self.pick(media_type::OCI_LAYER_GZIP, media_type::DOCKER_LAYER_GZIP),
            Form::Zstd => self.pick(media_type::OCI_LAYER_ZSTD, media_type::DOCKER_LAYER_ZSTD),
        }
    }
}

/// Bytes that look random and are always the same (splitmix64).
struct Noise(u64);

impl Noise {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = self.0;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^= word >> 31;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
    }
}
