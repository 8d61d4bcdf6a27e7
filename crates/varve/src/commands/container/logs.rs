//! `varve logs`

use super::verbs::{self, Logs};
use crate::{
    error::CommandError,
    format::moment,
    ui::{self, Ui},
};

const SINCE_HELP: &str = "Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)";
const UNTIL_HELP: &str = "Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)";

pub(crate) const USAGE: &str = "[OPTIONS] CONTAINER";
pub(crate) const NAMES: &str = "varve container logs, varve logs";

/// Fetch the logs of a container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show extra details provided to logs
    #[arg(long)]
    details: bool,

    /// Follow log output
    #[arg(short, long)]
    follow: bool,

    #[arg(long, value_name = "string", default_value = "", help = SINCE_HELP)]
    since: String,

    #[arg(short = 'n', long, value_name = "string", default_value = "all")]
    #[arg(help = "Number of lines to show from the end of the logs (default \"all\")")]
    tail: String,

    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,

    #[arg(long, value_name = "string", default_value = "", help = UNTIL_HELP)]
    until: String,

    #[arg(required = true)]
    container: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let time = |text: &str, flag: &str| {
        moment::parse(text, ui.now(), &ui::zone()).map_err(|_| {
            let reason = format!("failed to parse value as time or duration: {text:?}");
            CommandError::plain(format!("invalid value for {flag:?}: {reason}"), 1)
        })
    };
    let request = Logs {
        since: time(&args.since, "since")?,
        until: time(&args.until, "until")?,
        // What is no number means all, as docker has it.
        tail_lines: args.tail.parse::<i64>().ok().and_then(|lines| u64::try_from(lines).ok()),
        follow: args.follow,
        timestamps: args.timestamps,
        details: args.details,
    };
    verbs::logs(ui, &args.container, &request)
}
