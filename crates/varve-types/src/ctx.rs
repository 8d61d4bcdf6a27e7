//! What every operation is handed: progress, time, environment.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{Progress, Silent};

/// Where an operation reports to and takes the time and environment from.
///
/// Time, environment and randomness come in through arguments; nothing below the binary asks
/// the process for them.
#[derive(Clone, Copy)]
pub struct Ctx<'a> {
    /// Takes what the operation says while it runs.
    pub progress: &'a dyn Progress,
    /// Tells the time.
    pub clock: &'a dyn Clock,
    /// The environment variables of the caller.
    pub environment: &'a Environment,
}

impl std::fmt::Debug for Ctx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ctx")
    }
}

impl Ctx<'static> {
    /// A context for tests: silent, at 2026-01-01T00:00:00Z, with an empty environment.
    pub fn for_test() -> Self {
        static ENVIRONMENT: Environment = Environment { variables: BTreeMap::new() };
        Ctx { progress: &Silent, clock: &Fixed, environment: &ENVIRONMENT }
    }
}

impl Ctx<'_> {
    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Tells the time.
pub trait Clock: Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::constant(1_767_225_600, 0)
    }
}

/// Environment variables, taken once at the start of the process. Values that are not UTF-8
/// are left out.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// Takes variables.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { variables: variables.into_iter().collect() }
    }

    /// The value of a variable; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}
