//! Platforms: operating system, architecture and variant.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Printable;

/// A platform (OCI image-spec, image-index.md "platform"), with Go's names: `linux`, `amd64`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// Operating system, such as `linux`.
    #[serde(default)]
    pub os: String,
    /// Architecture, such as `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// Variant of the architecture, such as `v7`; empty when there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Version of the operating system (Windows).
    #[serde(default, rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub os_version: String,
}

/// Why a text is not a platform. The texts are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// One word that is neither an operating system nor an architecture.
    #[error("\"{0}\": unknown operating system or architecture: invalid argument")]
    Unknown(String),
    /// More than three parts, or a part with letters that do not belong there.
    #[error("\"{0}\": cannot parse platform specifier: invalid argument")]
    Format(String),
    /// A part with characters that no platform has.
    #[error(
        "\"{0}\" is an invalid component of \"{1}\": platform specifier component must match \"^[A-Za-z0-9_-]+$\": invalid argument"
    )]
    Component(String, String),
}

const KNOWN_OS: &[&str] = &[
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasip1",
    "windows",
    "zos",
];
const KNOWN_ARCHITECTURES: &[&str] = &[
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "ppc64",
    "ppc64le",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

impl Platform {
    /// Joins the parts, bringing common other names to Go's (`x86_64` → `amd64`).
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        let os = match os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        let (architecture, variant) = normalize(architecture, variant);
        Self { os, architecture, variant, os_version: String::new() }
    }

    /// The platform this program was built for.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86" => "386",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "loongarch64" => "loong64",
            other => other,
        };
        let variant = if architecture == "arm" { "v7" } else { "" };
        Self::new("linux", architecture, variant)
    }

    /// The same platform with Go's names and default variants left out (`arm64/v8` → `arm64`).
    #[must_use]
    pub fn normalized(&self) -> Self {
        let mut platform = Self::new(&self.os, &self.architecture, &self.variant);
        platform.os_version.clone_from(&self.os_version);
        platform
    }

    /// How well content for `other` runs on `self`: `None` not at all, else smaller is better.
    ///
    /// A newer 32-bit ARM runs older variants, arm64 runs 32-bit ARM, amd64 runs 386.
    pub fn rank(&self, other: &Platform) -> Option<u32> {
        let (host, other) = (self.normalized(), other.normalized());
        if host.os != other.os {
            return None;
        }
        if host.architecture == other.architecture && host.variant == other.variant {
            return Some(0);
        }
        let arm = |v: &str| v.strip_prefix('v').and_then(|v| v.parse::<u32>().ok());
        match (host.architecture.as_str(), other.architecture.as_str()) {
            ("arm", "arm") => {
                let (mine, theirs) = (arm(&host.variant)?, arm(&other.variant)?);
                (theirs <= mine).then(|| mine - theirs)
            }
            ("arm64", "arm") => arm(&other.variant).filter(|v| *v <= 8).map(|v| 108 - v),
            ("amd64", "amd64") => {
                let level = |v: &str| if v.is_empty() { Some(1) } else { arm(v) };
                let (mine, theirs) = (level(&host.variant)?, level(&other.variant)?);
                (theirs <= mine).then(|| mine - theirs)
            }
            ("amd64", "386") => Some(100),
            _ => None,
        }
    }

    /// Whether `other` is this platform exactly, apart from spelling. An empty variant asked for
    /// takes any variant.
    pub fn matches(&self, other: &Platform) -> bool {
        let (wanted, other) = (self.normalized(), other.normalized());
        wanted.os == other.os
            && wanted.architecture == other.architecture
            && (wanted.variant == other.variant || wanted.variant.is_empty())
    }
}

fn normalize(architecture: &str, variant: &str) -> (String, String) {
    let architecture = architecture.to_ascii_lowercase();
    let variant = variant.to_ascii_lowercase();
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386" | "i686", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "" | "v1") => ("amd64", ""),
        ("x86_64" | "x86-64", v) => ("amd64", v),
        ("aarch64" | "arm64", "" | "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64", v) => ("arm64", v),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel", _) | ("arm", "6") => ("arm", "v6"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "8") => ("arm", "v8"),
        (a, v) => (a, v),
    };
    (architecture.to_owned(), variant.to_owned())
}

impl FromStr for Platform {
    type Err = PlatformError;

    /// Parses `os`, `arch`, `os/arch` or `os/arch/variant`, as Docker does.
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        if parts.len() > 3 {
            return Err(PlatformError::Format(text.to_owned()));
        }
        for part in &parts {
            let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
            if part.is_empty() || !part.bytes().all(fine) {
                return Err(PlatformError::Component((*part).to_owned(), text.to_owned()));
            }
        }
        match parts.as_slice() {
            [one] => {
                let host = Self::host();
                let as_os = Self::new(one, &host.architecture, &host.variant);
                if KNOWN_OS.contains(&as_os.os.as_str()) {
                    return Ok(as_os);
                }
                let as_architecture = Self::new("linux", one, "");
                if KNOWN_ARCHITECTURES.contains(&as_architecture.architecture.as_str()) {
                    return Ok(as_architecture);
                }
                Err(PlatformError::Unknown(text.to_owned()))
            }
            [os, architecture] => Ok(Self::new(os, architecture, "")),
            [os, architecture, variant] => Ok(Self::new(os, architecture, variant)),
            _ => Err(PlatformError::Format(text.to_owned())),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A platform may come from an image, where it can be any text.
        write!(f, "{}/{}", Printable(&self.os), Printable(&self.architecture))?;
        if !self.variant.is_empty() {
            write!(f, "/{}", Printable(&self.variant))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match text.parse::<Platform>() {
            Ok(platform) => platform.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn other_names_become_gos() {
        assert_eq!(shown("linux/x86_64"), "linux/amd64");
        assert_eq!(shown("linux/aarch64/v8"), "linux/arm64");
        assert_eq!(shown("linux/armhf"), "linux/arm/v7");
        assert_eq!(shown("arm64"), "linux/arm64");
    }

    #[test]
    fn nonsense_is_refused_in_dockers_words() {
        assert_eq!(
            shown("foo"),
            "\"foo\": unknown operating system or architecture: invalid argument"
        );
        assert_eq!(
            shown("bad/x/y/z"),
            "\"bad/x/y/z\": cannot parse platform specifier: invalid argument"
        );
    }

    #[test]
    fn newer_arm_prefers_the_nearest_older_variant() {
        let host = Platform::new("linux", "arm", "v7");
        assert_eq!(host.rank(&Platform::new("linux", "arm", "v7")), Some(0));
        assert!(
            host.rank(&Platform::new("linux", "arm", "v5"))
                > host.rank(&Platform::new("linux", "arm", "v6"))
        );
        assert_eq!(host.rank(&Platform::new("linux", "arm64", "")), None);
    }
}
