//! The table of containers.

use std::{collections::BTreeMap, rc::Rc};

use jiff::{Timestamp, tz::TimeZone};
use varve_types::{
    Reference,
    container::{HealthStatus, State, Status, listing::Summary},
};

use super::ports;
use crate::{
    error::CommandError,
    format::{
        Listing,
        template::{Row, Value, quote::go_quoted},
        time, units,
    },
};

/// Columns of a command that is cut.
const COMMAND_WIDTH_MAX: usize = 20;
/// Columns of a mount's name that is cut.
const MOUNT_WIDTH_MAX: usize = 15;

/// How to list containers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<'a> {
    /// The user's `--format`; empty for the default.
    pub(crate) format: &'a str,
    pub(crate) quiet: bool,
    /// Whether sizes are shown.
    pub(crate) size: bool,
    /// Whether nothing is cut.
    pub(crate) whole: bool,
}

/// Fields and the headers of their columns.
pub(crate) const HEADERS: &[(&str, &str)] = &[
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Labels", "LABELS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Mounts", "MOUNTS"),
    ("Names", "NAMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
    ("Ports", "PORTS"),
    ("RunningFor", "CREATED"),
    ("Size", "SIZE"),
    ("State", "STATE"),
    ("Status", "STATUS"),
];

/// Lists containers as they come.
pub(crate) fn list(
    containers: &[Summary],
    layout: Layout<'_>,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<String, CommandError> {
    let rows = containers.iter().map(|container| -> Rc<dyn Row> {
        Rc::new(ContainerRow {
            container: container.clone(),
            whole: layout.whole,
            now,
            zone: zone.clone(),
        })
    });
    Listing { format: &layout.format(), headers: HEADERS }.render(rows)
}

impl Layout<'_> {
    /// Whether the sizes must be counted: they are asked for, or the template shows them.
    pub(crate) fn wants_size(&self) -> bool {
        self.size || self.format.contains(".Size")
    }

    fn format(&self) -> String {
        match (self.format, self.quiet) {
            ("" | "table", true) => "{{.ID}}".to_owned(),
            ("" | "table", false) => {
                let size = if self.size { "\t{{.Size}}" } else { "" };
                "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
                    .to_owned()
                    + size
            }
            ("raw", true) => "container_id: {{.ID}}".to_owned(),
            ("raw", false) => {
                let size = if self.size { "size: {{.Size}}\n" } else { "" };
                "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\n\
                 created_at: {{.CreatedAt}}\nstate: {{- pad .State 1 0}}\n\
                 status: {{- pad .Status 1 0}}\nnames: {{.Names}}\n\
                 labels: {{- pad .Labels 1 0}}\nports: {{- pad .Ports 1 0}}\n"
                    .to_owned()
                    + size
            }
            (format, _) => format.to_owned(),
        }
    }
}

/// What became of a container, in words: `Up 3 minutes (healthy)`, `Exited (137) 2 hours ago`.
pub(crate) fn status(state: &State, now: Timestamp) -> String {
    let since = |then: Option<Timestamp>| {
        then.map_or_else(String::new, |then| {
            time::duration(now.as_second().saturating_sub(then.as_second()))
        })
    };
    let up = || format!("Up {}", since(state.started_at));
    match state.status {
        Status::Created => "Created".to_owned(),
        Status::Running => match &state.health {
            Some(health) if health.status == HealthStatus::Starting => {
                format!("{} (health: starting)", up())
            }
            Some(health) => format!("{} ({})", up(), health.status.as_str()),
            None => up(),
        },
        Status::Paused => format!("{} (Paused)", up()),
        Status::Restarting => {
            format!("Restarting ({}) {} ago", state.exit_code, since(state.finished_at))
        }
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Dead => "Dead".to_owned(),
        Status::Exited => {
            format!("Exited ({}) {} ago", state.exit_code, since(state.finished_at))
        }
    }
}

/// One row.
#[derive(Debug)]
pub(crate) struct ContainerRow {
    pub(crate) container: Summary,
    pub(crate) whole: bool,
    pub(crate) now: Timestamp,
    pub(crate) zone: TimeZone,
}

impl ContainerRow {
    fn command(&self) -> String {
        let words = self.container.command.iter().enumerate().map(|(place, word)| {
            if place > 0 && word.contains(' ') { format!("'{word}'") } else { word.clone() }
        });
        let command = words.collect::<Vec<_>>().join(" ");
        if self.whole {
            return go_quoted(&command);
        }
        go_quoted(&units::ellipsis(&command, COMMAND_WIDTH_MAX))
    }

    /// The image as it was named, without a digest and with a short ID, unless nothing is cut.
    fn image(&self) -> String {
        let image = &self.container.image;
        if image.is_empty() {
            return "<no image>".to_owned();
        }
        if self.whole {
            return image.clone();
        }
        let id = self.container.image_id.to_string();
        let short = units::short_id(&id);
        if units::short_id(image) == short {
            return short.to_owned();
        }
        match image.parse::<Reference>() {
            Ok(reference) if reference.digest().is_some() => match image.split_once('@') {
                Some((name, _)) => name.to_owned(),
                None => image.clone(),
            },
            _ => image.clone(),
        }
    }

    fn names(&self) -> String {
        let names = &self.container.names;
        match names.iter().find(|name| !name.contains('/')) {
            Some(name) if !self.whole => name.clone(),
            _ => names.join(","),
        }
    }

    fn mounts(&self) -> String {
        let mounts = self.container.mounts.iter().map(|mount| {
            let name = if mount.name.is_empty() { &mount.source } else { &mount.name };
            if self.whole { name.clone() } else { units::ellipsis(name, MOUNT_WIDTH_MAX) }
        });
        mounts.collect::<Vec<_>>().join(",")
    }

    fn size(&self) -> String {
        let size = self.container.size.unwrap_or_default();
        let writable = units::size(size.writable_bytes, 3);
        match size.root_bytes {
            0 => writable,
            root => format!("{writable} (virtual {})", units::size(root, 3)),
        }
    }
}

/// Labels as listings show them.
pub(crate) fn labels(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

impl Row for ContainerRow {
    fn go_type(&self) -> &'static str {
        "*formatter.ContainerContext"
    }

    fn names(&self) -> &'static [&'static str] {
        &[
            "Command",
            "CreatedAt",
            "ID",
            "Image",
            "Labels",
            "LocalVolumes",
            "Mounts",
            "Names",
            "Networks",
            "Platform",
            "Ports",
            "RunningFor",
            "Size",
            "State",
            "Status",
        ]
    }

    fn field(&self, name: &str) -> Option<Value> {
        let it = &self.container;
        Some(match name {
            "Command" => Value::foreign(self.command()),
            "CreatedAt" => Value::text(time::go_seconds(it.created, &self.zone)),
            "ID" if self.whole => Value::text(it.id.to_string()),
            "ID" => Value::text(it.id.short()),
            "Image" => Value::foreign(self.image()),
            "Labels" => Value::foreign(labels(&it.labels)),
            "LocalVolumes" => {
                let local = it.mounts.iter().filter(|mount| mount.driver == "local");
                Value::text(local.count().to_string())
            }
            "Mounts" => Value::foreign(self.mounts()),
            "Names" => Value::text(ContainerRow::names(self)),
            "Networks" => Value::text(it.networks.join(",")),
            "Platform" => Value::Nil,
            "Ports" => Value::text(ports::compressed(&it.ports)),
            "RunningFor" => Value::text(time::age(self.now, it.created)),
            "Size" => Value::text(self.size()),
            "State" => Value::text(it.state.status.as_str()),
            "Status" => Value::text(status(&it.state, self.now)),
            _ => return None,
        })
    }

    fn label(&self, name: &str) -> Option<Value> {
        Some(Value::foreign(self.container.labels.get(name).map_or("", String::as_str)))
    }
}

#[cfg(test)]
mod tests;
