//! Mounts of a container that nobody finds any more, taken away behind the answer to who waited.

use varve_fs::mount::InUse;

use super::{
    run::Run,
    unmount_all,
    users::{self, Entry, Holder},
};
use crate::{Result, Store, store::Publishing};

/// A holder's mounts on their way out. As long as this lives nobody sweeps and nobody else mounts for
/// the holder; dropped, everything stays.
#[derive(Debug)]
#[must_use = "the mounts are there until this is finished"]
pub struct Releasing {
    store: Store,
    run: Run,
    entry: Entry,
    holder: Holder,
    _publishing: Publishing,
}

impl Releasing {
    /// Takes them away; who uses them may go on.
    pub fn finish(self) -> Result<()> {
        unmount_all(&self.run.path(self.holder.place()), InUse::Detached)?;
        self.store.let_go(&self.run, self.entry, &self.holder)
    }
}

impl Store {
    /// Begins to [release](Self::release) what a container has, when nobody is to find it any more:
    /// what is left is done behind the answer to who waits for its end. Until then sweeps wait, for
    /// which it still uses its layers, and so does who looks for this holder. `None` where there is
    /// nothing.
    pub fn begin_release(&self, holder: &Holder) -> Result<Option<Releasing>> {
        if self.run_if_there()?.is_none() {
            return Ok(None);
        }
        let run = self.run()?;
        if users::is_nobody(&run, holder)? {
            return Ok(None);
        }
        let entry = Entry::enter(&run, holder)?;
        let publishing = self.publishing()?;
        Ok(Some(Releasing {
            store: self.clone(),
            run,
            entry,
            holder: holder.clone(),
            _publishing: publishing,
        }))
    }

    /// The containers that have something mounted or are about to, but for those that somebody is
    /// at work on.
    pub fn container_holders(&self) -> Result<Vec<String>> {
        let Some(run) = self.run_if_there()? else { return Ok(Vec::new()) };
        let mut idle = Vec::new();
        for holder in users::holders(&run)? {
            let path = run.path("users").join(holder.file_name()?);
            if let Holder::Container(id) = holder
                && users::lock_if_free(&path)?.is_some()
            {
                idle.push(id);
            }
        }
        Ok(idle)
    }
}
