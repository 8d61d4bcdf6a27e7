//! What comes of a build: config, history, layers, names.

use varve_build::Options;
use varve_engine::build::BuildTimes;
use varve_types::Platform;

use crate::bench::{Ask, Bench};

#[test]
fn files_of_the_context_become_layers_of_an_image_from_scratch() {
    let bench = Bench::new();
    bench.file("a.txt", "a\n");
    bench.file("dir/b.txt", "b\n");
    let (_, told) =
        bench.build("FROM scratch\nCOPY a.txt /\nCOPY --chown=3:4 --chmod=600 dir /d\n");
    let files = bench.files("app");
    assert_eq!(files, ["a.txt 644 0:0 0 a", "d 755 3:4 0", "d/b.txt 600 3:4 0 b"]);
    let config = bench.config("app");
    let by: Vec<&str> = config.history.iter().map(|entry| entry.created_by.as_str()).collect();
    assert_eq!(by, ["COPY a.txt / # buildkit", "COPY --chown=3:4 --chmod=600 dir /d # buildkit"]);
    assert_eq!(config.diff_ids().len(), 2);
    assert_eq!(config.created.unwrap().to_string(), "1970-01-01T00:00:00Z");
    assert_eq!(told.of("[1/2] COPY a.txt /"), "DONE");
    bench.engine.check().unwrap();
}

#[test]
fn history_and_config_go_on_from_the_base_images() {
    let bench = Bench::new();
    bench.base("base", &["ENV A=1", "CMD [\"sh\"]"]);
    bench.file("a.txt", "a\n");
    bench.build("FROM base\nLABEL x=y\nCOPY a.txt /in/\nUSER app\nENTRYPOINT [\"x\"]\n");
    let (base, config) = (bench.config("base"), bench.config("app"));
    assert_eq!(config.diff_ids()[0], base.diff_ids()[0]);
    assert_eq!(config.history[0], base.history[0]);
    assert_eq!(config.config.env.as_ref().unwrap()[0], "A=1");
    assert_eq!(config.config.user, "app");
    // The base is the newest thing in it, so its time stands for the build.
    assert_eq!(config.created, base.created);
    assert!(config.history.iter().skip(1).all(|entry| entry.created == base.created));
    assert_eq!(bench.files("app")[4], "in/a.txt 644 0:0 1700000000 a");
}

#[test]
fn an_image_was_made_here_now_and_building_it_again_does_not_make_it_younger() {
    let mut bench = Bench::new();
    bench.file("a.txt", "a\n");
    let (first, _) = bench.build("FROM scratch\nCOPY a.txt /\n");
    bench.now += 1_000;
    let (second, told) = bench.build("FROM scratch\nCOPY a.txt /\n");
    assert_eq!(first, second);
    assert_eq!(told.of("[1/1] COPY a.txt /"), "CACHED");
    let row = bench.row("app");
    assert!(row.made_here);
    assert_eq!(row.stored.unwrap().as_second(), 1_800_000_000);
    assert_eq!(row.created.unwrap().as_second(), 0);
}

#[test]
fn a_build_without_a_name_leaves_an_image_without_one() {
    let bench = Bench::new();
    bench.file("a.txt", "a\n");
    bench.build_with("FROM scratch\nCOPY a.txt /\n", Ask { tags: vec![], ..Ask::default() });
    let names = bench.engine.store().names().unwrap();
    assert_eq!(names.rows.iter().map(|row| row.reference.clone()).collect::<Vec<_>>(), [None]);
}

#[test]
fn a_build_of_metadata_alone_keeps_the_bases_time_and_is_the_same_image_every_time() {
    let mut bench = Bench::new();
    bench.base("base", &[]);
    let (first, _) = bench.build("FROM base\nCMD foo\n");
    bench.now += 1_000;
    let (second, _) = bench.build("FROM base\nCMD foo\n");
    assert_eq!(first, second);
    assert_eq!(bench.config("app").created.unwrap().as_second(), 1_700_000_000);
}

#[test]
fn the_same_files_give_the_same_digest_whatever_the_directory_the_times_and_the_clock() {
    let text = "FROM base\nCOPY . /all\nCOPY --chmod=755 dir/b.txt /b\nWORKDIR /w\n";
    let digests: Vec<_> = [(1_000_000_000, 1_800_000_000), (1_234_567_890, 1_900_000_000)]
        .into_iter()
        .map(|(time, now)| {
            let mut bench = Bench::new();
            bench.now = now;
            bench.base("base", &[]);
            for (path, text) in [("a.txt", "a\n"), ("dir/b.txt", "b\n")] {
                bench.file(path, text);
                crate::bench::set_time(&bench.context().join(path), time);
            }
            bench.build(text).0
        })
        .collect();
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn a_chosen_time_stands_in_config_history_and_layers() {
    let bench = Bench::new();
    bench.base("base", &[]);
    bench.file("a.txt", "a\n");
    let text = "FROM base\nCOPY a.txt /\nCMD x\n";
    bench.build_with(text, Ask { epoch: Some(5), ..Ask::default() });
    let config = bench.config("app");
    assert_eq!(config.created.unwrap().as_second(), 5);
    assert_eq!(config.history[1].created.unwrap().as_second(), 5);
    assert_eq!(bench.files("app")[0], "a.txt 644 0:0 5 a");
    // An argument wins over the environment.
    let mut options = Options::new(Platform::host());
    options.build_args.insert("SOURCE_DATE_EPOCH".to_owned(), "7".to_owned());
    bench.build_with(text, Ask { epoch: Some(5), options, ..Ask::default() });
    assert_eq!(bench.config("app").created.unwrap().as_second(), 7);
}

#[test]
fn with_times_of_now_a_build_is_as_dockers() {
    let mut bench = Bench::new();
    bench.base("base", &[]);
    bench.file("a.txt", "a\n");
    let text = "FROM base\nLABEL a=b\nCOPY a.txt /\nCMD x\n";
    let now = || Ask { times: BuildTimes::Now, ..Ask::default() };
    let (first, _) = bench.build_with(text, now());
    let config = bench.config("app");
    let times: Vec<i64> =
        config.history.iter().map(|entry| entry.created.unwrap().as_second()).collect();
    assert_eq!(times, [1_700_000_000, 1_800_000_000, 1_800_000_000, 1_800_000_000]);
    assert_eq!(bench.files("app")[0], "a.txt 644 0:0 1000000000 a");
    // What is cached keeps its time, so the image is the same.
    bench.now += 1_000;
    assert_eq!(bench.build_with(text, now()).0, first);
    let keep = Ask { times: BuildTimes::Keep, ..Ask::default() };
    bench.build_with(text, keep);
    assert_eq!(bench.config("app").created.unwrap().as_second(), 1_700_000_000);
    assert_eq!(bench.files("app")[0], "a.txt 644 0:0 1000000000 a");
}

#[test]
fn several_platforms_become_an_index() {
    let bench = Bench::new();
    bench.file("a.txt", "a\n");
    let text = "FROM scratch\nARG TARGETARCH\nCOPY a.txt /$TARGETARCH\n";
    let platforms = vec!["linux/amd64", "linux/arm64"];
    let (manifest, told) = bench.build_with(text, Ask { platforms, ..Ask::default() });
    assert_eq!(told.of("[linux/arm64 1/1] COPY a.txt /arm64"), "DONE");
    let row = bench.row("app");
    assert_eq!(row.target.digest, manifest);
    let varve_types::ManifestKind::Index(index) = bench.engine.store().manifest(&manifest).unwrap()
    else {
        panic!("no index")
    };
    let platforms: Vec<String> =
        index.manifests.iter().map(|child| child.platform.as_ref().unwrap().to_string()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    bench.engine.check().unwrap();
}

#[test]
fn what_another_platform_starts_from_does_not_change_an_image() {
    let bench = Bench::new();
    bench.base("base", &[]);
    bench.file("a.txt", "a\n");
    let text = "FROM scratch AS amd64\nFROM --platform=$BUILDPLATFORM base AS arm64\n\
                FROM $TARGETARCH\nCOPY a.txt /\n";
    let build = |platforms| bench.build_with(text, Ask { platforms, ..Ask::default() }).0;
    let alone = build(vec!["linux/amd64"]);
    let both = build(vec!["linux/amd64", "linux/arm64"]);
    let varve_types::ManifestKind::Index(index) = bench.engine.store().manifest(&both).unwrap()
    else {
        panic!("no index")
    };
    assert_eq!(index.manifests[0].digest, alone);
    assert_ne!(index.manifests[1].digest, alone);
}

#[test]
fn a_base_runs_its_triggers() {
    let bench = Bench::new();
    bench.file("a.txt", "a\n");
    bench.build_with(
        "FROM scratch\nONBUILD COPY a.txt /triggered\n",
        Ask { tags: vec!["onb"], ..Ask::default() },
    );
    bench.build("FROM onb\nCOPY a.txt /own\n");
    assert_eq!(bench.files("app"), ["own 644 0:0 0 a", "triggered 644 0:0 0 a"]);
}
