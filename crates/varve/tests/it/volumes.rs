//! What `--mount` and `-v` can say besides two paths, by the built program.

use std::fs;

use varve_testkit::namespace::alone;

use crate::{guest::guest, sandbox::Sandbox};

#[track_caller]
fn run(sandbox: &Sandbox, mount: &[&str], script: &str) -> String {
    let line = [&["run", "--rm", "--network", "none"], mount, &["guest:1", "sh", "-c", script]];
    let ran = sandbox.run(&line.concat());
    assert_eq!((ran.stderr.as_str(), ran.code), ("", 0), "{mount:?}");
    ran.stdout
}

/// What the kernel says of the mount at `/d`: its options and its propagation.
fn mounted(sandbox: &Sandbox, mount: &[&str]) -> String {
    let table = run(sandbox, mount, "cat /proc/self/mountinfo");
    let line = table.lines().find(|line| line.split(' ').nth(4) == Some("/d")).expect("a mount");
    let words: Vec<&str> = line.split(' ').take_while(|word| *word != "-").collect();
    let options = words[5].split(',').next().unwrap_or_default();
    let propagation = words[6..].iter().map(|word| word.split(':').next().unwrap_or_default());
    [options].into_iter().chain(propagation).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_part_of_a_volume_is_mounted_and_none_outside_of_it() {
    alone("volumes::a_part_of_a_volume_is_mounted_and_none_outside_of_it", || {
        let Some(sandbox) = guest() else { return };
        let made = "echo inner > /d/a/b/file; ln -s /etc /d/out; ln -s a/b /d/in";
        run(&sandbox, &["-v", "data:/d"], &format!("busybox mkdir -p /d/a/b; {made}"));
        let part = |part: &str| format!("type=volume,src=data,dst=/d,volume-subpath={part}");
        assert_eq!(run(&sandbox, &["--mount", &part("a/b")], "cat /d/file"), "inner\n");
        assert_eq!(run(&sandbox, &["--mount", &part("in")], "cat /d/file"), "inner\n");
        // A file too, which is written to in its place.
        let written = run(&sandbox, &["--mount", &part("in/file")], "echo more >> /d; cat /d");
        assert_eq!(written, "inner\nmore\n");
        run(&sandbox, &["-v", "data:/d"], "busybox mkfifo /d/fifo; echo inner > /d/a/b/file");
        for outside in ["out", "../../..", "/etc", "nosuch", "fifo"] {
            let mount = part(outside);
            let line = ["run", "--rm", "--network", "none", "--mount", &mount, "guest:1", "true"];
            let ran = sandbox.run(&line);
            assert!(ran.code >= 125 && !ran.stderr.is_empty(), "{outside}: {ran:?}");
        }
        assert_eq!(sandbox.run(&["ps", "-aq"]).stdout, "");
        assert_eq!(run(&sandbox, &["-v", "data:/d"], "cat /d/a/b/file"), "inner\n");
        let parts = fs::read_dir(sandbox.path("../run"))
            .expect("a directory")
            .filter_map(|run| fs::read_dir(run.expect("an entry").path().join("parts")).ok());
        assert_eq!(parts.flatten().count(), 0);
        assert_eq!(sandbox.run(&["volume", "rm", "data"]).code, 0);
    });
}

#[test]
fn a_bind_has_the_propagation_and_the_access_that_were_asked_for() {
    alone("volumes::a_bind_has_the_propagation_and_the_access_that_were_asked_for", || {
        let Some(sandbox) = guest() else { return };
        let source = sandbox.path("source");
        fs::create_dir(&source).expect("a directory");
        let shared = std::process::Command::new("sh")
            .args(["-c", "mount --bind \"$0\" \"$0\" && mount --make-shared \"$0\""])
            .arg(&source)
            .status();
        assert!(shared.expect("sh starts").success());
        let bind = |options: &str| format!("type=bind,src={},dst=/d{options}", source.display());
        for (options, expected) in [
            ("", "rw"),
            (",bind-propagation=rprivate", "rw"),
            (",bind-propagation=rslave", "rw master"),
            (",bind-propagation=rshared", "rw shared"),
            (",readonly", "ro"),
            (",readonly,bind-propagation=rslave", "ro master"),
        ] {
            assert_eq!(mounted(&sandbox, &["--mount", &bind(options)]), expected, "{options}");
        }
        let short = |mode: &str| format!("{}:/d:{mode}", source.display());
        for (mode, expected) in [("rw,rslave", "rw master"), ("ro", "ro"), ("Z", "rw")] {
            assert_eq!(mounted(&sandbox, &["-v", &short(mode)]), expected, "{mode}");
        }
    });
}

#[test]
fn a_mode_with_a_label_is_shown_as_it_was_asked_for() {
    alone("volumes::a_mode_with_a_label_is_shown_as_it_was_asked_for", || {
        let Some(sandbox) = guest() else { return };
        let source = sandbox.path("source");
        for mode in ["z", "Z", "ro,z"] {
            let bind = format!("{}:/d:{mode}", source.display());
            let made = sandbox.run(&["create", "--name", "box", "-v", &bind, "guest:1", "true"]);
            assert_eq!(made.code, 0, "{made:?}");
            let format = "{{range .Mounts}}{{.Mode}} {{.RW}}{{end}}";
            let shown = sandbox.run(&["inspect", "-f", format, "box"]).stdout;
            assert_eq!(shown, format!("{mode} {}\n", !mode.starts_with("ro")));
            assert_eq!(sandbox.run(&["rm", "box"]).code, 0);
        }
    });
}
