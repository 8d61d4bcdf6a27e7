//! The commands: one file each, with its arguments and what it prints.
//!
//! In a command's declaration `override_usage` is what may follow its name, and `after_help`
//! lists its other names; texts and layout of help are Docker's (see [`crate::arguments`]).

pub(crate) mod flags;
mod history;
mod image;
mod images;
mod import;
mod info;
mod inspect;
mod load;
mod login;
mod logout;
mod output;
mod prune;
mod pull;
mod push;
mod registry;
mod rmi;
mod save;
mod search;
mod system;
mod tag;
mod version;

use std::{path::PathBuf, process::ExitCode};

use varve_types::Environment;

use crate::{endpoint, error::CommandError, ui, ui::Ui};

/// A self-sufficient image system without a daemon
#[derive(Debug, clap::Parser)]
#[command(name = "varve", disable_help_flag = true, disable_help_subcommand = true)]
#[command(subcommand_required = false, args_override_self = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What stands before the command.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Globals {
    #[arg(
        long,
        value_name = "string",
        help = "Location of client config files (default \"{config}\")"
    )]
    pub(crate) config: Option<String>,

    #[arg(
        short,
        long,
        value_name = "string",
        help = "Accepted for compatibility; only \"default\" is known, there is no daemon to connect to"
    )]
    pub(crate) context: Option<String>,

    /// Enable debug mode
    #[arg(short = 'D', long)]
    pub(crate) debug: bool,

    #[arg(
        short = 'H',
        long = "host",
        value_name = "list",
        action = clap::ArgAction::Append,
        help = "Accepted for compatibility; only the default is known, there is no daemon to connect to"
    )]
    pub(crate) hosts: Vec<String>,

    #[arg(
        short,
        long = "log-level",
        value_name = "string",
        default_value = "info",
        help = "Set the logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\") (default \"info\")"
    )]
    pub(crate) log_level: String,

    #[arg(
        long,
        value_name = "string",
        default_value = "auto",
        value_parser = flags::progress,
        help = "Set the form of progress output (\"auto\", \"plain\", \"tty\", \"json\", \"quiet\") (default \"auto\")"
    )]
    pub(crate) progress: flags::Progress,

    #[arg(
        long,
        value_name = "string",
        value_parser = flags::path,
        help = "Directory of the store (overrides VARVE_ROOT; default \"/var/lib/varve\" for root, else \"$XDG_DATA_HOME/varve\")"
    )]
    pub(crate) root: Option<PathBuf>,

    /// Print version information and quit
    #[arg(short, long)]
    pub(crate) version: bool,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    #[command(override_usage = history::USAGE, after_help = history::NAMES)]
    History(history::Args),
    /// Manage images
    #[command(subcommand)]
    Image(image::Command),
    #[command(override_usage = images::USAGE, after_help = images::NAMES)]
    Images(images::Args),
    #[command(override_usage = import::USAGE, after_help = import::NAMES)]
    Import(import::Args),
    #[command(override_usage = info::USAGE, after_help = info::NAMES)]
    Info(info::Args),
    #[command(override_usage = inspect::USAGE)]
    Inspect(inspect::Args),
    #[command(override_usage = load::USAGE, after_help = load::NAMES)]
    Load(load::Args),
    #[command(override_usage = login::USAGE)]
    Login(login::Args),
    #[command(override_usage = logout::USAGE)]
    Logout(logout::Args),
    #[command(override_usage = pull::USAGE, after_help = pull::NAMES)]
    Pull(pull::Args),
    #[command(override_usage = push::USAGE, after_help = push::NAMES)]
    Push(push::Args),
    /// Manage registries of your own
    #[command(subcommand)]
    Registry(registry::Command),
    #[command(override_usage = rmi::USAGE, after_help = rmi::NAMES)]
    Rmi(rmi::Args),
    #[command(override_usage = save::USAGE, after_help = save::NAMES)]
    Save(save::Args),
    #[command(override_usage = search::USAGE)]
    Search(search::Args),
    /// Manage Varve
    #[command(subcommand)]
    System(system::Command),
    #[command(override_usage = tag::USAGE, after_help = tag::NAMES)]
    Tag(tag::Args),
    #[command(override_usage = version::USAGE)]
    Version(version::Args),
}

/// Runs what the command line asks for.
pub(crate) fn run(cli: Cli, environment: Environment) -> ExitCode {
    let ui = Ui::new(environment, cli.globals);
    let result = match &cli.command {
        Some(command) if !ui.globals().version => {
            match endpoint::elsewhere(ui.globals(), ui.environment()) {
                Ok(None) => command.run(&ui),
                Ok(Some(host)) => {
                    command.run_elsewhere(&ui).and_then(|()| Err(endpoint::unreachable(&host)))
                }
                Err(error) => Err(error),
            }
        }
        _ => ui.line(version::one_line()),
    };
    match result.and_then(|()| ui.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = ui.flush();
            ui::fail(&error)
        }
    }
}

impl Command {
    /// Says what can be said of this program alone, before an error about a daemon elsewhere.
    fn run_elsewhere(&self, ui: &Ui) -> Result<(), CommandError> {
        match self {
            Self::Info(args) | Self::System(system::Command::Info(args)) => {
                info::run_elsewhere(ui, args)
            }
            Self::Version(args) => version::run_elsewhere(ui, args),
            _ => Ok(()),
        }
    }

    /// Runs the command.
    pub(crate) fn run(&self, ui: &Ui) -> Result<(), CommandError> {
        match self {
            Self::History(args) => history::run(ui, args),
            Self::Image(command) => command.run(ui),
            Self::Images(args) => images::run(ui, args),
            Self::Import(args) => import::run(ui, args),
            Self::Info(args) => info::run(ui, args),
            Self::Inspect(args) => inspect::run(ui, args),
            Self::Load(args) => load::run(ui, args),
            Self::Login(args) => login::run(ui, args),
            Self::Logout(args) => logout::run(ui, args),
            Self::Pull(args) => pull::run(ui, args),
            Self::Push(args) => push::run(ui, args),
            Self::Registry(command) => command.run(ui),
            Self::Rmi(args) => rmi::run(ui, args),
            Self::Save(args) => save::run(ui, args),
            Self::Search(args) => search::run(ui, args),
            Self::System(command) => command.run(ui),
            Self::Tag(args) => tag::run(ui, args),
            Self::Version(args) => version::run(ui, args),
        }
    }
}
