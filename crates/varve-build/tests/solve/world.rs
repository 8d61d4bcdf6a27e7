//! A world of which everything is known, and what it was asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Cursor, Read},
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use varve_build::{
    Dockerfile, Lint, Options, Plan, Planner, Source,
    plan::{GitStep, HttpStep, ImageStep, LocalStep, ResolvedImage},
    select::{EntryKind, Listing},
    solve::{
        BuildEvent, Fault, FileKind, FileStatus, Files, KeysOf, LayerTimes, MadeLayer, RunRequest,
        Solve, Solved, StepId, StepIds, Timestamps, Watch, World,
    },
};
use varve_fs::tar::{NewEntry, Time, Writer};
use varve_store::{Error, Lease, Store};
use varve_types::{Clock, DiffId, Digest, Kind, Platform};

/// A store, a context, and what programs print.
pub(crate) struct Bench {
    root: tempfile::TempDir,
    /// Files of the context.
    pub(crate) context: BTreeMap<&'static str, String>,
    /// What each program leaves in `/out`; its own words where nothing is said.
    pub(crate) leaves: BTreeMap<&'static str, &'static str>,
    /// A program that fails.
    pub(crate) fails: Option<&'static str>,
    /// Seconds since 1970.
    pub(crate) epoch: i64,
    /// Steps that are done without a look into the cache.
    pub(crate) anew: Option<&'static str>,
}

/// What came of a build.
pub(crate) struct Done {
    pub(crate) result: Result<Solved, String>,
    /// What the world was asked for, each once, sorted: `image NAME`, `names` and `bytes of PATH` of
    /// the context, `run WORDS`.
    pub(crate) asked: Vec<String>,
    /// Steps that were made, and those that were cached, as they are shown.
    pub(crate) made: BTreeSet<String>,
    pub(crate) cached: BTreeSet<String>,
}

impl Done {
    /// The layers of the result.
    #[track_caller]
    pub(crate) fn layers(&self) -> Vec<DiffId> {
        let solved = self.result.as_ref().unwrap();
        solved.layers.iter().map(|made| made.layer.diff_id).collect()
    }

    /// The parts of steps' names that begin with the instruction.
    pub(crate) fn made(&self) -> Vec<&str> {
        self.made.iter().filter_map(|name| Some(name.split_once("] ")?.1)).collect()
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            context: BTreeMap::from([("a", "1".to_owned()), ("b", "2".to_owned())]),
            leaves: BTreeMap::new(),
            fails: None,
            epoch: 1_700_000_000,
            anew: None,
        }
    }

    /// Solves the plan of a Dockerfile, with as many threads as builds have.
    pub(crate) fn solve(&self, text: &str) -> Done {
        let mut plan = plan(text);
        for vertex in &mut plan.vertices {
            vertex.ignore_cache |= self.anew.is_some_and(|end| vertex.name.ends_with(end));
        }
        let store = Store::open(&self.root.path().join("store")).unwrap();
        let lease = store.lease().unwrap();
        let asked = Arc::default();
        let world = Known { bench: self, store: &store, asked: &asked };
        let told = Told::default();
        let solve = Solve {
            plan: &plan,
            store: &store,
            lease: &lease,
            world: &world,
            watch: &told,
            clock: &At,
            times: LayerTimes {
                how: Timestamps::Epoch,
                epoch: Time { seconds: self.epoch, nanoseconds: 0 },
            },
            ids: &StepIds::default(),
            threads: 4,
            keys: KeysOf::default(),
        };
        let result = solve.run().map_err(|error| error.to_string());
        let asked = asked.lock().unwrap().iter().cloned().collect();
        let told = told.0.into_inner().unwrap();
        Done { result, asked, made: told.made, cached: told.cached }
    }
}

fn plan(text: &str) -> Plan {
    let mut lint = Lint::new();
    let file = Dockerfile::parse(Source::new("D", text), &mut lint).unwrap();
    let options = Options::new(Platform::new("linux", "amd64", ""));
    let mut planner = Planner::new(&file, &options, &mut lint).unwrap();
    loop {
        let needs = planner.needs().unwrap();
        if needs.is_empty() {
            return planner.finish().unwrap();
        }
        for need in needs {
            let id = Digest::of(need.reference.to_string().as_bytes());
            let json = format!(
                r#"{{"architecture":"amd64","os":"linux","config":{{}},
                "rootfs":{{"type":"layers","diff_ids":["{id}"]}},"history":[]}}"#
            );
            let config = serde_json::from_str(&json).unwrap();
            planner.supply(need.id, ResolvedImage { config, id, digest: None });
        }
    }
}

type Asked = Arc<Mutex<BTreeSet<String>>>;

struct Known<'a> {
    bench: &'a Bench,
    store: &'a Store,
    asked: &'a Asked,
}

impl Known<'_> {
    fn note(&self, what: String) {
        self.asked.lock().unwrap().insert(what);
    }

    fn layer(&self, lease: &Lease, name: &str, text: &str) -> DiffId {
        let mut writer = Writer::new(Vec::new());
        let entry = NewEntry::file(name.as_bytes(), text.len() as u64);
        writer.append_bytes(&entry, text.as_bytes()).unwrap();
        let tar = writer.finish().unwrap();
        let written = self.store.write_cache_layer(lease, |out| {
            out.write_all(&tar).unwrap();
            Ok::<_, Error>(())
        });
        written.unwrap().0.summary.diff_id
    }
}

impl World for Known<'_> {
    fn image(&self, step: &ImageStep, _: StepId, lease: &Lease) -> Result<Vec<DiffId>, Fault> {
        let name = step.reference.familiar().replace(":latest", "");
        self.note(format!("image {name}"));
        Ok(vec![self.layer(lease, "base", &name)])
    }

    fn is_here(&self, _: &ImageStep) -> bool {
        false
    }

    fn local(&self, _: &LocalStep) -> Result<Arc<dyn Files>, Fault> {
        self.note("names".to_owned());
        let files = self.bench.context.iter();
        let files: BTreeMap<String, String> =
            files.map(|(path, text)| ((*path).to_owned(), text.clone())).collect();
        let listing = files.keys().map(|path| (path.clone(), EntryKind::File)).collect();
        Ok(Arc::new(Texts { files, listing, asked: self.asked.clone() }))
    }

    fn git(&self, _: &GitStep, _: StepId) -> Result<Arc<dyn Files>, Fault> {
        Err(Fault::new(Kind::Unsupported, "git"))
    }

    fn http(&self, _: &HttpStep, _: StepId) -> Result<Arc<dyn Files>, Fault> {
        Err(Fault::new(Kind::Unsupported, "http"))
    }

    fn import(&self, _: &Digest, _: &Lease) -> Result<bool, Fault> {
        Ok(false)
    }

    fn run(&self, request: &RunRequest<'_>) -> Result<MadeLayer, Fault> {
        let words = request.step.arguments.last().unwrap().clone();
        self.note(format!("run {words}"));
        if self.bench.fails == Some(words.as_str()) {
            return Err(Fault::new(Kind::Invalid, "it failed"));
        }
        let text = self.bench.leaves.get(words.as_str()).copied().unwrap_or(&words);
        let diff_id = self.layer(request.lease, "out", text);
        Ok(MadeLayer { diff_id, real_times: BTreeMap::new() })
    }

    fn is_interrupted(&self) -> bool {
        false
    }
}

/// Files whose digests are remembered, as those of a context that did not change are.
struct Texts {
    files: BTreeMap<String, String>,
    listing: Listing,
    asked: Asked,
}

impl Files for Texts {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn status(&self, path: &str) -> Result<FileStatus, Fault> {
        let kind = match self.files.get(path) {
            Some(text) => FileKind::File(text.len() as u64),
            None => FileKind::Directory,
        };
        Ok(FileStatus { mode: 0o644, ..FileStatus::of(kind) })
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read + Send + '_>, Fault> {
        self.asked.lock().unwrap().insert(format!("bytes of {path}"));
        Ok(Box::new(Cursor::new(self.files[path].as_bytes())))
    }

    fn digest(&self, path: &str) -> Result<Digest, Fault> {
        Ok(Digest::of(self.files[path].as_bytes()))
    }
}

struct At;

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }
}

#[derive(Default)]
struct Told(Mutex<Steps>);

#[derive(Default)]
struct Steps {
    names: BTreeMap<StepId, String>,
    made: BTreeSet<String>,
    cached: BTreeSet<String>,
}

impl Watch for Told {
    fn event(&self, event: &BuildEvent<'_>) {
        let mut steps = self.0.lock().unwrap();
        match event {
            BuildEvent::Started(step) => {
                steps.names.insert(step.id, step.name.clone());
            }
            BuildEvent::Done { id, cached } => {
                let name = steps.names[id].clone();
                let place = if *cached { &mut steps.cached } else { &mut steps.made };
                place.insert(name);
            }
            _ => {}
        }
    }
}
