//! `varve image inspect`

use crate::{
    commands::flags,
    error::CommandError,
    report::inspect::{self, Form},
    ui::Ui,
};

pub(crate) const USAGE: &str = "[OPTIONS] IMAGE [IMAGE...]";

const PLATFORM_HELP: &str = "Inspect a specific platform of the multi-platform image.
If the image or the server is not multi-platform capable, the command will error out if the platform does not match.
'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)";

/// Display detailed information on one or more images
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(short, long, value_name = "string", default_value = "", help = flags::FORMAT_HELP)]
    format: String,

    #[arg(long, value_name = "string", help = PLATFORM_HELP)]
    platform: Option<String>,

    #[arg(required = true, num_args = 1..)]
    images: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let platform = flags::platform(args.platform.as_deref())?;
    let form = Form::new(&args.format)?;
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    let engine = ui.engine()?;
    for image in &args.images {
        if image.is_empty() {
            errors.push("Error: No such image: ".to_owned());
            continue;
        }
        match engine.inspect(image, platform.as_ref()) {
            Ok(facts) => found.push(inspect::image(&facts)),
            Err(error) => errors.extend(CommandError::from(error).text()),
        }
    }
    let text = form.show(&found, &mut errors);
    super::finish(ui, text, errors)
}
