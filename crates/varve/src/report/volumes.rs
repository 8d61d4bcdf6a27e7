//! Volumes.

use std::rc::Rc;

use serde_json::json;
use varve_types::container::listing::Volume;

use super::{containers, inspect::Object, objects};
use crate::{
    error::CommandError,
    format::{
        Listing,
        template::{Row, Value},
        time, units,
    },
    ui,
};

/// What is shown for what is not known.
const UNKNOWN: &str = "N/A";

/// Fields and the headers of their columns.
pub(crate) const HEADERS: &[(&str, &str)] = &[
    ("Availability", "AVAILABILITY"),
    ("Driver", "DRIVER"),
    ("Group", "GROUP"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Name", "VOLUME NAME"),
    ("Scope", "SCOPE"),
    ("Size", "SIZE"),
    ("Status", "STATUS"),
];

/// Lists volumes as they come.
pub(crate) fn list(volumes: &[Volume], format: &str, quiet: bool) -> Result<String, CommandError> {
    let format = match (format, quiet) {
        ("" | "table", true) => "{{.Name}}",
        ("" | "table", false) => "table {{.Driver}}\t{{.Name}}",
        ("raw", true) => "name: {{.Name}}",
        ("raw", false) => "name: {{.Name}}\ndriver: {{.Driver}}\n",
        (format, _) => format,
    };
    let rows = volumes.iter().map(|volume| -> Rc<dyn Row> { Rc::new(VolumeRow(volume.clone())) });
    Listing { format, headers: HEADERS }.render(rows)
}

/// A volume as an object, with the members and the order of docker's.
pub(crate) fn object(volume: &Volume) -> Object {
    let created = volume.created.map(|created| time::rfc3339(created, &ui::zone()));
    objects::of(&json!({
        "CreatedAt": created.unwrap_or_default(),
        "Driver": "local",
        "Labels": volume.labels,
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Options": volume.options,
        "Scope": "local",
    }))
}

/// One row.
#[derive(Debug)]
pub(crate) struct VolumeRow(pub(crate) Volume);

impl Row for VolumeRow {
    fn go_type(&self) -> &'static str {
        "*formatter.volumeContext"
    }

    fn names(&self) -> &'static [&'static str] {
        &[
            "Availability",
            "Driver",
            "Group",
            "Labels",
            "Links",
            "Mountpoint",
            "Name",
            "Scope",
            "Size",
            "Status",
        ]
    }

    fn field(&self, name: &str) -> Option<Value> {
        let Self(volume) = self;
        Some(match name {
            "Availability" | "Group" | "Status" => Value::text(UNKNOWN),
            "Driver" | "Scope" => Value::text("local"),
            "Labels" => {
                Value::foreign(volume.labels.as_ref().map(containers::labels).unwrap_or_default())
            }
            "Links" => Value::text(
                volume.usage.map_or_else(|| UNKNOWN.to_owned(), |usage| usage.links.to_string()),
            ),
            "Mountpoint" => Value::text(volume.mountpoint.as_str()),
            "Name" => Value::text(volume.name.as_str()),
            "Size" => Value::text(
                volume
                    .usage
                    .map_or_else(|| UNKNOWN.to_owned(), |usage| units::size(usage.size_bytes, 4)),
            ),
            _ => return None,
        })
    }

    fn label(&self, name: &str) -> Option<Value> {
        let labels = self.0.labels.as_ref();
        Some(Value::foreign(labels.and_then(|it| it.get(name)).map_or("", String::as_str)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::inspect::Form;

    #[test]
    fn volumes_are_listed_and_shown_as_recorded() {
        assert_eq!(list(&[], "", false).unwrap(), "DRIVER    VOLUME NAME\n");
        let volume = Volume {
            name: "vv".to_owned(),
            mountpoint: "/var/lib/docker/volumes/vv/_data".to_owned(),
            created: Some("2026-11-20T13:40:13Z".parse().unwrap()),
            ..Volume::default()
        };
        let volumes = std::slice::from_ref(&volume);
        assert_eq!(list(volumes, "", true).unwrap(), "vv\n");
        assert_eq!(
            list(volumes, "json", false).unwrap(),
            "{\"Availability\":\"N/A\",\"Driver\":\"local\",\"Group\":\"N/A\",\"Labels\":\"\",\
             \"Links\":\"N/A\",\"Mountpoint\":\"/var/lib/docker/volumes/vv/_data\",\"Name\":\"vv\",\
             \"Scope\":\"local\",\"Size\":\"N/A\",\"Status\":\"N/A\"}\n"
        );
        let shown = Form::new("").unwrap().show(&[object(&volume)], &mut Vec::new());
        // The time is in the zone of whoever looks.
        let shown: Vec<&str> = shown.lines().filter(|line| !line.contains("CreatedAt")).collect();
        assert_eq!(
            shown.join("\n"),
            "[\n    {\n        \"Driver\": \"local\",\n        \"Labels\": null,\n        \
             \"Mountpoint\": \"/var/lib/docker/volumes/vv/_data\",\n        \"Name\": \"vv\",\n        \
             \"Options\": null,\n        \"Scope\": \"local\"\n    }\n]"
        );
    }
}
