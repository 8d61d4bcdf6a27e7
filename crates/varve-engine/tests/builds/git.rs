//! `ADD git://…`, and contexts that are repositories.

use std::os::unix::fs::{PermissionsExt, symlink};

use varve_build::git;
use varve_engine::build::{BuildOutput, BuildTimes, ContextSource};
use varve_types::Digest;

use crate::{
    bench::{Ask, Bench},
    daemon::Daemon,
};

#[test]
fn a_checkout_has_gits_modes_is_roots_and_is_without_what_git_keeps() {
    let Some(daemon) = Daemon::start() else { return };
    daemon.commit("x.git", &[("run", "#!"), ("dir/a", "text")]);
    std::fs::set_permissions(daemon.path("x.git/run"), PermissionsExt::from_mode(0o700)).unwrap();
    symlink("dir/a", daemon.path("x.git/link")).unwrap();
    let commit = daemon.commit("x.git", &[]);
    let bench = Bench::new();
    let text = format!("FROM scratch\nADD {} /src\n", daemon.url("x.git"));
    let (first, _) = bench.build(&text);
    let files = [
        "src 755 0:0 0",
        "src/dir 755 0:0 0",
        "src/dir/a 644 0:0 0 text",
        "src/link 777 0:0 0",
        "src/run 755 0:0 0 #!",
    ];
    assert_eq!(bench.files("app"), files);
    let (second, told) = bench.build(&text);
    assert_eq!(second, first);
    assert!(told.lines().iter().any(|line| line.ends_with("/src CACHED")), "{:?}", told.lines());
    // Another machine and another name for the same commit give the same layer.
    let other = Bench::new();
    let text = format!("FROM scratch\nADD {}#{commit} /src\n", daemon.url("x.git"));
    other.build(&text);
    assert_eq!(other.config("app").diff_ids(), bench.config("app").diff_ids());
    bench.engine.check().unwrap();
}

#[test]
fn branches_tags_and_directories_are_chosen_by_the_address() {
    let Some(daemon) = Daemon::start() else { return };
    daemon.commit("x.git", &[("dir/a", "one")]);
    daemon.git("x.git", &["tag", "-a", "v1", "-m", "v1"]);
    daemon.git("x.git", &["checkout", "--quiet", "-b", "next"]);
    daemon.commit("x.git", &[("dir/a", "two")]);
    daemon.git("x.git", &["checkout", "--quiet", "main"]);
    let bench = Bench::new();
    for (behind, text) in [
        ("#v1:dir", "one"),
        ("#next:dir", "two"),
        ("#refs/heads/next:dir/", "two"),
        ("?tag=v1&subdir=dir", "one"),
        ("?branch=next&subdir=dir", "two"),
        ("#:dir", "one"),
    ] {
        bench.build(&format!("FROM scratch\nADD {}{behind} /\n", daemon.url("x.git")));
        assert_eq!(bench.files("app"), [format!("a 644 0:0 0 {text}")], "{behind}");
    }
}

#[test]
fn a_branch_that_moved_is_fetched_and_its_files_look_new_to_programs() {
    let Some(daemon) = Daemon::start() else { return };
    daemon.commit("x.git", &[("a", "one")]);
    let mut bench = Bench::new();
    let text = format!("FROM scratch\nADD {} /\n", daemon.url("x.git"));
    let keep = || Ask { times: BuildTimes::Keep, ..Ask::default() };
    bench.build_with(&text, keep());
    assert_eq!(bench.files("app"), ["a 644 0:0 1800000000 one"]);
    daemon.commit("x.git", &[("a", "two")]);
    bench.now += 1_000;
    bench.build_with(&text, keep());
    assert_eq!(bench.files("app"), ["a 644 0:0 1800001000 two"]);
}

#[test]
fn what_is_not_there_or_not_as_said_is_refused() {
    let Some(daemon) = Daemon::start() else { return };
    let commit = daemon.commit("x.git", &[("a", "one")]);
    let url = daemon.url("x.git");
    let bench = Bench::new();
    let refused = |source: &str, text: &str| {
        let (error, _) = bench.refuse(&format!("FROM scratch\nADD {source} /\n"));
        assert!(error.ends_with(text), "{error}");
    };
    let said = format!("failed to load cache key: repository {url} does not contain ref nope");
    refused(&format!("{url}#nope"), &said);
    refused(&format!("{url}#:nope"), "failed to open subdir nope: no such file or directory");
    let said = format!("expected checksum to match abcdef, got {commit}");
    refused(&format!("--checksum=abcdef {url}"), &said);
    let none = "0".repeat(40);
    let (error, _) = bench.refuse(&format!("FROM scratch\nADD {url}#{none} /\n"));
    assert!(error.contains(&format!("failed to fetch remote {url}: ")), "{error}");
    let (error, _) = bench.refuse(&format!("FROM scratch\nADD {} /\n", daemon.url("no.git")));
    assert!(error.contains("git stderr:\nfatal: "), "{error}");
    // The right one is taken, whole or by its begin.
    bench.build(&format!("FROM scratch\nADD --checksum={commit} {url} /\n"));
    bench.build(&format!("FROM scratch\nADD --checksum={} {url} /\n", &commit[..9]));
}

#[test]
fn a_directory_that_is_a_link_stays_in_the_repository() {
    let Some(daemon) = Daemon::start() else { return };
    daemon.commit("x.git", &[("etc/own", "own")]);
    symlink("/etc", daemon.path("x.git/out")).unwrap();
    symlink("../../../../../../../..", daemon.path("x.git/up")).unwrap();
    daemon.commit("x.git", &[]);
    let bench = Bench::new();
    bench.build(&format!("FROM scratch\nADD {}#:out /\n", daemon.url("x.git")));
    assert_eq!(bench.files("app"), ["own 644 0:0 0 own"]);
    bench.build(&format!("FROM scratch\nADD {}#:up/etc /\n", daemon.url("x.git")));
    assert_eq!(bench.files("app"), ["own 644 0:0 0 own"]);
}

#[test]
fn submodules_come_too_unless_the_address_says_no() {
    let Some(daemon) = Daemon::start() else { return };
    daemon.commit("sub.git", &[("s", "sub")]);
    daemon.commit("x.git", &[("a", "text")]);
    daemon.git("x.git", &["submodule", "--quiet", "add", &daemon.url("sub.git"), "lib"]);
    daemon.commit("x.git", &[]);
    let bench = Bench::new();
    let paths = |bench: &Bench| -> Vec<String> {
        let files = bench.files("app");
        files.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };
    bench.build(&format!("FROM scratch\nADD {} /\n", daemon.url("x.git")));
    assert_eq!(paths(&bench), [".gitmodules", "a", "lib", "lib/s"]);
    bench.build(&format!("FROM scratch\nADD {}?submodules=false /\n", daemon.url("x.git")));
    assert_eq!(paths(&bench), [".gitmodules", "a", "lib"]);
}

#[test]
fn what_git_keeps_is_kept_when_asked_for_and_is_the_same_everywhere() {
    let Some(daemon) = Daemon::start() else { return };
    daemon.commit("x.git", &[("a", "text"), ("d/b", "more")]);
    let text = format!("FROM scratch\nADD --keep-git-dir=true {}#main /src\n", daemon.url("x.git"));
    let mut other = Bench::new();
    other.now += 5_000;
    let (bench, first) = (Bench::new(), other.build(&text).0);
    assert_eq!(bench.build(&text).0, first);
    let out = bench.root.path().join("out");
    let output = BuildOutput::Directory(out.clone());
    let context = ContextSource::Directory(bench.context());
    bench.ask_for(context, Ask::default(), output).0.unwrap();
    let git = |words: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.args(["-c", "safe.directory=*"]).args(words).current_dir(out.join("src"));
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert_eq!(git(&["status", "--porcelain"]), "");
    assert_eq!(git(&["remote", "get-url", "origin"]).trim(), daemon.url("x.git"));
    assert_eq!(git(&["rev-parse", "main"]), git(&["rev-parse", "HEAD"]));
}

#[test]
fn without_git_the_user_is_told_what_is_missing() {
    let bench = Bench::new();
    let ask = Ask { path: Some("/nonexistent"), ..Ask::default() };
    let (built, _) = bench.ask("FROM scratch\nADD git://127.0.0.1:9/x.git /\n", ask);
    let error = built.map(|_| ()).unwrap_err().to_string();
    assert_eq!(
        error,
        "failed to load cache key: failed to fetch remote git://127.0.0.1:9/x.git: the program git is not in PATH (install it, or check the repository out and build from the directory)"
    );
}

fn build_from(bench: &Bench, address: &str) -> Result<Digest, String> {
    let repository = git::parse(address).unwrap().unwrap();
    let output = BuildOutput::Image { names: vec!["app".parse().unwrap()], push: false };
    let (built, _) = bench.ask_for(ContextSource::Git(repository), Ask::default(), output);
    built.map(|built| built.image.unwrap().manifest).map_err(|error| error.to_string())
}

#[test]
fn a_repository_is_a_context() {
    let Some(daemon) = Daemon::start() else { return };
    let files = [("d/Dockerfile", "FROM scratch\nCOPY . /in\n"), ("d/a", "text"), ("other", "o")];
    daemon.commit("x.git", &files);
    let bench = Bench::new();
    let address = format!("{}#main:d", daemon.url("x.git"));
    let first = build_from(&bench, &address).unwrap();
    assert_eq!(bench.files("app")[2], "in/a 644 0:0 0 text");
    assert_eq!(build_from(&bench, &address).unwrap(), first);
    let error = build_from(&bench, &daemon.url("no.git")).unwrap_err();
    let text = format!(
        "failed to read dockerfile: failed to load cache key: failed to fetch remote {}: git stderr:\n",
        daemon.url("no.git")
    );
    assert!(error.starts_with(&text), "{error}");
}

#[test]
fn a_repository_that_is_used_twice_at_once_is_fetched_by_one_after_the_other() {
    let Some(daemon) = Daemon::start() else { return };
    daemon.commit("x.git", &[("a/f", "one"), ("b/g", "two")]);
    let url = daemon.url("x.git");
    let bench = Bench::new();
    bench.build(&format!(
        "FROM scratch AS one\nADD {url}#:a /\nFROM scratch\nADD {url}#:b /\nCOPY --from=one / /\n"
    ));
    assert_eq!(bench.files("app"), ["f 644 0:0 0 one", "g 644 0:0 0 two"]);
}
