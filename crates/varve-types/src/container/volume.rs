//! Named volumes.

use std::{collections::BTreeMap, fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Kind, Printable, limits};

/// One volume (`varve/volumes/<name>/volume.json`). Its files lie beside that in `_data`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Its name.
    pub name: VolumeName,
    /// Who keeps it; always `local`.
    pub driver: String,
    /// When it was made.
    pub created: Timestamp,
    /// Labels; `None` where none were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Options of the driver; `None` where none were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<BTreeMap<String, String>>,
    /// Nobody gave it a name: it may go with the container that it was made for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anonymous: bool,
}

/// The name of a volume: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, two characters at least, as Docker has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct VolumeName(String);

/// Not the name of a volume.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VolumeNameError {
    /// Too short, or with other characters. Docker's text.
    #[error(
        "\"{}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path",
        Printable(.0)
    )]
    Characters(String),
    /// A single character.
    #[error("volume name is too short, names should be at least two alphanumeric characters")]
    Short,
    /// No file system has a name as long.
    #[error(
        "volume name is too long, names should be at most {} characters",
        limits::NAME_SIZE_BYTES_MAX
    )]
    Long,
}

impl VolumeNameError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl VolumeName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a volume that nobody named: 64 hexadecimal digits.
    pub fn anonymous(random: [u8; 32]) -> Self {
        let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
        Self(random.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for VolumeName {
    type Err = VolumeNameError;

    fn from_str(text: &str) -> Result<Self, VolumeNameError> {
        let other = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        match text.as_bytes() {
            [_] => Err(VolumeNameError::Short),
            [first, rest @ ..]
                if first.is_ascii_alphanumeric() && rest.iter().copied().all(other) =>
            {
                if text.len() > limits::NAME_SIZE_BYTES_MAX {
                    return Err(VolumeNameError::Long);
                }
                Ok(Self(text.to_owned()))
            }
            _ => Err(VolumeNameError::Characters(text.to_owned())),
        }
    }
}

impl<'de> Deserialize<'de> for VolumeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_volumes_are_file_names_of_plain_characters() {
        for name in ["data", "a.b-c_D9", "0_", &"a".repeat(255)] {
            assert_eq!(name.parse::<VolumeName>().unwrap().as_str(), name);
        }
        for name in ["../x", "", ".a", "a/b", "a b", "ü1"] {
            let refused = VolumeNameError::Characters(name.to_owned());
            assert_eq!(name.parse::<VolumeName>(), Err(refused));
        }
        assert_eq!("x".parse::<VolumeName>(), Err(VolumeNameError::Short));
        assert_eq!("a".repeat(256).parse::<VolumeName>(), Err(VolumeNameError::Long));
        let anonymous = VolumeName::anonymous([0xab; 32]);
        assert_eq!(anonymous.to_string().parse(), Ok(anonymous));
    }
}
