//! `cargo xtask bench`: what the store, a pull and a build cost, beside what they may cost. Figures only;
//! a busy machine is no reason for a test to fail.

mod build;
mod growth;
mod images;
mod moving;
mod start;
mod turns;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use self::moving::Often;
use self::turns::{Report, Target, Way};
use crate::run::{cargo, target};
use crate::tar::Tar;

const IMAGES: usize = 10_000;
const IMAGES_PER_ARCHIVE: usize = 500;
const LAYER_SIZE_BYTES: usize = 200 << 20;
const RUNS: usize = 15;

/// Measures everything and prints it; `--quick` less often and without other programs and the
/// rest, `--save` keeps what was found as the baseline.
pub(crate) fn bench(options: &[&str]) -> Result<bool> {
    let unknown = options.iter().find(|option| !["--quick", "--save"].contains(option));
    ensure!(unknown.is_none(), "unknown option; see `cargo xtask help`");
    let is_quick = options.contains(&"--quick");
    println!("building varve for release …");
    let built = cargo(&["build", "--quiet", "--release", "--package", "varve"]).status()?;
    ensure!(built.success(), "varve does not build");
    let bench = Bench::start()?;
    let mut report = Report::begin();
    let often = if is_quick { Often { ours: 3, others: 0 } } else { Often { ours: 9, others: 3 } };
    bench.small(&mut report)?;
    moving::moving(&bench, &mut report, often)?;
    report.end(options.contains(&"--save"))?;
    if is_quick {
        return Ok(true);
    }
    println!("\n{:<44} {:>12} {:>10}", "", "measured", "target");
    bench.many_images()?;
    bench.large_layer()?;
    start::start(&bench)?;
    build::build(&bench)?;
    indexing()
}

/// What an index costs beside its tar: measured inside the crates, for there is no such command.
fn indexing() -> Result<bool> {
    let root = match crate::suite::debian_root(true)? {
        None => Some(target(crate::suite::ROOT)?),
        Some(skipped) => {
            println!("skipped {skipped}");
            None
        }
    };
    let mut passed = true;
    for (package, bench) in [("varve-store", "layers"), ("varve-fs", "index")] {
        let mut command =
            cargo(&["bench", "--quiet", "--package", package, "--bench", bench, "--"]);
        passed &= command.args(&root).status()?.success();
    }
    Ok(passed)
}

/// A directory of its own, removed in the end.
struct Bench {
    directory: PathBuf,
    varve: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A process that is ended when nobody needs it any more.
struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Bench {
    fn start() -> Result<Self> {
        // Not in /tmp: a file system in memory would measure something else.
        let directory = target(&format!("bench-{}", std::process::id()))?;
        std::fs::create_dir_all(&directory)?;
        Ok(Self { directory, varve: target("release/varve")? })
    }

    /// What is done all the time, and the program itself.
    fn small(&self, report: &mut Report) -> Result<()> {
        const RUNS: usize = 21;
        let size = std::fs::metadata(&self.varve)?.len();
        println!("\nthe program: {:.1} MB (target 20)", size as f64 / 1e6);
        report.compare("size of the program in MB", size as f64 / 1e6);
        std::fs::write(self.directory.join("tiny.tar"), layer(1 << 10)?)?;
        self.varve("tiny", &["import", "tiny.tar", "bench/tiny:1"])?;
        for words in
            [["version"].as_slice(), &["history", "bench/tiny:1"], &["inspect", "bench/tiny:1"]]
        {
            let ways = vec![Way::new("varve", RUNS, self.words("tiny", words))];
            report.group(words[0], ways, Target::Milliseconds(5.0))?;
        }
        Ok(())
    }

    fn many_images(&self) -> Result<()> {
        let layer = layer(1 << 10)?;
        let diff_id = sha256(&layer)?;
        let begin = Instant::now();
        for first in (0..IMAGES).step_by(IMAGES_PER_ARCHIVE) {
            let archive = self.directory.join("many.tar");
            std::fs::write(&archive, archive_of(first, &layer, &diff_id))?;
            self.varve("many", &["load", "--quiet", "--input", "many.tar"])?;
        }
        row(&format!("load {IMAGES} images"), begin.elapsed(), None);
        let images = self.median(&["images"])?;
        row(&format!("images, of {IMAGES}"), images, Some(50));
        let quiet = self.median(&["images", "--quiet", "bench/image:77"])?;
        row(&format!("images of one name, of {IMAGES}"), quiet, Some(50));
        let tag = self.median(&["tag", "bench/image:77", "bench/other:1"])?;
        row(&format!("tag, of {IMAGES}"), tag, Some(50));
        let nothing = self.median(&["--version"])?;
        row("process start alone", nothing, None);
        Ok(())
    }

    fn median(&self, words: &[&str]) -> Result<Duration> {
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let begin = Instant::now();
            self.varve("many", words)?;
            times.push(begin.elapsed());
        }
        times.sort();
        Ok(times[RUNS / 2])
    }

    fn large_layer(&self) -> Result<()> {
        let address = loopback()?;
        let _registry = self.registry(&address)?;
        std::fs::write(self.directory.join("large.tar"), layer(LAYER_SIZE_BYTES)?)?;
        std::fs::write(self.directory.join("small.tar"), layer(1 << 20)?)?;
        let name = format!("{address}/bench/large:1");
        self.varve("pull", &["import", "large.tar", &name])?;
        let begin = Instant::now();
        self.varve("pull", &["push", "--quiet", &name])?;
        row("push of a 200 MB layer, compressing it", begin.elapsed(), None);
        self.varve("pull", &["rmi", "--force", &name])?;
        self.varve("pull", &["import", "small.tar", "bench/small:1"])?;

        let begin = Instant::now();
        let mut pull = self.command("pull", &["pull", "--quiet", &name]).spawn()?;
        std::thread::sleep(Duration::from_millis(150));
        let removal = Instant::now();
        self.varve("pull", &["rmi", "bench/small:1"])?;
        let removal = removal.elapsed();
        let under_way = pull.try_wait()?.is_none();
        let peak_kib = peak(&mut pull)?;
        row("pull of a 200 MB layer", begin.elapsed(), None);
        println!("{:<44} {:>9} MB {:>7} MB", "  its peak memory", peak_kib / 1024, 64);
        let note =
            if under_way { "  rmi of another image meanwhile" } else { "  rmi (pull was over)" };
        row(note, removal, Some(100));
        Ok(())
    }

    fn registry(&self, address: &str) -> Result<Background> {
        let words = ["registry", "serve", "--listen", address, "--root", "registry"];
        let registry = Background(self.command("serve", &words).spawn()?);
        let patience = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            ensure!(Instant::now() < patience, "the registry does not listen on {address}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(registry)
    }

    fn varve(&self, store: &str, words: &[&str]) -> Result<()> {
        self.output(store, words).map(drop)
    }

    fn output(&self, store: &str, words: &[&str]) -> Result<String> {
        let mut command = self.command(store, words);
        // Who watches a container that goes on alone keeps none of these.
        let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output();
        let output = output.context("cannot start varve")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "`varve {}` failed:\n{said}", words.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command(&self, store: &str, words: &[&str]) -> Command {
        self.words(store, words)()
    }

    /// The same command again and again.
    fn words(&self, store: &str, words: &[&str]) -> Box<dyn Fn() -> Command> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let (program, directory) = (self.varve.clone(), self.directory.clone());
        let store = store.to_owned();
        Box::new(move || {
            let mut command = Command::new(&program);
            command.args(&words).current_dir(&directory).env_clear();
            command.env("HOME", &directory).env("VARVE_ROOT", Path::new(&store));
            command.env("VARVE_RUN", directory.join("run"));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command
        })
    }
}

fn loopback() -> Result<String> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.to_string())
}

/// The most memory that a process ever held, in KiB, as the kernel last said while it ran.
fn peak(process: &mut Child) -> Result<u64> {
    let status = format!("/proc/{}/status", process.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        peak = now.unwrap_or(peak);
        if let Some(ended) = process.try_wait()? {
            ensure!(ended.success(), "the pull failed");
            return Ok(peak);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn row(what: &str, time: Duration, target_ms: Option<u64>) {
    let target = target_ms.map_or(String::new(), |ms| format!("{ms} ms"));
    println!("{what:<44} {:>9.1} ms {target:>10}", time.as_secs_f64() * 1000.0);
}

/// A tar with one file of noise, so that compressing it is real work.
fn layer(size_bytes: usize) -> Result<Vec<u8>> {
    use std::io::Read;
    let mut noise = vec![0; size_bytes];
    // Every second KiB stays zero: about what programs and text compress to.
    let mut random = std::fs::File::open("/dev/urandom")?;
    for chunk in noise.chunks_mut(2048) {
        let half = chunk.len() / 2;
        random.read_exact(&mut chunk[..half])?;
    }
    let mut tar = Tar::default();
    tar.file("noise", &noise);
    Ok(tar.finish())
}

/// A docker archive with many images over one layer.
fn archive_of(first: usize, layer: &[u8], diff_id: &str) -> Vec<u8> {
    let mut tar = Tar::default();
    let mut entries = Vec::new();
    for number in first..first + IMAGES_PER_ARCHIVE {
        let config = format!(
            "{{\"architecture\":\"amd64\",\"os\":\"linux\",\"created\":\"2026-01-01T00:00:00Z\",\
             \"config\":{{\"Labels\":{{\"n\":\"{number}\"}}}},\
             \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"sha256:{diff_id}\"]}}}}"
        );
        tar.file(&format!("{number}.json"), config.as_bytes());
        entries.push(format!(
            "{{\"Config\":\"{number}.json\",\"RepoTags\":[\"bench/image:{number}\"],\
             \"Layers\":[\"layer.tar\"]}}"
        ));
    }
    tar.file("layer.tar", layer);
    tar.file("manifest.json", format!("[{}]", entries.join(",")).as_bytes());
    tar.finish()
}

fn sha256(bytes: &[u8]) -> Result<String> {
    use std::io::Write;
    let mut sum = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    sum.stdin.take().context("no standard input")?.write_all(bytes)?;
    let output = sum.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().next().context("sha256sum printed nothing")?.to_owned())
}
