//! Image manifests and indexes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Descriptor, Document, Kind, limits, media_type};

/// An image manifest (OCI image-spec, manifest.md; Docker image manifest v2, schema 2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// What this document is; older OCI manifests leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The type of an artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The image config.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(deserialize_with = "null_is_empty")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one says something about (a referrer).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free metadata.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An image index or Docker manifest list (OCI image-spec, image-index.md).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// What this document is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The type of an artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifests, in order of preference.
    #[serde(deserialize_with = "null_is_empty")]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this index says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free metadata.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

fn null_is_empty<'de, D>(deserializer: D) -> Result<Vec<Descriptor>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    Ok(Option::<Vec<Descriptor>>::deserialize(deserializer)?.unwrap_or_default())
}

/// Either kind of document that a name in a registry or layout can point at.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "few of them exist at a time")]
pub enum ManifestKind {
    /// One image.
    Manifest(Document<Manifest>),
    /// Several images, one for each platform.
    Index(Document<Index>),
}

/// Why bytes are not a manifest or index that varve works with.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// More bytes than [`limits::MANIFEST_SIZE_BYTES_MAX`].
    #[error("manifest of {0} bytes is larger than the limit of {limit} bytes", limit = limits::MANIFEST_SIZE_BYTES_MAX)]
    TooLarge(u64),
    /// Not JSON, or not JSON of this shape.
    #[error("manifest is not valid: {0}")]
    Json(#[from] serde_json::Error),
    /// Docker's first format, without content addressing.
    #[error(
        "Docker image format v1 and manifest version 2, schema 1 are not supported: push the image again with a current tool"
    )]
    Schema1,
    /// `schemaVersion` is neither 1 nor 2.
    #[error("unsupported schema version {0}")]
    SchemaVersion(u64),
    /// The document has both `manifests` and `layers` or `config`: tools disagree about what it is.
    #[error("manifest is ambiguous: it is both an image manifest and an index")]
    Ambiguous,
    /// The document is neither kind.
    #[error("unsupported manifest media type {0:?}")]
    MediaType(String),
    /// The promised media type and the document's own one differ.
    #[error("manifest says it is {inside:?}, but was announced as {outside:?}")]
    MediaTypeMismatch {
        /// What the document says.
        inside: String,
        /// What the descriptor or the registry said.
        outside: String,
    },
    /// More layers than [`limits::LAYERS_MAX`] or manifests than [`limits::INDEX_ENTRIES_MAX`].
    #[error("manifest has {0} entries, more than the limit of {1}")]
    TooManyEntries(usize, usize),
}

impl ManifestError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::TooLarge(_) | Self::TooManyEntries(..) => Kind::Exhausted,
            Self::Schema1 | Self::SchemaVersion(_) | Self::MediaType(_) => Kind::Unsupported,
            Self::Json(_) | Self::Ambiguous | Self::MediaTypeMismatch { .. } => Kind::Invalid,
        }
    }
}

/// The members that tell which kind a document is, before anything else is believed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a manifest")]
struct Probe {
    #[serde(default)]
    schema_version: u64,
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    layers: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    config: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl ManifestKind {
    /// Parses a manifest or index, given the media type it was announced with (empty: unknown).
    ///
    /// Documents that are both kinds at once are refused (CVE-2021-41190).
    pub fn parse(bytes: Vec<u8>, announced: &str) -> Result<Self, ManifestError> {
        if bytes.len() as u64 > limits::MANIFEST_SIZE_BYTES_MAX {
            return Err(ManifestError::TooLarge(bytes.len() as u64));
        }
        if media_type::is_schema1(announced) {
            return Err(ManifestError::Schema1);
        }
        let probe: Probe = serde_json::from_slice(&bytes)?;
        let inside = probe.media_type.as_deref().unwrap_or_default();
        if probe.schema_version == 1 || probe.fs_layers.is_some() || media_type::is_schema1(inside)
        {
            return Err(ManifestError::Schema1);
        }
        if probe.schema_version != 2 {
            return Err(ManifestError::SchemaVersion(probe.schema_version));
        }
        if probe.manifests.is_some() && (probe.layers.is_some() || probe.config.is_some()) {
            return Err(ManifestError::Ambiguous);
        }
        let known = |t: &str| media_type::is_index(t) || media_type::is_manifest(t);
        if known(inside) && known(announced) && inside != announced {
            return Err(ManifestError::MediaTypeMismatch {
                inside: inside.to_owned(),
                outside: announced.to_owned(),
            });
        }
        let which = match (known(inside), known(announced)) {
            (true, _) => inside,
            (false, true) if inside.is_empty() => announced,
            (false, false) if probe.manifests.is_some() => media_type::OCI_INDEX,
            (false, false)
                if (probe.layers.is_some() || probe.config.is_some()) && inside.is_empty() =>
            {
                media_type::OCI_MANIFEST
            }
            _ => {
                let shown = if inside.is_empty() { announced } else { inside };
                return Err(ManifestError::MediaType(shown.to_owned()));
            }
        };
        if media_type::is_index(which) {
            let index: Index = serde_json::from_slice(&bytes)?;
            check_entries(index.manifests.len(), limits::INDEX_ENTRIES_MAX)?;
            Ok(Self::Index(Document::new(bytes, index)))
        } else {
            let manifest: Manifest = serde_json::from_slice(&bytes)?;
            check_entries(manifest.layers.len(), limits::LAYERS_MAX)?;
            Ok(Self::Manifest(Document::new(bytes, manifest)))
        }
    }

    /// The media type: the document's own, else the one its shape implies.
    pub fn media_type(&self) -> &str {
        match self {
            Self::Manifest(m) => m.media_type.as_deref().unwrap_or(media_type::OCI_MANIFEST),
            Self::Index(i) => i.media_type.as_deref().unwrap_or(media_type::OCI_INDEX),
        }
    }

    /// The exact bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Manifest(m) => m.bytes(),
            Self::Index(i) => i.bytes(),
        }
    }

    /// A descriptor of this document.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::of(self.media_type(), self.bytes())
    }

    /// Everything this document points at directly (config and layers, or manifests; not the subject).
    pub fn children(&self) -> Vec<&Descriptor> {
        match self {
            Self::Manifest(m) => std::iter::once(&m.config).chain(&m.layers).collect(),
            Self::Index(i) => i.manifests.iter().collect(),
        }
    }
}

fn check_entries(count: usize, limit: usize) -> Result<(), ManifestError> {
    if count > limit { Err(ManifestError::TooManyEntries(count, limit)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(json: &str, announced: &str, part: &str) {
        let error = ManifestKind::parse(json.as_bytes().to_vec(), announced).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }

    const DIGEST: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn schema_1_is_refused_by_name() {
        refused(r#"{"schemaVersion":1,"fsLayers":[]}"#, "", "schema 1");
        refused(r#"{"schemaVersion":2}"#, media_type::DOCKER_SCHEMA1_SIGNED, "schema 1");
    }

    #[test]
    fn a_document_of_both_kinds_is_refused() {
        refused(r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#, "", "ambiguous");
    }

    #[test]
    fn announced_and_own_media_type_must_agree() {
        let json = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#,
            media_type::OCI_INDEX
        );
        refused(&json, media_type::OCI_MANIFEST, "announced");
    }

    #[test]
    fn unknown_media_types_are_refused_by_name() {
        refused(r#"{"schemaVersion":2,"mediaType":"text/html"}"#, "", "text/html");
    }

    #[test]
    fn manifest_without_media_type_is_an_oci_manifest() {
        let json = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"a","digest":"{DIGEST}","size":5}},"layers":null}}"#
        );
        let parsed = ManifestKind::parse(json.clone().into_bytes(), "").unwrap();
        assert_eq!(parsed.media_type(), media_type::OCI_MANIFEST);
        assert_eq!(parsed.bytes(), json.as_bytes());
        assert_eq!(parsed.children().len(), 1);
    }
}
