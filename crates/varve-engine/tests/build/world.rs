//! A small root with busybox, a store, and what came of a `RUN` over it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, atomic::AtomicBool},
};

use tempfile::TempDir;
use varve_build::{
    Dockerfile, Lint, Options, Planner, Source,
    instruction::RunNetwork,
    plan::{Op, RunStep},
    solve::{
        BoundFiles, BuildEvent, BuildLayer, LayerOrigin, LayerTimes, MadeLayer, RunRequest, StepId,
        Stream, Timestamps, Watch,
    },
};
use varve_engine::{
    Engine, Registries, StoreOptions,
    build::{
        BuildSecret, SshAgent,
        run::{Programs, Settings},
    },
};
use varve_fs::tar::{Event, NewEntry, Parser, Time, Writer};
use varve_runtime::spec::BuildLimits;
use varve_store::Lease;
use varve_testkit::guard;
use varve_types::Platform;

/// The one time of the builds here: a day in 2020.
pub(crate) const EPOCH: i64 = 1_577_836_800;

/// A store with a layer that programs can run over.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) lease: Lease,
    pub(crate) base: BuildLayer,
    pub(crate) secrets: Vec<BuildSecret>,
    pub(crate) ssh: Vec<SshAgent>,
    pub(crate) interrupted: AtomicBool,
    pub(crate) allow_insecure: bool,
    pub(crate) limits: BuildLimits,
    pub(crate) how: Timestamps,
    pub(crate) directory: TempDir,
}

/// What came of a program.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) layer: Result<MadeLayer, String>,
    pub(crate) output: String,
    pub(crate) error: String,
    pub(crate) warnings: Vec<String>,
}

impl Outcome {
    #[track_caller]
    pub(crate) fn made(&self) -> BuildLayer {
        match &self.layer {
            Ok(made) => {
                BuildLayer { diff_id: made.diff_id, times: None, origin: LayerOrigin::Program }
            }
            Err(error) => panic!("{error}: {self:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn failed(&self) -> &str {
        self.layer.as_ref().expect_err("the program failed")
    }
}

#[derive(Default)]
struct Heard(Mutex<(Vec<u8>, Vec<u8>, Vec<String>)>);

impl Watch for Heard {
    fn event(&self, event: &BuildEvent<'_>) {
        let mut heard = self.0.lock().unwrap();
        match event {
            BuildEvent::Log { stream: Stream::Output, bytes, .. } => heard.0.extend(*bytes),
            BuildEvent::Log { stream: Stream::Error, bytes, .. } => heard.1.extend(*bytes),
            BuildEvent::Warning { text, .. } => heard.2.push((*text).to_owned()),
            _ => {}
        }
    }
}

/// Makes layers of tars.
pub(crate) fn layer(engine: &Engine, lease: &Lease, tar: &[u8]) -> BuildLayer {
    let written = engine
        .store()
        .write_layer(lease, |out| out.write_all(tar).map_err(varve_store::Error::Source));
    BuildLayer {
        diff_id: written.unwrap().0.record.summary.diff_id,
        times: None,
        origin: LayerOrigin::Program,
    }
}

/// A tar of files; a name that ends with a slash is a directory's.
pub(crate) fn tar(files: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    let mtime = Time { seconds: EPOCH - 1000, nanoseconds: 0 };
    for (name, content, mode) in files {
        let entry = match name.strip_suffix('/') {
            Some(name) => NewEntry::directory(name.as_bytes()),
            None => NewEntry::file(name.as_bytes(), content.len() as u64),
        };
        writer.append_bytes(&NewEntry { mode: *mode, mtime, ..entry }, content).unwrap();
    }
    writer.finish().unwrap()
}

fn root_tar(busybox: &Path) -> Vec<u8> {
    const APPLETS: &str = "sh true false cat echo env grep hostname id kill ln ls mkdir mount pwd \
        rm sleep stat touch readlink dd head ps wc tail ip mknod chmod find sort rmdir setsid nc mv \
        ulimit df date printf cp seq timeout";
    let program = fs::read(busybox).unwrap();
    let mut writer = Writer::new(Vec::new());
    let mtime = Time { seconds: EPOCH - 1000, nanoseconds: 0 };
    let mut add = |entry: NewEntry<'_>, mode, content: &[u8]| {
        writer.append_bytes(&NewEntry { mode, mtime, ..entry }, content).unwrap();
    };
    for name in ["bin", "etc", "home", "home/user", "tmp"] {
        let mode = if name == "tmp" { 0o1777 } else { 0o755 };
        add(NewEntry::directory(name.as_bytes()), mode, b"");
    }
    add(NewEntry::file(b"bin/busybox", program.len() as u64), 0o755, &program);
    for applet in APPLETS.split_whitespace() {
        add(NewEntry::symlink(format!("bin/{applet}").as_bytes(), b"busybox"), 0o777, b"");
    }
    let users = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n";
    add(NewEntry::file(b"etc/passwd", users.len() as u64), 0o644, users.as_bytes());
    let groups = "root:x:0:\nuser:x:1000:\nothers:x:2000:user\n";
    add(NewEntry::file(b"etc/group", groups.len() as u64), 0o644, groups.as_bytes());
    writer.finish().unwrap()
}

/// The last `RUN` of a Dockerfile.
pub(crate) fn step(text: &str) -> RunStep {
    step_with(text, |_| {})
}

pub(crate) fn step_with(text: &str, change: impl FnOnce(&mut Options)) -> RunStep {
    let mut lint = Lint::new();
    let mut options = Options::new(Platform::host());
    options.network = RunNetwork::None;
    change(&mut options);
    let file = Dockerfile::parse(Source::new("Dockerfile", text), &mut lint).unwrap();
    let plan = Planner::new(&file, &options, &mut lint).unwrap().finish().unwrap();
    let steps = plan.vertices.into_iter().filter_map(|vertex| match vertex.op {
        Op::Run(step) => Some(step),
        _ => None,
    });
    steps.last().unwrap()
}

/// A shell line over an empty image's settings.
pub(crate) fn shell(line: &str) -> RunStep {
    step(&format!("FROM scratch\nRUN {line}\n"))
}

/// The engine of a world, by the world's directory.
pub(crate) fn engine(directory: &Path) -> Engine {
    let run = Some(directory.join("run"));
    let options = StoreOptions { run, ..StoreOptions::default() };
    let root = directory.join("store");
    let role = env!("CARGO_BIN_EXE_varve-engine-role");
    let engine = Engine::open_with(&root, options, Registries::default()).unwrap();
    engine.with_runtime_program(role)
}

impl World {
    /// `None` when the machine lacks what it takes.
    #[track_caller]
    pub(crate) fn new() -> Option<Self> {
        if !guard::root() {
            return None;
        }
        let busybox = guard::tool("busybox")?;
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let engine = engine(directory.path());
        let lease = engine.store().lease().unwrap();
        let base = layer(&engine, &lease, &root_tar(&busybox));
        Some(Self {
            engine,
            lease,
            base,
            secrets: Vec::new(),
            ssh: Vec::new(),
            interrupted: AtomicBool::new(false),
            allow_insecure: false,
            limits: BuildLimits::default(),
            how: Timestamps::Epoch,
            directory,
        })
    }

    /// Runs over the base.
    pub(crate) fn run(&self, step: &RunStep) -> Outcome {
        self.run_over(step, std::slice::from_ref(&self.base), &[])
    }

    pub(crate) fn run_over(
        &self,
        step: &RunStep,
        root: &[BuildLayer],
        bound: &[Option<BoundFiles>],
    ) -> Outcome {
        let heard = Heard::default();
        let settings = Settings {
            interrupted: &self.interrupted,
            secrets: &self.secrets,
            ssh: &self.ssh,
            allow_insecure: self.allow_insecure,
            allow_host_network: true,
            limits: self.limits.clone(),
            cgroup_parent: "",
            log_bytes_max: None,
            now: jiff::Timestamp::UNIX_EPOCH,
        };
        let none = vec![None; step.mounts.len()];
        let times = LayerTimes { how: self.how, epoch: Time { seconds: EPOCH, nanoseconds: 0 } };
        let request = RunRequest {
            step,
            root,
            bound: if bound.is_empty() { &none } else { bound },
            times,
            lease: &self.lease,
            id: StepId(1),
            canceled: &AtomicBool::new(false),
        };
        let layer = Programs::new(&self.engine, &heard, settings).run(&request);
        let (output, error, warnings) = heard.0.into_inner().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Outcome {
            layer: layer.map_err(|fault| fault.to_string()),
            output: text(output),
            error: text(error),
            warnings,
        }
    }

    /// What a layer's tar has, in order: name, kind's letter, mode, owner, time; `!` behind a time
    /// that is not the real one.
    pub(crate) fn entries(&self, outcome: &Outcome) -> Vec<String> {
        let made = outcome.layer.as_ref().unwrap();
        let tar = self.tar(&outcome.made());
        let (mut entries, mut parser, mut rest) = (Vec::new(), Parser::new(), &tar[..]);
        while let Some(event) = parser.next(&mut rest).unwrap() {
            let Event::Entry(entry) = event else { continue };
            let path = String::from_utf8(entry.path.clone()).unwrap();
            let kind = format!("{:?}", entry.kind);
            let real = if made.real_times.contains_key(&entry.path) { "!" } else { "" };
            let after = entry.mtime.seconds - EPOCH;
            let owner = (entry.uid, entry.gid);
            let owner = if owner == (0, 0) { String::new() } else { format!(" {owner:?}") };
            entries.push(format!("{path} {kind} {:o}{owner} {after}{real}", entry.mode));
        }
        entries
    }

    pub(crate) fn tar(&self, layer: &BuildLayer) -> Vec<u8> {
        let hex = layer.diff_id.0.hex();
        let layers = self.directory.path().join("store/varve/layers");
        fs::read(layers.join(hex).join("layer.tar")).unwrap()
    }

    /// Nothing is left of any program.
    #[track_caller]
    pub(crate) fn check(&self) {
        let below = self.directory.path();
        let listed = |path: &str| -> Vec<PathBuf> {
            let entries = fs::read_dir(below.join(path)).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect()
        };
        let stores: Vec<PathBuf> = listed("run").into_iter().filter(|path| path.is_dir()).collect();
        for store in &stores {
            for name in ["steps", "runtime", "processes", "users"] {
                let left: Vec<_> = fs::read_dir(store.join(name))
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|entry| entry.path())
                    .collect();
                assert_eq!(left, [] as [PathBuf; 0]);
            }
        }
        assert_eq!(listed("store/varve/steps"), [] as [PathBuf; 0]);
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let ours = below.to_str().unwrap();
        let left: Vec<_> = mounts
            .lines()
            .filter(|line| line.contains(ours) && line.contains(" - overlay "))
            .collect();
        assert_eq!(left, [] as [&str; 0]);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The run directory is a mount of its own.
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let below = self.directory.path().to_str().unwrap_or_default().to_owned();
        let places = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        for place in places.filter(|place| place.starts_with(&below)) {
            let flags = rustix::mount::UnmountFlags::DETACH;
            let _ = rustix::mount::unmount(place, flags);
        }
    }
}
