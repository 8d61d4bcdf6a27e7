//! Which commands need privileges: a user without them gets a namespace for these, in which they are
//! root. All others get by with the rights that the user has.

use super::{Command, buildx, container, image, system};

/// What a command wants to be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// What the user may.
    Nothing,
    /// More, and it does what it can without.
    IfPossible,
    /// More.
    Privileges,
}

impl Command {
    /// What the command needs.
    pub(super) fn need(&self) -> Need {
        match self {
            // They look at, or remove, what may belong to users of containers, if there is anything.
            Self::Info(_)
            | Self::System(system::Command::Check(_) | system::Command::Info(_))
            | Self::Image(image::Command::Prune(_)) => Need::IfPossible,
            _ if self.needs_privileges() => Need::Privileges,
            _ => Need::Nothing,
        }
    }

    /// Whether the command removes images, as `rmi` does: then only those that the user may remove,
    /// also where they are root.
    pub(super) fn removes_images(&self) -> bool {
        let prune = matches!(self, Self::System(system::Command::Prune(_)));
        prune || matches!(self, Self::Image(image::Command::Prune(_)))
    }

    /// Whether the command is about containers, their file systems or what may belong to their users.
    fn needs_privileges(&self) -> bool {
        match self {
            Self::Attach(_)
            | Self::Build(_)
            | Self::Builder(_)
            | Self::Commit(_)
            | Self::Cp(_)
            | Self::Create(_)
            | Self::Diff(_)
            | Self::Exec(_)
            | Self::Export(_)
            | Self::Kill(_)
            | Self::Logs(_)
            | Self::Network(_)
            | Self::Pause(_)
            | Self::Port(_)
            | Self::Ps(_)
            | Self::Rename(_)
            | Self::Restart(_)
            | Self::Rm(_)
            | Self::Run(_)
            | Self::Start(_)
            | Self::Stats(_)
            | Self::Stop(_)
            | Self::System(_)
            | Self::Top(_)
            | Self::Unpause(_)
            | Self::Unshare(_)
            | Self::Update(_)
            | Self::Volume(_)
            | Self::Wait(_) => true,
            Self::Container(command) => !matches!(command, container::Command::Inspect(_)),
            Self::Buildx(command) => {
                matches!(command, buildx::Command::Build(_) | buildx::Command::Prune(_))
            }
            Self::Image(command) => matches!(
                command,
                image::Command::Build(_) | image::Command::Mount(_) | image::Command::Unmount(_)
            ),
            Self::History(_)
            | Self::Images(_)
            | Self::Import(_)
            | Self::Info(_)
            | Self::Inspect(_)
            | Self::Load(_)
            | Self::Login(_)
            | Self::Logout(_)
            | Self::Pull(_)
            | Self::Push(_)
            | Self::Registry(_)
            | Self::Rmi(_)
            | Self::Save(_)
            | Self::Search(_)
            | Self::Tag(_)
            | Self::Version(_) => false,
        }
    }
}
