//! What starting containers costs, beside other programs, and what those that run keep in memory.
//!
//! Of one image with one program: the machine's busybox, which must be static. Everything is
//! measured from outside, in turn (A B A B …), with a pause after each run: the kernel goes on
//! taking the last one's network namespace apart for some milliseconds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::run::{is_installed, succeeds};
use crate::tar::Tar;

use super::Bench;

const RUNS: usize = 25;
const PAUSE: Duration = Duration::from_millis(150);
const CROWD: usize = 100;
const IMAGE: &str = "bench/start";
const SPEC_BYTES_MAX: usize = 1 << 20;

/// A way to run `true` in a container.
struct Way {
    name: &'static str,
    command: Box<dyn Fn() -> Command>,
    target_ms: Option<u64>,
    times: Vec<Duration>,
}

/// Measures and prints both.
pub(super) fn start(bench: &Bench) -> Result<()> {
    let Some(busybox) = static_busybox() else {
        println!("start of containers: skipped, there is no static /usr/bin/busybox");
        return Ok(());
    };
    if !succeeds(Command::new("unshare").args(["--mount", "true"])) {
        println!("start of containers: skipped, mounts may not be made");
        return Ok(());
    }
    let archive = bench.directory.join("start.tar");
    let mut tar = Tar::default();
    for name in ["bin/true", "bin/sleep"] {
        tar.program(name, &busybox);
    }
    fs::write(&archive, tar.finish())?;
    bench.varve("start", &["import", "start.tar", IMAGE])?;
    latency(bench, &busybox)?;
    super::growth::growth(bench, IMAGE)?;
    memory(bench)
}

fn static_busybox() -> Option<Vec<u8>> {
    let program = fs::read("/usr/bin/busybox").ok()?;
    is_static(&program)?.then_some(program)
}

/// Whether a 64-bit program names nobody who loads libraries for it (`PT_INTERP`).
fn is_static(program: &[u8]) -> Option<bool> {
    const INTERPRETER: u32 = 3;
    let bytes = |at: usize, count: usize| program.get(at..at.checked_add(count)?);
    let number = |at, count| {
        let bytes = bytes(at, count)?.iter().rev();
        Some(bytes.fold(0, |number: usize, byte| number << 8 | usize::from(*byte)))
    };
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let kinds = (0..count).map(|row| number(table.checked_add(row * size)?, 4));
    Some(!kinds.flatten().any(|kind| kind == INTERPRETER as usize))
}

fn latency(bench: &Bench, busybox: &[u8]) -> Result<()> {
    let mut ways = Vec::new();
    for (name, network, target_ms) in
        [("run --rm, no network", "none", 15), ("run --rm, bridge", "bridge", 40)]
    {
        let run = bench.words("start", &["run", "--rm", "--network", network, IMAGE, "/bin/true"]);
        ways.push(Way { name, command: run, target_ms: Some(target_ms), times: Vec::new() });
    }
    if is_installed("runc") {
        let bundle = runc_bundle(bench, busybox)?;
        let command = move || {
            let mut command = Command::new("runc");
            command.args(["run", "varve-bench"]).current_dir(&bundle);
            command
        };
        let command: Box<dyn Fn() -> Command> = Box::new(command);
        ways.push(Way { name: "bare runc run", command, target_ms: None, times: Vec::new() });
    } else {
        println!("{:<44} {:>12}", "bare runc run", "absent");
    }
    for peer in ["docker", "podman"] {
        let archive = bench.directory.join("start.tar");
        if !is_installed(peer)
            || !succeeds(Command::new(peer).arg("import").arg(archive).arg(IMAGE))
        {
            println!("{:<44} {:>12}", format!("{peer} run --rm, no network"), "absent");
            continue;
        }
        let command = move || {
            let mut command = Command::new(peer);
            command.args(["run", "--rm", "--network", "none", IMAGE, "/bin/true"]);
            command
        };
        let name = if peer == "docker" { "docker run --rm" } else { "podman run --rm" };
        ways.push(Way { name, command: Box::new(command), target_ms: None, times: Vec::new() });
    }
    for _ in 0..RUNS {
        for way in &mut ways {
            let mut command = (way.command)();
            let begin = Instant::now();
            ensure!(succeeds(&mut command), "`{}` failed", way.name);
            way.times.push(begin.elapsed());
            std::thread::sleep(PAUSE);
        }
    }
    for way in &mut ways {
        way.times.sort();
        super::row(way.name, way.times[RUNS / 2], way.target_ms);
        println!("{:<44} {:>9.1} ms", "  the quickest", way.times[0].as_secs_f64() * 1000.0);
    }
    for peer in ["docker", "podman"] {
        let _ = succeeds(Command::new(peer).args(["rmi", "--force", IMAGE]));
    }
    Ok(())
}

/// A bundle with what varve asks of a runtime (the filter of system calls included) and a plain
/// directory as its root.
fn runc_bundle(bench: &Bench, busybox: &[u8]) -> Result<PathBuf> {
    let words = ["run", "--detach", "--name", "kept", "--network", "none", IMAGE, "sleep", "100"];
    bench.varve("start", &words)?;
    let found = find(&bench.directory.join("run"), "config.json").context("no config.json")?;
    let text = fs::read_to_string(found)?;
    bench.varve("start", &["rm", "--force", "kept"])?;
    ensure!(text.len() <= SPEC_BYTES_MAX, "the configuration is too long");
    let mut spec: Value = serde_json::from_str(&text)?;
    spec["root"]["path"] = json!("rootfs");
    spec["process"]["args"] = json!(["/bin/true"]);
    spec["linux"]["cgroupsPath"] = json!("/varve-bench");
    if let Some(mounts) = spec["mounts"].as_array_mut() {
        mounts.retain(|mount| mount["type"] != "bind");
    }
    let bundle = bench.directory.join("bundle");
    fs::create_dir_all(bundle.join("rootfs/bin"))?;
    let program = bundle.join("rootfs/bin/true");
    fs::write(&program, busybox)?;
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    fs::write(bundle.join("config.json"), spec.to_string())?;
    Ok(bundle)
}

/// The first file of this name in a directory or below it.
fn find(directory: &Path, name: &str) -> Option<PathBuf> {
    let entries: Vec<PathBuf> =
        fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path()).collect();
    let here = entries.iter().find(|path| path.ends_with(name)).cloned();
    here.or_else(|| entries.iter().filter(|path| path.is_dir()).find_map(|path| find(path, name)))
}

fn memory(bench: &Bench) -> Result<()> {
    let words = ["run", "--detach", "--network", "none", IMAGE, "sleep", "1000"];
    for count in 1..=CROWD {
        bench.varve("start", &words)?;
        if count == 1 || count == CROWD {
            println!("memory with {count} of one image:");
            let monitors = monitors_kib(&bench.directory.join("start"))?;
            println!("{:<44} {monitors:>8} KiB", "  monitors (their shares, PSS)");
            let shown = match cached_kib(&bench.directory.join("start/varve/layers"))? {
                Some(kib) => format!("{kib:>8} KiB"),
                None => format!("{:>12}", "no fincore"),
            };
            println!("{:<44} {shown}", "  cached of indexes and tars");
        }
    }
    let ids = bench.output("start", &["ps", "--quiet"])?;
    let remove: Vec<&str> = ["rm", "--force"].into_iter().chain(ids.split_whitespace()).collect();
    bench.varve("start", &remove)
}

/// What all monitors of a store have in memory, what they share divided among who shares it.
fn monitors_kib(store: &Path) -> Result<u64> {
    let store = store.to_string_lossy().into_owned();
    let mut sum = 0;
    for process in fs::read_dir("/proc")?.flatten() {
        let line = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        if !line.contains("--varve-monitor") || !line.contains(&store) {
            continue;
        }
        let memory = fs::read_to_string(process.path().join("smaps_rollup")).unwrap_or_default();
        let share = memory.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib = share.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        sum += kib.unwrap_or_default();
    }
    Ok(sum)
}

/// How much of the files in a directory is cached; `None` where nothing tells.
fn cached_kib(directory: &Path) -> Result<Option<u64>> {
    if !is_installed("fincore") {
        return Ok(None);
    }
    let mut bytes = 0;
    for layer in fs::read_dir(directory)?.flatten() {
        for name in ["layer.tar", "index.erofs"] {
            let path = layer.path().join(name);
            let mut command = Command::new("fincore");
            command.args(["--bytes", "--noheadings", "--output", "RES"]).arg(path);
            let output = command.stderr(Stdio::null()).output()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            bytes += text.trim().parse::<u64>().unwrap_or_default();
        }
    }
    Ok(Some(bytes / 1024))
}
