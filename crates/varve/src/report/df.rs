//! What takes how much room.

use std::rc::Rc;

use jiff::{Timestamp, tz::TimeZone};
use varve_engine::DiskUsage;

use super::images::{self, ImageRow, Usage};
use crate::{
    error::CommandError,
    format::{
        Listing,
        template::{Escape, Field, Row, Template, Value, json},
        template_error, units,
    },
};

const HEADERS: &[(&str, &str)] = &[
    ("Active", "ACTIVE"),
    ("Reclaimable", "RECLAIMABLE"),
    ("Size", "SIZE"),
    ("TotalCount", "TOTAL"),
    ("Type", "TYPE"),
];

/// One row for each kind of object.
pub(crate) fn summary(usage: &DiskUsage, format: &str) -> Result<String, CommandError> {
    let format = match format {
        "" | "table" => {
            "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}"
        }
        format => format,
    };
    let used = usage.images.iter().filter(|image| image.containers > 0);
    let active = used.clone().count() as u64;
    let used: u64 = used.map(|i| i.summary.size_bytes.saturating_sub(i.shared_size_bytes)).sum();
    let reclaimable = usage.layers_size_bytes.saturating_sub(used);
    let mut shown = units::size(reclaimable, 4);
    if let Some(percent) = (reclaimable * 100).checked_div(usage.layers_size_bytes) {
        shown = format!("{shown} ({percent}%)");
    }
    let images = Kind {
        name: "Images",
        count: usage.images.len() as u64,
        active,
        size_bytes: usage.layers_size_bytes,
        reclaimable: shown,
    };
    let nothing = ["Containers", "Local Volumes", "Build Cache"].map(|name| Kind {
        name,
        count: 0,
        active: 0,
        size_bytes: 0,
        reclaimable: "0B".to_owned(),
    });
    let rows = std::iter::once(images).chain(nothing).map(|kind| -> Rc<dyn Row> { Rc::new(kind) });
    Listing { format, headers: HEADERS }.render(rows)
}

#[derive(Debug)]
struct Kind {
    name: &'static str,
    count: u64,
    active: u64,
    size_bytes: u64,
    reclaimable: String,
}

impl Row for Kind {
    fn go_type(&self) -> &'static str {
        "*formatter.diskUsageImagesContext"
    }

    fn names(&self) -> &'static [&'static str] {
        &["Active", "Reclaimable", "Size", "TotalCount", "Type"]
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "Active" => Value::text(self.active.to_string()),
            "Reclaimable" => Value::text(self.reclaimable.as_str()),
            "Size" => Value::text(units::size(self.size_bytes, 4)),
            "TotalCount" => Value::text(self.count.to_string()),
            "Type" => Value::text(self.name),
            _ => return None,
        })
    }
}

/// A table for each kind of object, or one value for a template.
pub(crate) fn details(
    usage: &DiskUsage,
    format: &str,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<String, CommandError> {
    let rows = usage.images.iter().map(|image| -> Rc<dyn Row> {
        Rc::new(ImageRow {
            id: image.summary.id.to_string(),
            name: ImageRow::first_name(image.summary.tags.first()),
            created: image.summary.created,
            size_bytes: image.summary.size_bytes,
            whole: false,
            now,
            zone: zone.clone(),
            usage: Some(Usage {
                shared_size_bytes: image.shared_size_bytes,
                containers: image.containers,
            }),
        })
    });
    if !matches!(format, "" | "table") {
        let nothing = || Value::list(Vec::new());
        let fields = vec![
            Field::plain("Images", Value::list(rows.map(Value::Row).collect())),
            Field::plain("Containers", nothing()),
            Field::plain("Volumes", nothing()),
            Field::plain("BuildCache", nothing()),
        ];
        let value = Value::structure("*formatter.diskUsageContext", fields);
        if format == "json" {
            return Ok(json::write(&value, json::HTML) + "\n");
        }
        let template = Template::parse(format).map_err(|error| template_error(&error))?;
        let text = template.run(&value, Escape::Lines).map_err(|error| template_error(&error))?;
        return Ok(text + "\n");
    }
    let images = Listing {
        format: "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
        headers: images::HEADERS,
    };
    let empty = |headers: &str| crate::format::table::align(&format!("{headers}\n"));
    let containers =
        empty("CONTAINER ID\tIMAGE\tCOMMAND\tLOCAL VOLUMES\tSIZE\tCREATED\tSTATUS\tNAMES");
    let volumes = empty("VOLUME NAME\tLINKS\tSIZE");
    let cache = empty("CACHE ID\tCACHE TYPE\tSIZE\tCREATED\tLAST USED\tUSAGE\tSHARED");
    Ok(format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{containers}\n\
         Local Volumes space usage:\n\n{volumes}\nBuild cache usage: 0B\n\n{cache}",
        images.render(rows)?
    ))
}
