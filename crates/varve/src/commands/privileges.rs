//! Which commands need privileges: a user without them gets a namespace for these, in which they are
//! root. All others get by with the rights that the user has.

use super::{Command, buildx, container, image, system};

impl Command {
    /// Whether the command is about containers, their file systems or what may belong to their users.
    pub(super) fn needs_privileges(&self) -> bool {
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
            | Self::Info(_)
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
                image::Command::Build(_)
                    | image::Command::Mount(_)
                    | image::Command::Unmount(_)
                    | image::Command::Prune(_)
            ),
            Self::System(command) => !matches!(command, system::Command::Check(_)),
            Self::History(_)
            | Self::Images(_)
            | Self::Import(_)
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
