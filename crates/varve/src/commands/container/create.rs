//! `varve create`

use std::path::Path;

use varve_types::{Reference, container::CreateRequest};

use super::{
    options::{Creation, Options},
    request::{self, World},
    verbs::{self, Created, Expected, Pull},
};
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] IMAGE [COMMAND] [ARG...]";
pub(crate) const NAMES: &str = "varve container create, varve create";

/// Create a new container
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    #[command(flatten)]
    options: Options,

    #[command(flatten)]
    creation: Creation,

    // The bar is docker's misprint.
    #[arg(long, value_name = "string", default_value = "missing")]
    #[arg(
        help = "Pull image before creating (\"always\", \"|missing\", \"never\") (default \"missing\")"
    )]
    pull: String,

    #[arg(required = true)]
    image: String,

    #[arg(trailing_var_arg = true, allow_hyphen_values = true, num_args = 0..)]
    command: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let pull = pull(&args.pull).map_err(|text| super::with_help(&text, "create", 125))?;
    let request = request(ui, &args.options, &args.creation, &args.image, &args.command)
        .map_err(|refused| refused.with_help("create"))?;
    let created = create(ui, &request, &args.creation, pull, None)?;
    ui.line(created.id)
}

/// Reads `--pull`.
pub(crate) fn pull(text: &str) -> Result<Pull, String> {
    match text {
        "always" => Ok(Pull::Always),
        "missing" | "" => Ok(Pull::Missing),
        "never" => Ok(Pull::Never),
        text => {
            let words = r#""always", "missing" or "never""#;
            Err(format!("invalid pull option: '{text}': must be one of {words}"))
        }
    }
}

/// Reads what is to be made.
pub(crate) fn request(
    ui: &Ui,
    options: &Options,
    creation: &Creation,
    image: &str,
    command: &[String],
) -> Result<CreateRequest, request::Refused> {
    let directory = std::env::current_dir().unwrap_or_else(|_| "/".into());
    let world = World { environment: ui.environment(), directory: &directory };
    let mut request = request::read(options, image, command, world)?;
    request.name = Some(creation.name.clone()).filter(|name| !name.is_empty());
    Ok(request)
}

/// Makes the container, says its warnings and leaves its ID in the file that was asked for.
pub(crate) fn create(
    ui: &Ui,
    request: &CreateRequest,
    creation: &Creation,
    pull: Pull,
    expected: Option<&Expected>,
) -> Result<Created, CommandError> {
    if let Err(error) = request.config.image.parse::<Reference>() {
        return Err(CommandError::plain(error.to_string(), 1));
    }
    let path = &request.host_config.container_id_file;
    let path = (!path.is_empty()).then(|| Path::new(path));
    if let Some(path) = path.filter(|path| path.symlink_metadata().is_ok()) {
        let advice = "make sure the other container isn't running or delete";
        let text = format!("container ID file found, {advice} {}", path.display());
        return Err(CommandError::plain(text, 1));
    }
    let how = verbs::Creation {
        pull,
        quiet: creation.quiet,
        platform: creation.platform.as_deref().filter(|platform| !platform.is_empty()),
    };
    let created = verbs::create(ui, request, how, expected)?;
    for warning in &created.warnings {
        ui.complain(format_args!("WARNING: {warning}"));
    }
    if let Some(path) = path {
        std::fs::write(path, &created.id).map_err(|error| {
            let reason = crate::error::go_text("open", path, &error);
            CommandError::plain(format!("failed to create the container ID file: {reason}"), 1)
        })?;
    }
    Ok(created)
}
