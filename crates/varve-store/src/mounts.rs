//! Mounts of layers, shared by all who use them, and overlays over them.
//!
//! ```text
//! /run/varve/<store>/            the run directory, 0700, gone after a restart
//! ├── namespace                  whose mounts these are
//! ├── lock                       held to mount, to unmount and to judge holders; for moments
//! ├── layers/<hex>               a layer, by diff ID: mounted once, whoever uses it
//! ├── times/<hex>                a layer with real times, by its second index
//! ├── chains/<hex>               what mends a stack of them, by chain ID
//! ├── empty/1, empty/2           where overlayfs wants more lowers than there are
//! ├── users/<holder>             who uses which
//! ├── containers/<id>/rootfs     overlays
//! ├── images/<hex>, processes/<name>/rootfs
//! └── namespaces/<inode>/        the same again, for other mount namespaces
//! ```
//!
//! # Invariants
//!
//! 1. What is mounted is what the kernel's table says; nothing is counted or remembered.
//! 2. A holder's file names its layers before the first of them is mounted, and until after its
//!    overlay is gone.
//! 3. A layer is mounted and unmounted under the lock only: at most once, and not as long as a
//!    holder names it. So all who use a layer at once use one mount and one page cache.
//! 4. What a killed process leaves is taken away by the next command that mounts, unmounts or
//!    sweeps.
//!
//! Order of locks: a holder's file, then the store's, then that of the run directory. A sweep,
//! which holds the store's, waits for no holder.

mod releasing;
mod run;
mod tidy;
mod users;

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use varve_fs::{
    backend::{Backend, LayerFiles, forget_cached},
    durable,
    lock::FileLock,
    mount::{
        InUse, Mount, MountError, Overlay, Upper,
        table::{Table, is_mounted},
        unmount,
    },
    overlay::{Marks, selinux_context},
};
use varve_types::{ChainId, DiffId, Digest, ImageId, Kind};

use crate::{
    Error, Lease, Result, Store,
    chain::{self, ChainRecord, Layers},
    error::cannot,
    layers::forget_tar,
    sweep::Node,
};
use run::Mounting;
use users::{Entry, Used};

pub use releasing::Releasing;
pub(crate) use run::{Run, existing};
pub use users::Holder;

/// Directories that an overlay can be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lowers {
    /// The lowest first. None of layers that show nothing.
    pub lowers: Vec<PathBuf>,
    /// Which attributes of them are overlayfs's own.
    pub marks: Marks,
    /// Whether all this is seen in this mount namespace only, and ends with it, because it is not
    /// the one that the store's mounts are in.
    pub is_private: bool,
}

/// Whether to wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Yes.
    Yes,
    /// No.
    No,
}

/// An overlay to be mounted.
#[derive(Debug, Clone)]
pub struct Snapshot<'a> {
    /// For whom.
    pub holder: &'a Holder,
    /// Its layers, the lowest first.
    pub layers: &'a [DiffId],
    /// Where changes go; without it nothing can be changed.
    pub upper: Option<Upper>,
}

/// A mounted overlay. It stays when this is dropped, but for one of [`Holder::Process`], which is
/// then nobody's, and taken away by the next command.
#[derive(Debug)]
pub struct Mounted {
    /// Where.
    pub path: PathBuf,
    /// See [`Lowers::is_private`].
    pub is_private: bool,
    _holding: Option<FileLock>,
}

/// Lowers that a process holds for as long as it keeps this; of other holders, until released.
#[derive(Debug)]
pub struct HeldLowers {
    /// The lowers.
    pub lowers: Lowers,
    _holding: Option<FileLock>,
}

/// Mounts of a stack that were made by somebody else and then taken away by a third while we
/// looked: more often than this, something is wrong.
const TRIES_MAX: usize = 100;

impl Store {
    /// Makes layers visible for a holder, who has them until it is [released](Self::release): for
    /// overlays that the caller mounts. Layers that are not here are made from their blobs, and
    /// all are verified.
    pub fn lowers(&self, holder: &Holder, layers: &[DiffId]) -> Result<HeldLowers> {
        let (run, entry) = self.enter(holder)?;
        let lowers = self.attach_layers(&run, &entry, Layers::plain(layers))?;
        Ok(HeldLowers { lowers, _holding: holding(holder, entry) })
    }

    /// Mounts an overlay for a holder. Where it is mounted already, it is found.
    pub fn mount(&self, request: &Snapshot<'_>) -> Result<Mounted> {
        self.mount_layers(request.holder, Layers::plain(request.layers), request.upper.as_ref())
    }

    /// Mounts an overlay for a holder as [`mount`](Self::mount) does, with the real times of layers
    /// that have them: beside a layer its second index is named, the `times` of its
    /// [`CacheRecord`](crate::CacheRecord). Nothing else differs. Such a layer is mounted once for
    /// all who want it with these times.
    pub fn mount_build(
        &self,
        holder: &Holder,
        layers: &[(DiffId, Option<Digest>)],
        upper: Option<&Upper>,
    ) -> Result<Mounted> {
        let (layers, mut times): (Vec<DiffId>, Vec<Option<Digest>>) =
            layers.iter().copied().unzip();
        if times.iter().all(Option::is_none) {
            times.clear();
        }
        self.mount_layers(holder, Layers { layers: &layers, times: &times }, upper)
    }

    fn mount_layers(
        &self,
        holder: &Holder,
        layers: Layers<'_>,
        upper: Option<&Upper>,
    ) -> Result<Mounted> {
        let (run, entry) = self.enter(holder)?;
        let place = run.path(holder.place());
        let mut in_memory_twice = Vec::new();
        for layer in layers.layers {
            if is_mounted(&layer_place(&run, layer))? {
                in_memory_twice.push(self.layer_path(layer).join("layer.tar"));
            }
        }
        if !is_mounted(&place)? {
            let mounted = self.mount_at((&run, &place), &entry, layers, upper);
            if let Err(error) = mounted {
                // The first error is the one to tell.
                let _ = self.let_go(&run, entry, holder);
                return Err(error);
            }
        }
        // Of a layer that nobody saw until now, what will be read comes from there.
        for tar in &in_memory_twice {
            forget_tar(tar);
        }
        let is_private = run.is_private;
        Ok(Mounted { path: place, is_private, _holding: holding(holder, entry) })
    }

    /// Frees what the kernel caches of the tars of a holder's layers beside the files that it
    /// shows of them, for the time being: reading more fills it again. Only what is on disk can be
    /// freed; with [`Sync::Yes`] it is brought there first, which takes its time.
    pub fn forget_tars(&self, holder: &Holder, sync: Sync) -> Result<()> {
        let Some(run) = self.run_if_there()? else { return Ok(()) };
        for used in users::used_by(&run, holder)? {
            let Used::Layer(layer) = used else { continue };
            let path = self.layer_path(&layer).join("layer.tar");
            match File::open(&path) {
                Ok(tar) => {
                    if sync == Sync::Yes {
                        durable::sync(&tar).map_err(cannot("sync", &path))?;
                    }
                    forget_cached(&tar).map_err(cannot("read", &path))?;
                }
                // Its files were extracted.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(cannot("open", &path)(source)),
            }
        }
        Ok(())
    }

    fn mount_at(
        &self,
        (run, place): (&Run, &Path),
        entry: &Entry,
        layers: Layers<'_>,
        upper: Option<&Upper>,
    ) -> Result<()> {
        let Lowers { mut lowers, marks, .. } = self.attach_layers(run, entry, layers)?;
        let wanted = if upper.is_some() { 1 } else { 2 };
        let mut empty = ["empty/1", "empty/2"].into_iter();
        while lowers.len() < wanted
            && let Some(name) = empty.next()
        {
            lowers.insert(0, run.make_shown(name)?);
        }
        durable::create_directories_unsynced(place, crate::store::DIRECTORY_MODE)
            .map_err(cannot("create", place))?;
        let enforce = fs::read_to_string("/sys/fs/selinux/enforce").ok();
        let context = selinux_context(enforce.as_deref()).map(str::to_owned);
        let overlay = Overlay { lowers, upper: upper.cloned(), marks, context };
        Ok(Mount::Overlay(overlay).mount(place)?)
    }

    /// Where a holder's overlay is, if it is mounted in this mount namespace.
    pub fn mounted(&self, holder: &Holder) -> Result<Option<PathBuf>> {
        let Some(run) = self.run_if_there()? else { return Ok(None) };
        let place = run.path(holder.place());
        Ok(is_mounted(&place)?.then_some(place))
    }

    /// Takes away what is mounted for a holder, and then its layers, unless others use them. Where
    /// its overlay is in use, that is an error and all stays, or it is detached: its place is free
    /// at once, and those who use it may go on. Nothing mounted is no error.
    pub fn release(&self, holder: &Holder, in_use: InUse) -> Result<()> {
        if self.run_if_there()?.is_none() {
            return Ok(());
        }
        let run = self.run()?;
        if users::is_nobody(&run, holder)? {
            return Ok(());
        }
        let entry = match holder {
            // Its file is locked for as long as it has what it has, maybe by whoever called us.
            Holder::Process(_) => Entry::of_process(&run, holder)?,
            Holder::Container(_) | Holder::Image(_) => Entry::enter(&run, holder)?,
        };
        unmount_all(&run.path(holder.place()), in_use)?;
        self.let_go(&run, entry, holder)
    }

    fn let_go(&self, run: &Run, entry: Entry, holder: &Holder) -> Result<()> {
        tidy::remove_place(run, holder)?;
        let mounting = run.lock()?;
        entry.remove(&mounting)?;
        tidy::tidy(run, &mounting, self.boot())
    }

    /// The images that are mounted in this mount namespace, sorted.
    pub fn mounted_images(&self) -> Result<Vec<(ImageId, Mounted)>> {
        let Some(run) = self.run_if_there()? else { return Ok(Vec::new()) };
        let table = Table::read()?;
        let holders = users::holders(&run)?.into_iter();
        let images = holders.filter_map(|holder| match holder {
            Holder::Image(id) => Some((id, run.path(holder.place()))),
            Holder::Container(_) | Holder::Process(_) => None,
        });
        let images = images.filter(|(_, place)| table.at(place).next().is_some());
        let mounted = |path| Mounted { path, is_private: run.is_private, _holding: None };
        let mut images: Vec<_> = images.map(|(id, path)| (id, mounted(path))).collect();
        images.sort_by_key(|(id, _)| *id);
        Ok(images)
    }

    /// Takes away what killed processes left mounted, and forgets whom they held it for.
    pub fn tidy_mounts(&self) -> Result<()> {
        let Some(run) = self.run_if_there()? else { return Ok(()) };
        let mounting = run.lock()?;
        tidy::tidy(&run, &mounting, self.boot())
    }

    /// What holders of any mount namespace name: layers, and second indexes. Images' mounts that `is_kept` does not
    /// want are taken away first, unless they are just being made.
    pub(crate) fn held_layers(&self, is_kept: impl Fn(&ImageId) -> bool) -> Result<Vec<Node>> {
        if let Some(run) = self.run_if_there()? {
            let mounting = run.lock()?;
            tidy::forget_images(&run, &mounting, is_kept)?;
            tidy::tidy(&run, &mounting, self.boot())?;
        }
        let mut held = HashSet::new();
        for directory in self.all_runs()? {
            let used = run::with_lock(&directory, || users::used(&directory))?;
            held.extend(used.into_iter().filter_map(|used| match used {
                Used::Layer(layer) => Some(Node::Layer(layer)),
                Used::Times(times) => Some(Node::Times(times)),
                Used::Chain(_) => None,
            }));
        }
        Ok(held.into_iter().collect())
    }

    /// A directory of the run directory for others to use, made where it is missing: what lies in
    /// it is gone after a restart. Mode 0700.
    pub fn run_directory(&self, below: impl AsRef<Path>) -> Result<PathBuf> {
        self.run()?.make(below)
    }

    fn enter(&self, holder: &Holder) -> Result<(Run, Entry)> {
        let run = self.run()?;
        let entry = Entry::enter(&run, holder)?;
        Ok((run, entry))
    }

    fn attach_layers(&self, run: &Run, entry: &Entry, layers: Layers<'_>) -> Result<Lowers> {
        let backend = self.shown_by()?;
        let backend = &*backend;
        // Nothing goes before the holder's file says that it is wanted.
        let lease = self.lease()?;
        for layer in layers.layers.iter().collect::<HashSet<_>>() {
            self.pin_or_make_layer(&lease, layer)?;
        }
        let times: HashSet<Digest> = layers.times.iter().copied().flatten().collect();
        for times in &times {
            self.pin_times(&lease, times)?;
        }
        let lowers = match self.stack(&lease, layers, backend)? {
            None => Vec::new(),
            Some((id, record)) => {
                let parts = self.parts(run, &id, &record);
                let used = layers.layers.iter().map(|layer| Used::Layer(*layer));
                let used = used.chain(times.into_iter().map(Used::Times));
                let used: Vec<Used> = used.chain([Used::Chain(id)]).collect();
                {
                    let mounting = run.lock()?;
                    // Also what an earlier one left, which may be half of it.
                    tidy::tidy(run, &mounting, self.boot())?;
                    entry.write(&used, &mounting)?;
                }
                self.attach_parts(&lease, run, &parts, backend)?
            }
        };
        Ok(Lowers { lowers, marks: backend.marks(), is_private: run.is_private })
    }

    /// What is known of a stack; `None` of one without layers.
    fn stack(
        &self,
        lease: &Lease,
        layers: Layers<'_>,
        backend: &dyn Backend,
    ) -> Result<Option<(ChainId, ChainRecord)>> {
        if layers.layers.is_empty() {
            Ok(None)
        } else {
            self.chain(lease, layers, backend).map(Some)
        }
    }

    /// What is to be mounted of a chain, the lowest first.
    fn parts(&self, run: &Run, id: &ChainId, record: &ChainRecord) -> Vec<Part> {
        let layers = record.lowers.iter().map(|layer| {
            let times = record.times_of(layer);
            let ([index, tar, tree], place) = match &times {
                Some(times) => {
                    (self.times_files(layer, times), run.path("times").join(times.hex()))
                }
                None => (self.layer_files(layer), layer_place(run, layer)),
            };
            Part { layer: Some(*layer), times, index, tar: Some(tar), tree, place }
        });
        let mend = record.mend.map(|_| {
            let directory = self.chain_path(id);
            let (index, tree) = (directory.join(chain::MEND), directory.join(chain::MEND_TREE));
            let place = run.path("chains").join(id.0.hex());
            Part { layer: None, times: None, index, tar: None, tree, place }
        });
        layers.chain(mend).collect()
    }

    /// Mounts what is not mounted yet. What is verified takes its time and happens without the
    /// lock; the holder's file keeps what is found mounted from being taken away.
    fn attach_parts(
        &self,
        lease: &Lease,
        run: &Run,
        parts: &[Part],
        backend: &dyn Backend,
    ) -> Result<Vec<PathBuf>> {
        let mut ready: HashSet<&Path> = HashSet::new();
        for _ in 0..TRIES_MAX {
            for part in parts {
                if let Some(layer) = &part.layer
                    && !is_mounted(&part.place)?
                    && ready.insert(&part.place)
                {
                    match &part.times {
                        Some(times) => self.make_times_ready(lease, (layer, times), backend)?,
                        None => self.make_ready(lease, layer, backend)?,
                    }
                }
            }
            let mounting = run.lock()?;
            if let Some(lowers) = attach_under_lock(parts, &ready, backend, &mounting)? {
                return Ok(lowers);
            }
        }
        Err(Error::InUse(run.path("layers")))
    }
}

/// A layer or mend to be mounted.
struct Part {
    /// `None`: a mend, which was verified when its record was read.
    layer: Option<DiffId>,
    /// The second index, where that is mounted.
    times: Option<Digest>,
    index: PathBuf,
    tar: Option<PathBuf>,
    tree: PathBuf,
    place: PathBuf,
}

/// `None` when something is not mounted any more that was, and so was not verified.
fn attach_under_lock(
    parts: &[Part],
    ready: &HashSet<&Path>,
    backend: &dyn Backend,
    _mounting: &Mounting,
) -> Result<Option<Vec<PathBuf>>> {
    let mut lowers = Vec::with_capacity(parts.len());
    for part in parts {
        if is_mounted(&part.place)? {
            lowers.push(part.place.clone());
            continue;
        }
        if part.layer.is_some() && !ready.contains(&*part.place) {
            return Ok(None);
        }
        durable::create_directories_unsynced(&part.place, crate::store::DIRECTORY_MODE)
            .map_err(cannot("create", &part.place))?;
        let files = LayerFiles { index: &part.index, tar: part.tar.as_deref(), tree: &part.tree };
        lowers.push(backend.attach(&files, &part.place)?);
    }
    Ok(Some(lowers))
}

/// Where a layer is mounted.
fn layer_place(run: &Run, layer: &DiffId) -> PathBuf {
    run.path("layers").join(layer.0.hex())
}

/// What keeps a process's holder alive.
fn holding(holder: &Holder, entry: Entry) -> Option<FileLock> {
    if matches!(holder, Holder::Process(_)) { entry.into_lock() } else { None }
}

/// Unmounts all that is mounted at a place and in it.
fn unmount_all(place: &Path, in_use: InUse) -> Result<()> {
    if in_use == InUse::Detached {
        // What is in it goes with it.
        while is_mounted(place)? {
            unmount(place, in_use)?;
        }
        return Ok(());
    }
    let table = Table::read()?;
    for row in table.beneath(place) {
        unmount(&row.place, in_use).map_err(|error| busy(error, &row.place))?;
    }
    Ok(())
}

fn busy(error: MountError, place: &Path) -> Error {
    if error.kind() == Kind::Conflict { Error::InUse(place.to_owned()) } else { error.into() }
}
