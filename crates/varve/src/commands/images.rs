//! `varve images`

use varve_engine::{Engine, ImageSummary, List};

use super::flags;
use crate::{
    error::CommandError,
    report::{
        images::{self, Layout},
        tree::{self, Line, Tree},
    },
    ui::{self, Ui},
};

pub(crate) const USAGE: &str = "[OPTIONS] [REPOSITORY[:TAG]]";
pub(crate) const NAMES: &str = "varve image ls, varve image list, varve images";

/// List images
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show all images (default hides intermediate images)
    #[arg(short, long)]
    all: bool,

    /// Show digests
    #[arg(long)]
    digests: bool,

    /// Filter output based on conditions provided
    #[arg(short, long = "filter", value_name = "filter", value_parser = flags::filter)]
    #[arg(action = clap::ArgAction::Append)]
    filters: Vec<flags::Filter>,

    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    #[arg(help = flags::FORMAT_TABLE_HELP)]
    format: String,

    /// Don't truncate output
    #[arg(long = "no-trunc")]
    no_trunc: bool,

    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,

    /// List multi-platform images as a tree (EXPERIMENTAL)
    #[arg(long)]
    tree: bool,

    name: Option<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    if args.tree {
        args.check_tree()?;
    }
    let mut filters = flags::filters(&args.filters);
    if let Some(name) = &args.name {
        filters.add("reference", name);
    }
    let engine = ui.engine()?;
    let request = List { all: args.all, filters };
    let images = engine.list(&ui.silent(), &request)?;
    if args.tree {
        return ui.text(&draw(engine, &images)?);
    }
    let layout = Layout {
        format: &args.format,
        quiet: args.quiet,
        digests: args.digests,
        whole: args.no_trunc,
    };
    ui.text(&images::list(&images, layout, ui.now(), &ui::zone())?)
}

impl Args {
    fn check_tree(&self) -> Result<(), CommandError> {
        let others = [
            (self.quiet, "--quiet"),
            (self.no_trunc, "--no-trunc"),
            (self.digests, "--show-digest"),
            (!self.format.is_empty(), "--format"),
        ];
        match others.iter().find(|(given, _)| *given) {
            Some((_, flag)) => {
                let text = format!("{flag} is not yet supported with --tree");
                Err(CommandError::plain(text, 1))
            }
            None => Ok(()),
        }
    }
}

/// Draws the images with their platforms.
fn draw(engine: &Engine, images: &[ImageSummary]) -> Result<String, CommandError> {
    let mut trees = Vec::with_capacity(images.len());
    for image in images {
        let platforms = engine.platforms(image)?;
        let line = |id: String, size_bytes, content_size_bytes| Line {
            id,
            size_bytes,
            content_size_bytes,
            in_use: false,
        };
        let content = platforms.iter().map(|platform| platform.content_size_bytes).sum();
        let mut names: Vec<String> =
            image.tags.iter().map(varve_types::Reference::familiar).collect();
        if names.is_empty() {
            names.push("<untagged>".to_owned());
        }
        trees.push(Tree {
            names,
            line: line(image.id.to_string(), image.size_bytes, content),
            platforms: platforms
                .iter()
                .map(|one| {
                    let figures = line(one.id.to_string(), one.size_bytes, one.content_size_bytes);
                    (one.platform.to_string(), figures)
                })
                .collect(),
        });
    }
    Ok(tree::draw(&trees, ui::width(), ui::stdout_is_terminal()))
}
