//! Why a verb did not do what was asked, in Docker's words where Docker has some.

use varve_fs::backend::BackendError;
use varve_types::{Digest, Kind, Platform, Printable, Reference, reference::ReferenceError};

use crate::container::ContainerError;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No image has this name or ID. Holds what was looked for, as Docker shows it.
    #[error("No such image: {0}")]
    NoSuchImage(String),
    /// The name is not one.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The target of `tag` is not a name.
    #[error("Error parsing reference: \"{text}\" is not a valid repository/tag: {source}")]
    TagTarget {
        /// What was given.
        text: String,
        /// Why it is not.
        source: ReferenceError,
    },
    /// The target of `tag` has a digest.
    #[error("refusing to create a tag with a digest reference")]
    TagDigest,
    /// A prefix of an ID fits several images (`save`).
    #[error("ambiguous digest string")]
    AmbiguousId,
    /// Removing would take something that is in use.
    #[error("conflict: unable to delete {short_id} ({}) - {reason}", forcing(*.hard))]
    Conflict {
        /// The image's ID, 12 digits.
        short_id: String,
        /// Whether force does not help.
        hard: bool,
        /// What uses it.
        reason: String,
    },
    /// The last name of an image was to be removed, and a container uses the image.
    #[error(
        "conflict: unable to remove repository reference {name:?} (must force) - container {container} is using its referenced image {image}"
    )]
    NameInUse {
        /// The name, as it was typed.
        name: String,
        /// The container's ID, 12 digits.
        container: String,
        /// The image's ID, 12 digits.
        image: String,
    },
    /// One platform of a whole index was to be removed. Holds what the user named.
    #[error(
        "conflict: unable to remove one platform of {0} - all platforms of its index are here under one digest, and one cannot be removed alone"
    )]
    OnePlatformOfMany(String),
    /// A filter that the command does not know.
    #[error("invalid filter '{0}'")]
    UnknownFilter(String),
    /// A filter's values make no sense.
    #[error("invalid filter '{name}=[{values}]'")]
    FilterValue {
        /// The filter.
        name: String,
        /// Its values, joined by spaces.
        values: String,
    },
    /// Two names of one filter were given.
    #[error("conflicting filters \"{0}\" and \"{1}\"")]
    ConflictingFilters(&'static str, &'static str),
    /// A filter of the build cache has several values.
    #[error("filters expect only one value")]
    OneFilterValue,
    /// A filter's value is no duration.
    #[error(
        "\"{name}\" filter expects a duration (e.g., '24h'): time: {} duration \"{text}\"",
        if *lacks_unit { "missing unit in" } else { "invalid" }
    )]
    FilterDuration {
        /// The filter.
        name: &'static str,
        /// Its value.
        text: String,
        /// Whether it is a number without a unit.
        lacks_unit: bool,
    },
    /// Neither a time nor a duration.
    #[error("failed to parse value as time or duration: \"{0}\"")]
    Time(String),
    /// A pattern of a `reference` filter that cannot be read.
    #[error("syntax error in pattern")]
    Pattern,
    /// The image is there, but not for this platform, and it is for one platform only.
    #[error(
        "image with reference {} was found but its platform ({}) does not match the specified platform ({})",
        .0.reference, .0.found, .0.wanted
    )]
    OtherPlatform(Box<PlatformMismatch>),
    /// The image is there for several platforms, but not for this one.
    #[error(
        "image with reference {reference} was found but does not provide the specified platform ({wanted})"
    )]
    NoPlatform {
        /// What the user named.
        reference: String,
        /// The platform asked for.
        wanted: Box<Platform>,
    },
    /// `save`: none of the images is for this platform.
    #[error("no suitable export target found for platform {0}")]
    NoExportTarget(Platform),
    /// A user without privileges got no user namespace.
    #[error(transparent)]
    UserNamespace(#[from] varve_runtime::userns::UserNamespaceError),
    /// Mounting is for root.
    #[error("images are mounted and unmounted by root only")]
    NeedsRoot,
    /// `image unmount` of one that is not mounted.
    #[error("image {0} is not mounted")]
    NotMounted(String),
    /// `push` of a name that no image has.
    #[error("An image does not exist locally with the tag: {0}")]
    NotLocal(String),
    /// `push` of a tag that the repository has not got here.
    #[error("tag does not exist: {0}")]
    NoSuchTag(String),
    /// `push` of a digest.
    #[error("cannot push a digest reference")]
    PushDigest,
    /// `import` to a digest.
    #[error("cannot import digest reference")]
    ImportDigest,
    /// `scratch` is not an image.
    #[error("'scratch' is a reserved name")]
    Reserved,
    /// A verb of containers or volumes.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// A verb of networks.
    #[error(transparent)]
    Network(Box<crate::network::NetworkError>),
    /// A copy that makes no sense, in the words of Docker's client.
    #[error("{}", Printable(.0))]
    Copy(String),
    /// What was to be copied was not unpacked.
    #[error(transparent)]
    Unpack(#[from] varve_fs::unpack::UnpackError),
    /// Pulling or pushing failed.
    #[error(transparent)]
    Transfer(varve_distribution::copy::Error),
    /// The registry does not give the repository to us, or has none of that name.
    #[error(
        "pull access denied for {name}, repository does not exist or may require 'varve login': {source}"
    )]
    PullDenied {
        /// The repository.
        name: String,
        /// What the registry said.
        source: varve_distribution::client::Error,
    },
    /// The registry has no such manifest.
    #[error("manifest for {name} not found: {source}")]
    ManifestNotFound {
        /// The reference.
        name: String,
        /// What the registry said.
        source: varve_distribution::client::Error,
    },
    /// The registry has no such repository.
    #[error("repository {name} not found: {source}")]
    RepositoryNotFound {
        /// The repository.
        name: String,
        /// What the registry said.
        source: varve_distribution::client::Error,
    },
    /// The registry wants credentials for a push, and there are none.
    #[error("no basic auth credentials")]
    NoCredentials(#[source] varve_distribution::client::Error),
    /// An archive cannot be read or written.
    #[error(transparent)]
    Archive(#[from] varve_distribution::archive::Error),
    /// Registry access failed outside of a copy.
    #[error(transparent)]
    Registry(#[from] varve_distribution::client::Error),
    /// Credentials cannot be read, kept or removed.
    #[error(transparent)]
    Credentials(#[from] varve_distribution::credentials::CredentialsError),
    /// The configuration of the registries cannot be read.
    #[error(transparent)]
    Hosts(#[from] varve_distribution::hosts::HostsError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] varve_store::Error),
    /// A file of the user's cannot be opened. The text is Docker's: `open x: no such file or directory`.
    #[error("{action} {path}: {}", go_io_text(.source))]
    File {
        /// `open`, `read`.
        action: &'static str,
        /// What the user named.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Writing the output failed.
    #[error("cannot write the output")]
    Output(#[source] std::io::Error),
    /// A blob that should be here is damaged or gone; names the image that needs it.
    #[error("image {} is damaged", Printable(image))]
    Damaged {
        /// The image's name or ID.
        image: String,
        /// What is wrong.
        source: varve_store::Error,
    },
    /// The layers of an image do not make one tree, or a path in it cannot be followed.
    #[error("the files of image {} cannot be listed", Printable(image))]
    Layers {
        /// The image's name or ID.
        image: String,
        /// Why not.
        source: varve_fs::stack::StackError,
    },
    /// Bytes of a file in an image cannot be read.
    #[error("the files of image {} cannot be read", Printable(image))]
    Unreadable {
        /// The image's name or ID.
        image: String,
        /// Why not.
        source: std::io::Error,
    },
    /// What a container changed cannot be read.
    #[error("the changes of container {} cannot be read", Printable(container))]
    Upper {
        /// The container's name.
        container: String,
        /// Why not.
        source: varve_fs::upper::UpperError,
    },
    /// The pull asked for a platform that the tag's one image is not for.
    #[error(
        "image with reference {} was found but does not match the specified platform: wanted {}, actual: {}",
        .0.reference, .0.wanted, .0.found
    )]
    PulledOtherPlatform(Box<PlatformMismatch>),
    /// An error that came while the operation was already reporting progress.
    #[error(transparent)]
    Stream(Box<Error>),
}

/// An image of another platform than the one asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformMismatch {
    /// What the user named.
    pub reference: String,
    /// The platform that is here.
    pub found: Platform,
    /// The platform asked for.
    pub wanted: Platform,
}

/// Where in Docker's conversation an error stands: decides what is printed in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The command line itself: the text alone.
    Client,
    /// Docker's daemon answers so: `Error response from daemon: ` in front.
    Daemon,
    /// While progress was being reported: the text alone.
    Stream,
    /// Not one of Docker's: varve's own form, with causes and a hint.
    Varve,
}

fn forcing(hard: bool) -> &'static str {
    if hard { "cannot be forced" } else { "must be forced" }
}

/// The text of an operating system error as Go prints it.
pub fn go_io_text(error: &std::io::Error) -> String {
    let Some(code) = error.raw_os_error() else { return error.to_string() };
    let text = rustix::io::Errno::from_raw_os_error(code);
    let text = std::io::Error::from(text).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

/// Classifies an error of the operating system.
pub(crate) fn io_kind(error: &std::io::Error) -> Kind {
    match error.kind() {
        std::io::ErrorKind::NotFound => Kind::NotFound,
        std::io::ErrorKind::PermissionDenied => Kind::Denied,
        std::io::ErrorKind::StorageFull => Kind::Exhausted,
        _ => Kind::Internal,
    }
}

impl Error {
    /// Marks the error as one that came while progress was being reported.
    #[must_use]
    pub fn in_stream(self) -> Self {
        match self {
            Self::Stream(_) => self,
            other => Self::Stream(Box::new(other)),
        }
    }

    /// Words a registry's refusal of a pull as Docker does.
    #[must_use]
    pub(crate) fn for_pull(error: varve_distribution::copy::Error, reference: &Reference) -> Self {
        let varve_distribution::copy::Error::Registry(source) = error else {
            return Self::Transfer(error);
        };
        let source = source.with_first_problem();
        let repository = || reference.repository().familiar();
        match source.code() {
            Some("denied") => Self::PullDenied { name: repository(), source },
            Some("manifest unknown") => {
                Self::ManifestNotFound { name: reference.familiar(), source }
            }
            Some("name unknown") => Self::RepositoryNotFound { name: repository(), source },
            _ => Self::Transfer(source.into()),
        }
    }

    /// Words a registry's refusal of a push as Docker does.
    #[must_use]
    pub(crate) fn for_push(error: varve_distribution::copy::Error) -> Self {
        match error {
            varve_distribution::copy::Error::Registry(source) if source.wants_credentials() => {
                Self::NoCredentials(source)
            }
            other => Self::Transfer(other),
        }
    }

    /// Where the error stands in Docker's conversation.
    pub fn origin(&self) -> Origin {
        match self {
            Self::Stream(inner) => match inner.origin() {
                Origin::Varve => Origin::Varve,
                _ => Origin::Stream,
            },
            Self::TagTarget { .. }
            | Self::TagDigest
            | Self::PushDigest
            | Self::Copy(_)
            | Self::File { .. }
            | Self::Credentials(_)
            | Self::Container(
                ContainerError::AttachStopped
                | ContainerError::AttachPaused
                | ContainerError::AttachRestarting,
            ) => Origin::Client,
            Self::Network(error) => error.origin(),
            Self::NotLocal(_) | Self::NoSuchTag(_) | Self::PulledOtherPlatform(_) => Origin::Stream,
            Self::Transfer(varve_distribution::copy::Error::Store(_))
            | Self::Store(_)
            | Self::Archive(varve_distribution::archive::Error::Store(_))
            | Self::Hosts(_)
            | Self::Output(_)
            | Self::Layers { .. }
            | Self::Upper { .. }
            | Self::Unpack(varve_fs::unpack::UnpackError::Io { .. })
            | Self::UserNamespace(_)
            | Self::NeedsRoot
            | Self::NotMounted(_)
            | Self::Unreadable { .. }
            | Self::Damaged { .. } => Origin::Varve,
            _ => Origin::Daemon,
        }
    }

    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoSuchImage(_)
            | Self::NotLocal(_)
            | Self::NoSuchTag(_)
            | Self::OtherPlatform(_)
            | Self::NoPlatform { .. }
            | Self::NoExportTarget(_)
            | Self::NotMounted(_)
            | Self::PulledOtherPlatform(_) => Kind::NotFound,
            Self::Reference(_)
            | Self::TagTarget { .. }
            | Self::TagDigest
            | Self::AmbiguousId
            | Self::UnknownFilter(_)
            | Self::FilterValue { .. }
            | Self::ConflictingFilters(..)
            | Self::OneFilterValue
            | Self::FilterDuration { .. }
            | Self::Time(_)
            | Self::Pattern
            | Self::PushDigest
            | Self::ImportDigest
            | Self::Copy(_)
            | Self::Reserved => Kind::Invalid,
            Self::Conflict { .. } | Self::NameInUse { .. } | Self::OnePlatformOfMany(_) => {
                Kind::Conflict
            }
            Self::Container(error) => error.kind(),
            Self::Network(error) => error.kind(),
            Self::Unpack(error) => error.kind(),
            Self::UserNamespace(error) => error.kind(),
            Self::NeedsRoot => Kind::Denied,
            Self::Transfer(error) => error.kind(),
            Self::Archive(error) => error.kind(),
            Self::Registry(error) => error.kind(),
            Self::Credentials(error) => error.kind(),
            Self::Hosts(error) => error.kind(),
            Self::PullDenied { source, .. }
            | Self::ManifestNotFound { source, .. }
            | Self::RepositoryNotFound { source, .. }
            | Self::NoCredentials(source) => source.kind(),
            Self::Store(error) => error.kind(),
            // The image is there, whatever of it is not.
            Self::Damaged { source, .. } if source.kind() == Kind::NotFound => Kind::Corrupt,
            Self::Damaged { source, .. } => source.kind(),
            Self::Layers { source, .. } => source.kind(),
            Self::Upper { source, .. } => source.kind(),
            Self::Unreadable { source, .. }
                if source.kind() == std::io::ErrorKind::UnexpectedEof =>
            {
                Kind::Corrupt
            }
            Self::File { source, .. } | Self::Output(source) | Self::Unreadable { source, .. } => {
                io_kind(source)
            }
            Self::Stream(inner) => inner.kind(),
        }
    }

    /// What the user can do about it, when that is not plain from the message.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Stream(inner) => inner.hint(),
            Self::UserNamespace(error) => error.hint(),
            Self::OnePlatformOfMany(_) => Some(
                "remove the whole image, and pull the platforms to keep with --platform".into(),
            ),
            Self::NeedsRoot => Some(
                "run the command as root, or look into the image with `varve image tree`, `cat` and `export`, which need no privileges"
                    .into(),
            ),
            Self::Damaged { .. }
            | Self::Archive(varve_distribution::archive::Error::Store(
                varve_store::Error::BlobNotFound(_) | varve_store::Error::Damaged(_),
            )) => Some(
                "run `varve system check` to see what is wrong, and add `--repair` to mend it"
                    .into(),
            ),
            Self::Store(error)
            | Self::Transfer(varve_distribution::copy::Error::Store(error))
            | Self::Archive(varve_distribution::archive::Error::Store(error)) => store_hint(error),
            _ => None,
        }
    }

    pub(crate) fn no_such_id(digest: &Digest) -> Self {
        Self::NoSuchImage(digest.to_string())
    }
}

impl From<crate::network::NetworkError> for Error {
    fn from(error: crate::network::NetworkError) -> Self {
        Self::Network(Box::new(error))
    }
}

/// What the user can do about an error of the store.
fn store_hint(error: &varve_store::Error) -> Option<String> {
    let hint = match (error, error.kind()) {
        (varve_store::Error::Format { .. }, _) => {
            "use the varve that made the store, or another directory with --root"
        }
        (varve_store::Error::Io { .. }, Kind::Exhausted) => {
            "free disk space, for example with `varve image prune`, and run the command again: finished bytes are kept"
        }
        (varve_store::Error::Io { .. }, Kind::Denied) => {
            "run as a user that may write there, or choose another directory with --root or VARVE_ROOT"
        }
        (varve_store::Error::InUse(_), _) => {
            "end the programs that use it (`fuser -m` lists them), or add --force"
        }
        (varve_store::Error::Backend(BackendError::Unusable { .. }), _) => {
            "leave --storage-backend and VARVE_STORAGE_BACKEND out, and varve takes the best that works"
        }
        (varve_store::Error::Mount(_) | varve_store::Error::Backend(_), Kind::Denied) => {
            "mounting wants the privileges of root in its namespaces (CAP_SYS_ADMIN)"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}
