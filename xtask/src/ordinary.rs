//! The tests whose outcome depends on privileges, run once more as an ordinary user.
//!
//! The run as root starts the same test programs again, each in a mount namespace of its own, in
//! which the user databases know a user who is nowhere else. So nothing of the machine is set up, and
//! nothing stays:
//!
//! ```text
//! /etc/passwd, group, subuid, subgid   the machine's, and one user more, with 65,536 sub-ids
//! target/tmp                           a directory of that user
//! HOME, TMPDIR, XDG_RUNTIME_DIR        the same
//! a closed directory above us          empty, but for the way to the workspace
//! ```

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::run::{self, cargo, is_installed, step, succeeds, workspace};

/// Crates that meet the kernel's permissions; the others do the same for everybody.
const PACKAGES: &[&str] =
    &["varve-fs", "varve-store", "varve-build", "varve-runtime", "varve-engine", "varve"];
/// Test programs of these that nobody's rights change: readers fuzzed, memory measured.
const LEFT_OUT: &[&str] = &["fuzz", "registry_memory"];
/// The user's name, number and sub-ids: free on any machine, as far as one can know.
const NAME: &str = "varve-test";
const ID: u32 = 54_321;
const SUB_IDS: &str = "1900000000:65536";

/// Run in the mount namespace, with the scratch directory, the workspace, the directory that is
/// closed to others (or nothing), the target directory and a package's directory.
const SCRIPT: &str = r#"
scratch=$1 workspace=$2 closed=$3 target=$4 package=$5; shift 5
for file in passwd group subuid subgid; do
    if [ -e "/etc/$file" ]; then mount --bind "$scratch/etc/$file" "/etc/$file"; fi
done
mount --bind "$scratch/own" "$target/tmp"
if [ -n "$closed" ]; then
    mkdir "$scratch/hold"
    mount --bind --rbind "$workspace" "$scratch/hold"
    mount -t tmpfs -o mode=755 tmpfs "$closed"
    mkdir -p "$workspace"
    mount --move "$scratch/hold" "$workspace"
    rmdir "$scratch/hold"
fi
cd "$package"
exec setpriv --reuid "$user" --regid "$user" --clear-groups --inh-caps=-all "$@"
"#;

/// What a run as an ordinary user is.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    /// Where tests say what they skip.
    pub(crate) skips: &'a Path,
    /// What may be lacked, with commas.
    pub(crate) may_lack: String,
}

/// A test program that was built.
struct Program {
    package: PathBuf,
    name: String,
    executable: PathBuf,
}

/// Why this process cannot run anything as another user; `None` when it can.
pub(crate) fn obstacle() -> Option<&'static str> {
    if !["unshare", "setpriv", "mount"].iter().all(|program| is_installed(program)) {
        Some("util-linux is not installed")
    } else if !succeeds(Command::new("unshare").args(["--mount", "true"])) {
        Some("no mount namespace can be had")
    } else {
        None
    }
}

/// Runs the tests. Returns whether all passed, and what was printed.
pub(crate) fn test(run: &Run<'_>) -> Result<(bool, String)> {
    let programs = programs()?;
    let scratch = Scratch::new()?;
    fs::write(run.skips, "")?;
    chown(run.skips, Some(ID), Some(ID))?;
    let (mut passed, mut output) = (true, String::new());
    for program in &programs {
        let package = program.package.file_name().unwrap_or_default().to_string_lossy();
        let title = format!("as an ordinary user: {package} {}", program.name);
        let done = step(&title, &mut scratch.command(run, program)?)?;
        passed &= done.passed;
        output.push_str(&done.output);
    }
    Ok((passed, output))
}

/// The test programs, built if they are not.
fn programs() -> Result<Vec<Program>> {
    let mut command = cargo(&["test", "--no-run", "--message-format=json", "--quiet"]);
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    let output = command.output().context("cannot start cargo")?;
    let mut programs = Vec::new();
    for line in output.stdout.split(|&byte| byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<serde_json::Value>(line) else { continue };
        let Some(executable) = message["executable"].as_str() else { continue };
        let name = message["target"]["name"].as_str().unwrap_or_default();
        if message["profile"]["test"] != true || LEFT_OUT.contains(&name) {
            continue;
        }
        let manifest = Path::new(message["manifest_path"].as_str().unwrap_or_default());
        programs.push(Program {
            package: manifest.parent().context("a manifest without a directory")?.to_owned(),
            name: name.to_owned(),
            executable: executable.into(),
        });
    }
    anyhow::ensure!(!programs.is_empty(), "no test programs were built");
    programs.sort_by(|a, b| (&a.package, &a.name).cmp(&(&b.package, &b.name)));
    Ok(programs)
}

/// The user's directories; gone when dropped.
struct Scratch {
    path: PathBuf,
    target: PathBuf,
    closed: Option<PathBuf>,
}

impl Scratch {
    fn new() -> Result<Self> {
        // Short, since sockets lie in it.
        let path = std::env::temp_dir().join(format!("varve-test.{}", std::process::id()));
        let make = |path: &Path, mode| fs::DirBuilder::new().mode(mode).create(path);
        make(&path, 0o755).with_context(|| format!("cannot make {}", path.display()))?;
        let target = run::target("")?;
        let closed = closed_above(&workspace());
        let scratch = Self { path, target, closed };
        let path = |name: &str| scratch.path.join(name);
        make(&path("etc"), 0o755)?;
        let user = format!("{NAME}:x:{ID}:{ID}::{}:/bin/sh\n", path("home").display());
        for (file, line) in [
            ("passwd", user),
            ("group", format!("{NAME}:x:{ID}:\n")),
            ("subuid", format!("{NAME}:{SUB_IDS}\n")),
            ("subgid", format!("{NAME}:{SUB_IDS}\n")),
        ] {
            let known = fs::read_to_string(Path::new("/etc").join(file)).unwrap_or_default();
            fs::write(path("etc").join(file), known + &line)?;
        }
        for name in ["home", "tmp", "run", "own"] {
            make(&path(name), 0o700)?;
            chown(path(name), Some(ID), Some(ID))?;
        }
        // Tests look for it in the directory that is theirs now.
        let root = run::target(crate::suite::ROOT)?;
        if let (true, Some(name)) = (root.is_file(), root.file_name()) {
            fs::copy(&root, path("own").join(name))?;
        }
        fs::create_dir_all(scratch.target.join("tmp"))?;
        Ok(scratch)
    }

    fn command(&self, run: &Run<'_>, program: &Program) -> Result<Command> {
        let path = std::env::var_os("PATH").context("no PATH")?;
        let within = |name: &str| self.path.join(name);
        let mut command = Command::new("unshare");
        command.env_clear().env("PATH", path).env("user", ID.to_string());
        for (name, value) in [
            ("HOME", within("home")),
            ("TMPDIR", within("tmp")),
            ("XDG_RUNTIME_DIR", within("run")),
            ("XDG_DATA_HOME", within("home").join("share")),
            ("CARGO_MANIFEST_DIR", program.package.clone()),
            (crate::suite::SKIPS_VARIABLE, run.skips.to_owned()),
        ] {
            command.env(name, value);
        }
        command.env("USER", NAME).env("LOGNAME", NAME);
        command.env(crate::suite::MAY_LACK_VARIABLE, &run.may_lack);
        if let Some(value) = std::env::var_os("CI") {
            command.env("CI", value);
        }
        command
            .args(["--mount", "--propagation", "private", "sh", "-euc", SCRIPT, "sh"])
            .arg(&self.path)
            .arg(workspace())
            .arg(self.closed.as_deref().unwrap_or(Path::new("")))
            .args([&self.target, &program.package, &program.executable])
            .arg("--quiet");
        Ok(command)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            println!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// The first directory above a path that others may not go through.
fn closed_above(path: &Path) -> Option<PathBuf> {
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    let is_closed = |path: &&&Path| fs::metadata(path).is_ok_and(|facts| facts.mode() & 0o001 == 0);
    above.iter().find(is_closed).map(|path| path.to_path_buf())
}
