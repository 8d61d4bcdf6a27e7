//! Who is in a user's namespace: a file for each process, which it has locked as long as it lives.

use std::{fs, path::Path};

use varve_fs::{durable, lock::FileLock};

use super::UserNamespaceError;

/// Below the run directory; a file is named for its process.
const MEMBERS: &str = "members";

/// That this process can be found by others who look for the namespace. Its end is noticed.
#[derive(Debug)]
pub struct Membership {
    lock: FileLock,
}

impl Membership {
    pub(super) fn begin(run: &Path) -> Result<Self, UserNamespaceError> {
        let directory = run.join(MEMBERS);
        durable::create_directories_unsynced(&directory, super::DIRECTORY_MODE)
            .map_err(UserNamespaceError::at("create", &directory))?;
        let path = directory.join(std::process::id().to_string());
        loop {
            let lock = FileLock::exclusive(&path).map_err(UserNamespaceError::at("lock", &path))?;
            // Who looks for the living takes away what the dead left.
            if lock.is_at(&path).map_err(UserNamespaceError::at("read", &path))? {
                return Ok(Self { lock });
            }
        }
    }

    /// Lets a program that this process becomes be a member too, with those that it starts.
    pub fn pass_on(&self) -> Result<(), UserNamespaceError> {
        let none = rustix::io::FdFlags::empty();
        rustix::io::fcntl_setfd(self.lock.file(), none)
            .map_err(|errno| UserNamespaceError::at("pass on", Path::new(MEMBERS))(errno.into()))
    }
}

/// The living, by process ID. Files of others go.
pub(super) fn living(run: &Path) -> Result<Vec<u32>, UserNamespaceError> {
    let directory = run.join(MEMBERS);
    let Ok(entries) = fs::read_dir(&directory) else { return Ok(Vec::new()) };
    let mut living = Vec::new();
    for entry in entries {
        let entry = entry.map_err(UserNamespaceError::at("list", &directory))?;
        let path = entry.path();
        let held = FileLock::try_exclusive(&path).map_err(UserNamespaceError::at("lock", &path))?;
        match (held, entry.file_name().to_str().and_then(|name| name.parse().ok())) {
            (None, Some(process)) => living.push(process),
            (None, None) => {}
            (Some(_held), _) => {
                durable::unlink(&path).map_err(UserNamespaceError::at("remove", &path))?;
            }
        }
    }
    // Of several, all find the same first.
    living.sort_unstable();
    Ok(living)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_while_they_live_and_their_files_go_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        assert!(living(directory.path()).unwrap().is_empty());
        let member = Membership::begin(directory.path()).unwrap();
        assert_eq!(living(directory.path()).unwrap(), [std::process::id()]);
        drop(member);
        assert!(living(directory.path()).unwrap().is_empty());
        assert_eq!(fs::read_dir(directory.path().join(MEMBERS)).unwrap().count(), 0);
    }
}
