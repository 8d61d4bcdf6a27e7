//! The daemon that is not there.
//!
//! Docker's users may name another machine with `-H`, `-c`, `DOCKER_HOST` or `DOCKER_CONTEXT`. To work on this machine's
//! images instead would be the worst answer, above all for what removes images; so anything
//! but the default is refused.

use varve_types::{Digest, Environment};

use crate::{commands::Globals, error::CommandError, process};

/// Where Docker's daemon listens unless told otherwise.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
const DEFAULT_CONTEXT: &str = "default";
const SCHEMES: &[&str] = &["fd", "npipe", "ssh", "tcp", "unix"];
const LOG_LEVELS: &[&str] = &["debug", "info", "warn", "error", "fatal", "panic", "trace"];

/// The daemon that the user names and that is not there; `None` for the default.
pub(crate) fn elsewhere(
    globals: &Globals,
    environment: &Environment,
) -> Result<Option<String>, CommandError> {
    let level = globals.log_level.as_str();
    if !level.is_empty() && !LOG_LEVELS.contains(&level) {
        let text = format!("unable to parse logging level: {}", globals.log_level);
        return Err(CommandError::plain(text, 1));
    }
    let failed = |reason: String| {
        let text = format!("Failed to initialize: unable to resolve docker endpoint: {reason}");
        Err(CommandError::plain(text, 1))
    };
    let environment_host = environment.get("DOCKER_HOST");
    if !globals.hosts.is_empty() && globals.context.is_some() {
        let text = "conflicting options: cannot specify both --host and --context";
        return Err(CommandError::plain(text, 1));
    }
    let named = globals.context.as_deref().filter(|name| !name.is_empty());
    // A host, once given, overrides the variable.
    let no_host = globals.hosts.is_empty() && environment_host.is_none_or(str::is_empty);
    let context_variable =
        environment.get("DOCKER_CONTEXT").filter(|name| no_host && !name.is_empty());
    if let Some(context) = named.or(context_variable)
        && context != DEFAULT_CONTEXT
    {
        let folder = process::config_dir(environment, globals.config.as_deref());
        let id = Digest::of(context.as_bytes()).hex();
        return failed(format!(
            "context {context:?}: context not found: open {}/contexts/meta/{id}/meta.json: no such file or directory",
            folder.display()
        ));
    }
    // A context, once given, overrides the variable.
    let variable = environment_host.filter(|_| named.is_none());
    let Some(host) = globals.hosts.last().map(String::as_str).or(variable) else { return Ok(None) };
    if host == DEFAULT_HOST || host.is_empty() {
        return Ok(None);
    }
    if let Some((scheme, _)) = host.split_once("://")
        && !SCHEMES.contains(&scheme)
    {
        return failed(format!("invalid bind address format: {host}"));
    }
    Ok(Some(host.to_owned()))
}

/// Refuses to work on images that are elsewhere. `lead` is what stands before docker's words.
pub(crate) fn unreachable(lead: &str, host: &str) -> CommandError {
    let text = format!(
        "{lead}Cannot connect to the Docker daemon at {host}. Is the docker daemon running?"
    );
    CommandError::plain(text, 1)
}
