//! An image config as the bytes that docker's builder writes: its order of members, Go's escapes.

use std::collections::BTreeMap;

use serde::Serialize;
use varve_types::{
    ImageConfig,
    config::{Empty, Healthcheck, History, RootFs},
};

#[derive(Serialize)]
struct Image<'a> {
    architecture: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    author: &'a str,
    config: Config<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "<[Entry]>::is_empty")]
    history: &'a [Entry<'a>],
    os: &'a str,
    #[serde(rename = "os.version", skip_serializing_if = "str::is_empty")]
    os_version: &'a str,
    rootfs: &'a RootFs,
    #[serde(skip_serializing_if = "str::is_empty")]
    variant: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(clippy::zero_sized_map_values, reason = "that is how the JSON is")]
struct Config<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exposed_ports: Option<&'a BTreeMap<String, Empty>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<&'a Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint: Option<&'a Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmd: Option<&'a Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volumes: Option<&'a BTreeMap<String, Empty>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    working_dir: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    stop_signal: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    args_escaped: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<&'a Healthcheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_build: Option<&'a Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shell: Option<&'a Vec<String>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    created_by: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    author: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    comment: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    empty_layer: bool,
}

/// The bytes of a config. Members that docker's builder does not write are left out.
pub fn image_json(image: &ImageConfig) -> Vec<u8> {
    let entries = image.history.iter().map(|entry: &History| Entry {
        created: entry.created.map(|time| time.to_string()),
        created_by: &entry.created_by,
        author: &entry.author,
        comment: &entry.comment,
        empty_layer: entry.empty_layer,
    });
    let entries: Vec<Entry<'_>> = entries.collect();
    let run = &image.config;
    let written = Image {
        architecture: &image.architecture,
        author: &image.author,
        config: Config {
            user: &run.user,
            exposed_ports: run.exposed_ports.as_ref().filter(|map| !map.is_empty()),
            env: run.env.as_ref().filter(|words| !words.is_empty()),
            entrypoint: run.entrypoint.as_ref().filter(|words| !words.is_empty()),
            cmd: run.cmd.as_ref().filter(|words| !words.is_empty()),
            volumes: run.volumes.as_ref().filter(|map| !map.is_empty()),
            working_dir: &run.working_dir,
            labels: run.labels.as_ref().filter(|map| !map.is_empty()),
            stop_signal: &run.stop_signal,
            args_escaped: run.args_escaped,
            healthcheck: run.healthcheck.as_ref(),
            on_build: run.on_build.as_ref().filter(|words| !words.is_empty()),
            shell: run.shell.as_ref().filter(|words| !words.is_empty()),
        },
        created: image.created.map(|time| time.to_string()),
        history: &entries,
        os: &image.os,
        os_version: &image.os_version,
        rootfs: &image.rootfs,
        variant: &image.variant,
    };
    // Text, numbers and maps with text as keys: this cannot fail.
    escaped(&serde_json::to_string(&written).unwrap_or_default()).into_bytes()
}

/// What Go escapes inside texts and serde does not; outside texts none of it occurs.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out
}
