//! Recorded transcripts, and what this repository knows about each: what has to be done before
//! it, what it waits for, and where varve answers differently on purpose.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::machine::Rule;

/// One command line and what docker answered.
#[derive(Debug)]
pub(crate) struct Record {
    /// The recorded name; a second one of the same name ends in `#2`.
    pub(crate) id: String,
    pub(crate) command: String,
    pub(crate) exit: i64,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) stdin: Option<String>,
    pub(crate) on_terminal: bool,
    /// What lies in `ctx/D`.
    pub(crate) dockerfile: Option<String>,
}

impl Record {
    /// Whether a build shows how it goes on.
    pub(crate) fn is_of_build(&self) -> bool {
        self.command.contains(" build") || self.command.contains(" du")
    }
}

/// What belongs to the records of one file, by record.
#[derive(Debug)]
pub(crate) struct Plan {
    setup: BTreeMap<String, Vec<String>>,
    /// Needs something that a later version brings: not run.
    pub(crate) waiting: BTreeMap<String, String>,
    /// Docker's rows have no certain order here, with the reason.
    pub(crate) unordered: BTreeMap<String, String>,
    /// Shows the machine or chance, which is taken out before it is compared.
    pub(crate) levelled: BTreeMap<String, Rule>,
    /// Is refused there, or not known yet, and done here, with the reason. Such records do not count.
    pub(crate) beyond: BTreeMap<String, String>,
    /// Answers differently, with the reason.
    pub(crate) exceptions: BTreeMap<String, String>,
}

impl Plan {
    /// Shell lines to run before a record.
    pub(crate) fn setup(&self, id: &str) -> &[String] {
        self.setup.get(id).map(Vec::as_slice).unwrap_or_default()
    }

    /// Every record that the plan speaks about.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &String> {
        let reasons = [&self.waiting, &self.unordered, &self.beyond, &self.exceptions];
        let rules = self.levelled.keys();
        self.setup.keys().chain(rules).chain(reasons.into_iter().flat_map(BTreeMap::keys))
    }
}

/// The folder with the transcripts.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/data")
}

/// The records of a file, in order.
pub(crate) fn records(name: &str) -> Vec<Record> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let list = json(&format!("{name}.json"));
    let list = list.as_array().expect("a list of records");
    list.iter()
        .map(|record| {
            let text =
                |key: &str| common(&without_daemon(record[key].as_str().unwrap_or_default()));
            let count = seen.entry(text("id")).or_default();
            *count += 1;
            let id = match count {
                1 => text("id"),
                count => format!("{}#{count}", text("id")),
            };
            Record {
                id,
                command: text("cmd"),
                exit: record["exit"].as_i64().expect("an exit code"),
                stdout: text("stdout"),
                stderr: text("stderr"),
                stdin: record["stdin"].as_str().map(str::to_owned),
                on_terminal: record["tty"].as_bool().unwrap_or(false),
                dockerfile: record["Dockerfile"].as_str().map(str::to_owned),
            }
        })
        .collect()
}

/// A recorded text without what only docker's daemon has: the directories in which it unpacks an
/// archive and mounts what it builds from, its name for a context, the steps in which it asks the
/// client for tokens, and the address under which the client speaks to it.
fn without_daemon(text: &str) -> String {
    const MOUNT: &str = "/var/lib/docker/tmp/buildkit-mount<N>/";
    let text = text.replace("/var/lib/docker/tmp/docker-import-<N>/", "");
    let text = text.replace(&format!("lstat {MOUNT}"), "lstat /").replace(MOUNT, "");
    let text = text.replace("27682e2a-694b-4fec-af6e-<HEX12>::<ID25>", "context");
    let is_token = |line: &&str| {
        line.starts_with('#') && line.contains(" [auth] ") && line.contains(" token for ")
    };
    // A base image that is also copied from is shown under either of its two names.
    let is_source = |line: &&str| {
        let base = "FROM docker.io/library/busybox:1.36.0\n";
        line.split_once(' ').is_some_and(|(number, rest)| number.starts_with('#') && rest == base)
    };
    let is_of_build = |line: &&str| !is_token(line) && !is_source(line);
    let text: String = text.split_inclusive('\n').filter(is_of_build).collect();
    let Some(at) = text.find("error during connect: Post \"") else { return text };
    let address_end = text[at..].find("\": ").map_or(text.len(), |end| at + end + 3);
    format!("{}{}", &text[..at], &text[address_end..])
}

/// A text, recorded or ours, without the facts of a build and of a machine: version numbers,
/// commit, compiler and time of the build, and what the machine's resolver says of a name that
/// does not exist.
pub(crate) fn common(text: &str) -> String {
    const COMMITS: &[&str] = &["Git commit:        ", ", build "];
    const RESOLVER: &str = ".2.53:53: dial udp 192.0.2.53:53: connect: network is unreachable";
    const PLUGINS: &str = " Plugins:\n  buildx: Docker Buildx (Docker Inc.)\n    \
        Version:  0.13.1+ds1\n    Path:     /home/dev/.docker/cli-plugins/docker-buildx\n";
    let mut text = text.replace(PLUGINS, "");
    for version in ["28.2.2", "26.1.5+dfsg1", env!("CARGO_PKG_VERSION")] {
        text = text.replace(version, "<VERSION>");
    }
    for before in COMMITS {
        let Some(start) = text.find(before).map(|at| at + before.len()) else { continue };
        let end = text[start..].find('\n').map_or(text.len(), |length| start + length);
        let commit = text[start..end].to_owned();
        text = text.replace(&format!("{before}{commit}"), &format!("{before}<COMMIT>"));
    }
    text = text.replace(&format!(" on 192.0{RESOLVER}"), ": no such host");
    text = text.replace(RESOLVER, ": no such host");
    let of_build = |line: &&str| ![" Go version:", " Built:"].iter().any(|l| line.starts_with(l));
    text.split_inclusive('\n').filter(of_build).collect()
}

/// What is known about the records of a file.
pub(crate) fn plan(name: &str) -> Plan {
    let plan = json(&format!("{name}.plan.json"));
    let reasons = |key: &str| {
        let entries = plan[key].as_object().into_iter().flatten();
        entries.map(|(id, why)| (id.clone(), why.as_str().expect(id).to_owned())).collect()
    };
    let lines = |value: &Value| {
        let lines = value.as_array().expect("a list of shell lines").iter();
        lines.map(|line| line.as_str().expect("a shell line").to_owned()).collect()
    };
    let rule = |(id, word): (&String, &Value)| {
        let word = word.as_str().expect("a rule's name");
        (id.clone(), Rule::named(word).unwrap_or_else(|| panic!("{id}: no rule {word:?}")))
    };
    let setup = plan["setup"].as_object().expect("setup").iter();
    Plan {
        setup: setup.map(|(id, value)| (id.clone(), lines(value))).collect(),
        waiting: reasons("waiting"),
        unordered: reasons("unordered"),
        levelled: plan["levelled"].as_object().into_iter().flatten().map(rule).collect(),
        beyond: reasons("beyond"),
        exceptions: reasons("exceptions"),
    }
}

fn json(file: &str) -> Value {
    let path = folder().join(file);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
