//! `cargo demo`: the whole way of a small image, without a network and without leaving anything.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::run::{cargo, succeeds, varve_binary, workspace};

const TEMPLATE: &str = "{{.Id}} {{json .RootFS.Layers}}";
const DOCKERFILE: &str = "FROM scratch
COPY etc /etc
COPY hello /hello
CMD [\"/hello\"]
";

/// Runs every step; what is not right is an error.
pub(crate) fn demo() -> Result<bool> {
    let demo = Demo::start()?;
    demo.run()?;
    println!("\nDone: every digest was the same at each end. Nothing of it is left behind.");
    Ok(true)
}

/// A directory of its own with a registry that runs in it; both go when this is dropped.
struct Demo {
    directory: PathBuf,
    varve: PathBuf,
    registry: Option<Child>,
    port: u16,
}

/// What must be the same wherever the image is.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    id: String,
    layers: Vec<String>,
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Some(registry) = &mut self.registry {
            let _ = registry.kill();
            let _ = registry.wait();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Demo {
    fn start() -> Result<Self> {
        say("Build varve");
        let built = cargo(&["build", "--quiet", "--package", "varve"]).status()?;
        ensure!(built.success(), "varve does not build");
        let directory = std::env::temp_dir().join(format!("varve-demo-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("root/etc"))
            .with_context(|| format!("cannot create {}", directory.display()))?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        Ok(Self { directory, varve: varve_binary()?, registry: None, port })
    }

    fn run(mut self) -> Result<()> {
        let name = format!("127.0.0.1:{}/demo/hello:1", self.port);
        let made = self.make()?;
        self.show()?;

        say("Serve a registry on loopback and push to it, twice");
        self.serve()?;
        self.varve(&["tag", "hello:demo", &name])?;
        let first = self.varve(&["push", &name])?;
        ensure!(first.contains("Pushed"), "the first push sent no layer");
        let second = self.varve(&["push", &name])?;
        ensure!(second.contains("Layer already exists"), "the second push sent a layer again");
        let pushed = self.repo_digest(&name)?;

        say("Remove the image, pull it by tag, remove it, pull it by digest");
        for reference in [&name, &pushed] {
            self.varve(&["rmi", "--force", &made.id])?;
            let left = self.quietly(&["images", "--quiet"])?;
            ensure!(left.is_empty(), "after rmi there are still images: {left}");
            self.varve(&["pull", reference])?;
            ensure!(self.identity(reference)? == made, "what was pulled is another image");
            ensure!(self.repo_digest(reference)? == pushed, "the digest changed on the way");
        }

        say("Save it, load it into a second store");
        let archive = self.directory.join("hello.tar");
        let archive = archive.to_str().context("a directory that is not UTF-8")?;
        self.varve(&["tag", &pushed, "hello:saved"])?;
        self.varve(&["save", "--output", archive, "hello:saved"])?;
        let loaded = self.varve(&["--root", "second", "load", "--input", archive])?;
        ensure!(loaded.contains("hello:saved"), "load does not name what it loaded");
        ensure!(
            self.identity_in("second", "hello:saved")? == made,
            "what was loaded is another image"
        );

        self.contain(&made)?;

        say("Check both stores");
        for store in ["store", "second"] {
            self.varve(&["--root", store, "system", "check"])?;
        }
        Ok(())
    }

    /// Runs the image, changes a container and runs what was committed of it.
    fn contain(&self, made: &Identity) -> Result<()> {
        say("Run it");
        if let Some(obstacle) = containers_obstacle() {
            println!("  Left out: {obstacle}");
            return Ok(());
        }
        let alone = "--network=none";
        let said = self.varve(&["run", "--rm", alone, "hello:saved"])?;
        ensure!(said.contains("Hello from an image"), "the container said something else");

        say("Run it detached, look at it, run a second program in it");
        let containers = Containers(self);
        let line = ["run", "--detach", "--name=demo", alone, "hello:saved", "/hello", "wait"];
        self.varve(&line)?;
        ensure!(self.varve(&["ps"])?.contains("demo"), "ps does not list the container");
        self.varve(&["exec", "demo", "/hello", "write", "/note"])?;
        let seen = self.varve(&["exec", "demo", "/hello"])?;
        ensure!(seen.contains(" note "), "what was written in the container is not seen in it");
        let logged = self.varve(&["logs", "demo"])?;
        ensure!(logged.contains("Hello from an image"), "the log has something else");
        self.varve(&["stop", "--timeout=0", "demo"])?;

        say("Commit what it changed, and run that");
        let changed = self.varve(&["diff", "demo"])?;
        ensure!(changed.trim() == "A /note", "the container changed something else");
        self.varve(&["commit", "--message=A note", "demo", "hello:noted"])?;
        self.varve(&["rm", "demo"])?;
        let noted = self.identity("hello:noted")?;
        let (_, below) = noted.layers.split_last().context("an image without a layer")?;
        ensure!(below == made.layers, "commit changed the layers below its own");
        let said = self.varve(&["run", "--rm", alone, "hello:noted", "/hello"])?;
        ensure!(said.contains(" note "), "the note is not in the new image");
        drop(containers);
        let left = self.quietly(&["ps", "--all", "--quiet"])?;
        ensure!(left.is_empty(), "there are still containers: {left}");
        Ok(())
    }

    /// Compiles a static program and builds an image with it from a Dockerfile.
    fn make(&self) -> Result<Identity> {
        say("Build an image from a Dockerfile and a static program of our own");
        let program = self.directory.join("root/hello");
        let source = workspace().join("xtask/demo/hello.rs");
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args([
            "--edition=2024",
            "-O",
            "-Cstrip=symbols",
            "-Ctarget-feature=+crt-static",
            "-o",
        ]);
        ensure!(rustc.arg(&program).arg(source).status()?.success(), "rustc failed");
        std::fs::write(self.directory.join("root/etc/os-release"), "ID=demo\n")?;
        std::fs::write(self.directory.join("root/Dockerfile"), DOCKERFILE)?;
        print!("{}", DOCKERFILE.replace('\n', "\n  ").trim_end_matches(' '));
        let id = self.varve(&["build", "--quiet", "--tag", "hello:demo", "root"])?;
        let made = self.identity("hello:demo")?;
        ensure!(id.trim() == made.id, "build printed another ID than inspect");

        say("Build it again from other files with the same content, in a second store");
        let mut copy = Command::new("cp");
        copy.args(["-r", "root", "again"]).current_dir(&self.directory);
        ensure!(copy.status()?.success(), "cp failed");
        self.varve(&["--root", "second", "build", "--quiet", "--tag", "hello:again", "again"])?;
        ensure!(self.identity_in("second", "hello:again")? == made, "it became another image");
        Ok(made)
    }

    fn show(&self) -> Result<()> {
        say("Look at it");
        let images = self.varve(&["images"])?;
        ensure!(images.contains("hello"), "images does not list it");
        let history = self.varve(&["history", "hello:demo"])?;
        ensure!(history.contains("COPY hello /hello"), "history does not show its steps");
        let config = self.varve(&["inspect", "--format", "{{json .Config.Cmd}}", "hello:demo"])?;
        ensure!(config.trim() == "[\"/hello\"]", "inspect shows another command");
        Ok(())
    }

    fn serve(&mut self) -> Result<()> {
        let address = format!("127.0.0.1:{}", self.port);
        println!("$ varve registry serve --listen {address} --root registry &");
        let mut command = self.command(&["registry", "serve", "--listen", &address]);
        command.args(["--root", "registry"]).stdout(Stdio::null()).stderr(Stdio::null());
        self.registry = Some(command.spawn().context("cannot start the registry")?);
        let patience = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(&address).is_err() {
            ensure!(Instant::now() < patience, "the registry does not listen on {address}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn identity(&self, reference: &str) -> Result<Identity> {
        self.identity_in("store", reference)
    }

    fn identity_in(&self, store: &str, reference: &str) -> Result<Identity> {
        let words = ["--root", store, "image", "inspect", "--format", TEMPLATE, reference];
        let text = self.quietly(&words)?;
        let (id, layers) = text.trim().split_once(' ').context("inspect printed one word")?;
        let layers = serde_json::from_str(layers).context("layers are not JSON")?;
        println!("  {reference} in {store}: {id}");
        Ok(Identity { id: id.to_owned(), layers })
    }

    /// `name@sha256:…` of the registry's repository.
    fn repo_digest(&self, reference: &str) -> Result<String> {
        let words = ["image", "inspect", "--format", "{{json .RepoDigests}}", reference];
        let digests: Value = serde_json::from_str(self.quietly(&words)?.trim())?;
        let repository = format!("127.0.0.1:{}/demo/hello@", self.port);
        let own = digests.as_array().into_iter().flatten().filter_map(Value::as_str);
        let own = own.into_iter().find(|digest| digest.starts_with(&repository));
        own.map(str::to_owned).with_context(|| format!("RepoDigests are {digests}"))
    }

    /// Runs varve, shows the command and what it says; returns its standard output.
    fn varve(&self, words: &[&str]) -> Result<String> {
        println!(
            "$ varve {}",
            words.join(" ").replace(&format!("{}/", self.directory.display()), "")
        );
        let output = self.quietly(words)?;
        output.lines().for_each(|line| println!("  {line}"));
        Ok(output)
    }

    fn quietly(&self, words: &[&str]) -> Result<String> {
        let output = self.command(words).output().context("cannot start varve")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`varve {}` ended with {}:\n{said}", words.join(" "), output.status);
        }
        String::from_utf8(output.stdout).context("varve printed bytes that are not UTF-8")
    }

    /// Nothing of the user's home, store or registries takes part.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.varve);
        command.args(words).current_dir(&self.directory).stdin(Stdio::null());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", &self.directory).env("VARVE_ROOT", Path::new("store"));
        command.env("VARVE_RUN", self.directory.join("run"));
        command
    }
}

/// Removes the demo's container whatever becomes of the demo.
struct Containers<'a>(&'a Demo);

impl Drop for Containers<'_> {
    fn drop(&mut self) {
        let _ = self.0.command(&["rm", "--force", "demo"]).output();
    }
}

/// Why containers are not run here, if they are not.
fn containers_obstacle() -> Option<&'static str> {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    let unshare = |words: &[&str]| succeeds(Command::new("unshare").args(words).arg("true"));
    if is_root {
        let may_mount = unshare(&["--mount"]);
        return (!may_mount).then_some("this machine does not let root mount");
    }
    let may_enter = unshare(&["--map-root-user", "--mount"]);
    (!may_enter).then_some("this machine does not let users make namespaces")
}

fn say(step: &str) {
    println!("\n── {step}");
}
