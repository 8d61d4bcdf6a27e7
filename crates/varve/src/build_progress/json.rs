//! Events for machines: one JSON object a line (`--progress json`), or documents in the shape of
//! docker's builder (`--progress rawjson`).

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use varve_engine::build::{BuildEvent, StepId, Stream};
use varve_types::Digest;

/// The line of an event, with its line's end. Times are seconds since the start of the build;
/// output is base64 where it is not UTF-8.
pub(crate) fn line(event: &BuildEvent<'_>, now: Duration) -> String {
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| {
        members.insert(name.to_owned(), value);
    };
    let kind = match event {
        BuildEvent::Started(_) => "started",
        BuildEvent::Status { .. } => "status",
        BuildEvent::Log { .. } => "log",
        BuildEvent::Warning { .. } => "warning",
        BuildEvent::Done { .. } => "done",
        BuildEvent::Failed { .. } => "failed",
        BuildEvent::Canceled { .. } => "canceled",
    };
    put("event", kind.into());
    put("step", id(event).0.into());
    put("seconds", (now.as_millis() as f64 / 1000.0).into());
    match event {
        BuildEvent::Started(step) => put("name", step.name.as_str().into()),
        BuildEvent::Status { name, current_bytes, total_bytes, done, .. } => {
            put("name", (*name).into());
            if let Some(bytes) = current_bytes {
                put("current_bytes", (*bytes).into());
            }
            if let Some(bytes) = total_bytes {
                put("total_bytes", (*bytes).into());
            }
            put("done", (*done).into());
        }
        BuildEvent::Log { stream, bytes, .. } => {
            put("stream", stream_name(*stream).into());
            match std::str::from_utf8(bytes) {
                Ok(text) => put("text", text.into()),
                Err(_) => put("base64", base64(bytes).into()),
            }
        }
        BuildEvent::Warning { text, .. } | BuildEvent::Failed { text, .. } => {
            put("text", (*text).into());
        }
        BuildEvent::Done { cached, .. } => put("cached", (*cached).into()),
        BuildEvent::Canceled { .. } => {}
    }
    Value::Object(members).to_string() + "\n"
}

fn id(event: &BuildEvent<'_>) -> StepId {
    match event {
        BuildEvent::Started(step) => step.id,
        BuildEvent::Status { id, .. }
        | BuildEvent::Log { id, .. }
        | BuildEvent::Warning { id, .. }
        | BuildEvent::Done { id, .. }
        | BuildEvent::Failed { id, .. }
        | BuildEvent::Canceled { id } => *id,
    }
}

fn stream_name(stream: Stream) -> &'static str {
    match stream {
        Stream::Output => "stdout",
        Stream::Error => "stderr",
    }
}

/// What docker's documents repeat of steps that began.
#[derive(Debug)]
pub(crate) struct Documents {
    begin: Timestamp,
    steps: BTreeMap<StepId, (Map<String, Value>, Duration)>,
    parts: BTreeMap<(StepId, String), Duration>,
}

impl Documents {
    /// Documents of a build that begins at this time.
    pub(crate) fn new(begin: Timestamp) -> Self {
        Self { begin, steps: BTreeMap::new(), parts: BTreeMap::new() }
    }

    /// The document of an event, with its line's end.
    pub(crate) fn document(&mut self, event: &BuildEvent<'_>, now: Duration) -> String {
        let time = |at: Duration| {
            let at = self.begin + jiff::SignedDuration::try_from(at).unwrap_or_default();
            Value::from(at.to_string())
        };
        let id = id(event);
        let stamp = time(now);
        if let BuildEvent::Started(step) = event {
            let mut vertex = Map::new();
            let digest = Digest::of(format!("{} {}", step.id.0, step.name).as_bytes());
            vertex.insert("digest".into(), digest.to_string().into());
            vertex.insert("name".into(), step.name.as_str().into());
            vertex.insert("started".into(), stamp);
            let document = json!({ "vertexes": [&vertex] });
            self.steps.insert(id, (vertex, now));
            return pretty(&document);
        }
        let vertex = self.steps.get(&id);
        let digest = vertex.and_then(|(vertex, _)| vertex.get("digest")).cloned();
        let document = match event {
            BuildEvent::Started(_) => Value::Null,
            BuildEvent::Status { name, current_bytes, total_bytes, done, .. } => {
                let part = (id, (*name).to_owned());
                let started = time(*self.parts.entry(part).or_insert(now));
                let mut status = Map::new();
                status.insert("id".into(), (*name).into());
                status.insert("vertex".into(), digest.into());
                if let Some(total) = total_bytes {
                    status.insert("total".into(), (*total).into());
                }
                status.insert("current".into(), current_bytes.unwrap_or_default().into());
                status.insert("timestamp".into(), stamp.clone());
                status.insert("started".into(), started);
                if *done {
                    status.insert("completed".into(), stamp);
                }
                json!({ "statuses": [status] })
            }
            BuildEvent::Log { stream, bytes, .. } => {
                let stream = if *stream == Stream::Output { 1 } else { 2 };
                let data = base64(bytes);
                let log = json!({
                    "vertex": digest, "stream": stream, "data": data, "timestamp": stamp,
                });
                json!({ "logs": [log] })
            }
            BuildEvent::Warning { text, .. } => {
                let warning =
                    json!({ "vertex": digest, "level": 1, "short": base64(text.as_bytes()) });
                json!({ "warnings": [warning] })
            }
            BuildEvent::Done { .. } | BuildEvent::Failed { .. } | BuildEvent::Canceled { .. } => {
                let vertex = vertex.map(|(vertex, _)| vertex.clone()).unwrap_or_default();
                json!({ "vertexes": [ended(vertex, event, stamp)] })
            }
        };
        pretty(&document)
    }
}

/// A step as it is shown at its end.
fn ended(
    mut vertex: Map<String, Value>,
    event: &BuildEvent<'_>,
    stamp: Value,
) -> Map<String, Value> {
    vertex.insert("completed".into(), stamp);
    match event {
        BuildEvent::Done { cached: true, .. } => {
            vertex.insert("cached".into(), true.into());
        }
        BuildEvent::Failed { text, .. } => {
            vertex.insert("error".into(), (*text).into());
        }
        BuildEvent::Canceled { .. } => {
            vertex.insert("error".into(), "context canceled".into());
        }
        _ => {}
    }
    vertex
}

fn pretty(document: &Value) -> String {
    serde_json::to_string_pretty(document).unwrap_or_default() + "\n"
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
