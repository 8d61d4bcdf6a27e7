//! Go's text templates, as far as Docker's users meet them.
//!
//! ```text
//! text ─ token ─▶ tokens ─ parse ─▶ nodes ─ exec (value, functions, print) ─▶ text
//! ```
//!
//! Written here because scripts match on what Go says about a wrong template and on how it
//! prints lists, maps and missing values (`docs/decisions/0006-go-templates.md`).

mod exec;
mod functions;
pub(crate) mod json;
mod node;
mod number;
mod parse;
pub(crate) mod print;
pub(crate) mod quote;
#[cfg(test)]
mod tests;
mod token;
pub(crate) mod value;

pub(crate) use print::Escape;
pub(crate) use value::{Field, Row, Value};

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template {
    source: String,
    templates: parse::Templates,
}

impl Template {
    /// Parses a template. The error's text is Go's.
    pub(crate) fn parse(source: &str) -> Result<Self, String> {
        Ok(Self { source: source.to_owned(), templates: parse::parse(source)? })
    }

    /// Runs the template on a typed value.
    pub(crate) fn run(&self, dot: &Value, escape: Escape) -> Result<String, String> {
        let options = exec::Options { missing_key_fails: false, header: false, escape };
        exec::run(&self.source, &self.templates, dot, options)
    }

    /// Runs the template on the headers of columns, which functions leave as they are.
    pub(crate) fn run_header(&self, headers: &Value) -> Result<String, String> {
        let options =
            exec::Options { missing_key_fails: false, header: true, escape: Escape::Cell };
        exec::run(&self.source, &self.templates, headers, options)
    }

    /// Runs the template on raw JSON, where a key that is not there is an error.
    pub(crate) fn run_raw(&self, dot: &Value, escape: Escape) -> Result<String, String> {
        let options = exec::Options { missing_key_fails: true, header: false, escape };
        exec::run(&self.source, &self.templates, dot, options)
    }
}
