//! A store, a context and the Dockerfiles built from it.

use std::{
    collections::HashMap,
    fs,
    io::Cursor,
    path::{Path, PathBuf},
    sync::{Mutex, atomic::AtomicBool},
};

use jiff::Timestamp;
use varve_build::{
    Options,
    solve::{BuildEvent, StepId, Watch},
};
use varve_engine::{
    Engine, Import, ImportSource, Registries, StoreOptions,
    build::{
        BuildError, BuildOutput, BuildRequest, BuildTimes, Built, CacheExport, CacheImport,
        ContextSource, DockerfileSource,
    },
};
use varve_fs::tar;
use varve_types::{Clock, Ctx, Digest, Environment, ImageConfig, Platform, Reference, Silent};

/// A store with a context beside it.
pub(crate) struct Bench {
    pub(crate) root: tempfile::TempDir,
    pub(crate) engine: Engine,
    context: PathBuf,
    /// Seconds since 1970.
    pub(crate) now: i64,
}

struct At(i64);

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0).unwrap()
    }
}

/// What was told of a build, as plain progress would show it.
#[derive(Default)]
pub(crate) struct Told {
    lines: Mutex<(HashMap<StepId, String>, Vec<String>)>,
}

impl Told {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().1.clone()
    }

    /// What became of a step.
    #[track_caller]
    pub(crate) fn of(&self, step: &str) -> String {
        let lines = self.lines();
        let found = lines.iter().filter(|line| line.starts_with(step)).max_by_key(|line| {
            ["DONE", "CACHED", "ERROR", "CANCELED"].iter().any(|end| line.contains(end))
        });
        let found = found.unwrap_or_else(|| panic!("{step} in {lines:#?}"));
        found[step.len()..].trim().to_owned()
    }
}

impl Watch for Told {
    fn event(&self, event: &BuildEvent<'_>) {
        let mut told = self.lines.lock().unwrap();
        let (names, lines) = &mut *told;
        let mut say = |id: &StepId, text: &str| lines.push(format!("{} {text}", names[id]));
        match event {
            BuildEvent::Started(step) => {
                names.insert(step.id, step.name.clone());
            }
            BuildEvent::Status { id, name, done: true, .. } => say(id, name),
            BuildEvent::Done { id, cached: true } => say(id, "CACHED"),
            BuildEvent::Done { id, cached: false } => say(id, "DONE"),
            BuildEvent::Failed { id, text } => say(id, &format!("ERROR: {text}")),
            BuildEvent::Canceled { id } => say(id, "CANCELED"),
            BuildEvent::Warning { id, text } => say(id, &format!("WARN: {text}")),
            BuildEvent::Status { .. } | BuildEvent::Log { .. } => {}
        }
    }
}

/// What a test asks for.
pub(crate) struct Ask {
    pub(crate) options: Options,
    pub(crate) tags: Vec<&'static str>,
    pub(crate) times: BuildTimes,
    pub(crate) epoch: Option<i64>,
    pub(crate) platforms: Vec<&'static str>,
    pub(crate) interrupted: bool,
    pub(crate) cache_from: Vec<CacheImport>,
    pub(crate) cache_to: Vec<CacheExport>,
    /// `PATH` of the caller.
    pub(crate) path: Option<&'static str>,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            options: Options::new(Platform::host()),
            tags: vec!["app"],
            times: BuildTimes::Epoch,
            epoch: None,
            platforms: Vec::new(),
            interrupted: false,
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            path: None,
        }
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let options =
            StoreOptions { run: Some(root.path().join("run")), ..StoreOptions::default() };
        let engine =
            Engine::open_with(&root.path().join("store"), options, Registries::default()).unwrap();
        Self::with_engine(root, engine)
    }

    pub(crate) fn with_engine(root: tempfile::TempDir, engine: Engine) -> Self {
        let context = root.path().join("context");
        fs::create_dir(&context).unwrap();
        Self { root, engine, context, now: 1_800_000_000 }
    }

    pub(crate) fn context(&self) -> &Path {
        &self.context
    }

    /// Writes a file of the context. Its time is long past, so that its digest is remembered.
    pub(crate) fn file(&self, path: &str, text: &str) {
        let path = self.context().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        set_time(&path, 1_000_000_000);
    }

    /// A base image with a directory of its own, made at 1,700,000,000.
    pub(crate) fn base(&self, name: &str, changes: &[&str]) {
        let mut writer = tar::Writer::new(Vec::new());
        for (path, text) in
            [("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:7:8::/:/bin/sh\n"), ("base", name)]
        {
            let entry = tar::NewEntry::file(path.as_bytes(), text.len() as u64);
            writer.append(&entry, &mut text.as_bytes()).unwrap();
        }
        let mut tar = Cursor::new(writer.finish().unwrap());
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        let reference: Reference = name.parse().unwrap();
        let import = Import {
            source: ImportSource::Stream(&mut tar),
            reference: Some(&reference),
            changes: &changes,
            message: None,
            platform: None,
        };
        Self::with(1_700_000_000, |ctx| self.engine.import(ctx, import)).unwrap();
    }

    fn with<T>(seconds: i64, use_it: impl FnOnce(&Ctx<'_>) -> T) -> T {
        let environment = Environment::default();
        use_it(&Ctx { progress: &Silent, clock: &At(seconds), environment: &environment })
    }

    pub(crate) fn ask(&self, dockerfile: &str, ask: Ask) -> (Result<Built, BuildError>, Told) {
        self.file("Dockerfile", dockerfile);
        let names = ask.tags.iter().map(|tag| tag.parse().unwrap()).collect();
        let output = BuildOutput::Image { names, push: false };
        self.ask_for(ContextSource::Directory(self.context()), ask, output)
    }

    /// Builds the context's Dockerfile into this output.
    pub(crate) fn ask_for<'a>(
        &self,
        context: ContextSource<'a>,
        ask: Ask,
        output: BuildOutput<'a>,
    ) -> (Result<Built, BuildError>, Told) {
        let told = Told::default();
        static GOES_ON: AtomicBool = AtomicBool::new(false);
        static IS_GIVEN_UP: AtomicBool = AtomicBool::new(true);
        let request = BuildRequest {
            context,
            dockerfile: DockerfileSource::Context("Dockerfile"),
            options: ask.options,
            platforms: ask.platforms.iter().map(|text| text.parse().unwrap()).collect(),
            pull: false,
            times: ask.times,
            source_date_epoch: ask.epoch,
            secrets: Vec::new(),
            ssh: Vec::new(),
            allow_insecure: false,
            allow_host_network: false,
            limits: varve_engine::build::BuildLimits::default(),
            cgroup_parent: String::new(),
            cache_from: ask.cache_from,
            cache_to: ask.cache_to,
            outputs: vec![output],
            annotations: Vec::new(),
            interrupted: if ask.interrupted { &IS_GIVEN_UP } else { &GOES_ON },
        };
        let path = ask.path.map(|path| ("PATH".to_owned(), path.to_owned()));
        let environment = Environment::new(path);
        let ctx = Ctx { progress: &Silent, clock: &At(self.now), environment: &environment };
        let built = self.engine.build(&ctx, request, &told);
        (built, told)
    }

    /// Builds what must succeed; returns the manifest's digest and what was told.
    #[track_caller]
    pub(crate) fn build(&self, dockerfile: &str) -> (Digest, Told) {
        self.build_with(dockerfile, Ask::default())
    }

    #[track_caller]
    pub(crate) fn build_with(&self, dockerfile: &str, ask: Ask) -> (Digest, Told) {
        let (built, told) = self.ask(dockerfile, ask);
        match built {
            Ok(built) => (built.image.unwrap().manifest, told),
            Err(error) => panic!("{error}: {:#?}", told.lines()),
        }
    }

    #[track_caller]
    pub(crate) fn refuse(&self, dockerfile: &str) -> (String, Told) {
        let (built, told) = self.ask(dockerfile, Ask::default());
        let error = built.map(|_| ()).unwrap_err();
        let excerpt = error.excerpt.as_ref().map(ToString::to_string).unwrap_or_default();
        (format!("{excerpt}{error}"), told)
    }

    pub(crate) fn config(&self, name: &str) -> ImageConfig {
        let row = self.row(name);
        self.engine.store().config(&row.image).unwrap().into_parts().1
    }

    #[track_caller]
    pub(crate) fn row(&self, name: &str) -> varve_store::Row {
        let names = self.engine.store().names().unwrap();
        let reference: Reference = name.parse().unwrap();
        names.get(&reference.or_latest()).cloned().unwrap_or_else(|| panic!("no {name}"))
    }

    /// The files of an image as `path mode uid:gid time text`, those of the base left out.
    pub(crate) fn files(&self, name: &str) -> Vec<String> {
        let exporting = self.engine.prepare_export(name, None).unwrap();
        let mut bytes = Vec::new();
        self.engine.export(&exporting, &mut bytes).unwrap();
        listed(&bytes)
    }
}

/// What is in a tar, as `path mode uid:gid time text`.
pub(crate) fn listed(bytes: &[u8]) -> Vec<String> {
    let mut reader = tar::Reader::new(bytes);
    let mut files = Vec::new();
    while let Some(mut entry) = reader.next().unwrap() {
        let it = entry.entry();
        let path = String::from_utf8(it.path.clone()).unwrap();
        let facts = format!("{path} {:o} {}:{} {}", it.mode, it.uid, it.gid, it.mtime.seconds);
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap_or_else(|_| "no text".to_owned());
        files.push(format!("{facts} {text}").trim_end().to_owned());
    }
    files
}

pub(crate) fn set_time(path: &Path, seconds: u64) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}
