//! The ID of a container.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 32 random bytes, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerId([u8; 32]);

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a container ID")]
pub struct ContainerIdError;

impl ContainerId {
    /// Takes random bytes.
    ///
    /// An ID whose short form is a number could be mistaken for one, as a host name above all:
    /// docker draws again then, and so does this, by changing the first digit to a letter.
    pub fn from_random(mut bytes: [u8; 32]) -> Self {
        let short_is_number = bytes[..6].iter().all(|byte| (byte >> 4) < 10 && (byte & 15) < 10);
        if short_is_number {
            bytes[0] |= 0xa0;
        }
        Self(bytes)
    }

    /// The 12 digits that listings show.
    pub fn short(&self) -> String {
        let mut hex = self.to_string();
        hex.truncate(12);
        hex
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ContainerId {
    type Err = ContainerIdError;

    fn from_str(text: &str) -> Result<Self, ContainerIdError> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 64 {
            return Err(ContainerIdError);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

fn digit(letter: u8) -> Result<u8, ContainerIdError> {
    match letter {
        b'0'..=b'9' => Ok(letter - b'0'),
        b'a'..=b'f' => Ok(letter - b'a' + 10),
        _ => Err(ContainerIdError),
    }
}

impl Serialize for ContainerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContainerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_64_digits_and_their_short_form_is_never_a_number() {
        let id = ContainerId::from_random([0x12; 32]);
        assert_eq!(id.short(), "b21212121212");
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "b21212121212", &id.to_string().to_uppercase(), &"g".repeat(64)] {
            assert_eq!(text.parse::<ContainerId>(), Err(ContainerIdError), "{text}");
        }
    }
}
