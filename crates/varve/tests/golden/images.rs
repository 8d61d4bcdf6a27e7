//! Images of the very sizes that the recordings show, made from nothing.

use std::io::Write;

use varve_types::Digest;

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Bytes and their digest.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
}

impl Blob {
    pub(crate) fn new(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self { digest: Digest::of(&bytes), bytes }
    }

    pub(crate) fn hex(&self) -> String {
        self.digest.hex()
    }
}

/// A step of an image's history: what made it, and its tar unless it is empty.
pub(crate) struct Step<'a> {
    pub(crate) by: &'a str,
    pub(crate) tar: Option<&'a Blob>,
}

/// What an image is made of.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) config: Blob,
    /// Uncompressed.
    pub(crate) layers: Vec<Blob>,
}

/// How a manifest names its layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Docker's schema 2 over gzip layers.
    DockerGzip,
    /// OCI over gzip layers.
    OciGzip,
    /// OCI over plain tars, as docker's own `save` writes it.
    OciTar,
}

/// An image as a registry serves it.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) media_type: &'static str,
    pub(crate) manifest: Blob,
    pub(crate) blobs: Vec<Blob>,
}

impl Image {
    /// An image as BuildKit makes it. `config` is the inside of the config's `config`; the
    /// fraction of `created`, counted up from where it stands, is chosen so that the image ID
    /// begins with `prefix`.
    pub(crate) fn built(
        architecture: &str,
        created: &str,
        config: &str,
        steps: &[Step<'_>],
        prefix: &str,
    ) -> Self {
        let layers: Vec<Blob> = steps.iter().filter_map(|step| step.tar).cloned().collect();
        let diff_ids: Vec<String> =
            layers.iter().map(|layer| format!("\"sha256:{}\"", layer.hex())).collect();
        let (created, fraction) = created.split_once('.').unwrap_or((created, "123456789"));
        for fraction in fraction.parse::<u32>().expect("digits").. {
            let time = format!("{created}.{fraction}Z");
            let history: Vec<String> = steps.iter().map(|step| entry(step, &time)).collect();
            let config = Blob::new(format!(
                "{{\"architecture\":\"{architecture}\",\"config\":{{{config}}},\"created\":\"{time}\",\
                 \"history\":[{}],\"os\":\"linux\",\"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[{}]}}}}",
                history.join(","),
                diff_ids.join(","),
            ));
            if config.hex().starts_with(prefix) {
                return Self { config, layers };
            }
        }
        unreachable!("a digest begins with any two digits sooner or later")
    }

    /// An image as `docker import` makes it.
    pub(crate) fn imported(created: &str, tar: Blob) -> Self {
        let config = Blob::new(format!(
            "{{\"architecture\":\"amd64\",\"comment\":\"Imported from -\",\"config\":{{}},\
             \"created\":\"{created}.5Z\",\"history\":[{{\"created\":\"{created}.5Z\",\
             \"comment\":\"Imported from -\"}}],\"os\":\"linux\",\
             \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"sha256:{}\"]}}}}",
            tar.hex()
        ));
        Self { config, layers: vec![tar] }
    }

    /// The manifest over this image's layers in a form, and all blobs that it names.
    pub(crate) fn served(&self, form: Form) -> Served {
        let (media_type, config_type, layer_type) = match form {
            Form::DockerGzip => (
                DOCKER_MANIFEST,
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            ),
            Form::OciGzip => (
                OCI_MANIFEST,
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.oci.image.layer.v1.tar+gzip",
            ),
            Form::OciTar => (
                OCI_MANIFEST,
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.oci.image.layer.v1.tar",
            ),
        };
        let stored = |layer: &Blob| if form == Form::OciTar { layer.clone() } else { gzip(layer) };
        let layers: Vec<Blob> = self.layers.iter().map(stored).collect();
        let named: Vec<String> = layers.iter().map(|layer| descriptor(layer_type, layer)).collect();
        let manifest = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{media_type}\",\"config\":{},\"layers\":[{}]}}",
            descriptor(config_type, &self.config),
            named.join(",")
        );
        let blobs = layers.into_iter().chain([self.config.clone()]).collect();
        Served { media_type, manifest: Blob::new(manifest), blobs }
    }

    /// A docker archive with this image, as the versions before OCI layouts wrote it.
    pub(crate) fn archive(&self, tags: &[&str]) -> Vec<u8> {
        let layer_name = |at: usize| format!("{at}/layer.tar");
        let layers: Vec<String> =
            (0..self.layers.len()).map(|at| format!("\"{}\"", layer_name(at))).collect();
        let tags: Vec<String> = tags.iter().map(|tag| format!("\"{tag}\"")).collect();
        let tags =
            if tags.is_empty() { "null".to_owned() } else { format!("[{}]", tags.join(",")) };
        let config = format!("{}.json", self.config.hex());
        let manifest = format!(
            "[{{\"Config\":\"{config}\",\"RepoTags\":{tags},\"Layers\":[{}]}}]",
            layers.join(",")
        );
        let mut tar = Tar::default();
        tar.file(&config, 0o644, &self.config.bytes);
        for (at, layer) in self.layers.iter().enumerate() {
            tar.file(&layer_name(at), 0o644, &layer.bytes);
        }
        tar.file("manifest.json", 0o644, manifest.as_bytes());
        tar.finish().bytes
    }
}

impl Served {
    /// The same manifest with spaces at its end, so that it has `size` bytes.
    pub(crate) fn padded(mut self, size: usize) -> Self {
        assert!(self.manifest.bytes.len() <= size, "the manifest is already longer");
        self.manifest.bytes.resize(size, b' ');
        self.manifest = Blob::new(self.manifest.bytes);
        self
    }
}

/// An index over the manifests of several architectures.
pub(crate) fn index(children: &[(&str, &Served)]) -> Blob {
    let named: Vec<String> = children
        .iter()
        .map(|(architecture, child)| {
            let descriptor = descriptor(child.media_type, &child.manifest);
            let open = descriptor.trim_end_matches('}');
            format!(
                "{open},\"platform\":{{\"architecture\":\"{architecture}\",\"os\":\"linux\"}}}}"
            )
        })
        .collect();
    Blob::new(format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{OCI_INDEX}\",\"manifests\":[{}]}}",
        named.join(",")
    ))
}

fn entry(step: &Step<'_>, time: &str) -> String {
    let empty = if step.tar.is_none() { ",\"empty_layer\":true" } else { "" };
    let by = step.by.replace('"', "\\\"");
    format!(
        "{{\"created\":\"{time}\",\"created_by\":\"{by}\",\
         \"comment\":\"buildkit.dockerfile.v0\"{empty}}}"
    )
}

fn descriptor(media_type: &str, blob: &Blob) -> String {
    format!(
        "{{\"mediaType\":\"{media_type}\",\"digest\":\"{}\",\"size\":{}}}",
        blob.digest,
        blob.bytes.len()
    )
}

pub(crate) fn gzip(layer: &Blob) -> Blob {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&layer.bytes).expect("memory takes all bytes");
    Blob::new(encoder.finish().expect("memory takes all bytes"))
}

/// A tar being written: plain headers, owner 0:0, one time.
#[derive(Default)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    pub(crate) fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.header(name, b'0', mode, content.len(), "");
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }

    pub(crate) fn directory(&mut self, name: &str) {
        self.header(name, b'5', 0o755, 0, "");
    }

    /// One that all may write, like `/tmp`.
    pub(crate) fn directory_of_all(&mut self, name: &str) {
        self.header(name, b'5', 0o1777, 0, "");
    }

    pub(crate) fn symlink(&mut self, name: &str, target: &str) {
        self.header(name, b'2', 0o777, 0, target);
    }

    /// Ends with two empty blocks.
    pub(crate) fn finish(mut self) -> Blob {
        self.0.resize(self.0.len() + 1024, 0);
        Blob::new(self.0)
    }

    fn header(&mut self, name: &str, kind: u8, mode: u32, size: usize, target: &str) {
        let mut block = [0_u8; 512];
        let mut put = |at: usize, text: &str| {
            block[at..at + text.len()].copy_from_slice(text.as_bytes());
        };
        put(0, name);
        put(100, &format!("{mode:07o}"));
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{size:011o}"));
        put(136, &format!("{:011o}", 1_790_000_000));
        put(148, "        ");
        put(157, target);
        put(257, "ustar");
        put(263, "00");
        block[156] = kind;
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
    }
}
