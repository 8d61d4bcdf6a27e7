//! The name of a container.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

use super::words::{ADJECTIVES, SURNAMES};
use crate::{Kind, Printable};

/// A name: a letter or digit, then at least one letter, digit, `_`, `.` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ContainerName(String);

/// The text is no name. The message is docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid container name ({}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", Printable(.0))]
pub struct NameError(pub String);

impl NameError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl ContainerName {
    /// Makes up a name from a random number: an adjective and the surname of somebody who
    /// studied the earth. From the second try on (`retry` > 0) a digit of the number is added,
    /// so that a store full of containers finds a free name soon.
    pub fn generated(random: u64, retry: u32) -> Self {
        let adjective = ADJECTIVES[(random % ADJECTIVES.len() as u64) as usize];
        let surname = SURNAMES[((random >> 16) % SURNAMES.len() as u64) as usize];
        let digits = (random >> 32) % 10_u64.pow(retry.min(6));
        if retry == 0 {
            Self(format!("{adjective}_{surname}"))
        } else {
            Self(format!("{adjective}_{surname}{digits}"))
        }
    }

    /// The text, without docker's leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ContainerName {
    type Err = NameError;

    /// Takes a name, with or without docker's leading slash.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let name = text.strip_prefix('/').unwrap_or(text);
        let other = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        match name.as_bytes() {
            [first, rest @ ..]
                if first.is_ascii_alphanumeric()
                    && !rest.is_empty()
                    && rest.iter().copied().all(other) =>
            {
                Ok(Self(name.to_owned()))
            }
            _ => Err(NameError(text.to_owned())),
        }
    }
}

impl<'de> Deserialize<'de> for ContainerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_have_two_letters_and_start_with_one() {
        for name in ["web", "a1", "0_", "/web", "A.b-c_d"] {
            assert_eq!(
                name.parse::<ContainerName>().unwrap().as_str(),
                name.trim_start_matches('/')
            );
        }
        for name in ["", "a", "-x", ".x", "bad name", "a/b", "ü1", "//ab", "a\n"] {
            assert!(name.parse::<ContainerName>().is_err(), "{name:?}");
        }
        assert_eq!(
            "bad name".parse::<ContainerName>().unwrap_err().to_string(),
            "Invalid container name (bad name), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        );
    }

    #[test]
    fn every_generated_name_is_a_name_and_they_are_many() {
        let mut names = BTreeSet::new();
        for random in 0..20_000_u64 {
            let random = random.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for retry in [0, 1, 3] {
                let name = ContainerName::generated(random, retry);
                assert_eq!(name.as_str().parse(), Ok(name.clone()));
                names.insert(name);
            }
        }
        assert!(names.len() > 10_000, "{}", names.len());
    }

    #[test]
    fn no_word_stands_twice_in_a_list() {
        for words in [ADJECTIVES, SURNAMES] {
            assert_eq!(words.iter().collect::<BTreeSet<_>>().len(), words.len());
        }
    }
}
