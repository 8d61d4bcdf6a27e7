//! Events as lines of text, in Docker's words.

use varve_types::{Event, LayerState, Printable};

/// The line of an event.
pub(crate) fn text(event: &Event) -> String {
    match event {
        Event::Pulling { tag, path } => {
            format!("{}: Pulling from {}", Printable(tag), Printable(path))
        }
        Event::PushingTo { repository } => {
            format!("The push refers to repository [{}]", Printable(repository))
        }
        Event::Layer { id, state } => format!("{}: {}", Printable(id), self::state(state)),
        Event::Resolved { digest } => format!("Digest: {digest}"),
        Event::Pushed { tag, digest, size } => {
            format!("{}: digest: {digest} size: {size}", Printable(tag))
        }
        Event::PullStatus { name, newer: true } => {
            format!("Status: Downloaded newer image for {}", Printable(name))
        }
        Event::PullStatus { name, newer: false } => {
            format!("Status: Image is up to date for {}", Printable(name))
        }
        Event::LoadedName { name } => format!("Loaded image: {}", Printable(name)),
        Event::LoadedId { id } => format!("Loaded image ID: {id}"),
        Event::Note(text) | Event::Warning(text) => crate::format::template::print::lines(text),
        _ => String::new(),
    }
}

/// The words for a layer's state.
pub(crate) fn state(state: &LayerState) -> String {
    match state {
        LayerState::PullingFsLayer => "Pulling fs layer".to_owned(),
        LayerState::Waiting => "Waiting".to_owned(),
        LayerState::Downloading { .. } => "Downloading".to_owned(),
        LayerState::VerifyingChecksum => "Verifying Checksum".to_owned(),
        LayerState::DownloadComplete => "Download complete".to_owned(),
        LayerState::Extracting { .. } => "Extracting".to_owned(),
        LayerState::PullComplete => "Pull complete".to_owned(),
        LayerState::AlreadyExists => "Already exists".to_owned(),
        LayerState::Loading { .. } => "Loading layer".to_owned(),
        LayerState::Preparing => "Preparing".to_owned(),
        LayerState::Pushing { .. } => "Pushing".to_owned(),
        LayerState::Pushed => "Pushed".to_owned(),
        LayerState::LayerAlreadyExists => "Layer already exists".to_owned(),
        LayerState::MountedFrom { repository } => {
            format!("Mounted from {}", Printable(repository))
        }
        LayerState::Retrying { seconds } => {
            format!("Retrying in {seconds} second{}", if *seconds == 1 { "" } else { "s" })
        }
        _ => String::new(),
    }
}

/// How many of how many bytes are done, in the states that count them.
pub(crate) fn counts(state: &LayerState) -> Option<(u64, u64)> {
    match *state {
        LayerState::Downloading { done_bytes, total_bytes }
        | LayerState::Extracting { done_bytes, total_bytes }
        | LayerState::Loading { done_bytes, total_bytes }
        | LayerState::Pushing { done_bytes, total_bytes } => Some((done_bytes, total_bytes)),
        _ => None,
    }
}
