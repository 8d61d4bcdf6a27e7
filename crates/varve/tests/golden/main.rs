//! Recorded docker sessions, replayed against varve: same standard output, standard error and
//! exit code. `data/*.json` are the recordings; `data/*.plan.json` says what must be done before
//! a record, which records wait for a later version, and which differ on purpose.

mod build_lines;
mod cast;
mod http;
mod hub;
mod images;
mod machine;
mod matcher;
mod meters;
mod odd;
mod record;
mod world;

use std::collections::BTreeSet;
use std::path::Path;

use crate::build_lines::{as_recorded, without_time_of_parts};
use crate::cast::Cast;
use crate::hub::{Content, content};
use crate::images::Form;
use crate::machine::Rule;
use crate::matcher::{Bindings, matches, matches_rows, matches_steps};
use crate::record::{Plan, Record, folder, plan, records};
use crate::world::{World, write};

use varve_testkit::{guard, namespace::alone_with_network};

/// The recordings, and what share in percent of the records must match: of those that neither wait
/// nor show that docker refuses what is done here.
const FILES: &[(&str, usize)] = &[
    ("images", 95),
    ("rmi-prune-df", 95),
    ("archive-import-commit", 95),
    ("login-push-info", 95),
    ("help", 95),
    ("run", 95),
    ("container-lifecycle", 95),
    ("build", 90),
];

#[test]
fn images_are_pulled_listed_and_tagged_as_docker_does() {
    let cast = cast();
    replay("images", &World::start(content(&cast, Form::OciGzip), &plain(&cast, Form::OciGzip)));
}

#[test]
fn images_are_removed_pruned_and_inspected_as_docker_does() {
    alone_with_network("images_are_removed_pruned_and_inspected_as_docker_does", || {
        let cast = cast();
        let world = World::start(content(&cast, Form::OciGzip), &plain(&cast, Form::OciGzip));
        let made = world.made();
        for (at, image) in cast.pr.iter().enumerate() {
            let tags: &[&str] = if at == 2 { &["pr:a"] } else { &[] };
            write(&made.join(format!("pr{}.tar", at + 1)), &image.archive(tags));
        }
        for (at, image) in cast.twins.iter().enumerate() {
            write(
                &made.join(format!("twin{}.tar", at + 1)),
                &image.archive(&[&format!("twin:{at}")]),
            );
        }
        replay("rmi-prune-df", &world);
    });
}

#[test]
fn archives_are_saved_loaded_and_imported_as_docker_does() {
    // Its containers are those of a docker that is root.
    if !guard::root() {
        return;
    }
    let cast = cast();
    let world = World::start(content(&cast, Form::OciTar), &Content::default());
    write(&world.made().join("multi.tar"), &cast.multi.archive(&["multi:1"]));
    write(&world.run_directory().join("rootfs.tar"), &cast.rootfs);
    odd::write_all(&cast, &world.run_directory());
    replay("archive-import-commit", &world);
}

#[test]
fn registries_are_logged_in_to_and_pushed_to_as_docker_does() {
    let cast = cast();
    let form = Form::DockerGzip;
    replay("login-push-info", &World::start(content(&cast, form), &plain(&cast, form)));
}

#[test]
fn containers_are_made_and_run_as_docker_does() {
    alone_with_network("containers_are_made_and_run_as_docker_does", || {
        let Some(cast) = living_cast() else { return };
        let hub = content(&cast, Form::OciGzip);
        let world = World::start(hub, &plain(&cast, Form::OciGzip));
        replay("run", &world);
    });
}

#[test]
fn containers_live_and_end_as_docker_has_it() {
    // Its containers are those of a docker that is root.
    if !guard::root() {
        return;
    }
    let cast = cast();
    let world = World::start(content(&cast, Form::OciGzip), &plain(&cast, Form::OciGzip));
    replay("container-lifecycle", &world);
}

#[test]
fn images_are_built_as_docker_does() {
    alone_with_network("images_are_built_as_docker_does", || {
        let Some(cast) = living_cast() else { return };
        let hub = content(&cast, Form::OciGzip);
        let world = World::start(hub, &plain(&cast, Form::OciGzip));
        build_lines::write_context(&world);
        replay("build", &world);
    });
}

#[test]
fn help_reads_as_dockers() {
    replay("help", &World::without_registries(Content::default()));
}

/// What the plain registry has in the recordings.
fn plain(cast: &Cast, form: Form) -> Content {
    let mut content = Content::default();
    if form == Form::OciGzip {
        let (index, children) = cast.busybox_index();
        for tag in ["1.36.0", "latest"] {
            content.add_index(&format!("library/busybox:{tag}"), &index, &children);
        }
        content.add("library/debian:bookworm", &cast.debian.served(Form::DockerGzip));
    } else {
        let hello = cast.hello.served(Form::DockerGzip).padded(526);
        content.add("library/hello-world:latest", &hello);
    }
    content
}

/// The images were made 42 minutes before they were recorded, within a few seconds.
fn cast() -> Cast {
    let (recent, times) = times();
    Cast::new(recent.each_ref().map(String::as_str), times.each_ref().map(String::as_str))
}

/// The same with images that run; `None` where nothing is there to run.
fn living_cast() -> Option<Cast> {
    let (recent, times) = times();
    Cast::alive(recent.each_ref().map(String::as_str), times.each_ref().map(String::as_str))
}

fn times() -> ([String; 3], [String; 3]) {
    let now = jiff::Timestamp::now();
    let time = |seconds: i64| {
        let then = now - jiff::SignedDuration::from_secs(seconds);
        then.strftime("%Y-%m-%dT%H:%M:%S").to_string()
    };
    ([1, 2, 3].map(time), [42 * 60, 42 * 60 + 3, 42 * 60 + 5].map(time))
}

/// Replays a file and judges it as a whole.
fn replay(name: &str, world: &World) {
    let plan = plan(name);
    let records = records(name);
    let mut bindings = Bindings::default();
    let mut outcome = Outcome::default();
    for record in &records {
        for line in plan.setup(&record.id) {
            world.set_up(&bindings.fill(line));
        }
        if plan.waiting.contains_key(&record.id) {
            continue;
        }
        outcome.count += 1;
        if let Some(dockerfile) = &record.dockerfile {
            write(&world.run_directory().join("ctx/D"), dockerfile.as_bytes());
        }
        let way = Way {
            is_ordered: !plan.unordered.contains_key(&record.id),
            rule: plan.levelled.get(&record.id).copied(),
        };
        let before = bindings.clone();
        let mut difference = play(record, world, &mut bindings, way);
        if difference.is_some() && record.command.starts_with("docker top ") {
            // A list of processes is of a moment: a loop has just ended one and not begun the next.
            difference = play(record, world, &mut bindings, way);
        }
        let is_beyond = plan.beyond.contains_key(&record.id);
        match (difference, is_beyond || plan.exceptions.contains_key(&record.id)) {
            (None, false) => {}
            (None, true) => outcome.wrong.push(format!("{}: matches, strike it", record.id)),
            (Some(_), true) if is_beyond => outcome.beyond += 1,
            (Some(_), true) => {
                // What differs names nothing: the same name may stand for another thing later.
                bindings = before;
                outcome.excepted += 1;
            }
            (Some(difference), false) => outcome.wrong.push(difference),
        }
    }
    outcome.judge(name, plan.waiting.len());
}

#[derive(Default)]
struct Outcome {
    count: usize,
    excepted: usize,
    beyond: usize,
    wrong: Vec<String>,
}

impl Outcome {
    fn judge(&self, name: &str, waiting: usize) {
        let passed = self.count - self.excepted - self.beyond - self.wrong.len();
        println!(
            "{name}: {passed} of {} match, {} differ on purpose, {} are refused there, {waiting} wait",
            self.count, self.excepted, self.beyond
        );
        let wrong = self.wrong.join("\n\n");
        assert!(self.wrong.is_empty(), "{} records of {name}:\n{wrong}", self.wrong.len());
        let share = FILES.iter().find(|file| file.0 == name).expect("a known file").1;
        let enough = passed * 100 >= (self.count - self.beyond) * share;
        assert!(enough, "{name}: only {passed} of {} match", self.count);
    }
}

/// How a record is compared.
#[derive(Debug, Clone, Copy)]
struct Way {
    is_ordered: bool,
    rule: Option<Rule>,
}

/// Runs one record; what differs, when something does.
fn play(record: &Record, world: &World, bindings: &mut Bindings, way: Way) -> Option<String> {
    let command = bindings.fill(&record.command);
    let (exit, stdout, stderr) = world.run(&command, record);
    let (stdout, stderr) = if record.is_of_build() {
        let recorded = format!("{}{}", record.stdout, record.stderr);
        (as_recorded(&stdout, &recorded), as_recorded(&stderr, &recorded))
    } else {
        (stdout, stderr)
    };
    let same = |recorded: &str, actual: &str, bindings: &mut Bindings| {
        let level = |text: &str| {
            let text = way.rule.map_or(text.to_owned(), |rule| rule.apply(text));
            if record.is_of_build() { without_time_of_parts(&text) } else { text }
        };
        let (recorded, actual) = (&level(recorded), &level(actual));
        matches(recorded, actual, bindings)
            || match (way.is_ordered, record.is_of_build()) {
                (true, _) => false,
                (false, true) => matches_steps(recorded, actual, bindings),
                (false, false) => matches_rows(recorded, actual, bindings),
            }
    };
    let mut different = Vec::new();
    if !same(&terminal(record, &record.stdout), &stdout, bindings) {
        different.push(format!("stdout recorded:\n{}\nactual:\n{stdout}", record.stdout));
    }
    if !same(&terminal(record, &record.stderr), &stderr, bindings) {
        different.push(format!("stderr recorded:\n{}\nactual:\n{stderr}", record.stderr));
    }
    if exit != record.exit {
        different.push(format!("exit recorded: {}, actual: {exit}", record.exit));
    }
    let what = different.join("\n");
    (!different.is_empty()).then(|| format!("── {}\n$ {command}\n{what}", record.id))
}

/// A terminal ends its lines with CR LF; some recordings left the CR out.
fn terminal(record: &Record, text: &str) -> String {
    if record.on_terminal && !text.contains('\r') {
        text.replace('\n', "\r\n")
    } else {
        text.into()
    }
}

/// A reason must be readable where users look for it.
#[test]
fn every_exception_is_in_the_compatibility_document() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md");
    let document = std::fs::read_to_string(path).expect("docs/compatibility.md");
    // Commands have bars too.
    let cells = |line: &str| line.split('|').map(str::trim).collect::<Vec<_>>().join("|");
    let listed: BTreeSet<String> = document
        .lines()
        .filter(|line| FILES.iter().any(|(file, _)| line.starts_with(&format!("| {file} |"))))
        .map(cells)
        .collect();
    let mut planned = BTreeSet::new();
    for (file, _) in FILES {
        let plan = plan(file);
        for (id, reason) in plan.exceptions.into_iter().chain(plan.beyond) {
            planned.insert(cells(&format!("| {file} | `{id}` | {reason} |")));
        }
    }
    assert_eq!(listed, planned, "docs/compatibility.md and {}", folder().display());
}

#[test]
fn plans_speak_of_records_that_exist() {
    for (file, _) in FILES {
        let ids: BTreeSet<String> = records(file).into_iter().map(|record| record.id).collect();
        let plan: Plan = plan(file);
        let gone: Vec<&String> = plan.ids().filter(|id| !ids.contains(*id)).collect();
        assert!(gone.is_empty(), "{file}: no such records: {gone:?}");
    }
}
