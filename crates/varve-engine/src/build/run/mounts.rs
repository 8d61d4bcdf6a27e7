//! What `--mount` shows to a program: files of other steps, directories that outlive the build,
//! memory, secrets, sockets of agents.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::{
        fd::AsFd as _,
        unix::fs::{PermissionsExt as _, chown},
    },
    path::{Path, PathBuf},
    sync::{
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use varve_build::{
    expand::Variables as _,
    instruction::Sharing,
    plan::RunMount,
    solve::{BuildLayer, RunRequest},
};
use varve_fs::{durable, mount, root::Root};
use varve_runtime::spec::BuildMount;
use varve_store::{CacheMount, CacheMountRequest};
use varve_types::limits;

use super::{Programs, agent::Agent, error::RunError, workplace::Workplace};
use crate::{
    build::{BuildSecret, SecretValue, patience},
    container::fill,
};

const SSH_AUTH_SOCK: &str = "SSH_AUTH_SOCK";
/// How often cache mounts are measured while a program runs.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);
/// How many times as long as a measurement it is to the next one.
const MEASURE_SHARE: u32 = 20;

/// What is shown to a program, for as long as this is kept.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) mounts: Vec<BuildMount>,
    /// Variables that hold secrets or places.
    pub(super) environment: Vec<String>,
    /// Sockets that are to be served.
    pub(super) agents: Vec<Agent>,
    caches: Caches,
}

/// Directories that outlive the build, by ID.
pub(super) type Caches = BTreeMap<String, CacheMount>;

/// Owner, group and mode.
type Owner = (u32, u32, u32);

impl Programs<'_> {
    /// Makes ready what a step mounts.
    pub(super) fn show(
        &self,
        place: &mut Workplace<'_>,
        request: &RunRequest<'_>,
        caches: Caches,
    ) -> Result<Shown, RunError> {
        let mut shown = Shown { caches, ..Shown::default() };
        for (number, mount) in request.step.mounts.iter().enumerate() {
            match mount {
                RunMount::Bind { source, target, read_only, .. } => {
                    let layers = bound(request, number);
                    let source = show_files(place, request, layers, (source, number), *read_only)?;
                    let (target, read_only) = (target.clone(), *read_only);
                    shown.mounts.push(BuildMount::Bind { source, target, read_only });
                }
                RunMount::Cache { id, target, read_only, .. } => {
                    let Some(cache) = shown.caches.get(id) else { continue };
                    let (source, target) = (cache.path().to_owned(), target.clone());
                    let read_only = *read_only;
                    shown.mounts.push(BuildMount::Bind { source, target, read_only });
                }
                RunMount::Tmpfs { target, size_bytes } => {
                    let (target, size_bytes) = (target.clone(), *size_bytes);
                    shown.mounts.push(BuildMount::Tmpfs { target, size_bytes });
                }
                RunMount::Secret { id, target, env, required, owner } => {
                    let Some(bytes) = self.secret(id, *required)? else { continue };
                    if let Some(name) = env {
                        let text = String::from_utf8(bytes.clone()).ok();
                        let text = text.filter(|text| !text.contains('\0'));
                        let text = text.ok_or_else(|| RunError::SecretText(id.clone()))?;
                        shown.environment.push(format!("{name}={text}"));
                    }
                    if let Some(target) = target {
                        let name = format!("secret-{number}");
                        place.write(&name, &bytes, 0o600)?;
                        let source = place.private(&name);
                        give(&source, *owner)?;
                        shown.mounts.push(BuildMount::File { source, target: target.clone() });
                    }
                }
                RunMount::Ssh { id, target, required, owner } => {
                    self.show_agent(place, request, &mut shown, (id, target, *required, *owner))?;
                }
            }
        }
        Ok(shown)
    }

    /// Enters all directories that outlive the build, in the order of their IDs: two programs that
    /// want the same ones for themselves do not wait for each other.
    pub(super) fn enter_caches(
        &self,
        place: &mut Workplace<'_>,
        request: &RunRequest<'_>,
    ) -> Result<Caches, RunError> {
        let mut caches = Caches::new();
        let mut wanted: Vec<(usize, &RunMount)> = request.step.mounts.iter().enumerate().collect();
        wanted.sort_by_key(|(_, mount)| match mount {
            RunMount::Cache { id, .. } => Some(id),
            _ => None,
        });
        for (number, mount) in wanted {
            let RunMount::Cache { id, source, sharing, owner, .. } = mount else { continue };
            if caches.contains_key(id) {
                continue;
            }
            let sharing = match sharing {
                Sharing::Shared => varve_store::Sharing::Shared,
                Sharing::Private => varve_store::Sharing::Private,
                Sharing::Locked => varve_store::Sharing::Locked,
            };
            let layers = request.bound.get(number).and_then(Option::as_ref);
            let mut fill = |tree: &Path| match layers {
                None => give(tree, *owner),
                Some(files) => {
                    let from = show_files(place, request, &files.layers, (source, number), true)?;
                    let from = Root::open(&from).map_err(RunError::io("open", &from))?;
                    fill::fill(&from, tree).map_err(RunError::io("fill", tree))
                }
            };
            let wanted = CacheMountRequest { id, sharing, now: self.settings.now };
            let goes_on = || !self.is_over(request);
            let entered = self.engine.store().cache_mount(&wanted, &mut fill, &goes_on)?;
            caches.insert(id.clone(), entered.ok_or(RunError::Canceled)?);
        }
        Ok(caches)
    }

    /// The bytes of a secret; `None` of one that is not there and need not be.
    fn secret(&self, id: &str, required: bool) -> Result<Option<Vec<u8>>, RunError> {
        let Some(BuildSecret { value, .. }) =
            self.settings.secrets.iter().find(|secret| secret.id == id)
        else {
            return if required { Err(RunError::NoSecret(id.to_owned())) } else { Ok(None) };
        };
        let limit = limits::SECRET_SIZE_BYTES_MAX;
        let bytes = match value {
            SecretValue::Bytes(bytes) => bytes.clone(),
            SecretValue::File(path) => {
                let goes_on = || !self.settings.interrupted.load(Ordering::Acquire);
                patience::read(path, limit, &goes_on).map_err(RunError::io("read", path))?
            }
        };
        if bytes.len() as u64 > limit {
            return Err(RunError::SecretSize { id: id.to_owned(), limit });
        }
        Ok(Some(bytes))
    }

    fn show_agent(
        &self,
        place: &Workplace<'_>,
        request: &RunRequest<'_>,
        shown: &mut Shown,
        (id, target, required, owner): (&str, &Option<String>, bool, Owner),
    ) -> Result<(), RunError> {
        let number = shown.agents.len();
        let Some(agent) = self.settings.ssh.iter().find(|agent| agent.id == id) else {
            return match (required, self.settings.ssh.is_empty()) {
                (false, _) => Ok(()),
                (true, true) => Err(RunError::NoAgents(id.to_owned())),
                (true, false) => Err(RunError::NoAgent(id.to_owned())),
            };
        };
        let name = format!("agent-{number}");
        let source = place.private(&name);
        let listening = Agent::listen(place.private_directory(), &name, &agent.source);
        shown.agents.push(listening.map_err(RunError::io("listen at", &source))?);
        give(&source, owner)?;
        let target = target.clone().unwrap_or_else(|| format!("/run/buildkit/ssh_agent.{number}"));
        let is_first = !shown.environment.iter().any(|it| it.starts_with("SSH_AUTH_SOCK="));
        if is_first && request.step.environment.get(SSH_AUTH_SOCK).is_none() {
            shown.environment.push(format!("{SSH_AUTH_SOCK}={target}"));
        }
        shown.mounts.push(BuildMount::File { source, target });
        Ok(())
    }
}

impl Shown {
    /// Measures what outlives the build, again and again, until `end` is closed. `true`: it takes more
    /// than it may.
    pub(super) fn overflow(&self, limit: u64, end: &Receiver<()>) -> bool {
        let mut wait = MEASURE_INTERVAL;
        while let Err(RecvTimeoutError::Timeout) = end.recv_timeout(wait) {
            let begun = Instant::now();
            // What cannot be measured now is measured at the end.
            let sizes = self.caches.values().filter_map(|cache| cache.size_bytes().ok());
            if sizes.fold(0, u64::saturating_add) > limit {
                return true;
            }
            // Not to be what a program with many files waits for.
            wait = MEASURE_INTERVAL.max(begun.elapsed() * MEASURE_SHARE);
        }
        false
    }

    /// Whether anything outlives the build.
    pub(super) fn has_caches(&self) -> bool {
        !self.caches.is_empty()
    }

    /// Ends the use of what outlives the build; where it takes too much room, some of it goes.
    pub(super) fn finish(self, now: jiff::Timestamp) -> Result<(), RunError> {
        for cache in self.caches.into_values() {
            cache.finish(now)?;
        }
        Ok(())
    }
}

/// The layers of the files that a mount takes from another step.
fn bound<'a>(request: &RunRequest<'a>, number: usize) -> &'a [BuildLayer] {
    let files = request.bound.get(number).and_then(Option::as_ref);
    files.map_or(&[], |files| &files.layers)
}

/// Mounts the files of another step, and gives the place of a part of them: a path that came from
/// the Dockerfile is looked up beneath them, and what is found gets a place of its own.
fn show_files(
    place: &mut Workplace<'_>,
    request: &RunRequest<'_>,
    layers: &[BuildLayer],
    (source, number): (&str, usize),
    read_only: bool,
) -> Result<PathBuf, RunError> {
    let mounted = place.mount_files(layers, !read_only, request.lease)?;
    if source == "/" {
        return Ok(mounted);
    }
    let not_there = |error| RunError::Source { path: source.to_owned(), source: error };
    let root = Root::open(&mounted).map_err(RunError::io("open", &mounted))?;
    let found = root.open_path(Path::new(source)).map_err(not_there)?;
    let part = place.private(&format!("files-{number}"));
    if root.open_directory(Path::new(source)).is_ok() {
        durable::create_directory(&part, 0o700).map_err(RunError::io("create", &part))?;
    } else {
        durable::create_new(&part, 0o600).map_err(RunError::io("create", &part))?;
    }
    mount::bind(found.as_fd(), &part)?;
    Ok(part)
}

fn give(path: &Path, (uid, gid, mode): Owner) -> Result<(), RunError> {
    chown(path, Some(uid), Some(gid)).map_err(RunError::io("change", path))?;
    fs::set_permissions(path, Permissions::from_mode(mode & 0o7777))
        .map_err(RunError::io("change", path))
}
