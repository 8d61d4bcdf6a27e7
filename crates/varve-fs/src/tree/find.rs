//! Finding what lies at a path as a program inside would: through symbolic links.

use super::{Content, InodeId, Tree, trail::Trail};
use crate::layer::LayerError;

/// What becomes of a symbolic link at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastLink {
    /// It is followed.
    Followed,
    /// It is what was looked for.
    Found,
}

impl Tree {
    /// Finds what lies at a path, through symbolic links, none of which leaves the root. What is
    /// not there is `None`; links without end are an error.
    pub fn find(&self, path: &[u8], last: LastLink) -> Result<Option<InodeId>, LayerError> {
        self.find_counting(path, last, &mut 0)
    }

    /// [`find`](Self::find), with a count of the parts of links gone through that many calls share.
    pub(crate) fn find_counting(
        &self,
        path: &[u8],
        last: LastLink,
        link_steps: &mut u64,
    ) -> Result<Option<InodeId>, LayerError> {
        let mut trail = Trail::new(path);
        while let Some(name) = trail.next() {
            let Some(id) = self.child(trail.here(), &name) else { return Ok(None) };
            let is_last = trail.is_at_end();
            match &self.inode(id).content {
                Content::Symlink(_) if is_last && last == LastLink::Found => return Ok(Some(id)),
                Content::Symlink(target) => {
                    *link_steps = trail.follow(target, path, *link_steps)?;
                }
                Content::Directory(_) => trail.enter(id, &name)?,
                _ if is_last => return Ok(Some(id)),
                _ => return Ok(None),
            }
        }
        Ok(Some(trail.here()))
    }
}
