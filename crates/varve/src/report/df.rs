//! What takes how much room.

use std::rc::Rc;

use jiff::{Timestamp, tz::TimeZone};
use varve_engine::DiskUsage;
use varve_types::container::listing::{ContainerSize, Summary};

use super::{
    build_cache,
    containers::{self, ContainerRow},
    images::{self, ImageRow, Usage},
    volumes::{self, VolumeRow},
};
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
    let kinds = [images, containers_of(usage), volumes_of(usage), cache_of(usage)];
    let rows = kinds.into_iter().map(|kind| -> Rc<dyn Row> { Rc::new(kind) });
    Listing { format, headers: HEADERS }.render(rows)
}

fn containers_of(usage: &DiskUsage) -> Kind {
    let size = |it: &Summary| it.size.map_or(0, |size| size.writable_bytes);
    let is_active = |it: &Summary| it.state.status.is_running();
    Kind::of("Containers", usage.containers.iter().map(|it| (is_active(it), size(it))))
}

fn volumes_of(usage: &DiskUsage) -> Kind {
    let used = usage.volumes.iter().map(|it| it.usage.unwrap_or_default());
    Kind::of("Local Volumes", used.map(|it| (it.links > 0, it.size_bytes)))
}

/// What images have too is theirs; docker shows no part of the whole here.
fn cache_of(usage: &DiskUsage) -> Kind {
    let used = usage.build_cache.iter().filter(|it| it.in_use);
    let in_use: u64 = used.clone().filter(|it| !it.shared).map(|it| it.size_bytes).sum();
    let size_bytes = build_cache::size_bytes(&usage.build_cache);
    Kind {
        name: "Build Cache",
        count: usage.build_cache.len() as u64,
        active: used.count() as u64,
        size_bytes,
        reclaimable: units::size(size_bytes - in_use, 4),
    }
}

#[derive(Debug)]
struct Kind {
    name: &'static str,
    count: u64,
    active: u64,
    size_bytes: u64,
    reclaimable: String,
}

impl Kind {
    /// Of each object whether it is in use, and its bytes.
    fn of(name: &'static str, objects: impl Iterator<Item = (bool, u64)>) -> Self {
        let (mut count, mut active, mut size_bytes, mut free) = (0, 0, 0_u64, 0_u64);
        for (is_active, bytes) in objects {
            count += 1;
            size_bytes += bytes;
            if is_active {
                active += 1;
            } else {
                free += bytes;
            }
        }
        let mut reclaimable = units::size(free, 4);
        if let Some(percent) = (free * 100).checked_div(size_bytes) {
            reclaimable = format!("{reclaimable} ({percent}%)");
        }
        Self { name, count, active, size_bytes, reclaimable }
    }
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
    let containers = container_rows(usage, now, zone);
    let volumes: Vec<Rc<dyn Row>> =
        usage.volumes.iter().map(|it| -> Rc<dyn Row> { Rc::new(VolumeRow(it.clone())) }).collect();
    let cache = build_cache::rows(&usage.build_cache, false, now);
    if !matches!(format, "" | "table") {
        let list = |rows: Vec<Rc<dyn Row>>| Value::list(rows.into_iter().map(Value::Row).collect());
        let fields = vec![
            Field::plain("Images", Value::list(rows.map(Value::Row).collect())),
            Field::plain("Containers", list(containers)),
            Field::plain("Volumes", list(volumes)),
            Field::plain("BuildCache", list(cache)),
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
    let containers = Listing {
        format: "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
        headers: containers::HEADERS,
    }
    .render(containers)?;
    let volumes =
        Listing { format: "table {{.Name}}\t{{.Links}}\t{{.Size}}", headers: volumes::HEADERS }
            .render(volumes)?;
    let cache = Listing {
        format: "table {{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}",
        headers: build_cache::HEADERS,
    }
    .render(cache)?;
    let cache_size = units::size(build_cache::size_bytes(&usage.build_cache), 4);
    Ok(format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{containers}\n\
         Local Volumes space usage:\n\n{volumes}\nBuild cache usage: {cache_size}\n\n{cache}",
        images.render(rows)?
    ))
}

/// The containers, each with its own bytes only.
fn container_rows(usage: &DiskUsage, now: Timestamp, zone: &TimeZone) -> Vec<Rc<dyn Row>> {
    let row = |container: &Summary| -> Rc<dyn Row> {
        let size = container.size.map(|size| ContainerSize { root_bytes: 0, ..size });
        let container = Summary { size, ..container.clone() };
        Rc::new(ContainerRow { container, whole: false, now, zone: zone.clone() })
    };
    usage.containers.iter().map(row).collect()
}
