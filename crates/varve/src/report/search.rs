//! The table of repositories that a search found.

use std::rc::Rc;

use varve_engine::registries::Found;

use crate::{
    error::CommandError,
    format::{
        Listing,
        template::{Row, Value},
        units,
    },
};

/// Columns of DESCRIPTION.
const DESCRIPTION_WIDTH: usize = 45;

/// How to list what was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<'a> {
    /// The user's `--format`; empty for the default.
    pub(crate) format: &'a str,
    /// Whether texts are shown whole.
    pub(crate) whole: bool,
}

const HEADERS: &[(&str, &str)] = &[
    ("Description", "DESCRIPTION"),
    ("IsAutomated", "AUTOMATED"),
    ("IsOfficial", "OFFICIAL"),
    ("Name", "NAME"),
    ("StarCount", "STARS"),
];

/// Lists what was found.
pub(crate) fn list(found: &[Found], layout: Layout<'_>) -> Result<String, CommandError> {
    let format = match layout.format {
        "" | "table" => "table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}",
        format => format,
    };
    let rows = found.iter().map(|found| -> Rc<dyn Row> {
        Rc::new(FoundRow { found: found.clone(), whole: layout.whole })
    });
    Listing { format, headers: HEADERS }.render(rows)
}

#[derive(Debug)]
struct FoundRow {
    found: Found,
    whole: bool,
}

impl Row for FoundRow {
    fn go_type(&self) -> &'static str {
        "*registry.searchContext"
    }

    fn names(&self) -> &'static [&'static str] {
        &["Description", "IsOfficial", "Name", "StarCount"]
    }

    fn field(&self, name: &str) -> Option<Value> {
        let mark = |on: bool| Value::text(if on { "[OK]" } else { "" });
        Some(match name {
            "Description" => {
                let text = self.found.description.replace(['\n', '\r'], " ");
                Value::foreign(if self.whole {
                    text
                } else {
                    units::ellipsis(&text, DESCRIPTION_WIDTH)
                })
            }
            "IsAutomated" => mark(self.found.is_automated),
            "IsOfficial" => mark(self.found.is_official),
            "Name" => Value::foreign(self.found.name.as_str()),
            "StarCount" => Value::text(self.found.stars.to_string()),
            _ => return None,
        })
    }

    fn json_field(&self, name: &str) -> Option<Value> {
        match name {
            "IsOfficial" => Some(Value::text(self.found.is_official.to_string())),
            name => self.field(name),
        }
    }
}
