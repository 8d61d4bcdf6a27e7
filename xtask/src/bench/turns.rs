//! Ways to do the same, measured in turn (A B A B …) as whole processes, and what an earlier run found.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::run::workspace;

/// What is told of a row that got slower: this much more than the baseline.
const SLOWER: f64 = 1.2;
const BASELINE: &str = "xtask/bench-baseline.json";
/// Ticks of the kernel's processor times (`USER_HZ`, the same on all architectures of Linux).
const TICKS_PER_SECOND: f64 = 100.0;

/// One way to do it.
pub(super) struct Way {
    pub(super) name: String,
    pub(super) prepare: Box<dyn Fn() -> Result<()>>,
    pub(super) command: Box<dyn Fn() -> Command>,
    pub(super) runs: usize,
    times: Vec<Duration>,
    processor_seconds: f64,
}

impl Way {
    pub(super) fn new(name: &str, runs: usize, command: Box<dyn Fn() -> Command>) -> Self {
        Self {
            name: name.to_owned(),
            prepare: Box::new(|| Ok(())),
            command,
            runs,
            times: Vec::new(),
            processor_seconds: 0.0,
        }
    }

    /// What puts everything as it is to be before each run; it is not measured.
    pub(super) fn after(self, prepare: impl Fn() -> Result<()> + 'static) -> Self {
        Self { prepare: Box::new(prepare), ..self }
    }

    pub(super) fn median(&self) -> f64 {
        self.times.get(self.times.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
    }

    fn turn(&mut self) -> Result<()> {
        (self.prepare)()?;
        let mut command = (self.command)();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let (before, begin) = (children_seconds()?, Instant::now());
        let child = command.spawn().with_context(|| format!("`{}`", self.name))?;
        let output = child.wait_with_output()?;
        self.times.push(begin.elapsed());
        self.processor_seconds += children_seconds()? - before;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`{}` failed:\n{said}", self.name);
        Ok(())
    }
}

/// User and system time of all processes that ended and were waited for.
fn children_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(13).take(2).filter_map(|it| it.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / TICKS_PER_SECOND)
}

/// What a first way is asked to hold.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// At most so many milliseconds.
    Milliseconds(f64),
    /// At most so many times the last way.
    OfLast(f64),
}

/// What was measured, and what is known of before.
pub(super) struct Report {
    baseline: BTreeMap<String, f64>,
    found: BTreeMap<String, f64>,
}

impl Report {
    pub(super) fn begin() -> Self {
        let text = fs::read_to_string(path()).unwrap_or_default();
        println!("{:<46} {:>10} {:>17} {:>10}", "", "median", "quickest–slowest", "processor");
        let baseline = serde_json::from_str(&text).unwrap_or_default();
        Self { baseline, found: BTreeMap::new() }
    }

    /// Runs all ways in turn and prints them. The first one is varve's; what it costs of the last
    /// one (or its time, where it is alone) is compared with the baseline.
    pub(super) fn group(
        &mut self,
        title: &str,
        mut ways: Vec<Way>,
        target: Target,
    ) -> Result<Vec<Way>> {
        let rounds = ways.iter().map(|way| way.runs).max().unwrap_or_default();
        for round in 0..rounds {
            for way in ways.iter_mut().filter(|way| round < way.runs) {
                way.turn()?;
            }
        }
        println!("\n{title}");
        for way in &mut ways {
            way.times.sort();
        }
        let first = ways[0].median();
        for (place, way) in ways.iter().enumerate() {
            let ratio = match place {
                0 => String::new(),
                _ => format!("varve takes {:.2} of it", first / way.median()),
            };
            let [least, most] = [way.times.first(), way.times.last()]
                .map(|time| time.map_or(f64::NAN, Duration::as_secs_f64) * 1000.0);
            let processor = way.processor_seconds / way.times.len().max(1) as f64;
            println!(
                "  {:<44} {:>7.0} ms {:>8.0}–{:<8.0} {:>7.2} s  {ratio}",
                way.name,
                way.median() * 1000.0,
                least,
                most,
                processor
            );
        }
        let last = ways.last().filter(|_| ways.len() > 1).map(Way::median);
        match (target, last) {
            (Target::Milliseconds(most), _) => self.judge("milliseconds", first * 1000.0, most),
            (Target::OfLast(most), Some(last)) => self.judge("of the last", first / last, most),
            _ => {}
        }
        // Times of other machines say nothing; what it costs of something else may.
        if let Some(last) = last {
            self.compare(title, first / last);
        }
        Ok(ways)
    }

    #[expect(clippy::unused_self, reason = "it belongs to what the report says")]
    fn judge(&self, what: &str, found: f64, most: f64) {
        let verdict = if found <= most { "met" } else { "MISSED" };
        println!("  target: at most {most} {what}: {verdict} ({found:.2})");
    }

    /// Notes a figure that is lower when it is better, and says when it was lower before.
    pub(super) fn compare(&mut self, title: &str, found: f64) {
        self.found.insert(title.to_owned(), (found * 1000.0).round() / 1000.0);
        if let Some(before) = self.baseline.get(title)
            && found > before * SLOWER
        {
            println!("  SLOWER than the baseline: {found:.2}, was {before:.2}");
        }
    }

    /// Ends: says what is worse than before, or keeps what was found as the baseline.
    pub(super) fn end(self, save: bool) -> Result<()> {
        let slower: Vec<&String> = self
            .found
            .iter()
            .filter(|(title, found)| {
                self.baseline.get(*title).is_some_and(|before| **found > before * SLOWER)
            })
            .map(|(title, _)| title)
            .collect();
        if slower.is_empty() {
            println!("\nnothing is slower than the baseline ({BASELINE})");
        } else {
            println!("\nslower than the baseline:");
            for title in slower {
                println!("  {title}");
            }
        }
        if save {
            let mut rows = self.baseline;
            rows.extend(self.found);
            fs::write(path(), serde_json::to_string_pretty(&rows)? + "\n")?;
        }
        Ok(())
    }
}

fn path() -> PathBuf {
    workspace().join(BASELINE)
}
