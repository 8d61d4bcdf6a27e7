//! `cargo xtask fuzz`: libFuzzer over the targets in `fuzz/`, with the stable compiler and nothing
//! to install but a C++ compiler.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::run::{cargo, target, workspace};

const TARGETS: [&str; 6] = ["tar", "index", "diff", "dockerfile", "nouns", "requests"];
/// What libFuzzer wants to know of the code: which edges were taken, and what was compared.
const FLAGS: &str = "-Cpasses=sancov-module -Ccodegen-units=1 \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";
const SECONDS: u64 = 60;
const INPUT_SIZE_BYTES_MAX: u64 = 32 << 10;
const MEMORY_MIB_MAX: u64 = 1024;
/// Of one input.
const TIMEOUT_SECONDS: u64 = 10;

/// What was asked for.
struct Request {
    targets: Vec<String>,
    seconds: u64,
    minimise: bool,
}

/// Fuzzes each target in turn; `Ok(false)` when one failed. With `--minimise` nothing new is
/// looked for: of what was found, the least that covers as much becomes `fuzz/corpus`.
pub(crate) fn fuzz(words: &[&str]) -> Result<bool> {
    let request = read(words)?;
    let directory = target("fuzz")?;
    let binaries = build(&directory)?;
    let seeds = Command::new(binaries.join("seeds"))
        .env("VARVE_FUZZ_SEEDS", directory.join("corpus"))
        .status()?;
    ensure!(seeds.success(), "the first inputs cannot be made");
    let mut sound = true;
    for name in &request.targets {
        let fuzzer = Fuzzer {
            binary: binaries.join(name),
            found: directory.join("corpus").join(name),
            failed: directory.join("artifacts").join(name),
            kept: workspace().join("fuzz/corpus").join(name),
        };
        std::fs::create_dir_all(&fuzzer.failed)?;
        std::fs::create_dir_all(&fuzzer.kept)?;
        if request.minimise {
            fuzzer.minimise()?;
        } else {
            sound &= fuzzer.run(request.seconds)?;
        }
    }
    Ok(sound)
}

fn read(words: &[&str]) -> Result<Request> {
    let mut request = Request { targets: Vec::new(), seconds: SECONDS, minimise: false };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--seconds" => {
                let seconds = words.next().context("`--seconds` wants a number")?;
                request.seconds = seconds.parse().context("`--seconds` wants a number")?;
            }
            "--minimise" => request.minimise = true,
            name if TARGETS.contains(&name) => request.targets.push(name.to_owned()),
            other => bail!("no fuzz target `{other}`; there are {}", TARGETS.join(", ")),
        }
    }
    if request.targets.is_empty() {
        request.targets = TARGETS.map(str::to_owned).to_vec();
    }
    Ok(request)
}

/// Builds all targets; returns where they are.
fn build(directory: &Path) -> Result<PathBuf> {
    println!("building the fuzz targets …");
    let rustc = Command::new("rustc").arg("-vV").output()?;
    let text = String::from_utf8(rustc.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc does not say what it runs on")?;
    // With a target named, what runs while building is built without the flags.
    let built = cargo(&["build", "--quiet", "--release", "--target", host])
        .current_dir(workspace().join("fuzz"))
        .env("RUSTFLAGS", FLAGS)
        .env("CARGO_TARGET_DIR", directory)
        .status()?;
    ensure!(built.success(), "the fuzz targets do not build");
    Ok(directory.join(host).join("release"))
}

/// One target.
struct Fuzzer {
    binary: PathBuf,
    /// Inputs found on this machine.
    found: PathBuf,
    /// Inputs with which it failed.
    failed: PathBuf,
    /// Inputs in the repository.
    kept: PathBuf,
}

impl Fuzzer {
    fn run(&self, seconds: u64) -> Result<bool> {
        println!("\n== {} for {seconds} s", self.binary.display());
        let status = self
            .command()
            .arg(format!("-max_total_time={seconds}"))
            .arg("-print_final_stats=1")
            .args([&self.found, &self.kept])
            .status()?;
        if !status.success() {
            println!("The input that failed is in {}", self.failed.display());
        }
        Ok(status.success())
    }

    fn minimise(&self) -> Result<()> {
        let new = self.found.with_extension("minimised");
        let _ = std::fs::remove_dir_all(&new);
        std::fs::create_dir_all(&new)?;
        // One input for each edge, not one for each number of times that it may be taken.
        let status = self
            .command()
            .args(["-merge=1", "-use_counters=0"])
            .args([&new, &self.kept, &self.found])
            .status()?;
        ensure!(status.success(), "the inputs cannot be merged");
        std::fs::remove_dir_all(&self.kept)?;
        std::fs::create_dir_all(&self.kept)?;
        for input in std::fs::read_dir(&new)? {
            let input = input?;
            std::fs::copy(input.path(), self.kept.join(input.file_name()))?;
        }
        Ok(std::fs::remove_dir_all(&new)?)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .arg(format!("-max_len={INPUT_SIZE_BYTES_MAX}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
            .arg(format!("-timeout={TIMEOUT_SECONDS}"))
            .arg(format!("-artifact_prefix={}/", self.failed.display()));
        command
    }
}
