//! `varve buildx ls`

use varve_types::Platform;

use super::BUILDER;
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "";

/// List builder instances
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(ui: &Ui, _: &Args) -> Result<(), CommandError> {
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    let rows = [
        ["NAME/NODE", "DRIVER/ENDPOINT", "STATUS", "BUILDKIT", "PLATFORMS"].map(str::to_owned),
        [format!("{BUILDER}*"), "varve".into(), String::new(), String::new(), String::new()],
        [
            format!(" \\_ {BUILDER}"),
            format!(" \\_ {BUILDER}"),
            "running".into(),
            version.into(),
            Platform::host().to_string(),
        ],
    ];
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0) + 3;
    for row in &rows {
        let (last, cells) = row.split_last().map_or(("", &[][..]), |(last, rest)| (last, rest));
        for (at, cell) in cells.iter().enumerate() {
            ui.text(&format!("{cell:width$}", width = width(at)))?;
        }
        ui.line(last)?;
    }
    Ok(())
}
