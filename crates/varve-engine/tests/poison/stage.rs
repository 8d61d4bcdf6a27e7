//! Where a case is tried: a registry that knows alice, a foreign host, an engine with alice's password.

use std::{
    error::Error as _,
    fs,
    net::Ipv4Addr,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use varve_distribution::client::Policy;
use varve_engine::{Engine, Error, Pull, PullPlatform, Push, Registries};
use varve_testkit::{Fault, Image, On, Registry, image::Built};
use varve_types::{Ctx, Environment, Kind};

/// No case may take longer, on a machine that has other things to do.
const TIME_MAX: Duration = Duration::from_secs(30);
/// Nor more memory than this; the registries of the test are in it.
const PEAK_GROWTH_SIZE_BYTES_MAX: u64 = 64 << 20;
/// Nor wait longer for a registry that asks for it.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// What is done with the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Pull,
    /// All platforms of an index.
    PullAll,
    /// All tags.
    PullTags,
    Push,
}

/// How a case ends.
pub(crate) enum End {
    /// In an error of one of these kinds whose text has these words.
    Refused(&'static [Kind], String),
    /// Well: what is wrong can be seen through.
    Done,
}

/// What a registry does wrong.
pub(crate) type Poison = Box<dyn Fn(&Stage)>;

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) verb: Verb,
    pub(crate) poison: Poison,
    pub(crate) end: End,
}

pub(crate) struct Stage {
    pub(crate) registry: Registry,
    /// A host that nobody gave alice's password to.
    pub(crate) foreign: Registry,
    pub(crate) built: Built,
    engine: Engine,
    pauses: Arc<Mutex<Vec<Duration>>>,
    directory: TempDir,
}

impl Stage {
    fn new() -> Self {
        let registry = Registry::builder().bearer("alice", "secret").start();
        let foreign = Registry::builder().address(Ipv4Addr::new(127, 0, 0, 2)).start();
        let built = Image::seeded(7).layers(2).layer_size_bytes(40_000).build();
        registry.push("app:1", built.clone());
        let directory = tempfile::tempdir().expect("a directory");
        let pauses: Arc<Mutex<Vec<Duration>>> = Arc::default();
        let engine = engine(directory.path(), &registry, &pauses);
        Self { registry, foreign, built, engine, pauses, directory }
    }

    fn act(&self, verb: Verb) -> Result<(), Error> {
        let ctx = Ctx::for_test();
        if verb == Verb::Push {
            let reference = &self.registry.reference("copy:1");
            let (text, all_tags, platform) = (&reference.to_string(), false, None);
            return self
                .engine
                .push(&ctx, &Push { reference, text, all_tags, platform, compression: None });
        }
        let reference = &self.registry.reference("app:1");
        let all = verb == Verb::PullAll;
        let platform = if all { PullPlatform::All } else { PullPlatform::Host };
        let name_only = &self.registry.reference("app");
        let all_tags = verb == Verb::PullTags;
        let reference = if all_tags { name_only } else { reference };
        self.engine.pull(&ctx, &Pull { reference, all_tags, platform }).map(drop)
    }

    /// Brings in what is pushed: from where nothing can be mounted.
    fn take_from_elsewhere(&self) -> Result<(), Error> {
        let ctx = Ctx::for_test();
        self.foreign.push("app:1", self.built.clone());
        let reference = &self.foreign.reference("app:1");
        let request = Pull { reference, all_tags: false, platform: PullPlatform::Host };
        self.engine.pull(&ctx, &request)?;
        let target = self.registry.reference("copy:1").to_string();
        self.engine.tag(&ctx, &reference.to_string(), &target)?;
        self.foreign.take_log();
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        let names = self.engine.store().names().expect("a table");
        names.rows.iter().map(|row| format!("{:?} {}", row.reference, row.target.digest)).collect()
    }

    /// An error and its causes.
    fn told(&self, error: &Error) -> String {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        let text = text.replace(&self.registry.host(), "REGISTRY");
        text.replace(&self.foreign.host(), "FOREIGN")
    }

    /// What holds after any answer.
    fn is_unharmed(&self) -> Result<(), String> {
        let findings = self.engine.check().map_err(|error| error.to_string())?;
        if !findings.is_empty() {
            return Err(format!("the store has {findings:?}"));
        }
        let leases = fs::read_dir(self.directory.path().join("varve/leases"));
        if leases.is_ok_and(|leases| leases.count() > 0) {
            return Err("a lease was left".to_owned());
        }
        let told = self.foreign.log().into_iter().find_map(|entry| entry.authorization);
        if let Some(told) = told {
            return Err(format!("a foreign host was told {told}"));
        }
        let pauses = self.pauses.lock().expect("no panic");
        match pauses.iter().find(|pause| **pause > PAUSE_MAX) {
            Some(pause) => Err(format!("it was waited for {pause:?}")),
            None => Ok(()),
        }
    }
}

fn engine(root: &Path, registry: &Registry, pauses: &Arc<Mutex<Vec<Duration>>>) -> Engine {
    let folder = tempfile::tempdir().expect("a directory");
    let hosts = folder.path().join("hosts.json");
    fs::write(&hosts, r#"{"insecure-registries": ["nowhere.example"]}"#).expect("a file");
    let config =
        format!(r#"{{"auths": {{"{}": {{"auth": "YWxpY2U6c2VjcmV0"}}}}}}"#, registry.host());
    fs::write(folder.path().join("config.json"), config).expect("a file");
    let variable = ("VARVE_CONFIG".to_owned(), hosts.display().to_string());
    let environment = Environment::new([variable]);
    let (registries, _) = Registries::load(&environment, Some(folder.path())).expect("a config");
    let pauses = Arc::clone(pauses);
    let policy = Policy {
        tries_max: 3,
        back_off: Duration::from_millis(100),
        sleep: Arc::new(move |pause| pauses.lock().expect("no panic").push(pause)),
        connect_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_millis(700),
    };
    Engine::open(root, registries.with_policy(policy)).expect("a store")
}

/// The most memory that this process had since the last time; `None` where nobody tells.
fn peak_size_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// One case. An error says what did not hold.
pub(crate) fn tried(case: &Case) -> Result<(), String> {
    let stage = Stage::new();
    if case.verb == Verb::Push {
        stage.take_from_elsewhere().map_err(|error| stage.told(&error))?;
    }
    (case.poison)(&stage);
    stage.registry.take_log();
    // Where it cannot be reset, the peak of all cases so far counts, which is as good.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let (before, names, began) = (peak_size_bytes(), stage.names(), Instant::now());
    let outcome = stage.act(case.verb);
    let took = began.elapsed();
    if took > TIME_MAX {
        return Err(format!("it took {took:?}"));
    }
    if let (Some(before), Some(after)) = (before, peak_size_bytes())
        && after.saturating_sub(before) > PEAK_GROWTH_SIZE_BYTES_MAX
    {
        return Err(format!("the peak grew by {} bytes", after - before));
    }
    match (&case.end, outcome) {
        (End::Done, Ok(())) => {}
        (End::Done, Err(error)) => return Err(stage.told(&error)),
        (End::Refused(..), Ok(())) => return Err("it was not refused".to_owned()),
        (End::Refused(kinds, words), Err(error)) => {
            let told = stage.told(&error);
            if !kinds.contains(&error.kind()) || !told.contains(words.as_str()) {
                return Err(format!("{:?}: {told}", error.kind()));
            }
            if told.chars().any(char::is_control) {
                return Err(format!("it would drive a terminal: {told:?}"));
            }
            if stage.names() != names {
                return Err("names are others".to_owned());
            }
        }
    }
    stage.is_unharmed()?;
    stage.registry.heal();
    stage.registry.push("app:1", stage.built.clone());
    let again = if case.verb == Verb::Push { Verb::Push } else { Verb::Pull };
    stage.act(again).map_err(|error| format!("and then: {}", stage.told(&error)))?;
    stage.is_unharmed()
}

/// The fault that these requests meet, each time.
pub(crate) fn always(on: On, fault: Fault) -> Poison {
    Box::new(move |stage| stage.registry.fail_always(on.clone(), fault.clone()))
}
