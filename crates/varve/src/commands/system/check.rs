//! `varve system check`

use std::error::Error;

use varve_engine::check::{Finding, How, Mended, Repair};
use varve_types::Printable;

use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS]";

/// Verify layout, digests and references of the store
///
/// Every file of the store is looked at. What is wrong is named, with the images and containers that
/// need it. With `--repair` it is mended: what follows from something else is made again, blobs
/// are fetched from where they came, and names of images that cannot be had again are removed.
/// What may be yours is moved to `varve/lost` in the store and not deleted. The exit code is 0 when all
/// is right, or was mended without a loss, else 1.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Format of the output: `table`, or `json` for one object a line
    #[arg(long, value_name = "string", default_value = "table")]
    format: Format,

    /// Only say by the exit code whether something is wrong
    #[arg(short, long)]
    quiet: bool,

    /// Mend what is wrong, as far as that can be done
    #[arg(long)]
    repair: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

/// A finding as it is shown.
struct Line {
    path: String,
    problem: String,
    affects: Vec<String>,
    /// What `--repair` did: `restored`, `fetched`, `removed`, `put-aside`, `given-up` or `left`.
    result: Option<&'static str>,
    /// From or to where, or why not.
    detail: Option<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let (lines, is_sound) = if args.repair {
        ui.restore_store_format()?;
        let repair = ui.engine()?.repair(&ui.silent())?;
        let is_whole = repair.is_whole();
        (repaired(&repair), is_whole)
    } else {
        let findings = ui.engine()?.check()?;
        let is_sound = findings.is_empty();
        (findings.iter().map(Line::found).collect(), is_sound)
    };
    if !args.quiet {
        for line in &lines {
            match args.format {
                Format::Table => ui.line(line.shown())?,
                Format::Json => ui.line(line.json())?,
            }
        }
        if is_sound && args.format == Format::Table {
            let now = if lines.is_empty() { "" } else { " now" };
            ui.line(format!("The store is sound{now}."))?;
        }
    }
    if is_sound { Ok(()) } else { Err(CommandError::Said { code: 1 }) }
}

fn repaired(repair: &Repair) -> Vec<Line> {
    let done = repair.done.iter().map(|done| {
        let (result, detail) = match &done.how {
            How::Mended(Mended::Restored) => ("restored", None),
            How::Mended(Mended::Removed) => ("removed", None),
            How::Mended(Mended::PutAside(path)) => ("put-aside", Some(path.display().to_string())),
            How::Fetched(source) => ("fetched", Some(source.clone())),
            How::GivenUp(names) => ("given-up", Some(names.join(", "))),
        };
        Line { result: Some(result), detail, ..Line::found(&done.finding) }
    });
    let left = repair.left.iter().map(|(finding, error)| {
        let detail = error.as_ref().map(|error| {
            let causes =
                std::iter::successors(error.source(), |cause: &&dyn Error| (*cause).source());
            causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
        });
        Line { result: Some("left"), detail, ..Line::found(finding) }
    });
    done.chain(left).collect()
}

impl Line {
    fn found(finding: &Finding) -> Self {
        Self {
            path: finding.path.display().to_string(),
            problem: finding.problem.clone(),
            affects: finding.affects.clone(),
            result: None,
            detail: None,
        }
    }

    fn json(&self) -> String {
        let mut line = serde_json::json!({
            "path": self.path, "problem": self.problem, "affects": self.affects,
        });
        for (name, value) in [("result", self.result), ("detail", self.detail.as_deref())] {
            if let Some(value) = value {
                line[name] = value.into();
            }
        }
        line.to_string()
    }

    fn shown(&self) -> String {
        let affects = match self.affects.as_slice() {
            [] => String::new(),
            names => format!(" (needed by {})", names.join(", ")),
        };
        let detail = self.detail.as_deref().unwrap_or_default();
        let result = match self.result {
            None => String::new(),
            Some("restored") => "; restored".to_owned(),
            Some("removed") => "; removed".to_owned(),
            Some("fetched") => format!("; fetched from {detail}"),
            Some("put-aside") => format!("; put aside to {detail}"),
            Some("given-up") if detail.is_empty() => "; given up".to_owned(),
            Some("given-up") => format!("; given up, and removed: {detail}"),
            Some(_) if detail.is_empty() => "; not mended".to_owned(),
            Some(_) => format!("; not mended: {detail}"),
        };
        Printable(&format!("{}: {}{affects}{result}", self.path, self.problem)).to_string()
    }
}
