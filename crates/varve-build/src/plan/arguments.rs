//! Arguments that stand before the stages: those that are always there, and those of `ARG`.

use std::collections::BTreeMap;

use super::{Environment, Options};
use crate::{
    dockerfile::Dockerfile,
    error::{DockerfileError, Problem, Result},
    expand::{Expanded, Expander, Variables},
    instruction::Argument,
};

/// Expands a word; the error names it.
pub(super) fn expand(
    expander: Expander,
    word: &str,
    variables: &dyn Variables,
) -> Result<Expanded> {
    expander.expand(word, variables).map_err(|error| Problem::Expand(word.to_owned(), error).into())
}

/// The arguments that are always there.
pub(super) fn default_arguments(file: &Dockerfile, options: &Options) -> Result<Environment> {
    let last = file.stages.last().and_then(|stage| stage.from.name.as_deref());
    let stage = options.target.as_deref().or(last).unwrap_or("default");
    let mut globals = Environment::default();
    for (kind, platform) in
        [("BUILD", &options.build_platform), ("TARGET", options.target_platform())]
    {
        let platform = platform.normalized();
        for (name, value) in [
            ("PLATFORM", platform.to_string()),
            ("OS", platform.os.clone()),
            ("OSVERSION", platform.os_version.clone()),
            ("ARCH", platform.architecture.clone()),
            ("VARIANT", platform.variant.clone()),
        ] {
            globals.set(&format!("{kind}{name}"), &value)?;
        }
    }
    globals.set("TARGETSTAGE", stage)?;
    let names: Vec<String> = globals.names().map(str::to_owned).collect();
    for name in names {
        if let Some(value) = options.build_args.get(&name) {
            globals.set(&name, value)?;
        }
    }
    Ok(globals)
}

/// The arguments before the first `FROM`.
pub(super) fn global_arguments(
    file: &Dockerfile,
    defaults: &Environment,
    expander: Expander,
    given: &BTreeMap<String, String>,
) -> Result<Environment> {
    let mut globals = defaults.clone();
    for (Argument { key, value, .. }, lines) in &file.arguments {
        let value = match (given.get(key), value) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(value)) => {
                Some(expand(expander, value, &globals).map_err(|e| e.at(*lines))?.text)
            }
            (None, None) => None,
        };
        if let Some(value) = value {
            globals.set(key, &value).map_err(|p| DockerfileError::from(p).at(*lines))?;
        }
    }
    Ok(globals)
}

/// The names that `ARG` declares before the first `FROM`.
pub(super) fn declared(file: &Dockerfile) -> impl Iterator<Item = &str> {
    file.arguments.iter().map(|(argument, _)| argument.key.as_str())
}
