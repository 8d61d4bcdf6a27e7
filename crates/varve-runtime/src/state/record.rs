//! The state as it lies on disk.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use varve_fs::durable;
use varve_types::{container::State, sealed};

use super::{STATE_FILE, STATE_SIZE_BYTES_MAX, StateError};

/// What the file in a container's directory says, true or not. No file: created.
pub(super) fn load(dir: &Path) -> Result<Loaded, StateError> {
    let path = dir.join(STATE_FILE);
    let mut bytes = Vec::new();
    match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Without its directory there is no container either.
            std::fs::metadata(dir).map_err(StateError::io("find", dir))?;
            return Ok(Loaded::State(Box::default()));
        }
        Err(error) => return Err(StateError::io("open", path)(error)),
        Ok(file) => file
            .take(STATE_SIZE_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(StateError::io("read", &path))?,
    };
    // The file is written without a sync when a container starts, so that starting does not
    // wait for the disk: a loss of power in the moments after may leave it without content,
    // or with zeros in places, of which JSON has none.
    if bytes.is_empty() || bytes.contains(&0) {
        return Ok(Loaded::Torn);
    }
    match sealed::parse(&bytes) {
        Ok(state) => Ok(Loaded::State(state)),
        // A record is a line; without its end only the beginning was on the disk.
        Err(_) if bytes.starts_with(b"{") && !bytes.ends_with(b"\n") => Ok(Loaded::Torn),
        Err(source) => Err(StateError::Malformed { path, source }),
    }
}

/// What a state file was found to hold.
pub(super) enum Loaded {
    /// A state.
    State(Box<State>),
    /// Nothing: the machine lost power just after the container was started.
    Torn,
}

/// Replaces the state file for readers of this boot; not synced.
pub(crate) fn save(dir: &Path, state: &State) -> Result<(), StateError> {
    write(dir, state, durable::replace_unsynced)
}

/// Replaces the state file so that it survives a loss of power.
pub(crate) fn save_durably(dir: &Path, state: &State) -> Result<(), StateError> {
    write(dir, state, durable::replace)
}

fn write(
    dir: &Path,
    state: &State,
    replace: fn(&Path, &[u8], u32) -> io::Result<()>,
) -> Result<(), StateError> {
    let path = dir.join(STATE_FILE);
    let text = sealed::seal(state)
        .map_err(|source| StateError::Malformed { path: path.clone(), source: source.into() })?;
    replace(&path, &text, 0o600).map_err(StateError::io("write", path))
}
