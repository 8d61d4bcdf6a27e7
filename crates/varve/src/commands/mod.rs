//! The commands: one file each, with its arguments and what it prints.
//!
//! In a command's declaration `override_usage` is what may follow its name, and `after_help`
//! lists its other names; texts and layout of help are Docker's (see [`crate::arguments`]).

mod build;
mod builder;
mod buildx;
mod container;
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
mod network;
mod output;
pub(crate) mod privileges;
mod prune;
mod pull;
mod push;
mod registry;
mod rmi;
mod save;
mod search;
mod system;
mod tag;
mod unshare;
mod version;
mod volume;

use std::{path::PathBuf, process::ExitCode};

use clap::Args as _;
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

    /// What docker says, on standard output, of old names of flags.
    #[arg(skip)]
    pub(crate) notices: Vec<String>,
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

    #[arg(
        long = "storage-backend",
        value_name = "string",
        value_parser = flags::storage_backend,
        help = "Set how layers are shown to containers (\"auto\", \"erofs\", \"erofs-loop\", \"directory\") (overrides VARVE_STORAGE_BACKEND; default \"auto\")"
    )]
    pub(crate) storage_backend: Option<flags::StorageBackend>,

    /// Print version information and quit
    #[arg(short, long)]
    pub(crate) version: bool,
}

#[derive(Debug, clap::Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
pub(crate) enum Command {
    #[command(override_usage = container::attach::USAGE, after_help = container::attach::NAMES)]
    Attach(container::attach::Args),
    #[command(override_usage = build::USAGE, after_help = build::NAMES)]
    Build(build::Args),
    /// Manage builds
    #[command(subcommand)]
    Builder(builder::Command),
    /// Build with more
    #[command(subcommand)]
    Buildx(buildx::Command),
    #[command(override_usage = container::commit::USAGE, after_help = container::commit::NAMES)]
    Commit(container::commit::Args),
    /// Manage containers
    #[command(subcommand)]
    Container(container::Command),
    #[command(override_usage = container::cp::USAGE, after_help = container::cp::NAMES)]
    Cp(container::cp::Args),
    #[command(override_usage = container::create::USAGE, after_help = container::create::NAMES)]
    Create(container::create::Args),
    #[command(override_usage = container::diff::USAGE, after_help = container::diff::NAMES)]
    Diff(container::diff::Args),
    #[command(override_usage = container::exec::USAGE, after_help = container::exec::NAMES)]
    Exec(container::exec::Args),
    #[command(override_usage = container::export::USAGE, after_help = container::export::NAMES)]
    Export(container::export::Args),
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
    #[command(override_usage = container::kill::USAGE, after_help = container::kill::NAMES)]
    Kill(container::kill::Args),
    #[command(override_usage = load::USAGE, after_help = load::NAMES)]
    Load(load::Args),
    #[command(override_usage = login::USAGE)]
    Login(login::Args),
    #[command(override_usage = logout::USAGE)]
    Logout(logout::Args),
    #[command(override_usage = container::logs::USAGE, after_help = container::logs::NAMES)]
    Logs(container::logs::Args),
    /// Manage networks
    #[command(subcommand)]
    Network(network::Command),
    #[command(override_usage = container::pause::USAGE, after_help = container::pause::NAMES)]
    Pause(container::pause::Args),
    #[command(override_usage = container::port::USAGE, after_help = container::port::NAMES)]
    Port(container::port::Args),
    #[command(override_usage = container::ps::USAGE, after_help = container::ps::NAMES)]
    Ps(container::ps::Args),
    #[command(override_usage = pull::USAGE, after_help = pull::NAMES)]
    Pull(pull::Args),
    #[command(override_usage = push::USAGE, after_help = push::NAMES)]
    Push(push::Args),
    /// Manage registries of your own
    #[command(subcommand)]
    Registry(registry::Command),
    #[command(override_usage = container::rename::USAGE, after_help = container::rename::NAMES)]
    Rename(container::rename::Args),
    #[command(override_usage = container::restart::USAGE, after_help = container::restart::NAMES)]
    Restart(container::restart::Args),
    #[command(override_usage = container::rm::USAGE, after_help = container::rm::NAMES)]
    Rm(container::rm::Args),
    #[command(override_usage = rmi::USAGE, after_help = rmi::NAMES)]
    Rmi(rmi::Args),
    #[command(override_usage = container::run::USAGE, after_help = container::run::NAMES)]
    Run(container::run::Args),
    #[command(override_usage = save::USAGE, after_help = save::NAMES)]
    Save(save::Args),
    #[command(override_usage = search::USAGE)]
    Search(search::Args),
    #[command(override_usage = container::start::USAGE, after_help = container::start::NAMES)]
    Start(container::start::Args),
    #[command(override_usage = container::stats::USAGE, after_help = container::stats::NAMES)]
    Stats(container::stats::Args),
    #[command(override_usage = container::stop::USAGE, after_help = container::stop::NAMES)]
    Stop(container::stop::Args),
    /// Manage Varve
    #[command(subcommand)]
    System(system::Command),
    #[command(override_usage = tag::USAGE, after_help = tag::NAMES)]
    Tag(tag::Args),
    #[command(override_usage = container::top::USAGE, after_help = container::top::NAMES)]
    Top(container::top::Args),
    #[command(override_usage = container::unpause::USAGE, after_help = container::unpause::NAMES)]
    Unpause(container::unpause::Args),
    #[command(override_usage = unshare::USAGE)]
    Unshare(unshare::Args),
    #[command(override_usage = container::update::USAGE, after_help = container::update::NAMES)]
    Update(container::update::Args),
    #[command(override_usage = version::USAGE)]
    Version(version::Args),
    /// Manage volumes
    #[command(subcommand)]
    Volume(volume::Command),
    #[command(override_usage = container::wait::USAGE, after_help = container::wait::NAMES)]
    Wait(container::wait::Args),
}

impl Cli {
    /// The command line with one command only, for those that are run again and again: to declare
    /// all commands takes longer than to do what some of them do. `None`: all are needed.
    pub(crate) fn command_with(word: &str) -> Option<clap::Command> {
        let command = clap::Command::new(word.to_owned());
        let command = match word {
            "run" => container::run::Args::augment_args(command)
                .override_usage(container::run::USAGE)
                .after_help(container::run::NAMES),
            "exec" => container::exec::Args::augment_args(command)
                .override_usage(container::exec::USAGE)
                .after_help(container::exec::NAMES),
            "start" => container::start::Args::augment_args(command)
                .override_usage(container::start::USAGE)
                .after_help(container::start::NAMES),
            "ps" => container::ps::Args::augment_args(command)
                .override_usage(container::ps::USAGE)
                .after_help(container::ps::NAMES),
            "images" => images::Args::augment_args(command)
                .override_usage(images::USAGE)
                .after_help(images::NAMES),
            _ => return None,
        };
        let root = clap::Command::new("varve").subcommand_required(false).args_override_self(true);
        let root =
            Globals::augment_args(root).disable_help_flag(true).disable_help_subcommand(true);
        Some(root.subcommand(command))
    }
}

/// Runs what the command line asks for.
pub(crate) fn run(cli: Cli, environment: Environment) -> ExitCode {
    let mut ui = Ui::new(environment, cli.globals);
    let noticed = cli.notices.iter().try_for_each(|notice| ui.line(notice));
    let result = noticed.and_then(|()| match &cli.command {
        Some(command) if !ui.globals().version => {
            match endpoint::elsewhere(ui.globals(), ui.environment()) {
                Ok(None) => command.run_here(&mut ui),
                Ok(Some(host)) => {
                    let unreachable = || endpoint::unreachable(command.lead(), &host);
                    command.run_elsewhere(&ui).and_then(|()| Err(unreachable()))
                }
                Err(error) => Err(error),
            }
        }
        _ => ui.line(version::one_line()),
    });
    match result.and_then(|()| ui.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = ui.flush();
            ui::fail(&error)
        }
    }
}

impl Command {
    /// Runs the command on this machine, with the privileges that it needs.
    fn run_here(&self, ui: &mut Ui) -> Result<(), CommandError> {
        if self.removes_images() {
            ui.may_write()?;
        }
        ui.enter_namespace(self.need())?;
        self.run(ui)
    }

    /// Says what can be said of this program alone, before an error about a daemon elsewhere.
    fn run_elsewhere(&self, ui: &Ui) -> Result<(), CommandError> {
        match self {
            Self::Info(args) | Self::System(system::Command::Info(args)) => {
                info::run_elsewhere(ui, args)
            }
            Self::Update(args) => container::update::run(ui, args),
            Self::Version(args) => version::run_elsewhere(ui, args),
            _ => Ok(()),
        }
    }

    /// What stands before errors of docker's client: builds have another one.
    fn lead(&self) -> &'static str {
        let is_build = matches!(
            self,
            Self::Build(_)
                | Self::Builder(builder::Command::Build(_))
                | Self::Buildx(_)
                | Self::Image(image::Command::Build(_))
        );
        if is_build { "ERROR: " } else { "" }
    }

    /// Runs the command.
    pub(crate) fn run(&self, ui: &Ui) -> Result<(), CommandError> {
        match self {
            Self::Attach(args) => container::attach::run(ui, args),
            Self::Build(args) => build::run(ui, args),
            Self::Builder(command) => command.run(ui),
            Self::Buildx(command) => command.run(ui),
            Self::Commit(args) => container::commit::run(ui, args),
            Self::Container(command) => command.run(ui),
            Self::Cp(args) => container::cp::run(ui, args),
            Self::Create(args) => container::create::run(ui, args),
            Self::Diff(args) => container::diff::run(ui, args),
            Self::Exec(args) => container::exec::run(ui, args),
            Self::Export(args) => container::export::run(ui, args),
            Self::History(args) => history::run(ui, args),
            Self::Image(command) => command.run(ui),
            Self::Images(args) => images::run(ui, args),
            Self::Import(args) => import::run(ui, args),
            Self::Info(args) => info::run(ui, args),
            Self::Inspect(args) => inspect::run(ui, args),
            Self::Kill(args) => container::kill::run(ui, args),
            Self::Load(args) => load::run(ui, args),
            Self::Login(args) => login::run(ui, args),
            Self::Logout(args) => logout::run(ui, args),
            Self::Logs(args) => container::logs::run(ui, args),
            Self::Network(command) => command.run(ui),
            Self::Pause(args) => container::pause::run(ui, args),
            Self::Port(args) => container::port::run(ui, args),
            Self::Ps(args) => container::ps::run(ui, args),
            Self::Pull(args) => pull::run(ui, args),
            Self::Push(args) => push::run(ui, args),
            Self::Registry(command) => command.run(ui),
            Self::Rename(args) => container::rename::run(ui, args),
            Self::Restart(args) => container::restart::run(ui, args),
            Self::Rm(args) => container::rm::run(ui, args),
            Self::Rmi(args) => rmi::run(ui, args),
            Self::Run(args) => container::run::run(ui, args),
            Self::Save(args) => save::run(ui, args),
            Self::Search(args) => search::run(ui, args),
            Self::Start(args) => container::start::run(ui, args),
            Self::Stats(args) => container::stats::run(ui, args),
            Self::Stop(args) => container::stop::run(ui, args),
            Self::System(command) => command.run(ui),
            Self::Tag(args) => tag::run(ui, args),
            Self::Top(args) => container::top::run(ui, args),
            Self::Unpause(args) => container::unpause::run(ui, args),
            Self::Unshare(args) => unshare::run(ui, args),
            Self::Update(args) => container::update::run(ui, args),
            Self::Version(args) => version::run(ui, args),
            Self::Volume(command) => command.run(ui),
            Self::Wait(args) => container::wait::run(ui, args),
        }
    }
}
