//! Image configs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{DiffId, Document, ImageId, Kind, Platform, limits};

/// An image config (OCI image-spec, config.md), with Docker's additions. For reading: bytes are
/// kept in the [`Document`] around it, members that are not named here are kept only there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "an image config")]
pub struct ImageConfig {
    /// Architecture, such as `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// Variant of the architecture.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Operating system.
    #[serde(default)]
    pub os: String,
    /// Version of the operating system.
    #[serde(default, rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// When the image was made; `None` when absent or not a time.
    #[serde(default, deserialize_with = "lenient_time", skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Who made it.
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub author: String,
    /// Comment on the image (Docker).
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub comment: String,
    /// Version of the engine that made it (Docker).
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub docker_version: String,
    /// The image this one was committed from (Docker).
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub parent: String,
    /// How to run it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: RunConfig,
    /// The layers.
    pub rootfs: RootFs,
    /// How each layer was made, lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub history: Vec<History>,
}

/// The stack of layers (config.md "rootfs").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// Diff IDs, lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<DiffId>,
}

/// One step of how an image was made (config.md "history").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When.
    #[serde(default, deserialize_with = "lenient_time", skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// By what instruction.
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub created_by: String,
    /// By whom.
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub author: String,
    /// Comment on the step.
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub comment: String,
    /// Whether the step made no layer.
    #[serde(
        default,
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "null_is_default"
    )]
    pub empty_layer: bool,
}

/// How an image is run (config.md "config"), with Docker's additions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(clippy::zero_sized_map_values, reason = "that is how the JSON is")]
pub struct RunConfig {
    /// Host name of the container that was committed.
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub hostname: String,
    /// Domain name of the container that was committed.
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub domainname: String,
    /// User and group.
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub user: String,
    /// Container member.
    #[serde(
        default,
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "null_is_default"
    )]
    pub attach_stdin: bool,
    /// Container member.
    #[serde(
        default,
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "null_is_default"
    )]
    pub attach_stdout: bool,
    /// Container member.
    #[serde(
        default,
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "null_is_default"
    )]
    pub attach_stderr: bool,
    /// Ports as `80/tcp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposed_ports: Option<BTreeMap<String, Empty>>,
    /// Container member.
    #[serde(
        default,
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "null_is_default"
    )]
    pub tty: bool,
    /// Container member.
    #[serde(
        default,
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "null_is_default"
    )]
    pub open_stdin: bool,
    /// Container member.
    #[serde(
        default,
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "null_is_default"
    )]
    pub stdin_once: bool,
    /// `NAME=value` pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    /// Default command, or arguments of the entry point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// How to tell whether the container works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Windows: the command is already escaped.
    #[serde(
        default,
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "null_is_default"
    )]
    pub args_escaped: bool,
    /// The image named when the container was made.
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub image: String,
    /// Paths that are volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volumes: Option<BTreeMap<String, Empty>>,
    /// Directory in which the command starts.
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub working_dir: String,
    /// The program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// No network for the container.
    #[serde(
        default,
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "null_is_default"
    )]
    pub network_disabled: bool,
    /// Instructions for images built from this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_build: Option<Vec<String>>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Signal that asks it to stop.
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub stop_signal: String,
    /// Seconds to wait after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// The shell of shell-form instructions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

/// A health check (Docker).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `NONE`, `CMD` and arguments, or `CMD-SHELL` and a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Vec<String>>,
    /// Nanoseconds between checks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// Nanoseconds one check may take.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// Nanoseconds of grace after the start.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Nanoseconds between checks during the grace.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: i64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Go's `struct{}`: an object without members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

fn lenient_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// Why bytes are not an image config.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// More bytes than [`limits::CONFIG_SIZE_BYTES_MAX`].
    #[error("image config of {0} bytes is larger than the limit of {limit} bytes", limit = limits::CONFIG_SIZE_BYTES_MAX)]
    TooLarge(u64),
    /// Not JSON of this shape.
    #[error("image config is not valid: {0}")]
    Json(#[from] serde_json::Error),
    /// More layers than [`limits::LAYERS_MAX`].
    #[error("image config lists {0} layers, more than the limit of {limit}", limit = limits::LAYERS_MAX)]
    TooManyLayers(usize),
}

impl ConfigError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::TooLarge(_) | Self::TooManyLayers(_) => Kind::Exhausted,
            Self::Json(_) => Kind::Invalid,
        }
    }
}

impl ImageConfig {
    /// Parses a config, keeping its bytes.
    pub fn parse(bytes: Vec<u8>) -> Result<Document<Self>, ConfigError> {
        if bytes.len() as u64 > limits::CONFIG_SIZE_BYTES_MAX {
            return Err(ConfigError::TooLarge(bytes.len() as u64));
        }
        let config: Self = serde_json::from_slice(&bytes)?;
        if config.rootfs.diff_ids.len() > limits::LAYERS_MAX {
            return Err(ConfigError::TooManyLayers(config.rootfs.diff_ids.len()));
        }
        Ok(Document::new(bytes, config))
    }

    /// The platform the image is for.
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
            os_version: self.os_version.clone(),
        }
    }

    /// The diff IDs, lowest layer first.
    pub fn diff_ids(&self) -> &[DiffId] {
        &self.rootfs.diff_ids
    }

    /// The labels.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.config.labels.iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl Document<ImageConfig> {
    /// The image's ID: the digest of its config.
    pub fn image_id(&self) -> ImageId {
        ImageId(self.digest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_and_odd_times_do_not_refuse_a_config() {
        let json = br#"{"architecture":"amd64","os":"linux","created":"yesterday","config":{"Env":null,"Labels":null,"User":null},
            "rootfs":{"type":"layers","diff_ids":null},"history":null,"author":null}"#;
        let config = ImageConfig::parse(json.to_vec()).unwrap();
        assert_eq!(config.created, None);
        assert_eq!(config.image_id().0, Digest::of(json));
        assert!(config.diff_ids().is_empty());
    }

    use crate::Digest;

    #[test]
    fn times_keep_nanoseconds_and_the_year_one() {
        let json = br#"{"created":"0001-01-01T00:00:00Z","rootfs":{"diff_ids":[]},"history":[{"created":"2026-11-20T13:17:23.892822042Z"}]}"#;
        let config = ImageConfig::parse(json.to_vec()).unwrap();
        assert_eq!(config.created.unwrap().to_string(), "0001-01-01T00:00:00Z");
        assert_eq!(
            config.history[0].created.unwrap().to_string(),
            "2026-11-20T13:17:23.892822042Z"
        );
    }
}
