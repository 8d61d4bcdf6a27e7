//! What flags of `run` and `create` say, read as docker's client reads it.
//!
//! Nothing here touches a file or the environment: what names a file is read by the caller, and
//! variables of the caller's environment are looked up through a function. Ports, sizes, devices
//! and limits parse themselves ([`PortBinding`](super::PortBinding) and its neighbours).

use crate::{Kind, Printable};

pub mod device;
pub mod env;
pub mod mount;
pub mod network;
pub mod option;
pub mod volume;

/// A value that docker refuses, with the words in which it does. Nobody tells the many reasons
/// apart, so there is one text and no enumeration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct FlagError {
    text: String,
}

impl FlagError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }

    /// Words without a value.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// Words before a value of the user's.
    pub(crate) fn of(text: &str, value: &str) -> Self {
        Self { text: format!("{text}{}", Printable(value)) }
    }
}

/// The fields of one line of comma-separated values, as Go's reader splits them: a field in
/// quotes may hold commas and, doubled, quotes.
pub fn fields(text: &str) -> Result<Vec<String>, FlagError> {
    const BARE: &str = "parse error on line 1, column ";
    let (mut fields, mut rest) = (Vec::new(), text);
    if text.is_empty() {
        return Err(FlagError::new("EOF"));
    }
    loop {
        let at = text.len() - rest.len();
        let Some(quoted) = rest.strip_prefix('"') else {
            let end = rest.find(',').unwrap_or(rest.len());
            if let Some(quote) = rest[..end].find('"') {
                let text = format!("{BARE}{}: bare \" in non-quoted-field", at + quote + 1);
                return Err(FlagError::new(text));
            }
            fields.push(rest[..end].to_owned());
            if end == rest.len() {
                return Ok(fields);
            }
            rest = &rest[end + 1..];
            continue;
        };
        let (mut field, mut from) = (String::new(), quoted);
        loop {
            let Some(quote) = from.find('"') else {
                let text =
                    format!("{BARE}{}: extraneous or missing \" in quoted-field", text.len());
                return Err(FlagError::new(text));
            };
            field.push_str(&from[..quote]);
            from = &from[quote + 1..];
            if let Some(after) = from.strip_prefix('"') {
                field.push('"');
                from = after;
            } else {
                break;
            }
        }
        fields.push(field);
        match from.strip_prefix(',') {
            Some(after) => rest = after,
            None if from.is_empty() => return Ok(fields),
            None => {
                let at = text.len() - from.len();
                let text = format!("{BARE}{at}: extraneous or missing \" in quoted-field");
                return Err(FlagError::new(text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split_at_commas_outside_of_quotes() {
        assert_eq!(fields("a=1,b").unwrap(), ["a=1", "b"]);
        assert_eq!(fields(r#""a=1,2","b=""x""",c"#).unwrap(), ["a=1,2", r#"b="x""#, "c"]);
        assert_eq!(fields("a,").unwrap(), ["a", ""]);
        assert_eq!(
            fields(r#"a"b"#).unwrap_err().to_string(),
            r#"parse error on line 1, column 2: bare " in non-quoted-field"#
        );
        assert!(fields(r#""a"#).is_err() && fields(r#""a"b"#).is_err() && fields("").is_err());
    }
}
