//! `varve import`

use std::{fs, io, path::Path};

use varve_engine::{Import, ImportSource};
use varve_types::Reference;

use crate::{
    error::{self, CommandError},
    ui::Ui,
};

pub(crate) const USAGE: &str = "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]";
pub(crate) const NAMES: &str = "varve image import, varve import";

/// Import the contents from a tarball to create a filesystem image
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long = "change", value_name = "list", action = clap::ArgAction::Append)]
    changes: Vec<String>,

    /// Set commit message for imported image
    #[arg(short, long, value_name = "string", default_value = "")]
    message: String,

    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string")]
    platform: Option<String>,

    source: String,

    /// The name, and more that Docker takes and does not look at.
    #[arg(num_args = 0..)]
    names: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let name = args.names.first().filter(|name| !name.is_empty());
    let reference = name.map(|name| name.parse::<Reference>()).transpose();
    let reference = reference.map_err(|error| CommandError::plain(error.to_string(), 1))?;
    let (mut stdin, mut file) = (io::stdin(), None);
    let source = match args.source.as_str() {
        "-" => ImportSource::Stream(&mut stdin),
        url if url.starts_with("http://") || url.starts_with("https://") => ImportSource::Url(url),
        path => {
            let path = Path::new(path);
            let opened = fs::File::open(path).map_err(|e| error::of_file("open", path, &e))?;
            if path.is_dir() {
                let is_directory = rustix::io::Errno::ISDIR.into();
                return Err(error::of_file("read", path, &is_directory));
            }
            ImportSource::Stream(file.insert(opened))
        }
    };
    let request = Import {
        source,
        reference: reference.as_ref(),
        changes: &args.changes,
        message: Some(args.message.as_str()).filter(|message| !message.is_empty()),
        platform: args.platform.as_deref().filter(|platform| !platform.is_empty()),
    };
    let image = ui.engine()?.import(&ui.silent(), request)?;
    ui.line(image)
}
