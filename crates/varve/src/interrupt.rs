//! Ctrl-C during long work: the first asks it to end, the third ends the program.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread::Thread,
    time::Duration,
};

use varve_engine::container::Signals;

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
/// So often signals are looked for.
const PACE: Duration = Duration::from_millis(50);
/// After so many signals nobody waits any longer.
const PATIENCE: usize = 3;

/// Signals that ask to end.
#[derive(Debug, Default)]
pub(crate) struct Interrupts {
    come: AtomicBool,
    over: AtomicBool,
}

impl Interrupts {
    /// Becomes true when the user gives up.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.come
    }

    /// Whether the user gave up.
    pub(crate) fn has_come(&self) -> bool {
        self.come.load(Ordering::SeqCst)
    }

    /// Works while another thread waits for signals. Where they cannot be caught they end the
    /// program, as they do by default.
    pub(crate) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let Ok(mut signals) = Signals::catch(&[SIGINT, SIGTERM]) else { return work() };
        self.over.store(false, Ordering::SeqCst);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(move || {
                let mut count = 0;
                while !self.over.load(Ordering::SeqCst) {
                    std::thread::park_timeout(PACE);
                    count += signals.arrived().len();
                    if count > 0 {
                        self.come.store(true, Ordering::SeqCst);
                    }
                    if count >= PATIENCE {
                        std::process::exit(130);
                    }
                }
            });
            let over = Over(&self.over, waiting.thread().clone());
            let result = work();
            drop(over);
            result
        })
    }
}

/// Ends the thread that waits, whatever becomes of the work.
struct Over<'a>(&'a AtomicBool, Thread);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
        // Nobody is to wait for the next look.
        self.1.unpark();
    }
}
