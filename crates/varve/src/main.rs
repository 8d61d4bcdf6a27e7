//! The `varve` program: arguments, output and exit codes. What a command *does* is in
//! `varve-engine`; a line here that decides something about images is in the wrong crate.
//!
//! ```text
//! main ─ role? ─ arguments ─▶ commands::X::run(ui, args) ─▶ engine
//!                                     │
//!                     report + format ┴▶ ui ─▶ standard output, standard error, exit code
//! ```

mod arguments;
mod build_progress;
mod commands;
mod endpoint;
mod error;
mod format;
mod interrupt;
mod process;
mod progress;
mod report;
mod role;
mod terminal_input;
mod terminal_raw;
mod ui;
mod user;

use std::process::ExitCode;

use arguments::Asked;
use role::Role;

fn main() -> ExitCode {
    #[cfg(debug_assertions)]
    process::ask_about_durable_calls();
    // The one place where a hidden role is chosen: no thread exists yet, and none may before.
    if let Some(role) = Role::of_this_process() {
        return role.run();
    }
    let line = match process::arguments() {
        Ok(line) => line,
        Err(error) => return ui::fail(&error),
    };
    let environment = process::environment();
    let config_dir = process::config_dir(&environment, None);
    match arguments::read(&line, ui::help_width(), &config_dir.display().to_string()) {
        Ok(Asked::Run(cli)) => commands::run(*cli, environment),
        Ok(Asked::Help { text, stray, warning }) => ui::help(&text, stray, warning),
        Err(wrong) => ui::wrong(&wrong.text, wrong.code),
    }
}
