//! Limits on what one process may use.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Kind, Printable};

/// A limit on what one process may use (docker's `Ulimit`); -1 is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Ulimit {
    /// What is limited, such as `nofile`.
    pub name: String,
    /// What a process may raise its own limit to.
    pub hard: i64,
    /// The limit.
    pub soft: i64,
}

/// Why a text is no limit. The messages are docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UlimitError {
    /// Not `NAME=VALUE`.
    #[error("invalid ulimit argument: {}", Printable(.0))]
    Format(String),
    /// There is no such limit.
    #[error("invalid ulimit type: {}", Printable(.0))]
    Name(String),
    /// More than two numbers.
    #[error(
        "too many limit value arguments - {}, can only have up to two, `soft[:hard]`",
        Printable(.0)
    )]
    Values(String),
    /// Not a number.
    #[error("strconv.ParseInt: parsing \"{}\": invalid syntax", Printable(.0))]
    Number(String),
    /// The soft limit is above the hard one.
    #[error("ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")]
    Order {
        /// The soft limit.
        soft: i64,
        /// The hard limit.
        hard: i64,
    },
}

impl UlimitError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// What can be limited (getrlimit(2), in small letters).
const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

impl FromStr for Ulimit {
    type Err = UlimitError;

    /// Parses `--ulimit`: `NAME=SOFT[:HARD]`.
    fn from_str(text: &str) -> Result<Self, UlimitError> {
        let (name, values) =
            text.split_once('=').ok_or_else(|| UlimitError::Format(text.to_owned()))?;
        if !NAMES.contains(&name) {
            return Err(UlimitError::Name(name.to_owned()));
        }
        let number =
            |text: &str| text.parse::<i64>().map_err(|_| UlimitError::Number(text.to_owned()));
        let (soft, hard) = match values.split(':').collect::<Vec<_>>()[..] {
            [both] => (number(both)?, number(both)?),
            [soft, hard] => (number(soft)?, number(hard)?),
            _ => return Err(UlimitError::Values(values.to_owned())),
        };
        let unlimited_soft = soft == -1 && hard != -1;
        if hard != -1 && (soft > hard || unlimited_soft) {
            return Err(UlimitError::Order { soft, hard });
        }
        Ok(Self { name: name.to_owned(), hard, soft })
    }
}

impl fmt::Display for Ulimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}:{}", self.name, self.soft, self.hard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match text.parse::<Ulimit>() {
            Ok(limit) => limit.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn limits_are_read_as_docker_reads_them() {
        check("nofile=10:20", "nofile=10:20");
        check("nofile=10", "nofile=10:10");
        check("core=-1", "core=-1:-1");
        check("nofile", "invalid ulimit argument: nofile");
        check("foo=1", "invalid ulimit type: foo");
        check("nofile=x", "strconv.ParseInt: parsing \"x\": invalid syntax");
        check(
            "nofile=1:2:3",
            "too many limit value arguments - 1:2:3, can only have up to two, `soft[:hard]`",
        );
        check("nofile=3:2", "ulimit soft limit must be less than or equal to hard limit: 3 > 2");
        check("nofile=-1:2", "ulimit soft limit must be less than or equal to hard limit: -1 > 2");
    }
}
