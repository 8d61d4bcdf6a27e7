//! In which files two images differ.

use std::rc::Rc;

use varve_engine::Difference;

use crate::{
    error::CommandError,
    format::{
        Listing,
        template::{Row, Value},
    },
};

const HEADERS: &[(&str, &str)] = &[
    ("Aspects", "ASPECTS"),
    ("Change", "CHANGE"),
    ("NewSize", "NEW SIZE"),
    ("OldSize", "OLD SIZE"),
    ("Path", "PATH"),
];

/// Lists the differences, one line each. Names that are not UTF-8 are shown with replacements.
pub(crate) fn list(differences: Vec<Difference>, format: &str) -> Result<String, CommandError> {
    let format = match format {
        "" | "table" => "table {{.Change}}\t{{.OldSize}}\t{{.NewSize}}\t{{.Aspects}}\t{{.Path}}",
        format => format,
    };
    let rows = differences.into_iter().map(|it| -> Rc<dyn Row> { Rc::new(DifferenceRow(it)) });
    Listing { format, headers: HEADERS }.render(rows)
}

#[derive(Debug)]
struct DifferenceRow(Difference);

impl Row for DifferenceRow {
    fn go_type(&self) -> &'static str {
        "*formatter.differenceContext"
    }

    fn names(&self) -> &'static [&'static str] {
        &["Aspects", "Change", "NewSize", "OldSize", "Path"]
    }

    fn field(&self, name: &str) -> Option<Value> {
        let size = |size: Option<u64>| match size {
            Some(size) => Value::Int(size.try_into().unwrap_or(i64::MAX)),
            None => Value::text("-"),
        };
        Some(match name {
            "Aspects" => Value::text(self.0.aspects.join(",")),
            "Change" => Value::text(self.0.kind),
            "NewSize" => size(self.0.new_size_bytes),
            "OldSize" => size(self.0.old_size_bytes),
            "Path" => Value::foreign(String::from_utf8_lossy(&self.0.path)),
            _ => return None,
        })
    }

    fn json_field(&self, name: &str) -> Option<Value> {
        let size = match name {
            "NewSize" => self.0.new_size_bytes,
            "OldSize" => self.0.old_size_bytes,
            "Aspects" => {
                let aspects = self.0.aspects.iter().map(|aspect| Value::text(*aspect));
                return Some(Value::list(aspects.collect()));
            }
            _ => return self.field(name),
        };
        size.map_or(Some(Value::Nil), |_| self.field(name))
    }
}
