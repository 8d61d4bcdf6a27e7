//! What must hold after a command was stopped or failed.

use std::collections::BTreeMap;

use crate::{
    stage::{Place, Ran, Stage, wait_for_end},
    verbs::{self, Verb},
};

pub(crate) fn texts(line: &[String]) -> Vec<&str> {
    line.iter().map(String::as_str).collect()
}

/// The names of everything that has one.
pub(crate) fn named(stage: &Stage, place: &Place) -> String {
    let images = stage.ok(place, &["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    let containers = stage.ok(place, &["ps", "--all", "--format", "{{.Names}}"]);
    let volumes = stage.ok(place, &["volume", "ls", "--format", "{{.Name}}"]);
    let mut lines: Vec<&str> = images.lines().filter(|line| !line.contains("<none>")).collect();
    lines.sort_unstable();
    let made_up = |name: &&str| !name.contains('_') && name.len() < 64;
    lines.extend(containers.lines().filter(made_up));
    lines.extend(volumes.lines().filter(made_up));
    lines.join(" ")
}

/// Bytes of each blob that are in a store for sure.
pub(crate) type Held = BTreeMap<String, u64>;

/// What is asked of a store.
pub(crate) struct Asked<'a> {
    /// What is named at the end.
    pub(crate) named: &'a str,
    /// Whether it must be sound at once, rather than after the next command.
    pub(crate) at_once: bool,
    /// What no pull may ask for again.
    pub(crate) held: &'a Held,
}

pub(crate) fn told(what: &str, ran: &Ran) -> String {
    format!("{what}: exit code {:?}: {}{}", ran.code, ran.stdout, ran.stderr)
}

/// What the next commands must find and do.
pub(crate) fn judge(
    stage: &Stage,
    verb: &Verb,
    place: &Place,
    asked: &Asked<'_>,
) -> Result<(), String> {
    let first = stage.run(place, &["system", "check"]);
    if asked.at_once && first.code != Some(0) {
        return Err(told("system check, at once", &first));
    }
    (verb.ready)(stage);
    let line = (verb.line)(stage);
    let again = stage.run(place, &texts(&line));
    if again.code != Some(0) && !again.stderr.contains(verb.done) {
        return Err(told("the command again", &again) + &told("; before", &first));
    }
    if verb.family == verbs::PULL.family {
        not_again(stage, asked.held)?;
    }
    if verb.runs {
        wait_for_end();
    }
    let checked = stage.run(place, &["system", "check"]);
    if checked.code != Some(0) {
        return Err(told("system check", &checked));
    }
    let (now, named) = (named(stage, place), asked.named);
    if now != named {
        return Err(format!("there is {now}, not {named}"));
    }
    tidy(stage, verb, place)
}

/// Nothing is left over when containers are removed and the store is pruned.
fn tidy(stage: &Stage, verb: &Verb, place: &Place) -> Result<(), String> {
    if verb.runs {
        let all = stage.run(place, &["ps", "--all", "--quiet", "--no-trunc"]);
        let ids: Vec<&str> = all.stdout.lines().collect();
        let removed = stage.run(place, &[&["rm", "--force", "--volumes"], &ids[..]].concat());
        if !ids.is_empty() && removed.code != Some(0) {
            return Err(told("rm", &removed));
        }
        wait_for_end();
    }
    let pruned = stage.run(place, &["system", "prune", "--force"]);
    if pruned.code != Some(0) {
        return Err(told("system prune", &pruned));
    }
    let mut litter = Vec::new();
    let mut places = vec!["varve/ingest", "varve/leases", "varve/trash", "varve/steps"];
    if verb.runs {
        places.extend(["varve/containers", "varve/names"]);
    }
    for directory in places {
        litter.extend(place.list(directory).into_iter().map(|name| format!("{directory}/{name}")));
    }
    litter.extend(place.list("").into_iter().filter(|name| name.starts_with('.')));
    litter.extend(place.list("blobs/sha256").into_iter().filter(|name| name.len() != 64));
    if litter.is_empty() { Ok(()) } else { Err(format!("left over: {litter:?}")) }
}

/// No request asks for a byte that was held.
fn not_again(stage: &Stage, held: &Held) -> Result<(), String> {
    for entry in stage.registry.take_log() {
        let Some((_, digest)) = entry.path.rsplit_once("/blobs/sha256:") else { continue };
        let Some(&held) = held.get(digest) else { continue };
        let range = entry.range.as_deref().unwrap_or("bytes=0-");
        let from = range.trim_start_matches("bytes=").split('-').next().unwrap_or_default();
        let from: u64 = from.parse().map_err(|_| format!("a range of its own kind: {range}"))?;
        if entry.method == "GET" && from < held {
            return Err(format!("{held} bytes were held, and asked again from {from}: {digest}"));
        }
    }
    Ok(())
}
