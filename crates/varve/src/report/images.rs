//! The table of images.

use std::{collections::BTreeMap, rc::Rc};

use jiff::{Timestamp, tz::TimeZone};
use varve_engine::ImageSummary;
use varve_types::{Digest, Reference};

use crate::{
    error::CommandError,
    format::{
        Listing,
        template::{Row, Value},
        time, units,
    },
};

/// What is shown for a name or digest that is not there.
const NONE: &str = "<none>";

/// How to list images.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<'a> {
    /// The user's `--format`; empty for the default.
    pub(crate) format: &'a str,
    pub(crate) quiet: bool,
    pub(crate) digests: bool,
    /// Whether whole IDs are shown.
    pub(crate) whole: bool,
}

/// Fields and the headers of their columns.
pub(crate) const HEADERS: &[(&str, &str)] = &[
    ("Containers", "CONTAINERS"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedSince", "CREATED"),
    ("Digest", "DIGEST"),
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("SharedSize", "SHARED SIZE"),
    ("Size", "SIZE"),
    ("Tag", "TAG"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("VirtualSize", "SIZE"),
];

const CREATED: &str = "{{if .CreatedSince}}{{.CreatedSince}}{{else}}N/A{{end}}";

/// Lists images as they come.
pub(crate) fn list(
    images: &[ImageSummary],
    layout: Layout<'_>,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<String, CommandError> {
    let format = layout.format();
    let with_digest = layout.digests || format.contains("{{.Digest}}");
    let mut rows: Vec<Rc<dyn Row>> = Vec::new();
    for image in images {
        for name in names(image, with_digest, layout.digests) {
            rows.push(Rc::new(ImageRow {
                id: image.id.to_string(),
                name,
                created: image.created,
                size_bytes: image.size_bytes,
                whole: layout.whole,
                now,
                zone: zone.clone(),
                usage: None,
            }));
        }
    }
    Listing { format: &format, headers: HEADERS }.render(rows)
}

impl Layout<'_> {
    fn format(&self) -> String {
        let digest = if self.digests { "{{.Digest}}\t" } else { "" };
        match (self.format, self.quiet) {
            ("" | "table", true) => "{{.ID}}".to_owned(),
            ("" | "table", false) => format!(
                "table {{{{.Repository}}}}\t{{{{.Tag}}}}\t{digest}{{{{.ID}}}}\t{CREATED}\t{{{{.Size}}}}"
            ),
            ("raw", true) => "image_id: {{.ID}}".to_owned(),
            ("raw", false) => {
                let digest = if self.digests { "digest: {{.Digest}}\n" } else { "" };
                format!(
                    "repository: {{{{.Repository}}}}\ntag: {{{{.Tag}}}}\n{digest}image_id: {{{{.ID}}}}\n\
                     created_at: {{{{.CreatedAt}}}}\nvirtual_size: {{{{.Size}}}}\n"
                )
            }
            (format, _) => {
                let table = format.starts_with("table");
                let wants = table && self.digests && !format.contains("{{.Digest}}");
                format!("{format}{}", if wants { "\t{{.Digest}}" } else { "" })
            }
        }
    }
}

/// How a row names its image.
#[derive(Debug)]
pub(crate) struct Name {
    pub(crate) repository: String,
    pub(crate) tag: String,
    pub(crate) digest: String,
}

/// The rows of an image: one for each tag (and digest, where digests are shown), and one for
/// a repository that only a digest names.
fn names(image: &ImageSummary, with_digest: bool, all_digests: bool) -> Vec<Name> {
    let none = || NONE.to_owned();
    if image.tags.is_empty() && image.digests.is_empty() {
        return vec![Name { repository: none(), tag: none(), digest: none() }];
    }
    let mut digests: BTreeMap<String, Vec<Digest>> = BTreeMap::new();
    for name in &image.digests {
        let known = digests.entry(name.repository().familiar()).or_default();
        known.extend(name.digest());
    }
    let mut tags: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in &image.tags {
        tags.entry(name.repository().familiar()).or_default().extend(name.tag());
    }
    let mut rows = Vec::new();
    for (repository, tags) in tags {
        let known = digests.remove(&repository).filter(|_| with_digest).unwrap_or_default();
        for tag in tags {
            let row = |digest: String| Name {
                repository: repository.clone(),
                tag: tag.to_owned(),
                digest,
            };
            match known.as_slice() {
                [] => rows.push(row(none())),
                known => rows.extend(known.iter().map(|digest| row(digest.to_string()))),
            }
        }
    }
    for (repository, known) in digests {
        let row = |digest: String| Name { repository: repository.clone(), tag: none(), digest };
        if all_digests {
            rows.extend(known.iter().map(|digest| row(digest.to_string())));
        } else {
            rows.push(row(String::new()));
        }
    }
    rows
}

/// What `system df -v` adds to a row.
#[derive(Debug)]
pub(crate) struct Usage {
    pub(crate) shared_size_bytes: u64,
    pub(crate) containers: u64,
}

/// One row.
#[derive(Debug)]
pub(crate) struct ImageRow {
    pub(crate) id: String,
    pub(crate) name: Name,
    pub(crate) created: Option<Timestamp>,
    pub(crate) size_bytes: u64,
    pub(crate) whole: bool,
    pub(crate) now: Timestamp,
    pub(crate) zone: TimeZone,
    pub(crate) usage: Option<Usage>,
}

impl ImageRow {
    /// The row of an image in `system df -v`, by its first name.
    pub(crate) fn first_name(name: Option<&Reference>) -> Name {
        let none = || NONE.to_owned();
        let (repository, tag) = match name {
            Some(name) => (name.repository().familiar(), name.tag().map(str::to_owned)),
            None => (none(), None),
        };
        Name { repository, tag: tag.unwrap_or_else(none), digest: none() }
    }

    fn usage(&self, shown: impl Fn(&Usage) -> String) -> Value {
        Value::text(self.usage.as_ref().map_or_else(|| "N/A".to_owned(), shown))
    }
}

impl Row for ImageRow {
    fn go_type(&self) -> &'static str {
        "*formatter.imageContext"
    }

    fn names(&self) -> &'static [&'static str] {
        &[
            "Containers",
            "CreatedAt",
            "CreatedSince",
            "Digest",
            "ID",
            "Repository",
            "SharedSize",
            "Size",
            "Tag",
            "UniqueSize",
            "VirtualSize",
        ]
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "Containers" => self.usage(|usage| usage.containers.to_string()),
            "CreatedAt" => Value::text(match self.created {
                Some(created) => time::go_seconds(created, &self.zone),
                None => time::go_seconds(Timestamp::UNIX_EPOCH, &self.zone),
            }),
            "CreatedSince" => Value::text(match self.created {
                Some(created) => time::age(self.now, created),
                None => String::new(),
            }),
            "Digest" => Value::text(self.name.digest.as_str()),
            "ID" if self.whole => Value::text(self.id.as_str()),
            "ID" => Value::text(units::short_id(&self.id)),
            "Repository" => Value::text(self.name.repository.as_str()),
            "SharedSize" => self.usage(|usage| units::size(usage.shared_size_bytes, 4)),
            "Size" => Value::text(units::size(self.size_bytes, 3)),
            "Tag" => Value::text(self.name.tag.as_str()),
            "UniqueSize" => self.usage(|usage| {
                units::size(self.size_bytes.saturating_sub(usage.shared_size_bytes), 4)
            }),
            "VirtualSize" => Value::text(units::size(self.size_bytes, 4)),
            _ => return None,
        })
    }
}
