//! Whose namespaces a container lives in.

use crate::{Kind, Printable};

/// Whose namespace of one kind a container lives in (`--ipc`, `--pid`, `--uts`, `--userns`,
/// `--cgroupns`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamespaceMode {
    /// One of its own.
    Private,
    /// One of its own, which others may join (`--ipc shareable`).
    Shareable,
    /// One of its own without a mount of `/dev/shm` (`--ipc none`).
    None,
    /// The host's.
    Host,
    /// That of another container, by ID or name.
    Container(String),
}

/// A mode that docker does not have for this namespace. The message is docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {namespace} mode: {}", Printable(text))]
pub struct ModeError {
    /// The namespace: `IPC`, `PID`, `UTS`, `userns` or `cgroup namespace`.
    pub namespace: &'static str,
    /// What was asked for.
    pub text: String,
}

impl ModeError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl NamespaceMode {
    /// Reads `--ipc`: empty (private), `none`, `private`, `shareable`, `host`, `container:NAME`.
    pub fn ipc(text: &str) -> Result<Self, ModeError> {
        match text {
            "" | "private" => Ok(Self::Private),
            "shareable" => Ok(Self::Shareable),
            "none" => Ok(Self::None),
            _ => Self::host_or_container("IPC", text),
        }
    }

    /// Reads `--pid`: empty (private), `host`, `container:NAME`.
    pub fn pid(text: &str) -> Result<Self, ModeError> {
        match text {
            "" => Ok(Self::Private),
            _ => Self::host_or_container("PID", text),
        }
    }

    /// Reads `--uts`: empty (private) or `host`.
    pub fn uts(text: &str) -> Result<Self, ModeError> {
        Self::private_or_host("UTS", text, "")
    }

    /// Reads `--userns`: empty (whatever the caller lives in) or `host`.
    pub fn userns(text: &str) -> Result<Self, ModeError> {
        Self::private_or_host("userns", text, "")
    }

    /// Reads `--cgroupns`: empty (the machine's default), `private` or `host`.
    pub fn cgroup(text: &str) -> Result<Self, ModeError> {
        Self::private_or_host("cgroup namespace", text, "private")
    }

    fn private_or_host(
        namespace: &'static str,
        text: &str,
        private: &str,
    ) -> Result<Self, ModeError> {
        match text {
            "host" => Ok(Self::Host),
            _ if text.is_empty() || text == private => Ok(Self::Private),
            _ => Err(ModeError { namespace, text: text.to_owned() }),
        }
    }

    fn host_or_container(namespace: &'static str, text: &str) -> Result<Self, ModeError> {
        match text.strip_prefix("container:") {
            Some(name) if !name.is_empty() => Ok(Self::Container(name.to_owned())),
            None if text == "host" => Ok(Self::Host),
            _ => Err(ModeError { namespace, text: text.to_owned() }),
        }
    }
}

/// What `--network` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkMode {
    /// The bridge that is always there (`default`, `bridge`, or nothing asked for).
    Bridge,
    /// The host's network.
    Host,
    /// A network namespace with loopback only.
    None,
    /// The network namespace of another container, by ID or name.
    Container(String),
    /// A network that somebody made, by ID or name.
    Named(String),
}

impl NetworkMode {
    /// Reads `NetworkMode` of a [`HostConfig`](super::HostConfig).
    pub fn of(text: &str) -> Self {
        match text {
            "" | "default" | "bridge" => Self::Bridge,
            "host" => Self::Host,
            "none" => Self::None,
            _ => match text.strip_prefix("container:") {
                Some(name) => Self::Container(name.to_owned()),
                None => Self::Named(text.to_owned()),
            },
        }
    }

    /// Whether containers find each other by name in it, through the resolver inside: in
    /// networks that somebody made, not on the default bridge.
    pub fn resolves_names(&self) -> bool {
        matches!(self, Self::Named(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_namespace_takes_its_own_words() {
        let other = || NamespaceMode::Container("web".to_owned());
        assert_eq!(NamespaceMode::ipc("shareable"), Ok(NamespaceMode::Shareable));
        assert_eq!(NamespaceMode::ipc("container:web"), Ok(other()));
        assert_eq!(NamespaceMode::pid("container:web"), Ok(other()));
        assert_eq!(NamespaceMode::cgroup("private"), Ok(NamespaceMode::Private));
        assert_eq!(NamespaceMode::uts("host"), Ok(NamespaceMode::Host));
        let refused = [
            NamespaceMode::ipc("x"),
            NamespaceMode::pid("private"),
            NamespaceMode::pid("container:"),
            NamespaceMode::uts("container:web"),
            NamespaceMode::userns("private"),
        ];
        for refused in refused {
            assert!(refused.is_err(), "{refused:?}");
        }
        assert_eq!(NamespaceMode::ipc("x").unwrap_err().to_string(), "invalid IPC mode: x");
    }

    #[test]
    fn networks_without_a_word_of_their_own_are_names() {
        assert_eq!(NetworkMode::of("default"), NetworkMode::Bridge);
        assert_eq!(NetworkMode::of("container:a"), NetworkMode::Container("a".to_owned()));
        assert!(NetworkMode::of("backend").resolves_names());
    }
}
