//! Mending the image table.

use std::collections::HashSet;

use varve_fs::{checksum, durable};
use varve_types::{ManifestKind, limits, media_type};

use super::Mended;
use crate::{
    Error, Names, Result, Store,
    adopt::{self, Adopted},
    error::cannot,
    mark,
    names::{self, Row},
    store::LAYOUT_MODE,
    sweep::{self, Node, listed},
    table::{Annotations, Entry, Text},
    table_stamp::{self, Stamped},
};

impl Store {
    /// Turns a bit of the table back; where it is not one bit, keeps the lines that make sense, and
    /// images of which no line is left as dangling ones.
    pub(super) fn mend_table(&self) -> Result<Mended> {
        let _lock = self.lock_table()?;
        let path = self.table_path();
        let mut bytes = match self.read_table_bytes() {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Vec::new()
            }
            other => other?,
        };
        let judged = if bytes.is_empty() {
            Stamped::Unknown
        } else {
            table_stamp::judge(self.root(), &bytes)?
        };
        let is_turned_back = match judged {
            Stamped::Wrong { size_bytes, crc32 } if size_bytes == bytes.len() as u64 => {
                checksum::turn_bit_back(&mut bytes, crc32)
            }
            _ => false,
        };
        if !is_turned_back {
            let names = self.salvaged(&String::from_utf8_lossy(&bytes))?;
            bytes = names::write(&names).map_err(|error| cannot("write", &path)(error.into()))?;
        }
        let temporary = self.root().join("varve/index.json.new");
        durable::replace_through(&temporary, &path, &bytes, LAYOUT_MODE)
            .map_err(cannot("write", &path))?;
        table_stamp::write(self.root(), &bytes)?;
        Ok(Mended::Restored)
    }

    /// What can be made of the text of a table.
    fn salvaged(&self, text: &str) -> Result<Names> {
        if let Ok(mut names) = self.parse_names(text) {
            names.rows = names.rows.drain(..).filter_map(|row| self.with_its_image(row)).collect();
            return Ok(names);
        }
        let mut names = Names::default();
        for line in text.lines() {
            let line = line.trim().trim_end_matches(',');
            let Ok(entry) = serde_json::from_str::<Entry<'_>>(line) else { continue };
            self.take_in(&mut names, entry);
        }
        self.add_unnamed(&mut names)?;
        Ok(names)
    }

    fn take_in(&self, names: &mut Names, entry: Entry<'_>) {
        match adopt::row(self, entry) {
            Adopted::Known(row) | Adopted::Settled(row) | Adopted::Unsettled(row, _) => {
                names.rows.push(row);
            }
            // Without a digest it says nothing.
            Adopted::Other(entry) if entry.digest.is_some() => names.others.push(entry),
            Adopted::Other(_) => {}
        }
    }

    /// A row whose facts are those of its manifest; `None` when that says of no image.
    fn with_its_image(&self, row: Row) -> Option<Row> {
        let Ok(ManifestKind::Manifest(manifest)) = self.manifest(&row.target.digest) else {
            return Some(row);
        };
        if manifest.config.digest == row.image.0 {
            return Some(row);
        }
        let entry = adopt::entry(&row);
        let own =
            Annotations { ref_name: entry.annotations.ref_name.clone(), ..Default::default() };
        match adopt::row(self, Entry { annotations: own, ..entry }) {
            Adopted::Known(made) | Adopted::Settled(made) | Adopted::Unsettled(made, _) => {
                Some(Row { source: row.source, tagged: row.tagged, stored: row.stored, ..made })
            }
            Adopted::Other(_) => None,
        }
    }

    /// Adds the images that are here whole and that no row reaches.
    fn add_unnamed(&self, names: &mut Names) -> Result<()> {
        let reached: HashSet<Node> =
            mark::reached(sweep::roots(names), |node| match self.points_at(node) {
                Err(error) if super::is_about_content(&error) => Ok(Vec::new()),
                other => other,
            })?;
        for digest in listed(&self.root().join("blobs/sha256"))? {
            let size_bytes = self.blob_size(&digest)?.unwrap_or(u64::MAX);
            let is_known = [Node::Manifest(digest), Node::Blob(digest), Node::Config(digest)]
                .iter()
                .any(|node| reached.contains(node));
            if is_known || size_bytes > limits::MANIFEST_SIZE_BYTES_MAX {
                continue;
            }
            let Ok(ManifestKind::Manifest(manifest)) = self.manifest(&digest) else { continue };
            if !media_type::is_image_config(&manifest.config.media_type) {
                continue;
            }
            let text = |text: String| Some(Text(text.into()));
            let entry = Entry {
                media_type: manifest.media_type.clone().and_then(text),
                digest: text(digest.to_string()),
                size: size_bytes,
                ..Entry::default()
            };
            if let Adopted::Settled(row) | Adopted::Unsettled(row, _) = adopt::row(self, entry)
                && names.of_image(row.image).next().is_none()
            {
                names.rows.push(row);
            }
        }
        Ok(())
    }
}
