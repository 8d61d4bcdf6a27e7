//! The working directory of a container, which is made where the image has none.

use std::path::Path;

use varve_fs::root::Root;
use varve_types::Printable;

/// Makes a directory beneath a container's root with its parents, through symbolic links that
/// stay in it. What is there already is left alone. The error is Docker's text.
pub(crate) fn make(root: &Root, directory: &str) -> Result<(), String> {
    match root.create_directories(Path::new(directory), 0o755) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            Err(format!("Cannot mkdir: {} is not a directory", Printable(directory)))
        }
        Err(error) => {
            let text = crate::error::go_io_text(&error);
            Err(format!("mkdir {}: {text}", Printable(directory)))
        }
    }
}
