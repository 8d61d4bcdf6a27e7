//! Jobs that need other jobs first, done on a bounded number of threads.
//!
//! Nobody knows beforehand what a job needs: it is tried, and says. It is tried again when all of
//! that is done. So only what is wanted is done, and what a job turns out not to need is not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Scope},
};

/// What came of trying a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tried<J> {
    /// It is done.
    Done,
    /// These must be done before.
    After(Vec<J>),
}

/// Does the jobs that are wanted, and those they need, the least first; the caller's thread is one of
/// `threads`. After the first failure, which is returned, no other job is begun; `failed` becomes
/// true for those that are at work.
pub(super) fn run<J: Copy + Ord + Send, E: Send>(
    wanted: &[J],
    threads: usize,
    failed: &AtomicBool,
    attempt: &(dyn Fn(J) -> Result<Tried<J>, E> + Sync),
) -> Result<(), E> {
    let state = State {
        ready: wanted.iter().copied().collect(),
        known: wanted.iter().copied().collect(),
        missing: BTreeMap::new(),
        dependents: BTreeMap::new(),
        done: BTreeSet::new(),
        threads: 1,
        idle: 0,
        failure: None,
        over: false,
    };
    let crew = Crew { state: Mutex::new(state), news: Condvar::new(), threads, failed, attempt };
    thread::scope(|scope| crew.work(scope));
    let state = crew.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.failure {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

struct Crew<'a, J, E> {
    state: Mutex<State<J, E>>,
    news: Condvar,
    threads: usize,
    failed: &'a AtomicBool,
    attempt: &'a (dyn Fn(J) -> Result<Tried<J>, E> + Sync),
}

struct State<J, E> {
    /// Can be tried.
    ready: BTreeSet<J>,
    /// Ready, being tried, waiting or done.
    known: BTreeSet<J>,
    /// Of those that wait: how many jobs must be done before.
    missing: BTreeMap<J, usize>,
    /// Who waits for a job.
    dependents: BTreeMap<J, Vec<J>>,
    done: BTreeSet<J>,
    threads: usize,
    idle: usize,
    failure: Option<E>,
    /// Nothing is left to do.
    over: bool,
}

impl<J: Copy + Ord + Send, E: Send> Crew<'_, J, E> {
    fn work<'scope, 'env>(&'env self, scope: &'scope Scope<'scope, 'env>) {
        // Whoever waits must not wait for a thread that has panicked.
        let _end = EndOnPanic(self);
        while let Some(job) = self.next(scope) {
            let tried = (self.attempt)(job);
            let mut state = self.lock();
            match tried {
                Ok(Tried::Done) => state.finish(job),
                Ok(Tried::After(jobs)) => state.wait_for(job, &jobs),
                Err(error) => {
                    self.failed.store(true, Ordering::Release);
                    state.failure.get_or_insert(error);
                    state.over = true;
                }
            }
            drop(state);
            self.news.notify_all();
        }
    }

    /// The next job; `None` when all is over.
    fn next<'scope, 'env>(&'env self, scope: &'scope Scope<'scope, 'env>) -> Option<J> {
        let mut state = self.lock();
        loop {
            if state.over {
                return None;
            }
            if let Some(job) = state.ready.pop_first() {
                if state.ready.len() > state.idle && state.threads < self.threads {
                    state.threads += 1;
                    scope.spawn(move || self.work(scope));
                }
                return Some(job);
            }
            if state.idle + 1 == state.threads {
                state.over = true;
                drop(state);
                self.news.notify_all();
                return None;
            }
            state.idle += 1;
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<J, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct EndOnPanic<'a, 'b, J: Copy + Ord + Send, E: Send>(&'a Crew<'b, J, E>);

impl<J: Copy + Ord + Send, E: Send> Drop for EndOnPanic<'_, '_, J, E> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().over = true;
            self.0.news.notify_all();
        }
    }
}

impl<J: Copy + Ord, E> State<J, E> {
    fn finish(&mut self, job: J) {
        self.done.insert(job);
        for dependent in self.dependents.remove(&job).unwrap_or_default() {
            let Some(missing) = self.missing.get_mut(&dependent) else { continue };
            *missing -= 1;
            if *missing == 0 {
                self.missing.remove(&dependent);
                self.ready.insert(dependent);
            }
        }
    }

    fn wait_for(&mut self, job: J, jobs: &[J]) {
        let jobs: BTreeSet<J> = jobs.iter().filter(|it| !self.done.contains(it)).copied().collect();
        if jobs.is_empty() {
            self.ready.insert(job);
            return;
        }
        self.missing.insert(job, jobs.len());
        for needed in jobs {
            self.dependents.entry(needed).or_default().push(job);
            if self.known.insert(needed) {
                self.ready.insert(needed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does jobs of which each needs those that `needs` says; returns them as they were done.
    fn order(wanted: &[u32], threads: usize, needs: impl Fn(u32) -> Vec<u32> + Sync) -> Vec<u32> {
        let done = Mutex::new(Vec::new());
        let attempt = |job: u32| {
            let mut done = done.lock().unwrap();
            let missing: Vec<u32> =
                needs(job).into_iter().filter(|it| !done.contains(it)).collect();
            if !missing.is_empty() {
                return Ok::<_, ()>(Tried::After(missing));
            }
            done.push(job);
            Ok(Tried::Done)
        };
        run(wanted, threads, &AtomicBool::new(false), &attempt).unwrap();
        done.into_inner().unwrap()
    }

    #[test]
    fn only_what_is_wanted_is_done_and_what_it_needs_before() {
        let needs = |job| match job {
            9 => vec![4, 2],
            4 | 2 => vec![1],
            _ => vec![],
        };
        assert_eq!(order(&[9], 1, needs), [1, 2, 4, 9]);
        let many = order(&[9], 8, needs);
        assert_eq!((many[0], many[3], many.len()), (1, 9, 4));
    }

    #[test]
    fn jobs_that_need_nothing_of_each_other_are_done_at_once() {
        let meeting = std::sync::Barrier::new(3);
        let attempt = |job: u32| {
            if job == 0 {
                return Ok::<_, ()>(Tried::After(vec![1, 2, 3]));
            }
            meeting.wait();
            Ok(Tried::Done)
        };
        // Job 0 is done when it is tried a second time, when the others have met.
        let tried = Mutex::new(false);
        let attempt = |job: u32| match job {
            0 if std::mem::replace(&mut *tried.lock().unwrap(), true) => Ok(Tried::Done),
            job => attempt(job),
        };
        run(&[0], 3, &AtomicBool::new(false), &attempt).unwrap();
    }

    #[test]
    fn after_a_failure_nothing_is_begun_and_the_others_hear_of_it() {
        let failed = AtomicBool::new(false);
        let (begun, meeting) = (Mutex::new(Vec::new()), std::sync::Barrier::new(2));
        let attempt = |job: u32| {
            begun.lock().unwrap().push(job);
            match job {
                1 => {
                    meeting.wait();
                    Err("failed")
                }
                2 => {
                    meeting.wait();
                    while !failed.load(Ordering::Acquire) {
                        thread::yield_now();
                    }
                    Ok(Tried::Done)
                }
                _ => Ok(Tried::After(vec![])),
            }
        };
        assert_eq!(run(&[1, 2, 3], 2, &failed, &attempt), Err("failed"));
        let mut begun = begun.into_inner().unwrap();
        begun.sort_unstable();
        assert_eq!(begun, [1, 2]);
    }

    #[test]
    fn a_panic_in_one_thread_ends_the_others() {
        let attempt = |job: u32| match job {
            0 => Ok::<_, ()>(Tried::After(vec![1, 2])),
            _ => panic!("job {job}"),
        };
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            run(&[0], 4, &AtomicBool::new(false), &attempt)
        }));
        assert!(caught.is_err());
    }
}
