//! `varve search`

use varve_engine::registries::Search;

use super::flags::{self, Filter};
use crate::{
    error::CommandError,
    report::search::{self, Layout},
    ui::Ui,
};

/// The most entries that may be asked for.
const LIMIT_MAX: i64 = 100;

pub(crate) const USAGE: &str = "[OPTIONS] TERM";

/// Search Docker Hub for images
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Filter output based on conditions provided
    #[arg(short, long = "filter", value_name = "filter", value_parser = flags::filter)]
    #[arg(action = clap::ArgAction::Append)]
    filters: Vec<flags::Filter>,

    /// Pretty-print search using a Go template
    #[arg(long, value_name = "string", default_value = "")]
    format: String,

    /// Max number of search results
    #[arg(long, value_name = "int", default_value = "0", value_parser = flags::integer)]
    limit: i64,

    /// Don't truncate output
    #[arg(long = "no-trunc")]
    no_trunc: bool,

    term: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    if args.limit != 0 && !(1..=LIMIT_MAX).contains(&args.limit) {
        let text = format!("limit {} is outside the range of [1, {LIMIT_MAX}]", args.limit);
        return Err(CommandError::daemon(text));
    }
    let mut request = Search {
        term: args.term.clone(),
        limit: u32::try_from(args.limit).ok().filter(|limit| *limit > 0),
        ..Search::default()
    };
    for filter in args.filters.iter().filter(|filter| !filter.name.is_empty()) {
        apply(&mut request, filter)?;
    }
    let found = ui.registries()?.search(&ui.silent(), &request)?;
    let layout = Layout { format: &args.format, whole: args.no_trunc };
    ui.text(&search::list(&found, layout)?)
}

fn apply(request: &mut Search, filter: &Filter) -> Result<(), CommandError> {
    let invalid = |reason: &str| {
        let text = format!("invalid filter '{}={}'{reason}", filter.name, filter.value);
        CommandError::daemon(text)
    };
    let flag = || match filter.value.as_str() {
        "1" | "true" => Ok(Some(true)),
        "0" | "false" => Ok(Some(false)),
        _ => Err(CommandError::daemon(format!(
            "invalid filter '{}=[{}]'",
            filter.name, filter.value
        ))),
    };
    match filter.name.as_str() {
        "is-official" => request.is_official = flag()?,
        "is-automated" => request.is_automated = flag()?,
        "stars" => {
            let stars = filter.value.parse::<i64>().map_err(|_| {
                invalid(&format!(": strconv.Atoi: parsing {:?}: invalid syntax", filter.value))
            })?;
            request.stars = request.stars.max(Some(stars));
        }
        name => return Err(CommandError::daemon(format!("invalid filter '{name}'"))),
    }
    Ok(())
}
