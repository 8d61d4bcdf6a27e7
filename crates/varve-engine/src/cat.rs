//! `image cat`: one file of an image.

use std::io::{self, Read, Write};

use varve_fs::{
    stack::FileReader,
    tree::{Content, LastLink},
};
use varve_types::Platform;

use crate::{
    Engine, Error, Result,
    contents::{IS_A_DIRECTORY, NO_BYTES, PIECE_SIZE_BYTES, refused},
};

impl Engine {
    /// Writes the bytes of the file at a path, through symbolic links, none of which leaves the
    /// image.
    pub fn cat(
        &self,
        image: &str,
        path: &str,
        platform: Option<&Platform>,
        output: &mut dyn Write,
    ) -> Result<()> {
        let contents = self.contents(image, platform)?;
        let id = contents.find(path, LastLink::Followed)?;
        let bytes = match &contents.stack.tree().inode(id).content {
            Content::File(bytes) => bytes,
            Content::Directory(_) => return Err(refused("read", path, IS_A_DIRECTORY)),
            _ => return Err(refused("open", path, NO_BYTES)),
        };
        let tar = self.layer_tar(&contents, contents.stack.layer(id))?;
        let mut file = FileReader::new(bytes, &tar);
        let mut buffer = vec![0; PIECE_SIZE_BYTES];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => output.write_all(&buffer[..count]).map_err(Error::Output)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(contents.unreadable(error)),
            }
        }
    }
}
