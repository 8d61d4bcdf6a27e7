//! Errors of builds, with the lines of the Dockerfile that are to blame.

use std::io;

use varve_build::{
    DockerfileError, Lines, Source, Warning,
    solve::{SolveCause, SolveError},
};
use varve_types::Kind;

use super::{BuildError, BuildPhase};
use crate::Error;

/// An error with docker's text, that no line is to blame for.
pub(super) fn failed(
    kind: Kind,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> BuildError {
    let phase = BuildPhase::Solve;
    BuildError { excerpt: None, warnings: Vec::new(), phase, kind, cause: cause.into() }
}

impl BuildError {
    /// Says which lines are to blame.
    #[must_use]
    pub(super) fn at(mut self, source: &Source, lines: &[Lines]) -> Self {
        if self.excerpt.is_none() {
            self.excerpt = source.excerpt(lines);
        }
        self
    }

    /// Says what the build checks had found.
    #[must_use]
    pub(super) fn with_warnings(mut self, warnings: &[Warning]) -> Self {
        self.warnings = warnings.to_vec();
        self
    }

    pub(super) fn of_dockerfile(error: DockerfileError, source: &Source) -> Self {
        let at = error.at.clone();
        failed(error.kind(), error).at(source, &at)
    }

    pub(super) fn of_solve(error: SolveError, source: &Source) -> Self {
        // Docker does not say which line asks for a source that cannot be had.
        let is_source = matches!(*error.cause, SolveCause::Source(_));
        let lines: Vec<Lines> = error.lines.into_iter().filter(|_| !is_source).collect();
        failed(error.kind(), error).at(source, &lines)
    }
}

impl From<Error> for BuildError {
    fn from(error: Error) -> Self {
        failed(error.kind(), error)
    }
}

impl From<varve_store::Error> for BuildError {
    fn from(error: varve_store::Error) -> Self {
        Error::from(error).into()
    }
}

/// What the system says of a file, as Go words it.
pub(super) fn go_file_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        _ => crate::error::go_io_text(error),
    }
}
