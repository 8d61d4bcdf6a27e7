//! Flags of instructions: `--name`, `--name=value`.

use std::collections::BTreeMap;

use crate::{
    error::{DockerfileError, Problem, Result},
    suggest::nearest,
};

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing, `=true` or `=false`.
    Switch,
    /// One value.
    Value,
    /// A value each time it is given.
    Values,
}

/// The flags that were given.
#[derive(Debug, Default)]
pub(super) struct Flags(BTreeMap<String, Vec<String>>);

impl Flags {
    /// Reads flags, of which the instruction has those that are listed.
    pub(super) fn read(words: &[String], known: &[(&str, Takes)]) -> Result<Self> {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for word in words {
            let word = word.strip_prefix("--").unwrap_or(word);
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            let Some((_, takes)) = known.iter().find(|(known, _)| *known == name) else {
                let names = known.iter().map(|(name, _)| *name);
                let error = DockerfileError::from(Problem::UnknownFlag(name.to_owned()));
                return Err(error.suggest(nearest(name, names)));
            };
            let name = name.to_owned();
            if *takes != Takes::Values && found.contains_key(&name) {
                return Err(Problem::FlagTwice(name).into());
            }
            let value = match (takes, value) {
                (Takes::Switch, None) => "true".to_owned(),
                (Takes::Switch, Some(value)) if !value.is_empty() => {
                    let lower = value.to_ascii_lowercase();
                    if lower != "true" && lower != "false" {
                        return Err(Problem::FlagNotBoolean(name, value.to_owned()).into());
                    }
                    lower
                }
                (Takes::Value | Takes::Values, Some(value)) => value.to_owned(),
                _ => return Err(Problem::FlagWithoutValue(name).into()),
            };
            found.entry(name).or_default().push(value);
        }
        Ok(Self(found))
    }

    /// The value; empty when the flag is not given.
    pub(super) fn value(&mut self, name: &str) -> String {
        self.given(name).unwrap_or_default()
    }

    /// The value; `None` when the flag is not given.
    pub(super) fn given(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).and_then(|mut values| values.pop())
    }

    /// All values, in order.
    pub(super) fn values(&mut self, name: &str) -> Vec<String> {
        self.0.remove(name).unwrap_or_default()
    }

    /// A switch; `None` when it is not given.
    pub(super) fn switch(&mut self, name: &str) -> Option<bool> {
        self.given(name).map(|value| value == "true")
    }
}
