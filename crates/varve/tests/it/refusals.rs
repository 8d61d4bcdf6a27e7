//! Networks, ports and images that a container cannot have: docker's words and codes, by the built
//! program, and nothing is left behind.

use std::{fs, net::TcpListener, process::Command, thread};

use varve_testkit::namespace::{alone, alone_with_network};
use varve_types::Digest;

use crate::{guest::guest, sandbox::Sandbox};

#[track_caller]
fn check(sandbox: &Sandbox, line: &[&str], code: i32, words: &str) {
    let ran = sandbox.run(line);
    assert!(ran.stderr.contains(words), "{line:?}: {words}\n{ran:?}");
    assert_eq!(ran.code, code, "{line:?}: {ran:?}");
}

fn containers(sandbox: &Sandbox) -> String {
    sandbox.run(&["ps", "-a", "--format", "{{.Names}} {{.State}}"]).stdout
}

#[test]
fn a_network_that_is_not_there_is_missed_at_the_start_and_not_before() {
    alone_with_network(
        "refusals::a_network_that_is_not_there_is_missed_at_the_start_and_not_before",
        || {
            let Some(sandbox) = guest() else { return };
            let words = "Error response from daemon: network nosuch not found";
            check(&sandbox, &["run", "--rm", "--network", "nosuch", "guest:1", "true"], 125, words);
            assert_eq!(containers(&sandbox), "");
            let line = ["create", "--name", "box", "--network", "nosuch", "guest:1", "true"];
            check(&sandbox, &line, 0, "");
            check(&sandbox, &["start", "box"], 1, words);
            assert_eq!(containers(&sandbox), "box created\n");
            assert_eq!(sandbox.run(&["network", "create", "nosuch"]).code, 0);
            check(&sandbox, &["start", "-a", "box"], 0, "");
            check(&sandbox, &["rm", "box"], 0, "");
        },
    );
}

/// A run that publishes a port.
fn publishing<'a>(more: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    [&["run", "-p", "127.0.0.1:18099:80"], more, &["guest:1"], command].concat()
}

#[test]
fn a_port_that_is_busy_is_refused_and_free_again_at_the_end() {
    alone_with_network(
        "refusals::a_port_that_is_busy_is_refused_and_free_again_at_the_end",
        || {
            let Some(sandbox) = guest() else { return };
            let taken = TcpListener::bind("127.0.0.1:18099").expect("a port");
            let ran = sandbox.run(&publishing(&["--rm"], &["true"]));
            assert_eq!(ran.code, 125, "{ran:?}");
            assert!(ran.stderr.contains("address already in use"), "{ran:?}");
            drop(taken);
            check(&sandbox, &publishing(&["-d", "--name", "one"], &["sleep", "1000"]), 0, "");
            let words = "Bind for 127.0.0.1:18099 failed: port is already allocated";
            check(&sandbox, &publishing(&["--rm"], &["true"]), 125, words);
            assert_eq!(containers(&sandbox), "one running\n");
            check(&sandbox, &["rm", "-f", "one"], 0, "");
            check(&sandbox, &publishing(&["--rm"], &["true"]), 0, "");
        },
    );
}

/// Loads an image whose config is what is said, over the guest's root.
fn load(sandbox: &Sandbox, name: &str, config: &str) -> (i32, String) {
    let directory = sandbox.path("archive");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).expect("a directory");
    let tar = |of: &std::path::Path| {
        let packed = Command::new("tar").arg("-C").arg(of).args(["-cf", "-", "."]).output();
        packed.expect("a tar").stdout
    };
    let layer = tar(&sandbox.path("rootfs"));
    let config = format!(
        r#"{{"architecture":"{}","os":"linux","config":{config},"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        varve_types::Platform::host().architecture,
        Digest::of(&layer),
    );
    let manifest =
        format!(r#"[{{"Config":"config.json","RepoTags":["{name}"],"Layers":["layer.tar"]}}]"#);
    for (file, bytes) in [
        ("layer.tar", layer.as_slice()),
        ("config.json", config.as_bytes()),
        ("manifest.json", manifest.as_bytes()),
    ] {
        fs::write(directory.join(file), bytes).expect("a file");
    }
    let loaded = sandbox.run_with(&["load"], &tar(&directory));
    (loaded.code, loaded.stderr)
}

#[test]
fn an_image_whose_config_is_nonsense_is_refused_or_does_no_harm() {
    alone("refusals::an_image_whose_config_is_nonsense_is_refused_or_does_no_harm", || {
        let Some(sandbox) = guest() else { return };
        let run = |name: &str, more: &[&str]| {
            sandbox.run(&[&["run", "--rm", "--network", "none", name], more].concat())
        };
        let (code, stderr) = load(&sandbox, "wrong:1", r#"{"Cmd":"echo here"}"#);
        assert!(code != 0 && !stderr.is_empty(), "{code} {stderr}");
        let (code, stderr) = load(&sandbox, "wrong:2", r#"{"User":7}"#);
        assert!(code != 0 && !stderr.is_empty(), "{code} {stderr}");
        for user in ["-1", "0:-1", "-1:-1", "4294967296"] {
            let config = format!(r#"{{"User":"{user}"}}"#);
            assert_eq!(load(&sandbox, "ids:1", &config), (0, String::new()));
            let ran = run("ids:1", &["true"]);
            assert_eq!((ran.stdout.as_str(), ran.code), ("", 125), "{user}: {ran:?}");
            assert!(ran.stderr.starts_with("varve: Error response from daemon: "), "{ran:?}");
        }
        let config = r#"{"Env":["A=\u001b[31mred\nB=2","C"],"Cmd":["sh","-c","echo $A"]}"#;
        assert_eq!(load(&sandbox, "env:1", config), (0, String::new()));
        let ran = run("env:1", &[]);
        assert_eq!((ran.stdout.as_str(), ran.code), ("\u{1b}[31mred B=2\n", 0), "{ran:?}");
        assert_eq!(sandbox.run(&["create", "--name", "box", "env:1"]).code, 0);
        let shown = sandbox.run(&["inspect", "box"]).stdout;
        assert!(!shown.contains('\u{1b}') && shown.contains(r"\u001b[31mred"), "{shown}");
        assert_eq!(sandbox.run(&["rm", "box"]).code, 0);
        let nul = r#"{"Env":["A=\u0000"],"Cmd":["true"]}"#;
        assert_eq!(load(&sandbox, "nul:1", nul), (0, String::new()));
        let ran = run("nul:1", &[]);
        assert!(ran.code != 0 && !ran.stderr.is_empty(), "{ran:?}");
        assert_eq!(containers(&sandbox), "");
    });
}

/// Whoever comes first, both commands end, and what is removed is gone.
#[test]
fn a_container_that_is_removed_while_it_starts_is_gone() {
    alone("refusals::a_container_that_is_removed_while_it_starts_is_gone", || {
        let Some(sandbox) = guest() else { return };
        let sandbox = &sandbox;
        let mut refused = 0;
        for _ in 0..12 {
            let line = ["create", "--name", "box", "--network", "none", "guest:1", "sleep", "1000"];
            check(sandbox, &line, 0, "");
            thread::scope(|scope| {
                let started = scope.spawn(|| sandbox.run(&["start", "box"]));
                check(sandbox, &["rm", "-f", "box"], 0, "");
                let started = started.join().expect("a thread");
                let words =
                    ["No such container: box", "marked for removal", "failed to start containers"];
                let known = words.iter().any(|words| started.stderr.contains(words));
                assert!(started.code == 0 || known, "{started:?}");
                refused += started.code;
            });
            assert_eq!(containers(sandbox), "");
        }
        let store = sandbox.path("../store/varve");
        assert_eq!(fs::read_dir(store.join("containers")).expect("a directory").count(), 0);
        let check = sandbox.run(&["system", "check"]);
        assert_eq!(check.code, 0, "{check:?} {refused}");
    });
}
