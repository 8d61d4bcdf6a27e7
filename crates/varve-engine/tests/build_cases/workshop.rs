//! A store with one backend, where cases are built.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use jiff::Timestamp;
use serde_json::{Map, Value};
use varve_build::{
    Options,
    instruction::RunNetwork,
    plan::{BuildContext, NoCache},
};
use varve_engine::{
    Engine, Registries, StoreOptions,
    build::{
        BuildError, BuildOutput, BuildRequest, BuildSecret, BuildTimes, Built, ContextSource,
        DockerfileSource, SecretValue,
    },
};
use varve_fs::{
    backend::BackendKind,
    tar::{NewEntry, Writer},
};
use varve_testkit::guard;
use varve_types::{Clock, Ctx, DiffId, Digest, Environment, Platform, Silent};

use crate::{case::Case, compare, shown::Told, tree};

/// What the base image's programs are called.
const APPLETS: &str = "cat chmod chown cp date echo env find grep head hostname id ip ln ls mkdir \
                       mkfifo mount mv printf pwd readlink rm sed sh sleep sort stat tail test \
                       touch tr true wc";
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:7:8:app:/home/app:/bin/sh\n";
const GROUP: &str = "root:x:0:\napps:x:8:\nextra:x:9:app\n";
/// When the base image was made.
const BASE_SECONDS: i64 = 1_700_000_000;
/// The base image, called as the recorded one.
const BASE: &str = "busybox:1.36.0";

/// A store with one backend.
pub(crate) struct Workshop {
    backend: BackendKind,
    root: tempfile::TempDir,
    engine: Engine,
    base: Image,
}

/// What an image is.
struct Image {
    tree: BTreeMap<String, String>,
    latest_seconds: i64,
    document: Value,
}

struct At(i64);

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0).unwrap()
    }
}

/// What differs between the first and the second time that a case is built.
#[derive(Clone, Copy)]
struct Occasion {
    name: &'static str,
    file_seconds: i64,
    now: i64,
}

impl Workshop {
    /// `None` where the machine cannot have this backend.
    pub(crate) fn open(backend: BackendKind, busybox: &Path) -> Option<Self> {
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let run = Some(root.path().join("run"));
        let options = StoreOptions { run, backend: Some(backend), ..StoreOptions::default() };
        let engine =
            Engine::open_with(&root.path().join("store"), options, Registries::default()).unwrap();
        let lacks = match backend {
            BackendKind::ErofsLoop => "loop-devices".to_owned(),
            other => format!("storage backend {other}"),
        };
        if !guard::found(&lacks, engine.store().backend().is_ok()) {
            return None;
        }
        let engine = engine.with_runtime_program(env!("CARGO_BIN_EXE_varve-engine-role"));
        let base = Image { tree: BTreeMap::new(), latest_seconds: 0, document: Value::Null };
        let mut workshop = Self { backend, root, engine, base };
        let context = workshop.root.path().join("base");
        fs::create_dir(&context).unwrap();
        fs::write(context.join("bb.tar"), root_tar(&fs::read(busybox).unwrap())).unwrap();
        let dockerfile = b"FROM scratch\nADD bb.tar /\nCMD [\"sh\"]\n".to_vec();
        let mut options = options_of(std::iter::empty());
        options.build_args.insert("SOURCE_DATE_EPOCH".to_owned(), BASE_SECONDS.to_string());
        let asked = Asked { options, ..Asked::default() };
        let source = DockerfileSource::Bytes(dockerfile);
        workshop.build(&context, source, asked, BASE, 0).0.unwrap();
        workshop.base = workshop.image(BASE);
        Some(workshop)
    }

    /// Nothing is mounted any more, and the store is sound.
    pub(crate) fn close(self) {
        assert!(self.engine.mounted_images().unwrap().is_empty());
        let found = self.engine.check().unwrap();
        assert!(found.is_empty(), "{found:?}");
    }

    /// Builds a case twice, in directories with other names and times and at other times, and
    /// compares. Returns the image, when there is one.
    pub(crate) fn try_case(&self, case: &Case) -> Result<Option<Digest>, String> {
        let shift = self.backend as i64;
        let first =
            Occasion { name: "first", file_seconds: 1_000_000_000 + shift, now: 1_800_000_000 };
        let second =
            Occasion { name: "second", file_seconds: 1_100_000_000 + shift, now: 1_900_000_000 };
        let image = self.build_case(case, first)?;
        let again = self.build_case(case, second)?;
        if image != again {
            return Err(format!("built again the image is {again:?}, not {image:?}"));
        }
        Ok(image)
    }

    fn build_case(&self, case: &Case, occasion: Occasion) -> Result<Option<Digest>, String> {
        let place = self.root.path().join(case.name.replace('/', "-")).join(occasion.name);
        let context = place.join("context");
        write_context(case, &place, occasion.file_seconds);
        for (name, dockerfile) in case.named("image") {
            let source = DockerfileSource::Bytes(dockerfile.as_bytes().to_vec());
            let asked = Asked::default();
            let (built, _) = self.build(&context, source, asked, name, occasion.now);
            built.map_err(|error| format!("image {name}: {error}"))?;
        }
        let mut asked = Asked::of(case);
        for (name, _) in case.named("context").filter(|(name, _)| !name.is_empty()) {
            let directory = place.join("contexts").join(name);
            let context = BuildContext::parse(directory.to_str().unwrap()).unwrap();
            asked.options.contexts.insert(name.to_owned(), context);
        }
        let stdin = case.section("Dockerfile").unwrap_or_default().as_bytes().to_vec();
        let file = case.options().find(|(name, _)| *name == "file").map(|(_, value)| value);
        let is_stdin = case.options().any(|(name, _)| name == "stdin");
        let source = match file {
            _ if is_stdin => DockerfileSource::Bytes(stdin),
            file => DockerfileSource::Context(file.unwrap_or("Dockerfile")),
        };
        let tag = case.name.replace('/', "-");
        let (built, told) = self.build(&context, source, asked, &tag, occasion.now);
        let is_first = occasion.name == "first";
        self.judge(case, &tag, built, &told, is_first)
    }

    /// Compares what came of a build with what the case expects.
    fn judge(
        &self,
        case: &Case,
        tag: &str,
        built: Result<Built, BuildError>,
        told: &Told,
        is_first: bool,
    ) -> Result<Option<Digest>, String> {
        let split = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        if is_first && let Some(log) = case.section("log") {
            compare::lines("the log", &split(log), &told.log())?;
        }
        if is_first && let Some(steps) = case.section("steps") {
            compare::sets("the list of steps", &split(steps), &told.steps())?;
        }
        let (found, built) = match built {
            Ok(built) => (String::new(), Some(built)),
            Err(error) => {
                let excerpt = error.excerpt.as_ref().map(ToString::to_string).unwrap_or_default();
                (format!("{excerpt}{error}"), None)
            }
        };
        let expected = case.section("error").unwrap_or_default();
        compare::lines("the error", &split(expected.trim_end()), &split(&found))?;
        let Some(built) = built else { return Ok(None) };
        if let Some(warnings) = case.section("warnings") {
            let found: Vec<String> = built
                .warnings
                .iter()
                .map(|warning| format!("{:?} {}", warning.rule, warning.lines.first))
                .collect();
            compare::lines("the list of warnings", &split(warnings), &found)?;
        }
        let image = self.image(tag);
        self.judge_image(case, &image)?;
        Ok(Some(built.image.unwrap().manifest))
    }

    fn judge_image(&self, case: &Case, image: &Image) -> Result<(), String> {
        let split = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let is_based = layers(&image.document).first() == layers(&self.base.document).first();
        let nothing = Image {
            tree: BTreeMap::new(),
            latest_seconds: 0,
            document: serde_json::json!({"config": scratch_config(), "history": []}),
        };
        let base = if is_based { &self.base } else { &nothing };
        if let Some(tree) = case.section("tree") {
            compare::sets("the tree", &split(tree), &compare::added(&base.tree, &image.tree))?;
        }
        let times = case.options().find(|(name, _)| *name == "times");
        let created: Timestamp = image.document["created"].as_str().unwrap().parse().unwrap();
        if times.is_none() && image.latest_seconds > created.as_second() {
            return Err(format!("a file is of {}, later than {created}", image.latest_seconds));
        }
        if let Some(expected) = case.section("config") {
            let mut found = members(&image.document);
            for name in ["created", "architecture", "variant"] {
                if expected.lines().any(|line| line.starts_with(&format!("{name}: "))) {
                    found.insert(name.to_owned(), image.document[name].clone());
                }
            }
            let found = compare::members(&members(&base.document), &found);
            compare::lines("the config", &compare::expected_members(expected), &found)?;
        }
        if let Some(history) = case.section("history") {
            let entries = |image: &Image| image.document["history"].as_array().cloned();
            let skip = entries(base).unwrap_or_default().len();
            let entries = entries(image).unwrap_or_default();
            let found: Vec<String> = entries.iter().skip(skip).map(history_line).collect();
            compare::lines("the history", &split(history), &found)?;
        }
        Ok(())
    }

    fn image(&self, name: &str) -> Image {
        let id = self.engine.store().names().unwrap();
        let reference: varve_types::Reference = name.parse().unwrap();
        let id = id.get(&reference.or_latest()).unwrap().image;
        let config = self.engine.store().config(&id).unwrap();
        let document: Value = serde_json::from_slice(config.bytes()).unwrap();
        if layers(&document).is_empty() {
            return Image { tree: BTreeMap::new(), latest_seconds: i64::MIN, document };
        }
        let mounted = self.engine.mount_image(name, None).unwrap();
        let (tree, latest_seconds) = tree::read(&mounted.path);
        // By force: a program that another thread is starting has our open directories for a moment.
        self.engine.unmount_image(name, None, true).unwrap();
        Image { tree, latest_seconds, document }
    }

    fn build(
        &self,
        context: &Path,
        dockerfile: DockerfileSource<'_>,
        asked: Asked,
        name: &str,
        now: i64,
    ) -> (Result<Built, BuildError>, Told) {
        let told = Told::default();
        let goes_on = AtomicBool::new(false);
        let request = BuildRequest {
            context: ContextSource::Directory(context),
            dockerfile,
            options: asked.options,
            platforms: asked.platforms,
            pull: false,
            times: asked.times,
            source_date_epoch: asked.epoch,
            secrets: asked.secrets,
            ssh: Vec::new(),
            allow_insecure: false,
            allow_host_network: false,
            limits: varve_engine::build::BuildLimits::default(),
            cgroup_parent: String::new(),
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            outputs: vec![BuildOutput::Image { names: vec![name.parse().unwrap()], push: false }],
            annotations: Vec::new(),
            interrupted: &goes_on,
        };
        let environment = Environment::default();
        let ctx = Ctx { progress: &Silent, clock: &At(now), environment: &environment };
        (self.engine.build(&ctx, request, &told), told)
    }
}

/// What a case asks for.
struct Asked {
    options: Options,
    platforms: Vec<Platform>,
    times: BuildTimes,
    epoch: Option<i64>,
    secrets: Vec<BuildSecret>,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            options: options_of(std::iter::empty()),
            platforms: Vec::new(),
            times: BuildTimes::Epoch,
            epoch: None,
            secrets: Vec::new(),
        }
    }
}

impl Asked {
    fn of(case: &Case) -> Self {
        let mut asked = Self { options: options_of(case.options()), ..Self::default() };
        for (name, value) in case.options() {
            match name {
                "platform" => asked.platforms.push(value.parse().unwrap()),
                "epoch" => asked.epoch = Some(value.parse().unwrap()),
                "times" if value == "keep" => asked.times = BuildTimes::Keep,
                "secret" => {
                    let (id, value) = value.split_once('=').unwrap();
                    let value = SecretValue::Bytes(value.as_bytes().to_vec());
                    asked.secrets.push(BuildSecret { id: id.to_owned(), value });
                }
                _ => {}
            }
        }
        asked
    }
}

/// What options say that the planner wants. Programs have no network unless a case wants one.
fn options_of<'a>(given: impl Iterator<Item = (&'a str, &'a str)>) -> Options {
    let mut options = Options::new(Platform::host());
    options.network = RunNetwork::None;
    for (name, value) in given {
        let (key, text) = value.split_once('=').unwrap_or((value, ""));
        let (key, text) = (key.to_owned(), text.to_owned());
        match name {
            "build-arg" => drop(options.build_args.insert(key, text)),
            "label" => options.labels.push((key, text)),
            "target" => options.target = Some(value.to_owned()),
            "build-context" => {
                drop(options.contexts.insert(key, BuildContext::parse(&text).unwrap()));
            }
            "add-host" => options.extra_hosts.push((key, text)),
            "shm-size" => options.shm_size_bytes = Some(value.parse().unwrap()),
            "no-cache" => options.no_cache = NoCache::All,
            "file" | "stdin" | "platform" | "epoch" | "times" | "secret" => {}
            other => panic!("no option is called {other}"),
        }
    }
    options
}

fn write_context(case: &Case, place: &Path, seconds: i64) {
    let context = place.join("context");
    fs::create_dir_all(&context).unwrap();
    for (name, lines) in case.named("tar") {
        tree::write_tar(&context.join(name), lines);
    }
    for (name, text) in case.named("file") {
        let path = context.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let file = case.options().find(|(name, _)| *name == "file").map(|(_, value)| value);
    let is_stdin = case.options().any(|(name, _)| name == "stdin");
    if let Some(text) = case.section("Dockerfile").filter(|_| !is_stdin) {
        let path = context.join(file.unwrap_or("Dockerfile"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    for (name, lines) in case.named("context") {
        let directory: PathBuf = match name {
            "" => context.clone(),
            name => place.join("contexts").join(name),
        };
        fs::create_dir_all(&directory).unwrap();
        tree::write(&directory, lines, seconds);
    }
    tree::set_times(&context, seconds);
}

fn layers(document: &Value) -> Vec<DiffId> {
    let layers = document["rootfs"]["diff_ids"].as_array();
    layers.into_iter().flatten().map(|it| serde_json::from_value(it.clone()).unwrap()).collect()
}

/// Members of the config, and the author beside them.
fn members(document: &Value) -> Map<String, Value> {
    let mut members = document["config"].as_object().cloned().unwrap_or_default();
    if let Some(author) = document.get("author") {
        members.insert("author".to_owned(), author.clone());
    }
    members
}

fn history_line(entry: &Value) -> String {
    let has_layer = entry.get("empty_layer").is_none();
    let text = tree::escaped(entry["created_by"].as_str().unwrap());
    if has_layer { format!("+ {text}") } else { text }
}

/// What BuildKit gives an image that is based on nothing.
fn scratch_config() -> Value {
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    serde_json::json!({"Env": [path], "WorkingDir": "/"})
}

/// A root with busybox.
fn root_tar(program: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (name, mode) in [("bin", 0o755), ("etc", 0o755), ("home", 0o755), ("tmp", 0o1777)] {
        let entry = NewEntry { mode, ..NewEntry::directory(name.as_bytes()) };
        writer.append_bytes(&entry, b"").unwrap();
    }
    for (name, text) in [("etc/passwd", PASSWD), ("etc/group", GROUP)] {
        let entry = NewEntry::file(name.as_bytes(), text.len() as u64);
        writer.append_bytes(&NewEntry { mode: 0o644, ..entry }, text.as_bytes()).unwrap();
    }
    let entry = NewEntry::file(b"bin/busybox", program.len() as u64);
    writer.append_bytes(&NewEntry { mode: 0o755, ..entry }, program).unwrap();
    for applet in APPLETS.split_whitespace() {
        let entry = format!("bin/{applet}");
        writer.append_bytes(&NewEntry::symlink(entry.as_bytes(), b"busybox"), b"").unwrap();
    }
    writer.finish().unwrap()
}
