//! A bounded number of threads working through a list; the first failure stops the others.

use std::{
    io::{self, Read},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use super::{Error, Result};

/// Layers moved at once. Docker's figure.
pub(super) const AT_ONCE_MAX: usize = 3;

/// Tells workers that another one failed.
#[derive(Debug, Default)]
pub(super) struct Stop(AtomicBool);

impl Stop {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs `work` on every item, at most [`AT_ONCE_MAX`] at a time, in order of starting. Returns
/// the results in the items' order, or the first error that is not [`Error::Cancelled`].
pub(super) fn run<T, R>(items: &[T], work: impl Fn(&T, &Stop) -> Result<R> + Sync) -> Result<Vec<R>>
where
    T: Sync,
    R: Send,
{
    let (next, stop) = (AtomicUsize::new(0), Stop::default());
    let results: Mutex<Vec<Option<R>>> = Mutex::new(items.iter().map(|_| None).collect());
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let one_worker = || {
        while !stop.is_set() {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return };
            match work(item, &stop) {
                Ok(result) => results.lock().expect("no worker panics")[at] = Some(result),
                Err(error) => {
                    stop.0.store(true, Ordering::Relaxed);
                    let mut failure = failure.lock().expect("no worker panics");
                    if failure.is_none() && !matches!(error, Error::Cancelled) {
                        *failure = Some(error);
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..AT_ONCE_MAX.min(items.len()) {
            scope.spawn(one_worker);
        }
        one_worker();
    });
    if let Some(error) = failure.into_inner().expect("no worker panics") {
        return Err(error);
    }
    let results = results.into_inner().expect("no worker panics");
    results.into_iter().map(|result| result.ok_or(Error::Cancelled)).collect()
}

/// Counts bytes going by, and ends in an error when a worker elsewhere failed.
pub(super) struct Watched<'a, R, F> {
    pub(super) inner: R,
    pub(super) stop: &'a Stop,
    pub(super) done_bytes: u64,
    pub(super) report: F,
}

impl<R: Read, F: FnMut(u64)> Read for Watched<'_, R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_set() {
            return Err(io::Error::other(Error::Cancelled.to_string()));
        }
        let count = self.inner.read(buffer)?;
        if count > 0 {
            self.done_bytes += count as u64;
            (self.report)(self.done_bytes);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..50).collect();
        let doubled = run(&items, |item, _| Ok(item * 2)).unwrap();
        assert_eq!(doubled, (0..100).step_by(2).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_failure_stops_the_rest_and_is_returned() {
        let items: Vec<u32> = (0..1000).collect();
        let started = AtomicUsize::new(0);
        let error = run(&items, |item, stop| {
            started.fetch_add(1, Ordering::Relaxed);
            if *item == 2 {
                return Err(Error::NotAnImage("x".into()));
            }
            while !stop.is_set() && *item > 2 {
                std::thread::yield_now();
            }
            Ok(())
        })
        .unwrap_err();
        assert_eq!(error.to_string(), "unsupported media type x");
        assert!(started.load(Ordering::Relaxed) < 1000);
    }
}
