//! `varve login`

use std::io::{self, BufRead as _, Read as _};

use varve_engine::{Credential, Registries};
use varve_types::Printable;

use crate::{
    error::CommandError,
    terminal_input::{self, Unread},
    ui::{self, Ui},
};

/// Bytes of a name or password.
const INPUT_SIZE_BYTES_MAX: u64 = 1 << 16;
const NO_TERMINAL: &str = "Error: Cannot perform an interactive login from a non TTY device";

pub(crate) const USAGE: &str = "[OPTIONS] [SERVER]";

/// Authenticate to a registry
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified."
)]
pub(crate) struct Args {
    /// Password or Personal Access Token (PAT)
    #[arg(short, long, value_name = "string")]
    password: Option<String>,

    /// Take the Password or Personal Access Token (PAT) from stdin
    #[arg(long = "password-stdin")]
    password_stdin: bool,

    /// Username
    #[arg(short, long, value_name = "string")]
    username: Option<String>,

    server: Option<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let username = args.username.clone().unwrap_or_default();
    let mut password = args.password.clone().unwrap_or_default();
    if args.password_stdin {
        if args.password.is_some() {
            let text = "conflicting options: cannot specify both --password and --password-stdin";
            return Err(CommandError::plain(text, 1));
        }
        if username.is_empty() {
            let text = "the --password-stdin option requires --username to be set";
            return Err(CommandError::plain(text, 1));
        }
        password = read_password()?;
    } else if !password.is_empty() {
        ui.complain("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    }
    let server = args.server.as_deref().unwrap_or_default();
    let mut registries = ui.registries()?;
    if username.is_empty() && password.is_empty() && with_kept(ui, &mut registries, server)? {
        return Ok(());
    }
    let (username, password) = ask(ui, server, username, password)?;
    let credential = Credential::Password { username, password };
    login(ui, &mut registries, server, &credential)
}

/// Tries the credentials that are kept. Says whether they are good.
fn with_kept(ui: &Ui, registries: &mut Registries, server: &str) -> Result<bool, CommandError> {
    let Some(kept) = registries.kept_credential(server)? else { return Ok(false) };
    let name = Printable(kept.username()).to_string();
    ui.complain(format_args!(
        "Authenticating with existing credentials... [Username: {name}]\n\n \
         Info -> To login with a different account, run 'varve logout' followed by 'varve login'\n\n"
    ));
    match login(ui, registries, server, &kept) {
        Ok(()) => Ok(true),
        Err(error) => {
            let text = error.text().unwrap_or_default();
            ui.complain(format_args!("Login did not succeed, error: {text}"));
            Ok(false)
        }
    }
}

/// Asks for what is missing.
fn ask(
    ui: &Ui,
    server: &str,
    mut username: String,
    mut password: String,
) -> Result<(String, String), CommandError> {
    if !username.is_empty() && !password.is_empty() {
        return Ok((username, password));
    }
    if !ui::stdin_is_terminal() {
        return Err(CommandError::plain(NO_TERMINAL, 1));
    }
    if username.is_empty() {
        if server.is_empty() {
            ui.line(
                "Log in with your Docker ID or email address to push and pull images from Docker Hub.",
            )?;
        }
        ui.text("Username: ")?;
        ui.flush()?;
        let mut line = String::new();
        let read = io::stdin().lock().take(INPUT_SIZE_BYTES_MAX).read_line(&mut line);
        if read.is_err() || line.trim().is_empty() {
            return Err(CommandError::plain("Error: Non-null Username Required", 1));
        }
        line.trim().clone_into(&mut username);
    }
    if password.is_empty() {
        ui.text("Password: ")?;
        ui.flush()?;
        password = match terminal_input::secret() {
            Ok(password) => password,
            Err(Unread::Interrupted) => return Err(CommandError::Said { code: 130 }),
            Err(Unread::Failed(error)) => {
                return Err(CommandError::Own { error: Box::new(error), hint: None });
            }
        };
        if password.is_empty() {
            return Err(CommandError::plain("Error: Password Required", 1));
        }
    }
    Ok((username, password))
}

fn login(
    ui: &Ui,
    registries: &mut Registries,
    server: &str,
    credential: &Credential,
) -> Result<(), CommandError> {
    let done = registries.login(&ui.silent(), server, credential)?;
    if let Some(path) = done.stored_unencrypted {
        ui.complain(format_args!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\n\
             Configure a credential helper to remove this warning. See\n\
             https://docs.docker.com/go/credential-store/\n",
            path.display()
        ));
    }
    ui.line("Login Succeeded")
}

/// Reads standard input to its end, without the line break that ends it.
fn read_password() -> Result<String, CommandError> {
    let mut text = String::new();
    let read = io::stdin().lock().take(INPUT_SIZE_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| CommandError::Own { error: Box::new(error), hint: None })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}
