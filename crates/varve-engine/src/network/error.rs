//! Why a verb of networks did not do what was asked, in Docker's words.

use std::io;

use varve_types::{Kind, Printable};

use crate::Origin;

/// Why a verb of networks failed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The network refuses.
    #[error(transparent)]
    Network(#[from] varve_runtime::network::Error),
    /// The state of a container cannot be told.
    #[error(transparent)]
    State(#[from] varve_runtime::state::StateError),
    /// The container's namespace is not its own, and only one network can be in it.
    #[error(
        "container sharing network namespace with another container or host cannot be connected to any other network"
    )]
    Shared,
    /// The container, which does not run, is not to be in the network.
    #[error("container {container} is not connected to the network {}", Printable(network))]
    NotWanted {
        /// Its ID.
        container: String,
        /// The network.
        network: String,
    },
    /// A filter's value that the filter does not know.
    #[error("invalid filter: '{name}'='{}'", Printable(value))]
    Filter {
        /// The filter.
        name: &'static str,
        /// What was asked for.
        value: String,
    },
    /// What describes a network cannot be read.
    #[error("{0}")]
    Description(String),
    /// A network namespace cannot be used.
    #[error("cannot {action} the network namespace")]
    Namespace {
        /// What was tried.
        action: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
}

impl NetworkError {
    pub(crate) fn namespace(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Namespace { action, source }
    }

    /// Where the error stands in Docker's conversation.
    pub(crate) fn origin(&self) -> Origin {
        use varve_runtime::network::Error as Inner;
        match self {
            Self::Network(Inner::File { .. } | Inner::Kernel { .. } | Inner::Damaged { .. })
            | Self::State(_)
            | Self::Namespace { .. } => Origin::Varve,
            _ => Origin::Daemon,
        }
    }

    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Network(error) => error.kind(),
            Self::State(error) => error.kind(),
            Self::NotWanted { .. } => Kind::Conflict,
            Self::Shared | Self::Filter { .. } | Self::Description(_) => Kind::Invalid,
            Self::Namespace { .. } => Kind::Internal,
        }
    }
}
