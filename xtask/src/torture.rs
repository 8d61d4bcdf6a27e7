//! `cargo xtask torture`: the long form of the tests that want time, and the table of what came of them.
//!
//! Each suite is an ordinary test that reads its seed and its time from the environment
//! (`varve_testkit::torture`) and adds a line for each family of cases to a file. The table of families is
//! kept in `docs/testing.md`; a family that was not tried this time keeps its row.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::run::{cargo, step, target, workspace};

/// A test of which `cargo xtask torture` runs the long form.
struct Suite {
    /// As the command line calls it.
    name: &'static str,
    package: &'static str,
    /// Cargo's name of the test program.
    program: &'static str,
    /// Which of its tests: those whose names contain this.
    tests: &'static str,
    /// How many of them go on for as long as they may: they share the suite's time.
    parts: u64,
}

/// What can be tortured. A suite may tell of several families.
const SUITES: &[Suite] = &[
    Suite { name: "crash", package: "varve", program: "torture", tests: "crash::", parts: 13 },
    Suite { name: "disk", package: "varve", program: "torture", tests: "disk::", parts: 1 },
    Suite { name: "registry", package: "varve", program: "torture", tests: "served::", parts: 1 },
    Suite { name: "kill", package: "varve", program: "torture", tests: "kills::", parts: 2 },
    Suite {
        name: "damage",
        package: "varve",
        program: "damage",
        tests: "damage_anywhere",
        parts: 1,
    },
    Suite { name: "poison", package: "varve-engine", program: "poison", tests: "", parts: 1 },
    Suite { name: "server", package: "varve-serve", program: "it", tests: "hostile::", parts: 1 },
    Suite { name: "clients", package: "varve-serve", program: "it", tests: "crowd::", parts: 1 },
    Suite { name: "fuzz", package: "varve-distribution", program: "fuzz", tests: "", parts: 2 },
];

const MINUTES: u64 = 30;
/// Where the table is.
const DOCUMENT: &str = "docs/testing.md";
const BEGIN: &str = "<!-- torture -->\n";
const END: &str = "<!-- /torture -->";
const HEAD: &str =
    "| family | cases tried | cases held | seed | date |\n|---|---:|---:|---:|---|\n";

struct Request {
    seed: u64,
    minutes: u64,
    suites: Vec<&'static Suite>,
}

/// Runs the long forms, or prints the table. `Ok(false)` when a case did not hold.
pub(crate) fn torture(words: &[&str]) -> Result<bool> {
    if words == ["--report"] {
        print!("{}", Table::read()?.text());
        return Ok(true);
    }
    let request = read(words)?;
    println!("seed {}, {} minutes", request.seed, request.minutes);
    let results = target("torture-results")?;
    // What an earlier run left counts no more.
    std::fs::write(&results, "")?;
    let seconds = request.minutes * 60 / request.suites.len() as u64;
    let mut held = true;
    for suite in &request.suites {
        let arguments =
            ["test", "--quiet", "--package", suite.package, "--test", suite.program, suite.tests];
        let mut command = cargo(&arguments);
        command
            .args(["--", "--nocapture", "--test-threads=1"])
            .env("VARVE_TORTURE_SEED", request.seed.to_string())
            .env("VARVE_TORTURE_SECONDS", (seconds / suite.parts).to_string())
            .env("VARVE_TORTURE_RESULTS", &results);
        held &= step(suite.name, &mut command)?.passed;
    }
    let mut table = Table::read()?;
    table.take(&std::fs::read_to_string(&results)?, &today()?)?;
    table.write()?;
    print!("\n{}", table.text());
    println!("\nseed {}; {DOCUMENT} has the table", request.seed);
    Ok(held)
}

fn read(words: &[&str]) -> Result<Request> {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let seed = u64::from(clock.subsec_nanos());
    let mut request = Request { seed, minutes: MINUTES, suites: Vec::new() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || -> Result<u64> {
            let text = words.next().with_context(|| format!("`{word}` wants a number"))?;
            text.parse().with_context(|| format!("`{word}` wants a number"))
        };
        match *word {
            "--seed" => request.seed = number()?,
            "--minutes" => request.minutes = number()?.max(1),
            name => {
                let suite = SUITES.iter().find(|suite| suite.name == name);
                let names = || SUITES.iter().map(|suite| suite.name).collect::<Vec<_>>().join(", ");
                let wrong =
                    || format!("nothing to torture is called `{name}`; there are {}", names());
                request.suites.push(suite.with_context(wrong)?);
            }
        }
    }
    if request.suites.is_empty() {
        request.suites = SUITES.iter().collect();
    }
    Ok(request)
}

fn today() -> Result<String> {
    let output = Command::new("date").args(["-u", "+%F"]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The table of families, in the order in which they were first tried.
struct Table {
    before: String,
    rows: Vec<[String; 5]>,
    after: String,
}

impl Table {
    fn path() -> PathBuf {
        workspace().join(DOCUMENT)
    }

    fn read() -> Result<Self> {
        let text = std::fs::read_to_string(Self::path())?;
        let parts = text.split_once(BEGIN).and_then(|(before, rest)| {
            let (table, after) = rest.split_once(END)?;
            Some((before, table, after))
        });
        let (before, table, after) = parts.with_context(|| format!("{DOCUMENT} has no table"))?;
        let rows = table.lines().skip(2).filter(|line| line.starts_with('|'));
        let rows = rows.map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
            let mut next = || cells.next().context("a row has too few cells");
            Ok([next()?, next()?, next()?, next()?, next()?])
        });
        let rows = rows.collect::<Result<Vec<_>>>()?;
        Ok(Self { before: before.to_owned(), rows, after: after.to_owned() })
    }

    /// Takes the lines of a file of results. Lines of one family are added up.
    fn take(&mut self, results: &str, date: &str) -> Result<()> {
        let mut fresh: Vec<(String, u64, u64, String)> = Vec::new();
        for line in results.lines() {
            let cells: Vec<&str> = line.split('\t').collect();
            let [family, tried, held, seed] = cells[..] else { bail!("no result: {line}") };
            let (tried, held): (u64, u64) = (tried.parse()?, held.parse()?);
            ensure!(held <= tried, "more held than were tried: {line}");
            match fresh.iter_mut().find(|row| row.0 == family) {
                Some(row) => {
                    row.1 += tried;
                    row.2 += held;
                }
                None => fresh.push((family.to_owned(), tried, held, seed.to_owned())),
            }
        }
        for (family, tried, held, seed) in fresh {
            let row = [family, tried.to_string(), held.to_string(), seed, date.to_owned()];
            match self.rows.iter_mut().find(|old| old[0] == row[0]) {
                Some(old) => *old = row,
                None => self.rows.push(row),
            }
        }
        Ok(())
    }

    fn text(&self) -> String {
        let rows = self.rows.iter().map(|row| format!("| {} |\n", row.join(" | ")));
        HEAD.to_owned() + &rows.collect::<String>()
    }

    fn write(&self) -> Result<()> {
        let (before, after) = (&self.before, &self.after);
        let text = format!("{before}{BEGIN}{}{END}{after}", self.text());
        Ok(std::fs::write(Self::path(), text)?)
    }
}
