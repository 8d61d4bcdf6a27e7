//! `varve builder prune`

use varve_engine::PruneBuildCache;
use varve_types::container::parse_size;

use crate::{commands::flags, error::CommandError, format::units, report::cache_table, ui::Ui};

pub(crate) const USAGE: &str = "";

/// Remove build cache
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Remove all unused build cache, not just dangling ones
    #[arg(short, long)]
    all: bool,

    #[arg(long, value_name = "string", hide = true)]
    #[allow(dead_code, reason = "taken and not looked at: there is one builder")]
    builder: Option<String>,

    /// Provide filter values (e.g., "until=24h")
    #[arg(long = "filter", value_name = "filter", value_parser = flags::filter)]
    #[arg(action = clap::ArgAction::Append)]
    filters: Vec<flags::Filter>,

    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,

    /// Amount of disk space to keep for cache
    #[arg(long = "keep-storage", value_name = "bytes", value_parser = parse_size)]
    #[arg(visible_alias = "reserved-space")]
    keep_storage: Option<i64>,

    /// Maximum amount of disk space allowed to keep for cache
    #[arg(long = "max-used-space", value_name = "bytes", value_parser = parse_size)]
    max_used_space: Option<i64>,

    /// Target amount of free disk space after pruning
    #[arg(long = "min-free-space", value_name = "bytes", value_parser = parse_size)]
    min_free_space: Option<i64>,

    /// Provide a more verbose output
    #[arg(long)]
    verbose: bool,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let what = if args.all { "all" } else { "all dangling" };
    if !args.force && !ui.confirm(&format!("WARNING! This will remove {what} build cache. "))? {
        return Ok(());
    }
    let bytes = |given: Option<i64>| given.and_then(|bytes| bytes.try_into().ok()).unwrap_or(0);
    let request = PruneBuildCache {
        all: args.all,
        filters: flags::filters(&args.filters),
        reserved_bytes: bytes(args.keep_storage),
        used_bytes_max: bytes(args.max_used_space),
        free_bytes_min: bytes(args.min_free_space),
    };
    let pruned = ui.engine()?.prune_build_cache(&ui.silent(), &request)?;
    let list = if args.verbose { cache_table::verbose } else { cache_table::rows };
    let total = units::size(pruned.reclaimed_bytes, 4);
    ui.text(&format!("{}Total:\t{total}\n", list(&pruned.removed, ui.now())))
}
