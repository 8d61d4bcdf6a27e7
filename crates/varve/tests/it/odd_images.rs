//! Images whose configs carry nonsense: run in docker's words, or refused when they are loaded, and
//! nothing is left behind.

use std::{fs, process::Command, sync::LazyLock};

use serde_json::{Value, json};
use varve_testkit::namespace::alone;
use varve_types::Digest;

use crate::{guest::guest, sandbox::Sandbox};

/// What happens to an image with this `config`.
enum Then {
    /// It is not loaded.
    NotLoaded(&'static str),
    /// It is not run: exit code, and what standard error has.
    NotRun(i32, &'static str),
    /// It prints this.
    Prints(&'static str),
}
use Then::{NotLoaded, NotRun, Prints};

const RANGE: &str = "uids and gids must be in range 0-2147483647";

static CASES: LazyLock<Vec<(Value, Then)>> = LazyLock::new(|| {
    let path = "PATH=/bin";
    vec![
        (json!({"User": "-1", "Cmd": ["id"]}), NotRun(125, RANGE)),
        (json!({"User": "0:-5", "Cmd": ["id"]}), NotRun(125, RANGE)),
        (json!({"User": "99999999999", "Cmd": ["id"]}), NotRun(125, RANGE)),
        (
            json!({"User": "ro\u{7}ot", "Cmd": ["id"]}),
            NotRun(125, "unable to find user ro\\x07ot: no matching entries in passwd file"),
        ),
        (
            json!({"Env": ["A=\u{1b}[31mred", path], "Cmd": ["sh", "-c", "echo \"$A\""]}),
            Prints("\u{1b}[31mred\n"),
        ),
        (json!({"Env": ["A=x\u{0}y", path], "Cmd": ["true"]}), NotRun(125, "holds a zero byte")),
        (json!({"Env": ["", path], "Cmd": ["true"]}), NotRun(125, "invalid environment variable")),
        (json!({"Env": "A=1", "Cmd": ["true"]}), NotLoaded("expected a sequence")),
        (json!({"Cmd": "echo hi"}), NotLoaded("expected a sequence")),
        (json!({"Cmd": 5}), NotLoaded("expected a sequence")),
        (json!({"Entrypoint": {"a": 1}}), NotLoaded("expected a sequence")),
        (json!({"Cmd": ["echo", "a\u{0}b"]}), NotRun(125, "holds a zero byte")),
        (json!({}), NotRun(125, "no command specified")),
        (Value::Null, NotRun(125, "no command specified")),
        (
            json!({"WorkingDir": "rel/dir", "Cmd": ["pwd"]}),
            NotRun(
                125,
                "the working directory 'rel/dir' is invalid, it needs to be an absolute path",
            ),
        ),
        (json!({"WorkingDir": "/../../x", "Env": [path], "Cmd": ["pwd"]}), Prints("/x\n")),
        (json!({"WorkingDir": "/a\u{0}b", "Cmd": ["pwd"]}), NotRun(125, "/a\\x00b")),
        (json!({"StopSignal": "FOO", "Cmd": ["true"]}), NotRun(125, "invalid signal: FOO")),
        (json!({"Volumes": ["/a"], "Cmd": ["true"]}), NotLoaded("expected a map")),
        (
            json!({"ExposedPorts": {"-1/tcp": {}}, "Env": [path], "Cmd": ["echo", "a"]}),
            Prints("a\n"),
        ),
        (json!({"Healthcheck": {"Test": "x"}, "Cmd": ["true"]}), NotLoaded("expected a sequence")),
        (json!({"Env": many(), "Cmd": ["sh", "-c", "echo \"$A4999\""]}), Prints("of many\n")),
    ]
});

fn many() -> Vec<String> {
    let one = |number| format!("A{number}=of many");
    (0..5000).map(one).chain(["PATH=/bin".to_owned()]).collect()
}

/// Loads an image with busybox and this config under a name; what was said.
fn load(sandbox: &Sandbox, config: &Value) -> (i32, String) {
    let directory = sandbox.path("archive");
    fs::create_dir_all(&directory).expect("a directory");
    let pack = |from: &str| {
        let mut tar = Command::new("tar");
        let packed = tar.arg("-C").arg(sandbox.path(from)).args(["-cf", "-", "."]).output();
        packed.expect("a tar").stdout
    };
    let layer = pack("rootfs");
    let config = json!({
        "architecture": std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64"),
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer).to_string()]},
    });
    let manifest = r#"[{"Config":"config.json","RepoTags":["odd:1"],"Layers":["layer.tar"]}]"#;
    for (name, bytes) in [
        ("layer.tar", &layer[..]),
        ("config.json", config.to_string().as_bytes()),
        ("manifest.json", manifest.as_bytes()),
    ] {
        fs::write(directory.join(name), bytes).expect("a file");
    }
    let ran = sandbox.run_with(&["load", "-q"], &pack("archive"));
    (ran.code, ran.stderr)
}

#[test]
fn configs_that_carry_nonsense_are_refused_in_dockers_words_or_harmless() {
    alone(
        "odd_images::configs_that_carry_nonsense_are_refused_in_dockers_words_or_harmless",
        || {
            let Some(sandbox) = guest() else { return };
            for (config, then) in CASES.iter() {
                let shown: String = config.to_string().chars().take(120).collect();
                let loaded = load(&sandbox, config);
                if let NotLoaded(words) = then {
                    assert!(loaded.0 == 1 && loaded.1.contains(words), "{shown}: {loaded:?}");
                    continue;
                }
                assert_eq!(loaded, (0, String::new()), "{shown}");
                let ran = sandbox.run(&["run", "--rm", "--network", "none", "odd:1"]);
                match then {
                    Prints(text) => assert_eq!(
                        (ran.stdout.as_str(), ran.stderr.as_str(), ran.code),
                        (*text, "", 0),
                        "{shown}"
                    ),
                    NotRun(code, words) => {
                        assert!(
                            ran.code == *code && ran.stderr.contains(words),
                            "{shown}: {ran:?}"
                        );
                        let raw = |c: char| c.is_control() && c != '\n';
                        assert!(!ran.stderr.contains(raw), "{shown}: {:?}", ran.stderr);
                    }
                    NotLoaded(_) => {}
                }
                for line in [["ps", "-aq"], ["volume", "ls"]] {
                    let left = sandbox.run(&[line[0], line[1]]).stdout;
                    assert!(
                        left.is_empty() || left == "DRIVER    VOLUME NAME\n",
                        "{shown}: {left}"
                    );
                }
            }
        },
    );
}
