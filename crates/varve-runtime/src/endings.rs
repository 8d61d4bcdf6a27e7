//! Signals that would end this process, held back while something must not be left half done.

use std::{fmt, io, marker::PhantomData};

use crate::sys;

/// While this lives, `SIGHUP`, `SIGINT`, `SIGQUIT` and `SIGTERM` wait. They come when it is dropped.
///
/// It holds for the thread that made it and for those that this thread starts; a process with
/// others is ended by way of them. It stays on its thread.
pub struct HeldEndings {
    before: libc::sigset_t,
    thread: PhantomData<*const ()>,
}

impl HeldEndings {
    /// Holds them back. Fails as `pthread_sigmask` does.
    pub fn hold() -> io::Result<Self> {
        Ok(Self { before: sys::hold_endings()?, thread: PhantomData })
    }
}

impl Drop for HeldEndings {
    fn drop(&mut self) {
        sys::hear_endings(&self.before);
    }
}

impl fmt::Debug for HeldEndings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldEndings").finish_non_exhaustive()
    }
}
