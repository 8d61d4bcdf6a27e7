//! `varve run`

use varve_types::container::start_exit_code;

use super::{
    create,
    options::{Creation, Options},
    session::{self, Attachment},
    verbs,
};
use crate::{
    error::CommandError,
    ui::{self, Ui},
};

pub(crate) const USAGE: &str = "[OPTIONS] IMAGE [COMMAND] [ARG...]";
pub(crate) const NAMES: &str = "varve container run, varve run";

/// Create and run a new container from an image
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    #[command(flatten)]
    options: Options,

    #[command(flatten)]
    creation: Creation,

    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,

    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string", default_value = "")]
    detach_keys: String,

    #[arg(long, value_name = "string", default_value = "missing")]
    #[arg(
        help = "Pull image before running (\"always\", \"missing\", \"never\") (default \"missing\")"
    )]
    pull: String,

    #[arg(long, action = clap::ArgAction::SetFalse)]
    #[arg(help = "Proxy received signals to the process (default true)")]
    sig_proxy: bool,

    #[arg(required = true)]
    image: String,

    #[arg(trailing_var_arg = true, allow_hyphen_values = true, num_args = 0..)]
    command: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let pull = create::pull(&args.pull).map_err(|text| super::with_help(&text, "run", 125))?;
    let mut request =
        create::request(ui, &args.options, &args.creation, &args.image, &args.command)
            .map_err(|refused| refused.with_help("run"))?;
    let config = &mut request.config;
    if args.detach {
        if !args.options.attach.is_empty() {
            let text = "conflicting options: cannot specify both --attach and --detach";
            return Err(CommandError::plain(text, 1));
        }
        (config.attach_stdin, config.attach_stdout, config.attach_stderr) = (false, false, false);
        config.stdin_once = false;
    } else {
        session::check_terminal(config.attach_stdin, config.tty)?;
    }
    if config.tty && !args.detach {
        request.host_config.console_size = ui::console_size();
    }
    let config = &request.config;
    let attachment = Attachment {
        keys: session::keys(ui, &args.detach_keys),
        input: config.attach_stdin,
        output: config.attach_stdout,
        errors: config.attach_stderr,
        forwards_signals: args.sig_proxy,
    };
    let expected = verbs::expect(ui).map_err(failed)?;
    let created = create::create(ui, &request, &args.creation, pull, Some(&expected));
    let created = created.map_err(failed)?;
    if !attachment.output && !attachment.errors {
        ui.line(&created.id)?;
        ui.flush()?;
    }
    if attachment.input || attachment.output || attachment.errors {
        let code = verbs::start_attached(ui, &created.id, &attachment, Some(expected));
        let code = code.map_err(failed)?;
        return session::exit(code);
    }
    verbs::start(ui, &created.id, Some(expected)).map_err(failed)
}

/// An error before the container's own program runs: docker chooses the code by the words.
fn failed(error: CommandError) -> CommandError {
    if matches!(error, CommandError::Output(_) | CommandError::Said { .. }) {
        return error;
    }
    let text = error.text().unwrap_or_default();
    super::with_help(&text, "run", start_exit_code(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_follows_the_words_of_the_error() {
        let code = |text: &str| failed(CommandError::daemon(text)).code();
        assert_eq!(code("exec: \"x\": executable file not found in $PATH: unknown"), 127);
        assert_eq!(code("exec: \"/etc/passwd\": permission denied: unknown"), 126);
        assert_eq!(code("Minimum memory limit allowed is 6MB"), 125);
        assert_eq!(
            failed(CommandError::daemon("No such image: x:1")).text().unwrap(),
            "varve: Error response from daemon: No such image: x:1\n\nRun 'varve run --help' for more \
             information"
        );
    }
}
