//! `key=value` fields in one flag, as docker's builder splits them.

use varve_types::container::parse::fields;

use super::refused;
use crate::error::CommandError;

/// The fields of a flag; keys in lower case. `what` is docker's word for the flag.
pub(crate) fn pairs(text: &str, what: &str) -> Result<Vec<(String, String)>, CommandError> {
    let split = |field: String| match field.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_lowercase(), value.to_owned())),
        None => Err(refused(format_args!("invalid field '{field}' must be a key=value pair"))),
    };
    list(text, what)?.into_iter().map(split).collect()
}

/// The fields of a flag as they are.
pub(crate) fn list(text: &str, what: &str) -> Result<Vec<String>, CommandError> {
    fields(text).map_err(|error| refused(format_args!("failed to parse csv {what}: {error}")))
}
