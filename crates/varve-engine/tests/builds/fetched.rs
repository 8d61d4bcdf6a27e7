//! `ADD http://…`, and contexts that are addresses.

use varve_engine::build::{BuildOutput, ContextSource};
use varve_types::Digest;

use crate::{
    bench::{Ask, Bench},
    web::{Answer, Web},
};

const TIME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

#[test]
fn a_fetched_file_is_roots_alone_and_has_the_name_of_its_address() {
    let (bench, web) = (Bench::new(), Web::start());
    web.put("/d/a%20b.txt?x=1", Answer::file("text").header("last-modified", TIME));
    bench.build(&format!("FROM scratch\nADD {} /in/\n", web.url("/d/a%20b.txt?x=1")));
    assert_eq!(bench.files("app"), ["in 755 0:0 0", "in/a b.txt 600 0:0 0 text"]);
    // With times that are kept, the server's is the file's.
    let keep = Ask { times: varve_engine::build::BuildTimes::Keep, ..Ask::default() };
    let text = format!("FROM scratch\nADD --chmod=644 {} /f\n", web.url("/d/a%20b.txt?x=1"));
    bench.build_with(&text, keep);
    assert_eq!(bench.files("app"), ["f 644 0:0 784111777 text"]);
}

#[test]
fn a_file_is_asked_for_again_and_fetched_only_when_it_is_another() {
    for (name, value) in [("etag", "\"one\""), ("last-modified", TIME)] {
        let (bench, web) = (Bench::new(), Web::start());
        web.put("/f", Answer::file("one").header(name, value));
        let text = format!("FROM scratch\nADD {} /f\n", web.url("/f"));
        let (first, _) = bench.build(&text);
        assert_eq!(web.log(), ["/f 200"]);
        let (second, told) = bench.build(&text);
        assert_eq!((web.log(), second), (vec!["/f 304".to_owned()], first));
        let step = format!("[1/1] ADD {} /f", web.url("/f"));
        assert!(told.lines().contains(&format!("{step} CACHED")), "{:?}", told.lines());
        web.put("/f", Answer::file("two").header(name, "Mon, 07 Nov 1994 08:49:37 GMT"));
        assert_ne!(bench.build(&text).0, first);
        assert_eq!(bench.files("app"), ["f 600 0:0 0 two"]);
        bench.engine.check().unwrap();
    }
}

#[test]
fn a_file_of_a_checksum_is_fetched_once_and_must_have_it() {
    let (bench, web) = (Bench::new(), Web::start());
    web.put("/f", Answer::file("one"));
    let add =
        |digest: Digest| format!("FROM scratch\nADD --checksum={digest} {} /f\n", web.url("/f"));
    bench.build(&add(Digest::of(b"one")));
    bench.build(&add(Digest::of(b"one")));
    assert_eq!(web.log(), ["/f 200"]);
    let (error, _) = bench.refuse(&add(Digest::of(b"two")));
    let text = format!("digest mismatch {}: {}", Digest::of(b"one"), Digest::of(b"two"));
    assert!(error.ends_with(&format!("\n{text}")), "{error}");
}

#[test]
fn what_a_server_does_not_give_is_told_as_docker_does() {
    let (bench, web) = (Bench::new(), Web::start());
    let (error, told) = bench.refuse(&format!("FROM scratch\nADD {} /f\n", web.url("/none")));
    assert!(error.ends_with("failed to load cache key: invalid response status 404"), "{error}");
    let step = format!("[1/1] ADD {} /f", web.url("/none"));
    assert_eq!(told.of(&step), "ERROR: invalid response status 404");
    let (error, _) = bench.refuse("FROM scratch\nADD http://127.0.0.1:9/x /f\n");
    let text = "failed to load cache key: Get \"http://127.0.0.1:9/x\": dial tcp 127.0.0.1:9: connect: connection refused";
    assert!(error.ends_with(text), "{error}");
}

#[test]
fn a_file_that_is_cut_off_is_not_kept() {
    let (bench, web) = (Bench::new(), Web::start());
    let whole = Answer::file("four").header("content-length", "9");
    web.put("/f", Answer { is_endless: true, ..whole });
    let (error, _) = bench.refuse(&format!("FROM scratch\nADD {} /f\n", web.url("/f")));
    assert!(error.contains(": unexpected EOF"), "{error}");
    assert!(bench.engine.store().cache_records().unwrap().is_empty());
}

#[test]
fn redirects_are_followed_and_a_body_may_end_with_its_connection() {
    let (bench, web) = (Bench::new(), Web::start());
    web.put("/old", Answer { status: 302, ..Answer::file("") }.header("location", "/new"));
    web.put("/new", Answer { is_endless: true, ..Answer::file("text") });
    bench.build(&format!("FROM scratch\nADD {} /f\n", web.url("/old")));
    assert_eq!(bench.files("app"), ["f 600 0:0 0 text"]);
}

/// Builds from an address.
fn build_from(bench: &Bench, url: &str) -> Result<Digest, String> {
    let output = BuildOutput::Image { names: vec!["app".parse().unwrap()], push: false };
    let (built, _) = bench.ask_for(ContextSource::Http(url), Ask::default(), output);
    built.map(|built| built.image.unwrap().manifest).map_err(|error| error.to_string())
}

#[test]
fn an_address_of_a_tar_is_a_context_and_that_of_a_dockerfile_one_alone() {
    let (bench, web) = (Bench::new(), Web::start());
    let mut writer = varve_fs::tar::Writer::new(Vec::new());
    for (path, text) in [("Dockerfile", "FROM scratch\nCOPY a /in/\n"), ("a", "text")] {
        let entry = varve_fs::tar::NewEntry::file(path.as_bytes(), text.len() as u64);
        writer.append_bytes(&entry, text.as_bytes()).unwrap();
    }
    let tar = Answer { body: writer.finish().unwrap(), ..Answer::file("") };
    web.put("/c.tar", tar.header("etag", "\"1\""));
    let first = build_from(&bench, &web.url("/c.tar")).unwrap();
    assert_eq!(bench.files("app"), ["in 755 0:0 0", "in/a 644 0:0 0 text"]);
    assert_eq!(build_from(&bench, &web.url("/c.tar")).unwrap(), first);
    assert_eq!(web.log(), ["/c.tar 200", "/c.tar 304"]);
    web.put("/Dockerfile", Answer::file("FROM scratch\nLABEL a=b\n"));
    build_from(&bench, &web.url("/Dockerfile")).unwrap();
    assert_eq!(bench.config("app").config.labels.unwrap()["a"], "b");
}

#[test]
fn a_context_that_cannot_be_had_is_told_as_docker_does() {
    let error = build_from(&Bench::new(), "http://127.0.0.1:9/x.tar").unwrap_err();
    assert_eq!(
        error,
        "failed to read downloaded context: failed to load cache key: Get \"http://127.0.0.1:9/x.tar\": dial tcp 127.0.0.1:9: connect: connection refused"
    );
}
