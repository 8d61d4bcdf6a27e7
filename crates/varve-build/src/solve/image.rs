//! The config of the image that comes of a solved plan: layers and times put into it.

use jiff::Timestamp;
use varve_types::{DiffId, ImageConfig, config::History};

use crate::plan::PlannedImage;

/// Which time config and history tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageTime {
    /// One for all that the build made. Where it made no layer the base image's stays.
    Build(Timestamp),
    /// The same, also where the build made no layer: the caller chose the time.
    Given(Timestamp),
    /// When each layer was made.
    Real,
}

/// What the history says of layers that no instruction made: files of a context as a base.
const EXPORTER_COMMENT: &str = "buildkit.exporter.image.v0";

/// The config of the image, whose history has docker's times: an instruction that makes no layer has
/// the time of the layer below it, or of the first one that the build made.
///
/// `layers` are those above the base image's, the lowest first, each with when it was made.
pub fn image_config(
    planned: &PlannedImage,
    layers: &[(DiffId, Timestamp)],
    time: ImageTime,
) -> ImageConfig {
    let mut config = planned.config.clone();
    let mut made = layers.iter().map(|(_, real)| match time {
        ImageTime::Build(time) | ImageTime::Given(time) => time,
        ImageTime::Real => *real,
    });
    // Layers that no instruction made lie below the others.
    let foreign: Vec<Timestamp> =
        made.by_ref().take(layers.len().saturating_sub(planned.layers.len())).collect();
    let own = config.history.split_off(planned.base_history.min(config.history.len()));
    config.history.extend(foreign.into_iter().map(|created| History {
        created: Some(created),
        comment: EXPORTER_COMMENT.to_owned(),
        ..History::default()
    }));
    for mut entry in own {
        entry.created = if entry.empty_layer { None } else { made.next() };
        config.history.push(entry);
    }
    fill_times(&mut config.history);
    config.rootfs.diff_ids.extend(layers.iter().map(|(layer, _)| *layer));
    let last = config.history.iter().rev().find_map(|entry| entry.created);
    config.created = match time {
        ImageTime::Given(time) => Some(time),
        ImageTime::Build(time) => last.or(Some(time)),
        ImageTime::Real => last,
    };
    config
}

/// Gives entries without a time that of the one before; the first ones that of the first layer that
/// was made, or, where none was, the last time that there is.
fn fill_times(history: &mut [History]) {
    let mut time = None;
    let mut missing = false;
    for entry in history.iter() {
        match entry.created {
            Some(created) => {
                time = Some(created);
                if missing {
                    break;
                }
            }
            None => missing = true,
        }
    }
    let mut missing = false;
    for entry in history {
        match entry.created {
            Some(created) if missing => time = Some(created),
            Some(_) => {}
            None => {
                missing = true;
                entry.created = time;
            }
        }
    }
}
