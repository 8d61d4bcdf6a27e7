//! The verbs of containers and volumes, one file each.
//!
//! ```text
//! bundle   record ─▶ what the runtime needs: root, files, network, configuration
//! commit   what a container changed ─▶ a new image
//! copy     files put into a container and taken out of it
//! create   image + what was asked for ─▶ record in the store
//! diff     what a container did to its image's files
//! exec     a further process in a container
//! executor the monitor's view of a runtime
//! export   a container's files as a tar
//! facts    what became of a container, and all that is known of it
//! find     a name, an ID or a prefix of one ─▶ record
//! fill     an image's files put into an empty volume
//! list     the containers that are here
//! parts    parts of volumes, mounted where nobody else can change them
//! pause    processes frozen, and let go on
//! release  what a container has of the machine taken away, and it itself
//! remove   containers taken away with what is theirs
//! role     what this program does when the engine started it itself
//! session  staying with a container: its streams and its log
//! settle   settings refused or filled in, as the machine allows
//! start    start, stop, kill, restart, wait
//! stats    what containers use; top: their processes
//! update   limits changed while it runs
//! view     a container's files as it sees them
//! volumes  what is mounted: volumes made, paths checked
//! watch    the monitor's role, until the container's end
//! ```
//!
//! A container is a record in the store (`varve_store::containers`); what runs of it is the
//! runtime's business. Texts of errors are Docker's ([`ContainerError`]).

mod boot;
mod bundle;
pub mod commit;
pub mod copy;
pub mod create;
pub mod diff;
mod error;
pub mod exec;
mod executor;
pub mod export;
pub mod facts;
pub(crate) mod fill;
pub mod find;
pub mod list;
mod parts;
pub mod pause;
mod processes;
mod release;
pub mod remove;
pub mod rename;
pub mod role;
pub mod session;
mod settle;
pub mod start;
pub mod stats;
pub mod top;
pub mod update;
mod view;
pub mod volume_list;
pub mod volumes;
mod watch;
pub(crate) mod workdir;

pub(crate) use bundle::{cgroups, whole_text};

pub use commit::Commit;
pub use copy::{Copied, CopyIn, CopyOut};
pub use create::{CreateContainer, CreatedContainer};
pub use error::ContainerError;
pub use exec::ExecContainer;
pub use list::ListContainers;
pub use remove::RemoveContainer;
pub use role::Role;
pub use start::{Stop, not_started};
pub use update::UpdateContainer;
pub use volumes::{CreateVolume, RemoveVolume};

pub use varve_runtime::{
    attach::{
        Attach, Attached, Client, ClientError, DetachKeys, Exit, KeysError, Pace,
        Size as TerminalSize,
    },
    logs::{Ask as LogRequest, Entry as LogEntry, Reader as LogReader, Stream as LogStream, Tail},
    monitor::{Signals, Starter},
};
