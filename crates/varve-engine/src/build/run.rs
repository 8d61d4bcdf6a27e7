//! `RUN`: a program of a build over the layers so far, and the layer of what it left.
//!
//! ```text
//! layers ─► root mounted, an upper on the store's disk ─► user, directory, network, mounts ─► spec
//!   ─► the runtime makes the first process ─► it runs, what it writes is told as it comes
//!   ─► its end ─► unmounted ─► places that only the runtime made go ─► upper ─► tar ─► layer
//! ```
//!
//! ```text
//! varve/steps/<id>/          lock, upper, work; uppers of writable binds        (workplace)
//! <run directory>/steps/<id> config.json, hosts, resolv.conf, secrets, sockets  (in memory)
//! ```
//!
//! # Invariants
//!
//! 1. No program outlives its build: the kernel kills the first process with the thread that made
//!    it, and with it all of its process namespace.
//! 2. What a step has of the machine goes with it. Of a build that was killed it is found by its
//!    directory, and goes with the next command that looks ([`Engine::tidy_steps`]).
//! 3. Secrets are in memory only, and in no layer: their places are taken out of the upper directory.

mod agent;
mod error;
mod keys;
mod mounts;
mod output;
mod program;
mod stubs;
mod workplace;

use std::{
    collections::{BTreeSet, HashSet},
    fs::File,
    os::fd::AsFd as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use jiff::Timestamp;
use varve_build::{
    instruction::{RunNetwork, Security},
    plan::{RunMount, RunStep},
    solve::{
        BoundFiles, BuildEvent, BuildLayer, Fault, LayerTimes, MadeLayer, Place, RunRequest,
        Timestamps, Watch, shown_times,
    },
};
use varve_fs::{
    tar::Time,
    upper::{self, Times},
};
use varve_runtime::spec::{self, BuildLimits};
use varve_types::ContainerId;

use self::{error::RunError, mounts::Caches, output::Ending, workplace::Workplace};
pub use self::{
    keys::{SshKey, SshKeyError},
    output::LOG_SIZE_BYTES_MAX,
};
use super::{BuildSecret, SshAgent};
use crate::{
    Engine,
    network::{StepNetwork, host_network, no_network},
};

/// Runs the programs of one build.
pub struct Programs<'a> {
    engine: &'a Engine,
    watch: &'a dyn Watch,
    settings: Settings<'a>,
    /// Warnings that were told, each once for a build.
    warned: Mutex<HashSet<String>>,
}

/// What the programs of a build find besides what the Dockerfile says.
#[derive(Debug, Clone)]
pub struct Settings<'a> {
    /// Becomes true when the user gives up.
    pub interrupted: &'a AtomicBool,
    /// What `--mount=type=secret` finds.
    pub secrets: &'a [BuildSecret],
    /// What `--mount=type=ssh` finds.
    pub ssh: &'a [SshAgent],
    /// Whether `--security=insecure` is allowed.
    pub allow_insecure: bool,
    /// Whether `--network=host` is allowed.
    pub allow_host_network: bool,
    /// What the processes of one program may use together.
    pub limits: BuildLimits,
    /// The group that the groups of programs are made in; empty for `varve`.
    pub cgroup_parent: &'a str,
    /// Bytes of output that are told of one program; `None`: all.
    pub log_bytes_max: Option<u64>,
    /// The time now, for records about networks.
    pub now: Timestamp,
}

impl std::fmt::Debug for Programs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Programs").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl<'a> Programs<'a> {
    /// Programs of a build. What builds that were killed left is taken away first.
    pub fn new(engine: &'a Engine, watch: &'a dyn Watch, settings: Settings<'a>) -> Self {
        // Whatever cannot be taken away now stays for another time.
        let _ = engine.tidy_steps();
        Self { engine, watch, settings, warned: Mutex::default() }
    }

    /// Runs a program, and makes a layer of what it left.
    pub fn run(&self, request: &RunRequest<'_>) -> Result<MadeLayer, Fault> {
        self.make(request).map_err(Fault::from)
    }

    fn make(&self, request: &RunRequest<'_>) -> Result<MadeLayer, RunError> {
        self.check(request)?;
        let id = ContainerId::from_random(crate::container::volumes::random()?);
        let mut place = Workplace::make(self.engine, id)?;
        let made = self.run_in(&mut place, request);
        place.clear();
        made
    }

    /// Refuses what was not allowed, or is not done.
    fn check(&self, request: &RunRequest<'_>) -> Result<(), RunError> {
        let RunStep { security, network, devices, .. } = request.step;
        if *security == Security::Insecure && !self.settings.allow_insecure {
            return Err(RunError::NotAllowed("security.insecure"));
        }
        if *network == RunNetwork::Host && !self.settings.allow_host_network {
            return Err(RunError::NotAllowed("network.host"));
        }
        if let Some(device) = devices.first() {
            return Err(RunError::Device(device.clone()));
        }
        if self.is_over(request) { Err(RunError::Canceled) } else { Ok(()) }
    }

    fn is_over(&self, request: &RunRequest<'_>) -> bool {
        [self.settings.interrupted, request.canceled].iter().any(|it| it.load(Ordering::Acquire))
    }

    fn run_in(
        &self,
        place: &mut Workplace<'_>,
        request: &RunRequest<'_>,
    ) -> Result<MadeLayer, RunError> {
        let mut caches = self.enter_caches(place, request)?;
        let (root, bound) = self.with_times(request, &mut caches)?;
        let request = &RunRequest { root: &root, bound: &bound, ..*request };
        place.mount_root(request.root, request.lease)?;
        let prepared = self.prepare(place, request, caches)?;
        let stubs = stubs::Before::look(place, request.step)?;
        let executed = self.execute(place, request, &prepared, stubs);
        let finished = prepared.finish(self.settings.now);
        let (ending, stubs) = executed?;
        match ending {
            Ending::Code(0) => finished?,
            ending => return Err(RunError::process(&request.step.arguments, ending)),
        }
        let id = *place.id();
        thread::scope(|scope| {
            // The kernel takes longer to remove interfaces and rules than to make a small layer. What
            // cannot be removed now is tried again when the place is cleared.
            scope.spawn(|| self.engine.detach_networks(&id));
            place.unmount_root()?;
            stubs.remove(place)?;
            self.layer(place, request)
        })
    }

    /// The layers of the root and of what is bound, with the times that the program is to see: what
    /// it could make something of in a cache mount, or made already below, must not look older than
    /// that if it is something else.
    fn with_times(
        &self,
        request: &RunRequest<'_>,
        caches: &mut Caches,
    ) -> Result<(Vec<BuildLayer>, Vec<Option<BoundFiles>>), RunError> {
        let (mut root, mut bound) = (request.root.to_vec(), request.bound.to_vec());
        let mut before = Vec::with_capacity(caches.len());
        for cache in caches.values_mut() {
            before.push(cache.begin()?);
        }
        let mut all = vec![("", &mut root)];
        for (mount, files) in request.step.mounts.iter().zip(&mut bound) {
            if let (RunMount::Bind { target, .. }, Some(files)) = (mount, files) {
                all.push((target.trim_end_matches('/'), &mut files.layers));
            }
        }
        let places: Vec<Place<'_>> = all.iter().map(|(at, layers)| Place { at, layers }).collect();
        let (store, epoch) = (self.engine.store(), request.times.epoch);
        let shown = shown_times(store, &places, &before, epoch).map_err(RunError::Times)?;
        for ((_, layers), times) in all.iter_mut().zip(&shown.times) {
            for (layer, times) in layers.iter_mut().zip(times) {
                let of = (&layer.diff_id, layer.times.as_ref());
                layer.times = store.write_times(request.lease, of, times)?;
            }
        }
        for cache in caches.values_mut() {
            cache.shows(&shown.files)?;
        }
        Ok((root, bound))
    }

    /// The network that a program is to have.
    fn network(&self, place: &Workplace<'_>, request: &RunRequest<'_>) -> StepNetwork {
        match request.step.network {
            RunNetwork::None => no_network(),
            RunNetwork::Host => host_network(),
            RunNetwork::Default => {
                let now = self.settings.now;
                let connected = self.engine.connect_step(place.id(), spec::HOSTNAME, now);
                if let Some(warning) = &connected.warning {
                    self.warn_once(request, warning);
                }
                connected
            }
        }
    }

    fn warn_once(&self, request: &RunRequest<'_>, text: &str) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.insert(text.to_owned()) {
            self.watch.event(&BuildEvent::Warning { id: request.id, text });
        }
    }

    /// The layer of what the program left.
    fn layer(
        &self,
        place: &Workplace<'_>,
        request: &RunRequest<'_>,
    ) -> Result<MadeLayer, RunError> {
        let path = place.upper();
        let upper = File::open(&path).map_err(RunError::io("open", &path))?;
        let marks = self.engine.marks()?;
        let seen = self.seen_times(request)?;
        let times = times_of(request.times, &seen);
        let store = self.engine.store();
        let (record, real_times) = store.write_cache_layer(request.lease, |tar| {
            upper::write_layer_with(upper.as_fd(), marks, times, tar)
                .map(|written| written.real_times)
                .map_err(RunError::Upper)
        })?;
        Ok(MadeLayer { diff_id: record.summary.diff_id, real_times })
    }

    /// The real times that the program saw: those of a checkout above all. What is copied up, moved
    /// or copied keeps them, and they must not get into the layer. Tools that copy files drop what
    /// is below a microsecond, or below a second.
    fn seen_times(&self, request: &RunRequest<'_>) -> Result<BTreeSet<Time>, RunError> {
        let bound = request.bound.iter().flatten().flat_map(|files| &files.layers);
        let mut seen = BTreeSet::new();
        for layer in request.root.iter().chain(bound) {
            let Some(times) = &layer.times else { continue };
            for real in self.engine.store().real_times_of(&layer.diff_id, times)? {
                let microseconds = real.nanoseconds / 1_000;
                seen.insert(Time { nanoseconds: 0, ..real });
                seen.insert(Time { nanoseconds: microseconds * 1_000, ..real });
                seen.insert(real);
            }
        }
        Ok(seen)
    }
}

fn times_of(times: LayerTimes, seen: &BTreeSet<Time>) -> Times<'_> {
    match times.how {
        Timestamps::Epoch => Times::Until { latest: times.epoch, besides: seen },
        Timestamps::Keep => Times::Own,
    }
}
