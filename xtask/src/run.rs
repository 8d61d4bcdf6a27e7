//! Running other programs: where the workspace is, what is installed, what they print.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

/// The workspace's directory.
pub(crate) fn workspace() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// A `cargo` command in the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(workspace());
    command
}

/// The debug build of varve, once it is built.
pub(crate) fn varve_binary() -> Result<PathBuf> {
    target("debug/varve")
}

/// A file under cargo's target directory, wherever that is.
pub(crate) fn target(file: &str) -> Result<PathBuf> {
    let output =
        cargo(&["metadata", "--no-deps", "--offline", "--format-version", "1"]).output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let directory = metadata["target_directory"].as_str().context("no target directory")?;
    Ok(Path::new(directory).join(file))
}

/// Whether a program of this name is on `PATH` or where administrators' programs live.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .any(|directory| directory.join(program).is_file())
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    let facts = std::fs::metadata("/proc/self");
    facts.is_ok_and(|facts| std::os::unix::fs::MetadataExt::uid(&facts) == 0)
}

/// Whether a command ends well; what it prints is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs a step with a heading and its time. Both output streams pass through as they come and
/// are returned.
pub(crate) fn step(title: &str, command: &mut Command) -> Result<Step> {
    println!("\n== {title}");
    let begin = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let stdout = child.stdout.take().context("no standard output")?;
    let stderr = child.stderr.take().context("no standard error")?;
    let (mut output, errors) = std::thread::scope(|scope| {
        let errors = scope.spawn(|| forward(stderr, &mut std::io::stderr()));
        (forward(stdout, &mut std::io::stdout()), errors.join().unwrap_or_default())
    });
    output.push_str(&errors);
    let passed = child.wait().context("cannot wait for the command")?.success();
    let outcome = if passed { "ok" } else { "FAILED" };
    println!("== {title}: {outcome} ({:.1} s)", begin.elapsed().as_secs_f64());
    Ok(Step { passed, output })
}

/// How a step ended, and all that it printed.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) passed: bool,
    pub(crate) output: String,
}

fn forward(stream: impl std::io::Read, to: &mut dyn Write) -> String {
    let mut reader = BufReader::new(stream);
    let mut kept = String::new();
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        // A terminal that went away must not end the run.
        let _ = to.write_all(&line).and_then(|()| to.flush());
        kept.push_str(&String::from_utf8_lossy(&line));
        line.clear();
    }
    kept
}
