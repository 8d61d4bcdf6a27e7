//! What builds cost, beside `tar` and `sha256sum` of the same files, and beside other builders.
//!
//! Everything is measured from outside, in turn (A B A B …). A cold build has a store of its own;
//! so have a builder's `--no-cache` and the tar that is written anew. All files are in the page
//! cache; nothing but varve waits for the disk.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::run::{is_installed, succeeds};

use super::{Bench, row};

const RUNS: usize = 9;
/// Others may take half a minute for one.
const RUNS_OF_OTHERS: usize = 3;
const IMAGE: &str = "bench/build";
const STEPS: usize = 20;
const FILES: usize = 20_000;
const FILES_PER_DIRECTORY: usize = 40;
const LARGE_FILES: usize = 4;
const LARGE_SIZE_BYTES: usize = 50 << 20;
/// Sizes of small files, in turn: some 57 MB together.
const SMALL_SIZES_BYTES: [usize; 5] = [200, 700, 1500, 6000, 6100];
const COPY_ALL: &str = "FROM scratch\nCOPY src /app\n";

/// A way to do the same.
struct Way {
    name: String,
    command: Box<dyn Fn() -> Command>,
    target_ms: Option<u64>,
    runs: usize,
    times: Vec<Duration>,
}

/// Measures and prints.
pub(super) fn build(bench: &Bench) -> Result<()> {
    let contexts = Contexts::make(&bench.directory)?;
    for (name, context, target_ms) in [
        ("build of 20 steps, all cached", &contexts.steps, 50),
        ("build of 20,000 files, all cached", &contexts.many, 150),
    ] {
        bench.varve("warm", &words(context))?;
        let mut ways = vec![Way::new(name, bench.words("warm", &words(context)))];
        ways[0].target_ms = Some(target_ms);
        ways.extend(peers(context, &[]));
        run(bench, &mut ways)?;
    }
    for (name, context) in
        [("COPY of 200 MB", &contexts.large), ("COPY of 20,000 files", &contexts.many)]
    {
        let varve = Way::new(name, bench.words("cold", &words(context)));
        let mut ways = vec![varve, Way::new("  tar -cf, sha256sum", tar_and_sum(bench, context))];
        ways.extend(peers(context, &["--no-cache"]));
        run(bench, &mut ways)?;
        let [ours, theirs] = [0, 1].map(|way| ways[way].median().as_secs_f64());
        println!(
            "{:<44} {:>11.2}x {:>10}",
            "  varve beside tar and sha256sum",
            ours / theirs,
            "1.5x"
        );
    }
    for peer in ["docker", "buildah"].into_iter().filter(|peer| is_installed(peer)) {
        let _ = succeeds(Command::new(peer).args(["rmi", "--force", IMAGE]));
    }
    Ok(())
}

fn words(context: &Path) -> Vec<&str> {
    vec!["build", "--quiet", "--tag", IMAGE, context.to_str().unwrap_or_default()]
}

/// Other builders; `docker build` needs a daemon that answers.
fn peers(context: &Path, flags: &'static [&str]) -> Vec<Way> {
    let mut ways = Vec::new();
    for (peer, more) in [("docker", [].as_slice()), ("buildah", &["--layers"])] {
        let command = {
            let context = context.to_owned();
            move || {
                let mut command = Command::new(peer);
                command.args(["build", "--quiet", "--tag", IMAGE]).args(more).args(flags);
                command.arg(&context);
                command
            }
        };
        let name = format!("  {peer} build {}", flags.join(" "));
        if is_installed(peer) && succeeds(&mut command()) {
            ways.push(Way { runs: RUNS_OF_OTHERS, ..Way::new(&name, Box::new(command)) });
        } else {
            println!("{name:<44} {:>12}", "absent");
        }
    }
    ways
}

fn tar_and_sum(bench: &Bench, context: &Path) -> Box<dyn Fn() -> Command> {
    let (tar, context) = (bench.directory.join("copy.tar"), context.to_owned());
    Box::new(move || {
        let mut command = Command::new("sh");
        command.arg("-c").arg("tar -C \"$1\" -cf \"$2\" src && sha256sum \"$2\"");
        command.arg("sh").args([&context, &tar]);
        command
    })
}

/// Runs all in turn and prints their medians. What is cold is cold each time.
fn run(bench: &Bench, ways: &mut [Way]) -> Result<()> {
    for round in 0..RUNS {
        for way in ways.iter_mut().filter(|way| round < way.runs) {
            let _ = fs::remove_dir_all(bench.directory.join("cold"));
            let _ = fs::remove_file(bench.directory.join("copy.tar"));
            let mut command = (way.command)();
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let begin = Instant::now();
            ensure!(command.status()?.success(), "`{}` failed", way.name);
            way.times.push(begin.elapsed());
        }
    }
    for way in ways {
        way.times.sort();
        row(&way.name, way.median(), way.target_ms);
    }
    Ok(())
}

impl Way {
    fn new(name: &str, command: Box<dyn Fn() -> Command>) -> Self {
        Self { name: name.to_owned(), command, target_ms: None, runs: RUNS, times: Vec::new() }
    }

    fn median(&self) -> Duration {
        self.times.get(self.times.len() / 2).copied().unwrap_or_default()
    }
}

/// Directories to build from.
struct Contexts {
    steps: PathBuf,
    many: PathBuf,
    large: PathBuf,
}

impl Contexts {
    fn make(directory: &Path) -> Result<Self> {
        let [steps, many, large] =
            ["steps", "many", "large"].map(|name| directory.join("contexts").join(name));
        let mut dockerfile = "FROM scratch\n".to_owned();
        fs::create_dir_all(&steps)?;
        for number in 0..STEPS / 2 {
            fs::write(steps.join(format!("file{number}")), number.to_string())?;
            writeln!(dockerfile, "COPY file{number} /{number}/\nWORKDIR /w{number}")?;
        }
        fs::write(steps.join("Dockerfile"), dockerfile)?;
        let mut noise = vec![0; LARGE_SIZE_BYTES];
        std::io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut noise)?;
        for number in 0..FILES {
            let directory = number / FILES_PER_DIRECTORY;
            let parent = many.join(format!("src/package{}/part{directory}", directory % 50));
            fs::create_dir_all(&parent)?;
            let size = SMALL_SIZES_BYTES[number % SMALL_SIZES_BYTES.len()];
            fs::write(parent.join(format!("file{number}")), &noise[number..number + size])?;
        }
        fs::create_dir_all(large.join("src"))?;
        for number in 0..LARGE_FILES {
            noise[0] = number as u8;
            fs::write(large.join(format!("src/file{number}")), &noise)?;
        }
        for context in [&many, &large] {
            fs::write(context.join("Dockerfile"), COPY_ALL)?;
        }
        // Digests of files that were only just written are not remembered.
        std::thread::sleep(Duration::from_secs(4));
        Ok(Self { steps, many, large })
    }
}
