//! Contexts that are no directory, and outputs that are no image of the store.

use std::io::Cursor;

use varve_engine::{
    Load, LoadSource,
    build::{BuildOutput, ContextSource, Destination},
};
use varve_fs::tar::{NewEntry, Writer};
use varve_types::Ctx;

use crate::bench::{Ask, Bench, listed};

fn context(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (path, text) in files {
        let entry = NewEntry::file(path.as_bytes(), text.len() as u64);
        let entry = NewEntry { mode: 0o644, ..entry };
        writer.append_bytes(&entry, text.as_bytes()).unwrap();
    }
    writer.finish().unwrap()
}

const DOCKERFILE: &str = "FROM scratch\nCOPY . /all\n";

#[test]
fn a_tar_is_a_context_and_gives_the_same_image_as_its_files() {
    let bench = Bench::new();
    bench.file("a.txt", "a\n");
    bench.file(".dockerignore", "Dockerfile\n.dockerignore\nsecret\n");
    let (digest, _) = bench.build(DOCKERFILE);
    let tar = context(&[
        ("Dockerfile", DOCKERFILE),
        (".dockerignore", "Dockerfile\n.dockerignore\nsecret\n"),
        ("secret", "s"),
        ("a.txt", "a\n"),
    ]);
    let output = BuildOutput::Image { names: Vec::new(), push: false };
    let (built, _) =
        bench.ask_for(ContextSource::Tar(&mut Cursor::new(tar)), Ask::default(), output);
    assert_eq!(built.unwrap().image.unwrap().manifest, digest);
}

#[test]
fn a_dockerfile_alone_has_no_files() {
    let bench = Bench::new();
    let output = BuildOutput::Image { names: Vec::new(), push: false };
    let (built, _) = bench.ask_for(ContextSource::Empty, Ask::default(), output);
    let error = built.map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, "failed to read dockerfile: no local sources enabled");
}

#[test]
fn files_are_exported_as_a_tar_and_into_a_directory_among_what_is_there() {
    let bench = Bench::new();
    bench.base("base", &[]);
    bench.file("a.txt", "a\n");
    bench.file("Dockerfile", "FROM base\nCOPY a.txt /in/\n");
    let mut tar = Vec::new();
    files_of(&bench, BuildOutput::Tar(Destination::Stream(&mut tar)));
    assert!(listed(&tar).contains(&"in/a.txt 644 0:0 1700000000 a".to_owned()));
    let out = bench.root.path().join("out");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("kept"), "k").unwrap();
    files_of(&bench, BuildOutput::Directory(out.clone()));
    assert_eq!(std::fs::read_to_string(out.join("in/a.txt")).unwrap(), "a\n");
    assert_eq!(std::fs::read_to_string(out.join("kept")).unwrap(), "k");
    let file = bench.root.path().join("out.tar");
    files_of(&bench, BuildOutput::Tar(Destination::File(file.clone())));
    assert_eq!(std::fs::read(file).unwrap(), tar);
    // None of it is named.
    assert_eq!(bench.engine.store().names().unwrap().rows.len(), 1);
}

fn files_of<'a>(bench: &'a Bench, output: BuildOutput<'a>) {
    let (built, _) =
        bench.ask_for(ContextSource::Directory(bench.context()), Ask::default(), output);
    assert!(built.unwrap().image.is_none());
}

#[test]
fn an_archive_of_a_build_can_be_loaded() {
    let bench = Bench::new();
    bench.file("a.txt", "a\n");
    bench.file("Dockerfile", "FROM scratch\nCOPY a.txt /\n");
    let mut archive = Vec::new();
    let to = Destination::Stream(&mut archive);
    let names = vec!["built:1".parse().unwrap()];
    let output = BuildOutput::DockerArchive { names, to };
    bench.ask_for(ContextSource::Directory(bench.context()), Ask::default(), output).0.unwrap();
    let other = Bench::new();
    let mut archive = Cursor::new(archive);
    let load = Load { source: LoadSource::Stream(&mut archive), platform: None };
    other.engine.load(&Ctx::for_test(), load).unwrap();
    assert_eq!(other.files("built:1"), ["a.txt 644 0:0 0 a"]);
}
