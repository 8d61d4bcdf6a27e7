//! Events as JSON, one object a line.

use serde_json::{Map, Value};
use varve_types::{Event, LayerState};

use super::line;

/// The line of an event.
pub(crate) fn line(event: &Event) -> String {
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| {
        members.insert(name.to_owned(), value);
    };
    match event {
        Event::Pulling { tag, path } => {
            put("event", "pulling".into());
            put("tag", tag.as_str().into());
            put("repository", path.as_str().into());
        }
        Event::PushingTo { repository } => {
            put("event", "pushing".into());
            put("repository", repository.as_str().into());
        }
        Event::Layer { id, state } => {
            put("event", "layer".into());
            put("id", id.as_str().into());
            put("state", name(state).into());
            if let Some((done, total)) = line::counts(state) {
                put("done_bytes", done.into());
                put("total_bytes", total.into());
            }
            match state {
                LayerState::MountedFrom { repository } => put("from", repository.as_str().into()),
                LayerState::Retrying { seconds } => put("seconds", (*seconds).into()),
                _ => {}
            }
        }
        Event::Resolved { digest } => {
            put("event", "resolved".into());
            put("digest", digest.to_string().into());
        }
        Event::Pushed { tag, digest, size } => {
            put("event", "pushed".into());
            put("tag", tag.as_str().into());
            put("digest", digest.to_string().into());
            put("size_bytes", (*size).into());
        }
        Event::PullStatus { name, newer } => {
            put("event", "pulled".into());
            put("name", name.as_str().into());
            put("newer", (*newer).into());
        }
        Event::LoadedName { name } => {
            put("event", "loaded".into());
            put("name", name.as_str().into());
        }
        Event::LoadedId { id } => {
            put("event", "loaded".into());
            put("id", id.to_string().into());
        }
        Event::Note(text) => {
            put("event", "note".into());
            put("text", text.as_str().into());
        }
        Event::Warning(text) => {
            put("event", "warning".into());
            put("text", text.as_str().into());
        }
        _ => put("event", "other".into()),
    }
    Value::Object(members).to_string()
}

/// The line of an operation's result.
pub(crate) fn result(name: &str) -> String {
    serde_json::json!({ "event": "result", "name": name }).to_string()
}

/// The state's name, without what has a member of its own.
fn name(state: &LayerState) -> String {
    match state {
        LayerState::MountedFrom { .. } => "Mounted".to_owned(),
        LayerState::Retrying { .. } => "Retrying".to_owned(),
        other => line::state(other),
    }
}
