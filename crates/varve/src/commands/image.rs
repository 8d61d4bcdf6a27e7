//! `varve image`: the commands on images by their long names, and into them

mod cat;
mod diff;
mod export;
mod mount;
mod tree;
mod unmount;

use super::{build, history, images, import, inspect, load, prune, pull, push, rmi, save, tag};
use crate::{error::CommandError, ui::Ui};

#[derive(Debug, clap::Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
pub(crate) enum Command {
    #[command(override_usage = build::USAGE, after_help = build::NAMES)]
    Build(build::Args),
    #[command(override_usage = cat::USAGE)]
    Cat(cat::Args),
    #[command(override_usage = diff::USAGE)]
    Diff(diff::Args),
    #[command(override_usage = export::USAGE)]
    Export(export::Args),
    #[command(override_usage = history::USAGE, after_help = history::NAMES)]
    History(history::Args),
    #[command(override_usage = import::USAGE, after_help = import::NAMES)]
    Import(import::Args),
    #[command(override_usage = inspect::image::USAGE)]
    Inspect(inspect::image::Args),
    #[command(override_usage = load::USAGE, after_help = load::NAMES)]
    Load(load::Args),
    #[command(alias = "list", override_usage = images::USAGE, after_help = images::NAMES)]
    Ls(images::Args),
    #[command(override_usage = mount::USAGE)]
    Mount(mount::Args),
    #[command(override_usage = prune::USAGE)]
    Prune(prune::Args),
    #[command(override_usage = pull::USAGE, after_help = pull::NAMES)]
    Pull(pull::Args),
    #[command(override_usage = push::USAGE, after_help = push::NAMES)]
    Push(push::Args),
    #[command(alias = "remove", override_usage = rmi::USAGE, after_help = rmi::NAMES)]
    Rm(rmi::Args),
    #[command(override_usage = save::USAGE, after_help = save::NAMES)]
    Save(save::Args),
    #[command(override_usage = tag::USAGE, after_help = tag::NAMES)]
    Tag(tag::Args),
    #[command(override_usage = tree::USAGE)]
    Tree(tree::Args),
    #[command(alias = "umount", override_usage = unmount::USAGE, after_help = unmount::NAMES)]
    Unmount(unmount::Args),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(&self, ui: &Ui) -> Result<(), CommandError> {
        match self {
            Self::Build(args) => build::run(ui, args),
            Self::Cat(args) => cat::run(ui, args),
            Self::Diff(args) => diff::run(ui, args),
            Self::Export(args) => export::run(ui, args),
            Self::History(args) => history::run(ui, args),
            Self::Import(args) => import::run(ui, args),
            Self::Inspect(args) => inspect::image::run(ui, args),
            Self::Load(args) => load::run(ui, args),
            Self::Ls(args) => images::run(ui, args),
            Self::Mount(args) => mount::run(ui, args),
            Self::Prune(args) => prune::run(ui, args),
            Self::Pull(args) => pull::run(ui, args),
            Self::Push(args) => push::run(ui, args),
            Self::Rm(args) => rmi::run(ui, args),
            Self::Save(args) => save::run(ui, args),
            Self::Tag(args) => tag::run(ui, args),
            Self::Tree(args) => tree::run(ui, args),
            Self::Unmount(args) => unmount::run(ui, args),
        }
    }
}
