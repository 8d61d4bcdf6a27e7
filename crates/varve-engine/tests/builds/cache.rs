//! What is found in the cache and what is not; and builds that fail.

use varve_build::{
    Options,
    plan::{BuildContext, NoCache},
};
use varve_fs::tar::{NewEntry, Time, Writer};
use varve_types::Platform;

use crate::bench::{Ask, Bench};

const STAGES: &str = "FROM base AS one\nCOPY a.txt b.txt /in/\nWORKDIR /made\nFROM base\n\
                      COPY --from=one /in/a.txt /out/\nCOPY c.txt /\n";
const TAKEN: &str = "[stage-1 2/3] COPY --from=one /in/a.txt /out/";

fn stages() -> Bench {
    let bench = Bench::new();
    bench.base("base", &[]);
    for name in ["a.txt", "b.txt", "c.txt"] {
        bench.file(name, name);
    }
    bench
}

#[test]
fn a_second_build_finds_every_step() {
    let bench = stages();
    let (first, told) = bench.build(STAGES);
    for step in [TAKEN, "[one 2/3] COPY a.txt b.txt /in/", "[stage-1 3/3] COPY c.txt /"] {
        assert_eq!(told.of(step), "DONE");
    }
    let (second, told) = bench.build(STAGES);
    assert_eq!(first, second);
    for step in [TAKEN, "[one 2/3] COPY a.txt b.txt /in/", "[stage-1 3/3] COPY c.txt /"] {
        assert_eq!(told.of(step), "CACHED");
    }
}

#[test]
fn what_nothing_wants_is_neither_made_nor_looked_for() {
    let bench = stages();
    let (first, _) = bench.build(STAGES);
    // The layers of the first stage are gone, and nothing in the image needs them.
    let store = bench.engine.store();
    let image: Vec<_> = bench.config("app").diff_ids().to_vec();
    for entry in std::fs::read_dir(store.root().join("varve/layers")).unwrap() {
        let path = entry.unwrap().path();
        let hex = path.file_name().unwrap().to_str().unwrap();
        if !image.iter().any(|layer| layer.0.hex() == hex) {
            std::fs::remove_dir_all(&path).unwrap();
        }
    }
    let before = std::fs::read_dir(store.root().join("varve/layers")).unwrap().count();
    let (second, told) = bench.build(STAGES);
    assert_eq!(first, second);
    assert_eq!(told.of(TAKEN), "CACHED");
    assert_eq!(std::fs::read_dir(store.root().join("varve/layers")).unwrap().count(), before);
    assert_eq!(before, image.len());
}

#[test]
fn a_changed_file_is_copied_again_and_what_stands_above_it() {
    let bench = stages();
    bench.build(STAGES);
    bench.file("a.txt", "changed");
    let (_, told) = bench.build(STAGES);
    assert_eq!(told.of("[one 2/3] COPY a.txt b.txt /in/"), "DONE");
    assert_eq!(told.of(TAKEN), "DONE");
    assert_eq!(told.of("[stage-1 3/3] COPY c.txt /"), "DONE");
    let files = bench.files("app");
    assert!(files.contains(&"out/a.txt 644 0:0 1700000000 changed".to_owned()), "{files:?}");
}

#[test]
fn what_is_taken_of_a_changed_stage_counts_by_its_content() {
    let bench = stages();
    let (first, _) = bench.build(STAGES);
    bench.file("b.txt", "changed");
    let (second, told) = bench.build(STAGES);
    assert_eq!(told.of("[one 2/3] COPY a.txt b.txt /in/"), "DONE");
    assert_eq!(told.of(TAKEN), "CACHED");
    assert_eq!(told.of("[stage-1 3/3] COPY c.txt /"), "CACHED");
    assert_eq!(first, second);
}

#[test]
fn a_changed_mode_counts_and_a_changed_time_does_not() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = stages();
    let text = "FROM scratch\nCOPY c.txt /\n";
    bench.build(text);
    let path = bench.context().join("c.txt");
    crate::bench::set_time(&path, 1_111_111_111);
    assert_eq!(bench.build(text).1.of("[1/1] COPY c.txt /"), "CACHED");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(bench.build(text).1.of("[1/1] COPY c.txt /"), "DONE");
    assert_eq!(bench.files("app"), ["c.txt 755 0:0 0 c.txt"]);
}

#[test]
fn a_time_that_a_layer_has_counts_when_it_is_copied_on() {
    let bench = stages();
    let text = "FROM base AS one\nADD in.tar /in/\nFROM base\nCOPY --from=one /in/f /\n";
    for seconds in [1_400_000_000, 1_500_000_000] {
        let mtime = Time { seconds, nanoseconds: 0 };
        let mut writer = Writer::new(Vec::new());
        let entry = NewEntry { mtime, ..NewEntry::file(b"f", 1) };
        writer.append_bytes(&entry, b"x").unwrap();
        std::fs::write(bench.context().join("in.tar"), writer.finish().unwrap()).unwrap();
        bench.build(text);
        let files = bench.files("app");
        assert!(files.contains(&format!("f 644 0:0 {seconds} x")), "{files:?}");
    }
}

#[test]
fn a_changed_argument_counts_where_it_is_used() {
    let bench = stages();
    let text = "FROM scratch\nARG A\nCOPY c.txt /$A\nCOPY a.txt /\n";
    let ask = |value: &str| {
        let mut options = Options::new(Platform::host());
        options.build_args.insert("A".to_owned(), value.to_owned());
        Ask { options, ..Ask::default() }
    };
    bench.build_with(text, ask("x"));
    assert_eq!(bench.build_with(text, ask("x")).1.of("[1/2] COPY c.txt /x"), "CACHED");
    let (_, told) = bench.build_with(text, ask("y"));
    assert_eq!(told.of("[1/2] COPY c.txt /y"), "DONE");
    assert_eq!(told.of("[2/2] COPY a.txt /"), "DONE");
}

#[test]
fn without_the_cache_all_is_made_anew_and_is_the_same() {
    let bench = stages();
    let (first, _) = bench.build(STAGES);
    let mut options = Options::new(Platform::host());
    options.no_cache = NoCache::All;
    let (second, told) = bench.build_with(STAGES, Ask { options, ..Ask::default() });
    assert_eq!(first, second);
    assert_eq!(told.of(TAKEN), "DONE");
    assert_eq!(told.of("[one 2/3] COPY a.txt b.txt /in/"), "DONE");
    let mut options = Options::new(Platform::host());
    options.no_cache = NoCache::Stages(vec!["one".to_owned()]);
    let (_, told) = bench.build_with(STAGES, Ask { options, ..Ask::default() });
    assert_eq!(told.of("[one 2/3] COPY a.txt b.txt /in/"), "DONE");
    assert_eq!(told.of(TAKEN), "CACHED");
}

#[test]
fn what_is_ignored_is_not_taken() {
    let bench = stages();
    bench.file(".dockerignore", "b.txt\nDockerfile\n.dockerignore\n");
    bench.build("FROM scratch\nCOPY . /\n");
    let files = bench.files("app");
    assert_eq!(files, ["a.txt 644 0:0 0 a.txt", "c.txt 644 0:0 0 c.txt"]);
    bench.file("Dockerfile.dockerignore", "*\n!b.txt\n");
    bench.build("FROM scratch\nCOPY . /\n");
    assert_eq!(bench.files("app"), ["b.txt 644 0:0 0 b.txt"]);
}

#[test]
fn other_directories_can_be_copied_from_and_started_from() {
    let bench = stages();
    let other = bench.root.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("o.txt"), "o").unwrap();
    let mut options = Options::new(Platform::host());
    let context = BuildContext::parse(other.to_str().unwrap()).unwrap();
    options.contexts.insert("other".to_owned(), context);
    let ask = || Ask { options: options.clone(), ..Ask::default() };
    bench.build_with("FROM scratch\nCOPY --from=other o.txt /\n", ask());
    assert_eq!(bench.files("app"), ["o.txt 644 0:0 0 o"]);
    bench.build_with("FROM other\nCOPY a.txt /\n", ask());
    assert_eq!(bench.files("app"), ["a.txt 644 0:0 0 a.txt", "o.txt 644 0:0 0 o"]);
    let config = bench.config("app");
    assert_eq!(config.history[0].comment, "buildkit.exporter.image.v0");
    assert_eq!(config.history.len(), 2);
}

#[test]
fn a_missing_file_fails_with_its_line_and_leaves_no_name() {
    let bench = stages();
    let (error, told) = bench.refuse("FROM scratch\nCOPY a.txt /\nCOPY nosuch /x\n");
    assert_eq!(
        error,
        "Dockerfile:3\n--------------------\n   1 |     FROM scratch\n   2 |     COPY a.txt /\n   \
         3 | >>> COPY nosuch /x\n   4 |     \n--------------------\nfailed to compute cache key: \
         failed to calculate checksum of ref context: \"/nosuch\": not found"
    );
    assert_eq!(
        told.of("[2/2] COPY nosuch /x"),
        "ERROR: failed to calculate checksum of ref context: \"/nosuch\": not found"
    );
    let names = bench.engine.store().names().unwrap();
    assert!(names.rows.iter().all(|row| row.reference != Some("app:latest".parse().unwrap())));
    // What was finished stays.
    bench.refuse("FROM scratch AS one\nCOPY a.txt /\nFROM scratch\nCOPY --from=one /nosuch /x\n");
    let (_, told) = bench.build("FROM scratch\nCOPY a.txt /\n");
    assert_eq!(told.of("[1/1] COPY a.txt /"), "CACHED");
}

#[test]
fn what_is_missing_in_a_stage_is_said_as_docker_does() {
    let bench = stages();
    let (error, _) = bench.refuse("FROM base\nFROM scratch\nCOPY --from=0 /nosuch /x\n");
    assert!(error.ends_with("lstat /nosuch: no such file or directory"), "{error}");
}

#[test]
fn a_missing_or_empty_dockerfile_is_said_as_docker_does() {
    let bench = stages();
    assert_eq!(bench.refuse("").0, "the Dockerfile cannot be empty");
    let (error, _) = bench.refuse("FROM scratch\nFOO bar\n");
    assert!(error.ends_with("unknown instruction: FOO (did you mean FROM?)"), "{error}");
    assert!(error.starts_with("Dockerfile:2\n"), "{error}");
}

#[test]
fn an_interrupted_build_names_nothing() {
    let bench = stages();
    let ask = Ask { interrupted: true, ..Ask::default() };
    let (built, _) = bench.ask("FROM scratch\nCOPY a.txt /\n", ask);
    assert_eq!(built.map(|_| ()).unwrap_err().to_string(), "context canceled");
    assert_eq!(bench.engine.store().names().unwrap().rows.len(), 1);
}
