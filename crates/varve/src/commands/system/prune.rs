//! `varve system prune`

use std::fmt::Write as _;

use varve_engine::{Filters, Prune};

use crate::{
    commands::{container::verbs, flags},
    error::CommandError,
    report::{build_cache, pruned, removal},
    ui::Ui,
};

pub(crate) const USAGE: &str = "[OPTIONS]";

/// Remove unused data
#[derive(Debug, clap::Args)]
#[command(mut_arg("filters", |arg| arg.help("Provide filter values (e.g. \"label=<key>=<value>\")")))]
pub(crate) struct Args {
    /// Remove all unused images not just dangling ones
    #[arg(short, long)]
    all: bool,

    #[command(flatten)]
    pruning: flags::Pruning,

    /// Remove nothing but the unpacked layers that no container uses; they are made again from the
    /// images' blobs when they are needed
    // Docker prints this help to the byte; docs/compatibility.md says what it does.
    #[arg(long, hide = true, conflicts_with_all = ["all", "volumes", "filters"])]
    unpacked: bool,

    /// Prune anonymous volumes
    #[arg(long)]
    volumes: bool,
}

const UNPACKED_WARNING: &str = "WARNING! This will remove:\n  - all unpacked layers without at least one container using them\n\n";

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let filters = args.pruning.filters();
    if args.volumes && filters.has("until") {
        let text = "ERROR: The \"until\" filter is not supported with \"--volumes\"";
        return Err(CommandError::plain(text, 1));
    }
    if args.unpacked {
        if !args.pruning.is_wanted(ui, UNPACKED_WARNING)? {
            return Ok(());
        }
        return ui.text(&removal::total(ui.engine()?.prune_unpacked()?));
    }
    if !args.pruning.is_wanted(ui, &args.warning(&filters))? {
        return Ok(());
    }
    let (mut text, mut reclaimed_bytes) = (String::new(), 0);
    let containers = verbs::prune(ui, &filters)?;
    text += &pruned::deleted("Containers", &containers);
    text += &pruned::networks(&verbs::prune_networks(ui, &filters)?);
    if args.volumes {
        let volumes = verbs::prune_volumes(ui, &filters)?;
        text += &pruned::deleted("Volumes", &volumes);
        reclaimed_bytes += volumes.reclaimed_bytes;
    }
    let request = Prune { all: args.all, filters };
    let engine = ui.engine()?;
    let images = engine.prune(&ui.silent(), &request)?;
    text += &removal::images(&images);
    reclaimed_bytes += containers.reclaimed_bytes + images.reclaimed_bytes;
    let cache = engine.prune_build_cache_too(&ui.silent(), args.all, &request.filters)?;
    text += &build_cache::deleted(&cache);
    reclaimed_bytes += cache.reclaimed_bytes;
    // Filters choose among images; what is left of transfers has nothing to filter by.
    if request.filters == Filters::default() {
        reclaimed_bytes += engine.prune_transfers()?;
    }
    ui.text(&(text + &removal::total(reclaimed_bytes)))
}

impl Args {
    fn warning(&self, filters: &Filters) -> String {
        let mut items = vec!["all stopped containers"];
        items.push("all networks not used by at least one container");
        if self.volumes {
            items.push("all anonymous volumes not used by at least one container");
        }
        items.push(if self.all {
            "all images without at least one container associated to them"
        } else {
            "all dangling images"
        });
        items.push(if self.all { "all build cache" } else { "unused build cache" });
        let list = |items: &[String]| items.concat();
        let items: Vec<String> = items.iter().map(|item| format!("  - {item}\n")).collect();
        let mut text = format!("WARNING! This will remove:\n{}\n", list(&items));
        let filters: Vec<String> =
            filters.iter().map(|(name, value)| format!("  - {name}={value}\n")).collect();
        if !filters.is_empty() {
            let filters = list(&filters);
            let _ = write!(text, "  Items to be pruned will be filtered with:\n{filters}\n");
        }
        text
    }
}
