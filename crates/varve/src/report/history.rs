//! The table of an image's steps.

use std::rc::Rc;

use jiff::{Timestamp, tz::TimeZone};
use varve_engine::HistoryEntry;

use crate::{
    error::CommandError,
    format::{
        Listing,
        template::{Row, Value},
        time, units,
    },
};

/// Columns of CREATED BY.
const CREATED_BY_WIDTH: usize = 45;

/// How to list the steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<'a> {
    /// The user's `--format`; empty for the default.
    pub(crate) format: &'a str,
    pub(crate) quiet: bool,
    /// Ages and short sizes, not times and bytes.
    pub(crate) human: bool,
    /// Whether texts are shown whole.
    pub(crate) whole: bool,
}

const HEADERS: &[(&str, &str)] = &[
    ("Comment", "COMMENT"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("CreatedSince", "CREATED"),
    ("ID", "IMAGE"),
    ("Size", "SIZE"),
];

/// Lists the steps, newest first.
pub(crate) fn list(
    entries: &[HistoryEntry],
    layout: Layout<'_>,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<String, CommandError> {
    let format = match (layout.format, layout.quiet) {
        ("" | "table", true) => "{{.ID}}",
        ("" | "table", false) if layout.human => {
            "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
        }
        ("" | "table", false) => {
            "table {{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
        }
        (format, _) => format,
    };
    let rows = entries.iter().map(|entry| -> Rc<dyn Row> {
        Rc::new(HistoryRow {
            entry: entry.clone(),
            human: layout.human,
            whole: layout.whole,
            now,
            zone: zone.clone(),
        })
    });
    Listing { format, headers: HEADERS }.render(rows)
}

#[derive(Debug)]
struct HistoryRow {
    entry: HistoryEntry,
    human: bool,
    whole: bool,
    now: Timestamp,
    zone: TimeZone,
}

impl HistoryRow {
    /// The time of the step, unless it is the beginning of time.
    fn created(&self, shown: impl Fn(Timestamp) -> String) -> String {
        let created = self.entry.created.filter(|created| *created > Timestamp::UNIX_EPOCH);
        created.map_or_else(|| "N/A".to_owned(), shown)
    }
}

impl Row for HistoryRow {
    fn go_type(&self) -> &'static str {
        "*image.historyContext"
    }

    fn names(&self) -> &'static [&'static str] {
        &["Comment", "CreatedAt", "CreatedBy", "CreatedSince", "ID", "Size"]
    }

    fn field(&self, name: &str) -> Option<Value> {
        let created_at = || self.created(|created| time::rfc3339(created, &self.zone));
        Some(match name {
            "Comment" => Value::foreign(self.entry.comment.as_str()),
            "CreatedBy" => {
                let text = self.entry.created_by.replace('\t', " ");
                Value::foreign(if self.whole {
                    text
                } else {
                    units::ellipsis(&text, CREATED_BY_WIDTH)
                })
            }
            "CreatedSince" if self.human => {
                Value::text(self.created(|created| time::age(self.now, created)))
            }
            "CreatedAt" | "CreatedSince" => Value::text(created_at()),
            "ID" => Value::text(match self.entry.id {
                Some(id) if self.whole => id.to_string(),
                Some(id) => units::short_id(&id.to_string()).to_owned(),
                None => "<missing>".to_owned(),
            }),
            "Size" if self.human => Value::text(units::size(self.entry.size_bytes, 3)),
            "Size" => Value::text(self.entry.size_bytes.to_string()),
            _ => return None,
        })
    }
}
