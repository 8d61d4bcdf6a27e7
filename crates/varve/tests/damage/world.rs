//! A store with images that were pulled, built and committed, containers, volumes, networks and a
//! build cache; and a registry that has what was pulled.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use tempfile::TempDir;
use varve_engine::{Engine, Registries, Save, StoreOptions, check::How};
use varve_testkit::{Fault, Image, On, Registry};
use varve_types::Ctx;

use crate::harm::{Harm, Outcome, must_be_found};

/// Images that somebody else has too: nothing of them may be lost.
const ELSEWHERE: [&str; 2] = ["pulled:1", "other:1"];
/// Images that were made here. What a registry has not and nothing tells is lost with them.
const MADE: [&str; 3] = ["made:1", "committed:1", "imported:1"];

pub(crate) struct World {
    directory: TempDir,
    registry: Registry,
    /// What a save of each image is, and its ID.
    saved: Vec<(&'static str, Vec<u8>, String)>,
    copies: AtomicUsize,
}

impl World {
    pub(crate) fn new() -> Self {
        let registry = Registry::start();
        registry.push("pulled:1", Image::seeded(1).layers(2).layer_size_bytes(9_000).gzip());
        registry.push("other:1", Image::seeded(2).layers(2).layer_size_bytes(5_000).zstd());
        let directory = TempDir::new().expect("a directory");
        let (copies, saved) = (AtomicUsize::new(0), Vec::new());
        let mut world = Self { directory, registry, saved, copies };
        for name in ELSEWHERE {
            let reference = world.registry.reference(name).to_string();
            world.ok(&["pull", &reference]);
            world.ok(&["tag", &reference, name]);
        }
        world.make();
        world.saved = ELSEWHERE
            .iter()
            .chain(&MADE)
            .map(|name| {
                let saved = saved_image(&world.engine("store"), name).expect("an image");
                (*name, saved, world.ok(&["image", "inspect", "-f", "{{.Id}}", name]))
            })
            .collect();
        let check = world.run(&["system", "check"]);
        assert!(check.status.success(), "{check:?}");
        world
    }

    /// What is made here.
    fn make(&self) {
        let context = self.path("context");
        fs::create_dir(&context).expect("a directory");
        fs::write(context.join("Dockerfile"), "FROM pulled:1\nCOPY a /a\nCOPY b /b\nCMD [\"x\"]\n")
            .expect("a file");
        fs::write(context.join("a"), vec![7; 3_000]).expect("a file");
        fs::write(context.join("b"), "text\n").expect("a file");
        self.ok(&["build", "-q", "-t", "made:1", &context.display().to_string()]);
        let pushed = self.registry.reference("made:1").to_string();
        self.ok(&["tag", "made:1", &pushed]);
        self.ok(&["push", "-q", &pushed]);
        self.ok(&["rmi", &pushed]);
        let tar = self.path("plain.tar");
        let mut pack = Command::new("tar");
        pack.arg("-cf").arg(&tar).arg("-C").arg(&context).arg("a");
        assert!(pack.status().expect("tar starts").success());
        self.ok(&["import", &tar.display().to_string(), "imported:1"]);
        self.ok(&["volume", "create", "data"]);
        self.ok(&["network", "create", "net"]);
        self.ok(&["create", "--name", "box", "-v", "data:/data", "other:1", "x"]);
        // Without privileges nothing can be mounted; then it is another import.
        if !self.run(&["commit", "box", "committed:1"]).status.success() {
            self.ok(&["import", &tar.display().to_string(), "committed:1"]);
        }
        // What is swept belongs to nobody.
        self.ok(&["image", "prune", "-f"]);
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    /// Every file of the store, by its path there.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let root = self.path("store");
        let mut pending = vec![root.clone()];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    pending.push(path);
                } else {
                    let inside = path.strip_prefix(&root).expect("a path in the store");
                    files.push(inside.display().to_string());
                }
            }
        }
        files.sort();
        files
    }

    pub(crate) fn run(&self, line: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_varve"))
            .args(line)
            .env_clear()
            .env("HOME", self.directory.path())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("VARVE_ROOT", self.path("store"))
            .env("VARVE_RUN", self.path("run"))
            .stdin(Stdio::null())
            .output()
            .expect("varve ends")
    }

    #[track_caller]
    pub(crate) fn ok(&self, line: &[&str]) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "varve {}: {output:?}", line.join(" "));
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }

    /// The path of an image's config in the store.
    pub(crate) fn config_of(&self, image: &str) -> String {
        let id = self.ok(&["image", "inspect", "-f", "{{.Id}}", image]);
        id.replace("sha256:", "blobs/sha256/")
    }

    pub(crate) fn hang_up(&self) {
        self.registry.fail_always(On::Any, Fault::status(403));
    }

    pub(crate) fn answer_again(&self) {
        self.registry.heal();
    }

    fn engine(&self, store: &str) -> Engine {
        let options = StoreOptions { run: Some(self.path("run")), ..StoreOptions::default() };
        Engine::open_with(&self.path(store), options, Registries::default()).expect("a store")
    }

    /// One case, on a copy of the store. An error says what did not hold.
    pub(crate) fn tried(&self, file: &str, harm: Harm, place: u64) -> Result<(), String> {
        let name = format!("copy-{}", self.copies.fetch_add(1, Ordering::Relaxed));
        let root = self.path(&name);
        let copied = Command::new("cp").arg("-a").arg(self.path("store")).arg(&root).status();
        assert!(copied.expect("cp starts").success());
        // A copy's table is another file: it is written once, as in a store that lives.
        let ctx = Ctx::for_test();
        self.engine(&name).tag(&ctx, "pulled:1", "again:1").expect("a name");
        let outcome = harm.happen(&root.join(file), place);
        let judged = match outcome {
            Outcome::Nothing => Ok(()),
            _ => self.judged(&name, file, harm),
        };
        fs::remove_dir_all(&root).expect("a directory");
        judged
    }

    fn judged(&self, name: &str, file: &str, harm: Harm) -> Result<(), String> {
        let options = StoreOptions { run: Some(self.path("run")), ..StoreOptions::default() };
        let root = self.path(name);
        if file == "varve/format" && harm != Harm::Removed {
            // A number that is not known is that of a newer varve: nothing is touched.
            varve_engine::check::restore_format(&root).map_err(|error| error.to_string())?;
        }
        let engine = match Engine::open_with(&root, options, Registries::default()) {
            Ok(engine) => engine,
            Err(error) if file == "varve/format" => {
                let is_named = error.to_string().contains("format");
                return if is_named { Ok(()) } else { Err(error.to_string()) };
            }
            Err(error) => return Err(format!("the store cannot be opened: {error}")),
        };
        self.hands_out_nothing_wrong(&engine, "before it is mended")?;
        let findings = engine.check().map_err(|error| format!("check: {error}"))?;
        let is_about = |path: &Path| {
            let harmed = Path::new(file);
            harmed.starts_with(path)
                || path.starts_with(harmed)
                || harm == Harm::Joined && harmed.with_file_name("stranger") == path
        };
        let found = findings.iter().any(|finding| is_about(&finding.path));
        if must_be_found(file, harm) && !found {
            return Err(format!("it was not found; found was {findings:?}"));
        }
        self.is_mended(&engine, file, harm)
    }

    fn hands_out_nothing_wrong(&self, engine: &Engine, when: &str) -> Result<(), String> {
        for (image, expected, _) in &self.saved {
            match saved_image(engine, image) {
                Some(saved) if saved != *expected => {
                    return Err(format!("{image} is another {when}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn is_mended(&self, engine: &Engine, file: &str, harm: Harm) -> Result<(), String> {
        let ctx = Ctx::for_test();
        let repair = engine.repair(&ctx).map_err(|error| format!("repair: {error}"))?;
        if !repair.left.is_empty() {
            return Err(format!("left: {:?}", repair.left));
        }
        let given_up: Vec<&String> = repair
            .done
            .iter()
            .filter_map(|done| match &done.how {
                How::GivenUp(names) => Some(names),
                _ => None,
            })
            .flatten()
            .collect();
        let left = engine.check().map_err(|error| format!("check: {error}"))?;
        if !left.is_empty() {
            return Err(format!("found after the repair: {left:?}"));
        }
        self.hands_out_nothing_wrong(engine, "after it was mended")?;
        for (image, _, id) in &self.saved {
            // A table that is gone takes names with it, and no image.
            let is_table_lost = file == "index.json" && harm != Harm::Flipped;
            let is_here = saved_image(engine, image).is_some()
                || is_table_lost && saved_image(engine, id).is_some();
            let may_be_lost = MADE.contains(image) && given_up.iter().any(|name| name == image);
            if !is_here && !may_be_lost {
                return Err(format!("{image} is lost; done was {:?}", repair.done));
            }
        }
        Ok(())
    }
}

/// What a save of an image is; `None` when it fails.
fn saved_image(engine: &Engine, image: &str) -> Option<Vec<u8>> {
    let images = [image.to_owned()];
    let saving = engine.prepare_save(&Save { images: &images, platform: None }).ok()?;
    let mut saved = Vec::new();
    engine.save(&saving, &mut saved).ok()?;
    Some(saved)
}

/// Changes a file's bytes where they are, and not its times.
pub(crate) fn overwrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let facts = fs::metadata(path).expect("a file");
    let mut bytes = fs::read(path).expect("a file");
    change(&mut bytes);
    let mode = facts.permissions();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a file of our own");
    let writable = fs::OpenOptions::new().write(true).truncate(true).open(path);
    let mut file = writable.expect("a file of our own");
    fs::set_permissions(path, mode).expect("a file of our own");
    std::io::Write::write_all(&mut file, &bytes).expect("a file");
    let times = fs::FileTimes::new().set_modified(facts.modified().expect("a time"));
    file.set_times(times).expect("a file");
}
