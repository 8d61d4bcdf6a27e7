//! Builds that run programs, and the recorded build of docker's as a whole.

use std::{fs, path::Path};

use varve_build::Options;
use varve_engine::{Engine, Registries, StoreOptions};
use varve_fs::tar::{NewEntry, Writer};
use varve_testkit::guard;
use varve_types::Platform;

use crate::bench::{Ask, Bench};

const DOCKERFILE: &str = include_str!("reference.Dockerfile");
const RECORDED: &str = include_str!("../../../varve-build/tests/it/reference-config.json");

/// A root with busybox.
fn root_tar(busybox: &Path) -> Vec<u8> {
    const APPLETS: &str = "sh true cat echo ls stat rm mkdir touch date test";
    let program = fs::read(busybox).unwrap();
    let mut writer = Writer::new(Vec::new());
    for name in ["bin", "etc", "home", "tmp"] {
        let entry = NewEntry { mode: 0o755, ..NewEntry::directory(name.as_bytes()) };
        writer.append_bytes(&entry, b"").unwrap();
    }
    let entry = NewEntry::file(b"bin/busybox", program.len() as u64);
    writer.append_bytes(&NewEntry { mode: 0o755, ..entry }, &program).unwrap();
    for applet in APPLETS.split_whitespace() {
        let entry = format!("bin/{applet}");
        writer.append_bytes(&NewEntry::symlink(entry.as_bytes(), b"busybox"), b"").unwrap();
    }
    writer.finish().unwrap()
}

/// A bench whose programs can be run, with an image `busybox:1.36.0`; `None` where the machine
/// lacks what it takes.
fn bench() -> Option<Bench> {
    if !guard::root() {
        return None;
    }
    let busybox = guard::tool("busybox")?;
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let run = Some(root.path().join("run"));
    let options = StoreOptions { run, ..StoreOptions::default() };
    let engine =
        Engine::open_with(&root.path().join("store"), options, Registries::default()).unwrap();
    let engine = engine.with_runtime_program(env!("CARGO_BIN_EXE_varve-engine-role"));
    let bench = Bench::with_engine(root, engine);
    fs::write(bench.context().join("bb.tar"), root_tar(&busybox)).unwrap();
    let tags = vec!["busybox:1.36.0"];
    bench.build_with("FROM scratch\nADD bb.tar /\nCMD [\"sh\"]\n", Ask { tags, ..Ask::default() });
    fs::remove_file(bench.context().join("bb.tar")).unwrap();
    Some(bench)
}

fn ask(arguments: &[(&str, &str)]) -> Ask {
    let mut options = Options::new(Platform::host());
    options.network = varve_build::instruction::RunNetwork::None;
    for (name, value) in arguments {
        options.build_args.insert((*name).to_owned(), (*value).to_owned());
    }
    Ask { options, ..Ask::default() }
}

/// Without times and layers, which are facts of a day and a machine.
fn without_facts(config: &str) -> serde_json::Value {
    let mut config: serde_json::Value = serde_json::from_str(config).unwrap();
    config["created"] = serde_json::Value::Null;
    for entry in config["history"].as_array_mut().unwrap() {
        entry["created"] = serde_json::Value::Null;
    }
    let layers = config["rootfs"]["diff_ids"].as_array().unwrap().len();
    config["rootfs"]["diff_ids"] = layers.into();
    config
}

#[test]
fn the_recorded_build_gives_dockers_config_and_history() {
    let Some(bench) = bench() else { return };
    bench.file("file.txt", "hello\n");
    bench.file("dir/a.txt", "a\n");
    bench.file("dir/b.md", "b\n");
    let (first, told) = bench.build_with(DOCKERFILE, ask(&[]));
    let config = bench.engine.store().config(&bench.row("app").image).unwrap();
    let config = String::from_utf8(config.bytes().to_vec()).unwrap();
    let platform = Platform::host();
    let recorded = RECORDED.replace("\"amd64\"", &format!("\"{}\"", platform.architecture));
    assert_eq!(without_facts(&config), without_facts(&recorded));
    assert_eq!(
        told.of("[builder 4/4] RUN echo \"built 1.0\" > built.txt &&     cat file.txt"),
        "DONE"
    );
    let files = bench.files("app");
    let built = files.iter().find(|line| line.starts_with("out/built.txt")).unwrap();
    assert!(built.ends_with("built 1.0"), "{built}");
    // Nothing is run again, and the image is the same.
    let (second, told) = bench.build_with(DOCKERFILE, ask(&[]));
    assert_eq!(first, second);
    assert!(!told.lines().iter().any(|line| line.contains("RUN") && line.contains("DONE")));
    bench.engine.check().unwrap();
}

#[test]
fn a_failing_program_names_its_line_and_nothing_is_tagged() {
    let Some(bench) = bench() else { return };
    let text = "FROM busybox:1.36.0\nRUN true\nRUN echo before && exit 7\n";
    let (built, told) = bench.ask(text, ask(&[]));
    let error = built.map(|_| ()).unwrap_err();
    let text = "process \"/bin/sh -c echo before && exit 7\" did not complete successfully: \
                exit code: 7";
    assert_eq!(error.to_string(), text);
    assert_eq!(error.excerpt.unwrap().line, 3);
    assert_eq!(told.of("[3/3] RUN echo before && exit 7"), format!("ERROR: {text}"));
    assert_eq!(bench.engine.store().names().unwrap().rows.len(), 1);
}

#[test]
fn a_program_sees_the_times_that_the_contexts_files_have_now() {
    let Some(bench) = bench() else { return };
    bench.file("a.txt", "a\n");
    let text = "FROM busybox:1.36.0\nARG A\nCOPY a.txt /\nRUN stat -c %Y /a.txt > /seen\n";
    bench.build_with(text, ask(&[("A", "1")]));
    let seen = |bench: &Bench| {
        let files = bench.files("app");
        let line = files.iter().find(|line| line.starts_with("seen")).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!(seen(&bench), "1000000000");
    // The copy is found in the cache, and the program runs again: it sees the new time.
    crate::bench::set_time(&bench.context().join("a.txt"), 1_222_222_222);
    let (_, told) = bench.build_with(text, ask(&[("A", "2")]));
    assert_eq!(told.of("[2/3] COPY a.txt /"), "CACHED");
    assert_eq!(seen(&bench), "1222222222");
    let files = bench.files("app");
    assert!(files.contains(&"a.txt 644 0:0 0 a".to_owned()), "{files:?}");
}

#[test]
fn files_of_the_context_can_be_mounted() {
    let Some(bench) = bench() else { return };
    bench.file("dir/a.txt", "a\n");
    bench.file("other", "x\n");
    let text =
        "FROM busybox:1.36.0\nRUN --mount=type=bind,source=dir,target=/src cat /src/a.txt > /got\n";
    let step = "[stage-0 2/2] RUN --mount=type=bind,source=dir,target=/src cat /src/a.txt > /got";
    bench.build_with(text, ask(&[]));
    assert!(bench.files("app").iter().any(|line| line.starts_with("got ") && line.ends_with(" a")));
    bench.file("other", "changed\n");
    assert_eq!(bench.build_with(text, ask(&[])).1.of(step), "CACHED");
    bench.file("dir/a.txt", "b\n");
    assert_eq!(bench.build_with(text, ask(&[])).1.of(step), "DONE");
    assert!(bench.files("app").iter().any(|line| line.starts_with("got ") && line.ends_with(" b")));
}

/// What a program wrote into `got`.
fn got(bench: &Bench) -> String {
    let files = bench.files("app");
    let line = files.iter().find(|line| line.starts_with("got ")).unwrap();
    line.rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn two_directories_with_the_same_in_them_can_be_mounted() {
    let Some(bench) = bench() else { return };
    bench.file("one/f", "x");
    bench.file("two/f", "x");
    let mounts = "--mount=source=one,target=/1 --mount=source=two,target=/2 \\\n\
                  --mount=source=one/f,target=/3 --mount=source=two/f,target=/4";
    let text = format!("FROM busybox:1.36.0\nRUN {mounts} cat /1/f /2/f /3 /4 > /got\n");
    bench.build_with(&text, ask(&[]));
    assert_eq!(got(&bench), "xxxx");
}

#[test]
fn mounts_of_a_stage_and_of_the_context_are_told_apart() {
    let Some(bench) = bench() else { return };
    bench.file("d/f", "context");
    let build = |[one, two]: [&str; 2]| {
        let text = format!(
            "FROM busybox:1.36.0 AS stage\nWORKDIR /d\nRUN echo stage > f\n\
             FROM busybox:1.36.0\n\
             RUN --mount={one}source=d,target=/a --mount={two}source=d,target=/b cat /a/f > /got\n"
        );
        bench.build_with(&text, ask(&[]));
        got(&bench)
    };
    assert_eq!(build(["from=stage,", ""]), "stage");
    assert_eq!(build(["", "from=stage,"]), "context");
}

#[test]
fn a_program_sees_the_times_of_what_was_copied_through_a_stage() {
    let Some(bench) = bench() else { return };
    bench.file("a.txt", "a\n");
    let text = "FROM scratch AS files\nCOPY a.txt /in/\nFROM busybox:1.36.0\nARG A\n\
                COPY --from=files /in/a.txt /out/\nRUN stat -c %Y /out/a.txt > /got\n";
    let taken = "[stage-1 2/3] COPY --from=files /in/a.txt /out/";
    let (_, told) = bench.build_with(text, ask(&[("A", "1")]));
    assert_eq!((told.of(taken).as_str(), got(&bench).as_str()), ("DONE", "1000000000"));
    // What a checkout brought back is not old, though both copies are in the cache.
    crate::bench::set_time(&bench.context().join("a.txt"), 1_222_222_222);
    let (_, told) = bench.build_with(text, ask(&[("A", "2")]));
    assert_eq!((told.of(taken).as_str(), got(&bench).as_str()), ("CACHED", "1222222222"));
    let files = bench.files("app");
    assert!(files.contains(&"out/a.txt 644 0:0 0 a".to_owned()), "{files:?}");
}

#[test]
fn stages_are_built_at_the_same_time() {
    let Some(bench) = bench() else { return };
    // Each waits for the other, through a cache mount.
    let wait = "i=0; while [ ! -e /c/$other ] && [ $i -lt 1000000 ]; do i=$((i+1)); done; test -e /c/$other";
    let stage = |own: &str, other: &str| {
        format!(
            "FROM busybox:1.36.0 AS {own}\nRUN --mount=type=cache,target=/c touch /c/{own}; other={other}; {wait}\n"
        )
    };
    let text = format!(
        "{}{}FROM scratch\nCOPY --from=one /etc /one\nCOPY --from=two /etc /two\n",
        stage("one", "two"),
        stage("two", "one")
    );
    bench.build_with(&text, ask(&[]));
}
