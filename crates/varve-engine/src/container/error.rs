//! Why a verb of containers did not do what was asked, in Docker's words.

use varve_runtime::{
    attach::{ClientError, Refused},
    logs::LogError,
    monitor::MonitorError,
    state::StateError,
};
use varve_types::{
    Kind, Platform, Printable,
    container::{
        ConfigError, Container, ContainerId, ContainerName, NameError, Status, VolumeNameError,
        parse::FlagError,
    },
};

/// Why a verb of containers failed.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// No container has this name or ID. Holds what was looked for.
    #[error("No such container: {}", Printable(.0))]
    NoSuch(String),
    /// A prefix of an ID fits several containers.
    #[error("Multiple IDs found with provided prefix: {}", Printable(.0))]
    Ambiguous(String),
    /// The name is not one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The new name is not one.
    #[error("Error when allocating new name: {0}")]
    NewName(NameError),
    /// Another container has the name.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameInUse {
        /// The name.
        name: ContainerName,
        /// Who has it.
        id: ContainerId,
    },
    /// A container has been called by a name and is to be called by it again.
    #[error("Renaming a container with the same name as its current name")]
    SameName,
    /// What was asked for makes no container.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A member of the host's settings makes no sense.
    #[error(transparent)]
    Setting(#[from] FlagError),
    /// A limit that this machine cannot keep, or that contradicts another. Holds the whole text.
    #[error("{0}")]
    Limit(String),
    /// The image is for another platform than the one asked for.
    #[error(
        "image with reference {} was found but does not match the specified platform: wanted {}, actual: {}",
        Printable(&.0.0), .0.1, .0.2
    )]
    Platform(Box<(String, Platform, Platform)>),
    /// `--mount` of a path that is not there.
    #[error("invalid mount config for type \"bind\": bind source path does not exist: {}", Printable(.0))]
    NoBindSource(String),
    /// A path of the host cannot be made for `-v`.
    #[error("error while creating mount source path '{}': {}", Printable(path), crate::error::go_io_text(.source))]
    BindSource {
        /// The path.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Two things are to be mounted at one place.
    #[error("Duplicate mount point: {}", Printable(.0))]
    DuplicateMount(String),
    /// A driver for volumes that is not there.
    #[error("create {}: error looking up volume plugin {driver}: plugin \"{driver}\" not found", Printable(name), driver = Printable(.driver))]
    VolumeDriver {
        /// The volume.
        name: String,
        /// Who was to keep it.
        driver: String,
    },
    /// The name of a volume that is not one.
    #[error("create {}: {source}", Printable(name))]
    VolumeName {
        /// What was asked for.
        name: String,
        /// Why it is not a name.
        source: VolumeNameError,
    },
    /// No volume has this name.
    #[error("get {}: no such volume", Printable(.0))]
    NoSuchVolume(String),
    /// The volume is there, for something else.
    #[error(
        "create {name}: volume already exists with other options: remove it first, or choose another name"
    )]
    OtherVolume {
        /// Its name.
        name: String,
    },
    /// Containers use the volume.
    #[error("remove {}: volume is in use - [{ids}]", Printable(name))]
    VolumeInUse {
        /// The volume.
        name: String,
        /// The containers' IDs.
        ids: String,
    },
    /// The container does not run.
    #[error("container {0} is not running")]
    NotRunning(ContainerId),
    /// Nobody can be attached to a container that does not run.
    #[error("You cannot attach to a stopped container, start it first")]
    AttachStopped,
    /// Nor to one whose processes are frozen.
    #[error("You cannot attach to a paused container, unpause it first")]
    AttachPaused,
    /// Nor to one that waits to be started again.
    #[error("You cannot attach to a restarting container, wait until it is running")]
    AttachRestarting,
    /// A process was to be run in a container whose processes are frozen. Holds what it was called.
    #[error("Container {} is paused, unpause the container before exec", Printable(.0))]
    ExecPaused(String),
    /// A container was to run that waits to be started again.
    #[error("Container {0} is restarting, wait until the container is running")]
    Restarting(ContainerId),
    /// The process could not be run in the container.
    #[error("{}", .0.message)]
    Exec(Refused),
    /// The processes of the container are frozen already.
    #[error("Container {0} is already paused")]
    AlreadyPaused(ContainerId),
    /// The processes of the container are not frozen.
    #[error("Container {0} is not paused")]
    NotPaused(ContainerId),
    /// The container's log cannot be read.
    #[error(transparent)]
    Log(LogError),
    /// Limits of a container cannot be changed as asked.
    #[error("Cannot update container {id}: {reason}")]
    Update {
        /// Which.
        id: ContainerId,
        /// Why not, in Docker's words.
        reason: String,
    },
    /// A namespace of a container was to be shared that does not run.
    #[error("cannot join network of a non running container: {0}")]
    CannotJoin(ContainerId),
    /// A container whose processes are frozen was to be started.
    #[error("cannot start a paused container, try unpause instead")]
    StartPaused,
    /// A container that is being removed was to be started.
    #[error("container is marked for removal and cannot be started")]
    StartRemoving,
    /// The container's process was not started.
    #[error("{}", .0.message)]
    NotStarted(Refused),
    /// The process that watches the container could not do its work.
    #[error("cannot watch the container")]
    Monitor(#[source] MonitorError),
    /// The process that watches the container did not answer.
    #[error("cannot reach the container")]
    Client(#[source] ClientError),
    /// What is known of the container cannot be read.
    #[error("cannot read the container's state")]
    State(#[source] StateError),
    /// A container that runs is to be removed, and not by force.
    #[error("cannot remove container \"/{name}\": container is {}", removable(*.status))]
    Running {
        /// The container.
        name: ContainerName,
        /// What it is in the middle of.
        status: Status,
    },
    /// A path that a container has not got.
    #[error("Could not find the file {} in container {}", Printable(path), Printable(container))]
    NoFile {
        /// The path.
        path: String,
        /// The container, as it was typed.
        container: String,
    },
    /// A driver's option that is not there. Nothing is mounted for a volume here.
    #[error("create {}: {reason}", Printable(volume))]
    VolumeOption {
        /// The volume.
        volume: String,
        /// What is wrong with the option.
        reason: String,
    },
    /// The pattern of a filter, or another text, cannot be read.
    #[error("{0}")]
    Invalid(String),
}

impl ContainerError {
    /// Why the state of a container cannot be told; one whose directory is gone is no more.
    pub(crate) fn state(container: &Container, error: StateError) -> Self {
        match error.kind() {
            Kind::NotFound => Self::NoSuch(container.id.to_string()),
            _ => Self::State(error),
        }
    }

    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoSuch(_) | Self::NoSuchVolume(_) | Self::NoFile { .. } => Kind::NotFound,
            Self::NameInUse { .. }
            | Self::Running { .. }
            | Self::VolumeInUse { .. }
            | Self::OtherVolume { .. }
            | Self::NotRunning(_)
            | Self::CannotJoin(_)
            | Self::StartPaused
            | Self::StartRemoving
            | Self::AttachStopped
            | Self::AttachPaused
            | Self::AttachRestarting
            | Self::ExecPaused(_)
            | Self::Restarting(_)
            | Self::AlreadyPaused(_)
            | Self::NotPaused(_) => Kind::Conflict,
            Self::BindSource { .. } => Kind::Denied,
            Self::Exec(_) | Self::NotStarted(_) => Kind::Internal,
            Self::Log(error) => error.kind(),
            Self::Monitor(error) => error.kind(),
            Self::Client(error) => error.kind(),
            Self::State(error) => error.kind(),
            Self::Update { .. }
            | Self::Ambiguous(_)
            | Self::Name(_)
            | Self::NewName(_)
            | Self::SameName
            | Self::Config(_)
            | Self::Setting(_)
            | Self::Limit(_)
            | Self::Platform(_)
            | Self::NoBindSource(_)
            | Self::DuplicateMount(_)
            | Self::VolumeDriver { .. }
            | Self::VolumeOption { .. }
            | Self::VolumeName { .. }
            | Self::Invalid(_) => Kind::Invalid,
        }
    }
}

/// What is to be done before a container of this status can be removed.
fn removable(status: Status) -> String {
    let how = match status {
        Status::Paused => " and must be unpaused first",
        _ => ": stop the container before removing or force remove",
    };
    format!("{}{how}", status.as_str())
}
