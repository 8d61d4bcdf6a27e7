//! Named contexts of every kind, as the begin of a stage and to copy from.

use varve_build::{
    Options,
    plan::{BuildContext, context_name},
};
use varve_engine::build::{BuildOutput, ContextSource, Destination};
use varve_types::Platform;

use crate::{
    bench::{Ask, Bench},
    daemon::Daemon,
    web::{Answer, Web},
};

const DOCKERFILE: &str = "FROM ctx AS one\nLABEL a=b\nFROM scratch\nCOPY --from=ctx / /copied/\nCOPY --from=one / /begun/\n";

fn ask(value: &str) -> Ask {
    let mut options = Options::new(Platform::host());
    options.contexts.insert(context_name("ctx"), BuildContext::parse(value).unwrap());
    Ask { options, ..Ask::default() }
}

/// Builds with a context, and finds its one file with this text in both places.
#[track_caller]
fn check(bench: &Bench, value: &str, file: &str) {
    bench.build_with(DOCKERFILE, ask(value));
    let files = bench.files("app");
    for place in ["begun", "copied"] {
        let wanted = format!("{place}/{file}");
        assert!(files.contains(&wanted), "{wanted} is not in {files:#?}");
    }
}

#[test]
fn a_named_context_may_be_a_directory() {
    let bench = Bench::new();
    std::fs::create_dir(bench.root.path().join("more")).unwrap();
    std::fs::write(bench.root.path().join("more/a"), "text").unwrap();
    check(&bench, bench.root.path().join("more").to_str().unwrap(), "a 644 0:0 0 text");
}

#[test]
fn a_named_context_may_be_an_image() {
    let bench = Bench::new();
    bench.base("other", &[]);
    check(&bench, "docker-image://other", "base 644 0:0 0 other");
}

#[test]
fn a_named_context_may_be_a_repository() {
    let Some(daemon) = Daemon::start() else { return };
    daemon.commit("x.git", &[("d/a", "text")]);
    check(&Bench::new(), &format!("{}#main:d", daemon.url("x.git")), "a 644 0:0 0 text");
}

#[test]
fn a_named_context_may_be_a_file_of_a_server_under_the_name_that_it_says() {
    let (bench, web) = (Bench::new(), Web::start());
    let named = ("content-disposition", "attachment; filename=\"said.txt\"");
    web.put("/f", Answer::file("text").header(named.0, named.1));
    check(&bench, &web.url("/f"), "said.txt 600 0:0 0 text");
}

#[test]
fn a_named_context_may_be_a_layout() {
    let bench = Bench::new();
    bench.file("a", "text");
    bench.file("Dockerfile", "FROM scratch\nCOPY a /\n");
    let archive = bench.root.path().join("layout.tar");
    let to = Destination::File(archive.clone());
    let output = BuildOutput::OciArchive { names: vec!["x:v1".parse().unwrap()], to };
    bench.ask_for(ContextSource::Directory(bench.context()), Ask::default(), output).0.unwrap();
    let layout = bench.root.path().join("layout");
    std::fs::create_dir(&layout).unwrap();
    unpack(&archive, &layout);
    // Where nothing of it is yet.
    let other = Bench::new();
    check(&other, &format!("oci-layout://{}:v1", layout.display()), "a 644 0:0 0 text");
}

fn unpack(archive: &std::path::Path, into: &std::path::Path) {
    let bytes = std::fs::read(archive).unwrap();
    let mut reader = varve_fs::tar::Reader::new(&bytes[..]);
    while let Some(mut entry) = reader.next().unwrap() {
        let path = into.join(std::str::from_utf8(entry.path()).unwrap());
        if entry.kind() == varve_fs::tar::EntryKind::Directory {
            std::fs::create_dir_all(path).unwrap();
            continue;
        }
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::io::copy(&mut entry, &mut std::fs::File::create(path).unwrap()).unwrap();
    }
}
