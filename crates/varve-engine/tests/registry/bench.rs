//! What the stories share: an engine without patience, and what must hold after every failure.

use std::{
    error::Error as _,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use varve_distribution::client::Policy;
use varve_engine::{
    Engine, Error, Pull, PullPlatform, Pulled, Push, PushCompression, Registries, StoreOptions,
};
use varve_testkit::{Registry, image::Built};
use varve_types::{Ctx, Environment, Event, Kind, Progress, Reference};

/// No refusal may take longer, on a machine that has other things to do.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(20);

/// An engine on a store of its own.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    /// What the last operations reported.
    pub(crate) heard: Heard,
    /// The pauses that were asked for instead of made.
    pub(crate) pauses: Arc<Mutex<Vec<Duration>>>,
    root: Arc<TempDir>,
    store: PathBuf,
}

/// Keeps events.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Vec<Event>>);

impl Progress for Heard {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Heard {
    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::of(Registries::default(), Duration::from_secs(10))
    }

    /// One that takes a silence for a broken connection very soon.
    pub(crate) fn hasty() -> Self {
        Self::of(Registries::default(), Duration::from_millis(200))
    }

    /// One with a configuration of registries, and the credential `alice:secret` for some.
    pub(crate) fn configured(hosts: &str, registries: &[&Registry]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts.json");
        fs::write(&path, hosts).unwrap();
        let entries: Vec<String> = registries
            .iter()
            .map(|registry| format!(r#""{}": {{"auth": "YWxpY2U6c2VjcmV0"}}"#, registry.host()))
            .collect();
        let config = format!(r#"{{"auths": {{{}}}}}"#, entries.join(","));
        fs::write(folder.path().join("config.json"), config).unwrap();
        let variable = ("VARVE_CONFIG".to_owned(), path.to_str().unwrap().to_owned());
        let environment = Environment::new([variable]);
        let (registries, warning) = Registries::load(&environment, Some(folder.path())).unwrap();
        assert_eq!(warning, None);
        Self::of(registries, Duration::from_secs(10))
    }

    fn of(registries: Registries, idle_timeout: Duration) -> Self {
        Self::at(Arc::new(tempfile::tempdir().unwrap()), registries, idle_timeout)
    }

    /// Another engine on the same store, as a second process would have it.
    pub(crate) fn beside(&self) -> Self {
        Self::at(self.root.clone(), Registries::default(), Duration::from_secs(10))
    }

    fn at(root: Arc<TempDir>, registries: Registries, idle_timeout: Duration) -> Self {
        let pauses: Arc<Mutex<Vec<Duration>>> = Arc::default();
        let policy = Policy {
            tries_max: 3,
            back_off: Duration::from_millis(100),
            sleep: Arc::new({
                let pauses = pauses.clone();
                move |pause| pauses.lock().unwrap().push(pause)
            }),
            connect_timeout: Duration::from_secs(10),
            idle_timeout,
        };
        let options =
            StoreOptions { run: Some(root.path().join("run")), ..StoreOptions::default() };
        let registries = registries.with_policy(policy);
        let engine = Engine::open_with(&root.path().join("store"), options, registries).unwrap();
        let store = root.path().join("store");
        Self { engine, heard: Heard::default(), pauses, root, store }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.store
    }

    pub(crate) fn ctx(&self) -> Ctx<'_> {
        Ctx { progress: &self.heard, ..Ctx::for_test() }
    }

    pub(crate) fn pull_for(
        &self,
        reference: &Reference,
        platform: PullPlatform,
    ) -> Result<Pulled, Error> {
        self.engine.pull(&self.ctx(), &Pull { reference, all_tags: false, platform })
    }

    pub(crate) fn pull(&self, reference: &Reference) -> Result<Pulled, Error> {
        self.pull_for(reference, PullPlatform::Host)
    }

    /// Pulls what must be pulled well.
    #[track_caller]
    pub(crate) fn pulls(&self, registry: &Registry, name: &str) {
        if let Err(error) = self.pull(&registry.reference(name)) {
            panic!("{name} was not pulled: {}", told(&error, registry));
        }
        self.check();
    }

    /// Pulls what must not be pulled: the error says so and is of this kind, no name is changed,
    /// the store is sound, and nothing of it is still arriving.
    #[track_caller]
    pub(crate) fn refuses(&self, registry: &Registry, name: &str, kind: Kind, text: &str) {
        self.refuses_for(registry, name, PullPlatform::Host, kind, text);
        assert_eq!(self.arriving(), Vec::<u64>::new(), "bytes were kept");
    }

    /// The same, for a platform; bytes may be kept to be resumed.
    #[track_caller]
    pub(crate) fn refuses_for(
        &self,
        registry: &Registry,
        name: &str,
        platform: PullPlatform,
        kind: Kind,
        text: &str,
    ) {
        let (names, began) = (self.names(), Instant::now());
        let error = self.pull_for(&registry.reference(name), platform).unwrap_err();
        assert_eq!((told(&error, registry).as_str(), error.kind()), (text, kind));
        assert!(began.elapsed() < REFUSAL_TIME_MAX, "took {:?}", began.elapsed());
        assert_eq!(self.names(), names);
        assert_eq!(files(&self.root().join("varve/leases")), 0, "a lease was left");
        self.check();
    }

    pub(crate) fn push(&self, reference: &Reference) -> Result<(), Error> {
        self.push_as(reference, None)
    }

    pub(crate) fn push_as(
        &self,
        reference: &Reference,
        compression: Option<PushCompression>,
    ) -> Result<(), Error> {
        let text = reference.to_string();
        let request = Push { reference, text: &text, all_tags: false, platform: None, compression };
        self.engine.push(&self.ctx(), &request)
    }

    #[track_caller]
    pub(crate) fn pushes(&self, registry: &Registry, name: &str) {
        if let Err(error) = self.push(&registry.reference(name)) {
            panic!("{name} was not pushed: {}", told(&error, registry));
        }
        self.check();
    }

    /// All references of the image table.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.engine.store().names().unwrap();
        let shown = |row: &varve_store::Row| {
            let name = row.reference.as_ref().map_or_else(|| "<none>".into(), ToString::to_string);
            format!("{name} {}", row.target.digest)
        };
        let mut names: Vec<String> = names.rows.iter().map(shown).collect();
        names.sort();
        names
    }

    /// Checks that an image of this tag is here, and is that one.
    #[track_caller]
    pub(crate) fn has(&self, registry: &Registry, name: &str, built: &Built) {
        let name = registry.reference(name).to_string();
        assert_eq!(self.engine.inspect(&name, None).unwrap().id, built.id());
    }

    #[track_caller]
    pub(crate) fn check(&self) {
        assert_eq!(self.engine.check().unwrap(), Vec::new());
    }

    /// How many bytes there are of each blob that is still arriving.
    pub(crate) fn arriving(&self) -> Vec<u64> {
        let Ok(entries) = fs::read_dir(self.root().join("varve/ingest")) else { return Vec::new() };
        entries
            .map(|entry| fs::metadata(entry.unwrap().path().join("data")).map_or(0, |m| m.len()))
            .collect()
    }
}

pub(crate) fn files(directory: &Path) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}

/// An error and its causes on one line, with `REGISTRY` where the registry's address stands.
pub(crate) fn told(error: &Error, registry: &Registry) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.replace(&registry.host(), "REGISTRY")
}
