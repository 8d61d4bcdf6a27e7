//! `varve container`: the commands on containers by their long names

pub(crate) mod attach;
pub(crate) mod commit;
pub(crate) mod cp;
pub(crate) mod create;
pub(crate) mod diff;
pub(crate) mod exec;
pub(crate) mod export;
mod files;
pub(crate) mod inspect;
pub(crate) mod kill;
pub(crate) mod logs;
mod options;
pub(crate) mod pause;
pub(crate) mod port;
mod prune;
pub(crate) mod ps;
pub(crate) mod rename;
mod request;
pub(crate) mod restart;
pub(crate) mod rm;
pub(crate) mod run;
mod session;
pub(crate) mod start;
pub(crate) mod stats;
pub(crate) mod stop;
#[cfg(test)]
mod tests;
pub(crate) mod top;
pub(crate) mod unpause;
pub(crate) mod update;
pub(crate) mod verbs;
pub(crate) mod wait;

use crate::{error::CommandError, ui::Ui};

#[derive(Debug, clap::Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
pub(crate) enum Command {
    #[command(override_usage = attach::USAGE, after_help = attach::NAMES)]
    Attach(attach::Args),
    #[command(override_usage = commit::USAGE, after_help = commit::NAMES)]
    Commit(commit::Args),
    #[command(override_usage = cp::USAGE, after_help = cp::NAMES)]
    Cp(cp::Args),
    #[command(override_usage = create::USAGE, after_help = create::NAMES)]
    Create(create::Args),
    #[command(override_usage = diff::USAGE, after_help = diff::NAMES)]
    Diff(diff::Args),
    #[command(override_usage = exec::USAGE, after_help = exec::NAMES)]
    Exec(exec::Args),
    #[command(override_usage = export::USAGE, after_help = export::NAMES)]
    Export(export::Args),
    #[command(override_usage = inspect::USAGE)]
    Inspect(inspect::Args),
    #[command(override_usage = kill::USAGE, after_help = kill::NAMES)]
    Kill(kill::Args),
    #[command(override_usage = logs::USAGE, after_help = logs::NAMES)]
    Logs(logs::Args),
    #[command(aliases = ["list", "ps"], override_usage = ps::USAGE, after_help = ps::NAMES)]
    Ls(ps::Args),
    #[command(override_usage = pause::USAGE, after_help = pause::NAMES)]
    Pause(pause::Args),
    #[command(override_usage = port::USAGE, after_help = port::NAMES)]
    Port(port::Args),
    #[command(override_usage = prune::USAGE)]
    Prune(prune::Args),
    #[command(override_usage = rename::USAGE, after_help = rename::NAMES)]
    Rename(rename::Args),
    #[command(override_usage = restart::USAGE, after_help = restart::NAMES)]
    Restart(restart::Args),
    #[command(alias = "remove", override_usage = rm::USAGE, after_help = rm::NAMES)]
    Rm(rm::Args),
    #[command(override_usage = run::USAGE, after_help = run::NAMES)]
    Run(run::Args),
    #[command(override_usage = start::USAGE, after_help = start::NAMES)]
    Start(start::Args),
    #[command(override_usage = stats::USAGE, after_help = stats::NAMES)]
    Stats(stats::Args),
    #[command(override_usage = stop::USAGE, after_help = stop::NAMES)]
    Stop(stop::Args),
    #[command(override_usage = top::USAGE, after_help = top::NAMES)]
    Top(top::Args),
    #[command(override_usage = unpause::USAGE, after_help = unpause::NAMES)]
    Unpause(unpause::Args),
    #[command(override_usage = update::USAGE, after_help = update::NAMES)]
    Update(update::Args),
    #[command(override_usage = wait::USAGE, after_help = wait::NAMES)]
    Wait(wait::Args),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(&self, ui: &Ui) -> Result<(), CommandError> {
        match self {
            Self::Attach(args) => attach::run(ui, args),
            Self::Commit(args) => commit::run(ui, args),
            Self::Cp(args) => cp::run(ui, args),
            Self::Create(args) => create::run(ui, args),
            Self::Diff(args) => diff::run(ui, args),
            Self::Exec(args) => exec::run(ui, args),
            Self::Export(args) => export::run(ui, args),
            Self::Inspect(args) => inspect::run(ui, args),
            Self::Kill(args) => kill::run(ui, args),
            Self::Logs(args) => logs::run(ui, args),
            Self::Ls(args) => ps::run(ui, args),
            Self::Pause(args) => pause::run(ui, args),
            Self::Port(args) => port::run(ui, args),
            Self::Prune(args) => prune::run(ui, args),
            Self::Rename(args) => rename::run(ui, args),
            Self::Restart(args) => restart::run(ui, args),
            Self::Rm(args) => rm::run(ui, args),
            Self::Run(args) => run::run(ui, args),
            Self::Start(args) => start::run(ui, args),
            Self::Stats(args) => stats::run(ui, args),
            Self::Stop(args) => stop::run(ui, args),
            Self::Top(args) => top::run(ui, args),
            Self::Unpause(args) => unpause::run(ui, args),
            Self::Update(args) => update::run(ui, args),
            Self::Wait(args) => wait::run(ui, args),
        }
    }
}

/// Does the same to each container and echoes what was done; what failed is said at the end.
pub(crate) fn each(
    ui: &Ui,
    names: &[String],
    mut verb: impl FnMut(&str) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let mut errors = Vec::new();
    for name in names {
        match verb(name) {
            Ok(()) => {
                ui.line(name)?;
                ui.flush()?;
            }
            Err(error) => errors.extend(error.text()),
        }
    }
    finish(errors)
}

/// Ends with what failed.
pub(crate) fn finish(errors: Vec<String>) -> Result<(), CommandError> {
    if errors.is_empty() { Ok(()) } else { Err(CommandError::plain(errors.join("\n"), 1)) }
}

/// An error as `run` shows it, and `create` what is wrong with its flags.
fn with_help(text: &str, command: &str, code: u8) -> CommandError {
    let hint = format!("Run 'varve {command} --help' for more information");
    CommandError::plain(format!("varve: {text}\n\n{hint}"), code)
}
