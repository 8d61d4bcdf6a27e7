//! Output formats: tables, JSON and Go templates over the rows of a listing.

pub(crate) mod moment;
pub(crate) mod table;
pub(crate) mod template;
pub(crate) mod time;
pub(crate) mod units;

use std::{collections::BTreeMap, rc::Rc};

use template::{Escape, Row, Template, Value};

use crate::error::CommandError;

/// A listing: the format the user chose, and what the columns are called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listing<'a> {
    /// `table TEMPLATE`, `json` or a template. Default formats are the caller's business.
    pub(crate) format: &'a str,
    /// Fields and the headers of their columns.
    pub(crate) headers: &'a [(&'a str, &'a str)],
}

impl Listing<'_> {
    /// Writes the rows in the format, each on its line.
    pub(crate) fn render(
        &self,
        rows: impl IntoIterator<Item = Rc<dyn Row>>,
    ) -> Result<String, CommandError> {
        let table = self.format.strip_prefix("table");
        let source = match self.format {
            "json" => "{{json .}}",
            format => table.unwrap_or(format),
        };
        let source = source.trim_matches(' ').replace("\\t", "\t").replace("\\n", "\n");
        let template = Template::parse(&source).map_err(|error| template_error(&error))?;
        let escape = if table.is_some() { Escape::Cell } else { Escape::Lines };
        let mut text = String::new();
        if table.is_some() {
            let entry =
                |(field, header): &(&str, &str)| ((*field).to_owned(), Value::text(*header));
            let headers: BTreeMap<_, _> = self.headers.iter().map(entry).collect();
            let header = template.run_header(&Value::any_map(headers));
            text.push_str(&header.map_err(|error| template_error(&error))?);
            text.push('\n');
        }
        for row in rows {
            let row = template.run(&Value::Row(row), escape);
            text.push_str(&row.map_err(|error| template_error(&error))?);
            text.push('\n');
        }
        Ok(if table.is_some() { table::align(&text) } else { text })
    }
}

/// Writes one value as JSON or through a template.
pub(crate) fn one(format: &str, value: &Value) -> Result<String, CommandError> {
    let source = if format == "json" { "{{json .}}" } else { format };
    let parsed = Template::parse(source)
        .map_err(|error| CommandError::plain(format!("template parsing error: {error}"), 64))?;
    let text = parsed.run(value, Escape::Lines).map_err(|error| template_error(&error))?;
    Ok(text + "\n")
}

/// What is wrong with a template, in Docker's words.
pub(crate) fn template_error(error: &str) -> CommandError {
    CommandError::plain(format!("template parsing error: {error}"), 1)
}
