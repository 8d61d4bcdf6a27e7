//! `--log-driver` and `--log-opt`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use varve_types::{Kind, Printable};

use super::FILES_MAX;

/// What docker's driver `local` keeps: bytes of a file, and files.
const LOCAL_SIZE_BYTES: u64 = 20_000_000;
const LOCAL_FILES: u32 = 5;

/// Whether a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// In docker's `json-file` format.
    #[default]
    JsonFile,
    /// Nowhere.
    None,
}

/// How a log is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Whether it is.
    pub driver: Driver,
    /// Bytes after which the next entry begins a new file; `None`: never.
    #[serde(default)]
    pub size_bytes_max: Option<u64>,
    /// Files that are kept, the present one included.
    pub files_max: u32,
    /// Attributes that every entry carries.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            driver: Driver::JsonFile,
            size_bytes_max: None,
            files_max: 1,
            attributes: BTreeMap::new(),
        }
    }
}

/// Why options for a log make no sense. The texts are docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// Not a driver of ours.
    #[error("logger: no log driver named '{}' is registered", Printable(_0))]
    UnknownDriver(String),
    /// Not an option of the driver.
    #[error("unknown log opt '{}' for {driver} log driver", Printable(option))]
    UnknownOption {
        /// The option.
        option: String,
        /// The driver.
        driver: &'static str,
    },
    /// Not an option of the driver `local`.
    #[error("unknown log opt '{}' for log driver local", Printable(_0))]
    UnknownOfLocal(String),
    /// A size that cannot be read.
    #[error("invalid size: '{}'", Printable(_0))]
    Size(String),
    /// `max-size` of nothing.
    #[error("max-size must be a positive number")]
    SizeNotPositive,
    /// `max-file` that is not a number, or more than we keep.
    #[error("strconv.Atoi: parsing \"{}\": invalid syntax", Printable(_0))]
    Files(String),
    /// `max-file` of nothing.
    #[error("max-file cannot be less than 1")]
    FilesNotPositive,
    /// Rotated files would be compressed, which is not done.
    #[error("log opt 'compress' is not supported")]
    Compress,
}

impl OptionsError {
    /// The class of the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Compress => Kind::Unsupported,
            _ => Kind::Invalid,
        }
    }
}

impl Options {
    /// Reads the flags. The attributes that `labels`, `env` and `tag` choose are for the caller to
    /// fill in: they name things of the container.
    pub fn parse(driver: &str, options: &BTreeMap<String, String>) -> Result<Self, OptionsError> {
        let unknown = |option: &String, driver| OptionsError::UnknownOption {
            option: option.clone(),
            driver,
        };
        let mut parsed = Self::default();
        match driver {
            "json-file" | "" => {}
            "local" => return Self::local(options),
            // docker takes any option with this driver and heeds none.
            "none" => return Ok(Self { driver: Driver::None, ..parsed }),
            other => return Err(OptionsError::UnknownDriver(other.to_owned())),
        }
        for (option, value) in options {
            match option.as_str() {
                "max-size" => parsed.size_bytes_max = Some(size(value)?),
                "max-file" => parsed.files_max = files(value)?,
                "compress" if value == "false" => {}
                "compress" => return Err(OptionsError::Compress),
                "labels" | "labels-regex" | "env" | "env-regex" | "tag" => {}
                _ => return Err(unknown(option, "json-file")),
            }
        }
        Ok(parsed)
    }
}

impl Options {
    /// Of docker's driver `local`, which keeps 100 MB. Ours writes what `json-file` does, and does
    /// not compress: only docker knows what is in its own files.
    fn local(options: &BTreeMap<String, String>) -> Result<Self, OptionsError> {
        let mut parsed = Self {
            size_bytes_max: Some(LOCAL_SIZE_BYTES),
            files_max: LOCAL_FILES,
            ..Self::default()
        };
        for (option, value) in options {
            match option.as_str() {
                "max-size" => parsed.size_bytes_max = Some(size(value)?),
                "max-file" => parsed.files_max = files(value)?,
                "compress" => {}
                _ => return Err(OptionsError::UnknownOfLocal(option.clone())),
            }
        }
        Ok(parsed)
    }
}

fn files(value: &str) -> Result<u32, OptionsError> {
    match value.parse::<i64>() {
        Ok(files) if files < 1 => Err(OptionsError::FilesNotPositive),
        Ok(files) if files <= i64::from(FILES_MAX) => Ok(files as u32),
        _ => Err(OptionsError::Files(value.to_owned())),
    }
}

/// Decimal sizes as docker's `units.FromHumanSize` reads them: `10m` is 10,000,000.
fn size(value: &str) -> Result<u64, OptionsError> {
    let invalid = || OptionsError::Size(value.to_owned());
    let end = value.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-'));
    let (number, unit) = value.split_at(end.unwrap_or(value.len()));
    let number: f64 = number.parse().map_err(|_| invalid())?;
    let unit = unit.trim_start_matches(' ').to_ascii_lowercase();
    let factor: f64 = match unit.strip_suffix('b').unwrap_or(&unit).trim_end_matches('i') {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        "t" => 1e12,
        "p" => 1e15,
        _ => return Err(invalid()),
    };
    let bytes = number * factor;
    if bytes < 1.0 { Err(OptionsError::SizeNotPositive) } else { Ok(bytes as u64) }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(driver: &str, options: &[(&str, &str)], expected: Expect) {
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let shown = match Options::parse(driver, &options) {
            Ok(options) => {
                format!("{:?} {:?} {}", options.driver, options.size_bytes_max, options.files_max)
            }
            Err(error) => format!("error: {error}"),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn sizes_are_decimal() {
        check("json-file", &[("max-size", "10m")], expect!["JsonFile Some(10000000) 1"]);
        check("", &[("max-size", "1.5kB"), ("max-file", "3")], expect!["JsonFile Some(1500) 3"]);
    }

    #[test]
    fn nonsense_is_refused_in_dockers_words() {
        check("json-file", &[("max-size", "x")], expect!["error: invalid size: 'x'"]);
        check(
            "json-file",
            &[("max-size", "0")],
            expect!["error: max-size must be a positive number"],
        );
        check(
            "json-file",
            &[("max-size", "-1k")],
            expect!["error: max-size must be a positive number"],
        );
        check("json-file", &[("max-file", "0")], expect!["error: max-file cannot be less than 1"]);
        check(
            "json-file",
            &[("max-file", "a")],
            expect![[r#"error: strconv.Atoi: parsing "a": invalid syntax"#]],
        );
        check(
            "json-file",
            &[("foo", "1")],
            expect!["error: unknown log opt 'foo' for json-file log driver"],
        );
        check(
            "fluentd",
            &[],
            expect!["error: logger: no log driver named 'fluentd' is registered"],
        );
    }

    #[test]
    fn the_local_driver_keeps_five_files_of_20_mb() {
        check("local", &[("compress", "true")], expect!["JsonFile Some(20000000) 5"]);
        check("local", &[("max-file", "2")], expect!["JsonFile Some(20000000) 2"]);
        check(
            "local",
            &[("tag", "x")],
            expect!["error: unknown log opt 'tag' for log driver local"],
        );
    }

    #[test]
    fn no_driver_takes_any_option() {
        check("none", &[("max-size", "10m")], expect!["None None 1"]);
    }
}
