//! Images that are mounted.

use std::{fmt::Write as _, rc::Rc};

use varve_engine::ImageMount;
use varve_types::Reference;

use crate::{
    error::CommandError,
    format::{
        Listing,
        template::{Row, Value, print},
    },
};

const HEADERS: &[(&str, &str)] = &[("ID", "IMAGE ID"), ("Names", "NAMES"), ("Path", "PATH")];

/// Lists them, one line each: name and path, or as the format says.
pub(crate) fn list(mounts: Vec<ImageMount>, format: &str) -> Result<String, CommandError> {
    if !format.is_empty() {
        let format = match format {
            "table" => "table {{.ID}}\t{{.Names}}\t{{.Path}}",
            format => format,
        };
        let rows = mounts.into_iter().map(|mount| -> Rc<dyn Row> { Rc::new(MountRow(mount)) });
        return Listing { format, headers: HEADERS }.render(rows);
    }
    let mut text = String::new();
    for mount in mounts {
        let name = mount.names.first().map_or_else(|| mount.id.0.short(), Reference::familiar);
        let line = format!("{name} {}", mount.path.display());
        let _ = writeln!(text, "{}", print::lines(&line));
    }
    Ok(text)
}

#[derive(Debug)]
struct MountRow(ImageMount);

impl Row for MountRow {
    fn go_type(&self) -> &'static str {
        "*formatter.mountContext"
    }

    fn names(&self) -> &'static [&'static str] {
        &["ID", "Names", "Path"]
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "ID" => Value::text(self.0.id.to_string()),
            "Names" => {
                let names: Vec<String> = self.0.names.iter().map(Reference::familiar).collect();
                Value::text(names.join(","))
            }
            "Path" => Value::foreign(self.0.path.to_string_lossy()),
            _ => return None,
        })
    }
}
