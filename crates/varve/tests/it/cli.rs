//! Standard output, standard error and exit codes of the commands.

use std::{fs, process::Stdio};

use crate::sandbox::{Ran, Sandbox};

fn ran(stdout: &str, stderr: &str, code: i32) -> Ran {
    Ran { stdout: stdout.to_owned(), stderr: stderr.to_owned(), code }
}

#[test]
fn an_empty_store_lists_only_headers() {
    let sandbox = Sandbox::new();
    let headers = "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n";
    assert_eq!(sandbox.run(&["images"]), ran(headers, "", 0));
    assert_eq!(sandbox.run(&["images", "-q"]), ran("", "", 0));
    assert_eq!(sandbox.run(&["images", "--format", "{{.Nope}}"]), ran("", "", 0));
}

#[test]
fn an_image_goes_in_and_out_again() {
    let sandbox = Sandbox::new();
    let id = sandbox.import("app:1", b"hello, world");
    let short = &id["sha256:".len()..][..12];
    assert_eq!(sandbox.run(&["tag", "app:1", "other/app:2"]), ran("", "", 0));
    let format = "{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}}";
    let listed = format!("app:1 {short} 12B\nother/app:2 {short} 12B\n");
    assert_eq!(sandbox.run(&["image", "ls", "--format", format]), ran(&listed, "", 0));

    assert_eq!(sandbox.run(&["save", "-o", "app.tar", "app:1"]), ran("", "", 0));
    let removed = sandbox.run(&["rmi", "app:1", "other/app:2"]);
    assert_eq!((removed.code, removed.stderr.as_str()), (0, ""));
    assert!(removed.stdout.contains(&format!("Deleted: {id}\n")), "{removed:?}");
    assert_eq!(sandbox.run(&["images", "-q"]), ran("", "", 0));

    assert_eq!(sandbox.run(&["load", "-i", "app.tar"]), ran("Loaded image: app:1\n", "", 0));
    let shown = sandbox.run(&["inspect", "-f", "{{.Id}} {{.Config.Labels}}", "app:1"]);
    assert_eq!(shown, ran(&format!("{id} <no value>\n"), "", 0));
    assert_eq!(sandbox.run(&["system", "check"]), ran("The store is sound.\n", "", 0));
}

#[test]
fn errors_are_dockers_with_dockers_codes() {
    let sandbox = Sandbox::new();
    sandbox.import("app:1", b"x");
    let missing = "Error response from daemon: No such image: nosuch:latest\n";
    let cases: &[(&[&str], Ran)] = &[
        (&["rmi", "nosuch"], ran("", missing, 1)),
        (&["rmi", "-f", "nosuch"], ran("", missing, 0)),
        (&["rmi", ""], ran("", "Error response from daemon: page not found\n", 1)),
        (&["image", "inspect", "nosuch"], ran("[]\n", missing, 1)),
        (&["inspect", "nosuch"], ran("[]\n", "Error: No such object: nosuch\n", 1)),
        (&["image", "inspect", ""], ran("[]\n", "Error: No such image: \n", 1)),
        (
            &["inspect", "--type", "container", "x"],
            ran("[]\n", "Error response from daemon: No such container: x\n", 1),
        ),
        (
            &["image", "inspect", "-f", "{{.Config.Cmd", "app:1"],
            ran("", "template parsing error: template: :1: unclosed action\n", 64),
        ),
        (
            &["image", "inspect", "-f", "{{.Nope}}", "app:1"],
            ran(
                "\n",
                "template parsing error: template: :1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\"\n",
                1,
            ),
        ),
        (
            &["images", "--format", "{{.Nope}}"],
            ran(
                "",
                "template parsing error: template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type *formatter.imageContext\n",
                1,
            ),
        ),
        (
            &["images", "--tree", "--format", "json"],
            ran("", "--format is not yet supported with --tree\n", 1),
        ),
        (&["images", "-f", "=x"], ran("", "Error response from daemon: invalid filter ''\n", 1)),
        (&["load", "-i", "nosuch"], ran("", "open nosuch: no such file or directory\n", 1)),
        (
            &["save", "-o", "/dev/full", "app:1"],
            ran("", "failed to save image: cannot write to a character device file\n", 1),
        ),
        (
            &["save", "--platform", "bad/x/y/z", "app:1"],
            ran(
                "",
                "invalid platform: \"bad/x/y/z\": cannot parse platform specifier: invalid argument\n",
                1,
            ),
        ),
        (&["pull", "-a", "busybox:latest"], ran("", "tag can't be used with --all-tags/-a\n", 1)),
        (
            &["-H", "bogus://x", "images"],
            ran(
                "",
                "Failed to initialize: unable to resolve docker endpoint: invalid bind address format: bogus://x\n",
                1,
            ),
        ),
        (
            &["login", "-u", "a", "127.0.0.1:1"],
            ran("", "Error: Cannot perform an interactive login from a non TTY device\n", 1),
        ),
        (
            &["login", "--password-stdin", "127.0.0.1:1"],
            ran("", "the --password-stdin option requires --username to be set\n", 1),
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(&sandbox.run(line), expected, "varve {line:?}");
    }
}

/// As with Docker, where a script's `-o "$FILE"` may come out empty.
#[test]
fn an_empty_value_means_the_default() {
    let sandbox = Sandbox::new();
    sandbox.import("app:1", b"x");
    let saved = sandbox.command(&["save", "-o", "", "app:1"]).output().expect("varve runs");
    assert_eq!(saved.status.code(), Some(0));
    let loaded = sandbox.run_with(&["load", "-i", ""], &saved.stdout);
    assert_eq!(loaded, ran("Loaded image: app:1\n", "", 0));
    for flag in ["--root", "-c", "-l", "-H", "--config"] {
        assert_eq!(sandbox.run(&[flag, "", "images", "-q"]).stdout.lines().count(), 1, "{flag}");
    }
}

#[test]
fn without_a_home_the_user_database_tells_it() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["--help"]);
    let output = command.env_remove("HOME").output().expect("varve runs");
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!help.contains("\"/.docker\""), "{help}");
}

/// `sudo` and `su` may leave `HOME` that of a user whose folders are closed to us.
#[test]
fn a_home_that_is_closed_to_us_hinders_nothing_but_what_lies_in_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    sandbox.import("app:1", b"x");
    let closed = sandbox.path("closed");
    fs::create_dir_all(closed.join(".config/varve")).expect("a directory");
    let close = |mode| fs::set_permissions(&closed, fs::Permissions::from_mode(mode));
    close(0o000).expect("modes change");
    if fs::read_dir(&closed).is_ok() {
        // To root no folder is closed; a name that cannot be looked up at all is like one.
        fs::remove_dir_all(closed.join(".config")).expect("removed");
        fs::write(closed.join(".config"), "").expect("a file");
    }
    let output = sandbox.command(&["images", "-q"]).env("HOME", &closed).output().expect("runs");
    close(0o700).expect("modes change");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stdout.len(), 13);
}

#[test]
fn what_names_another_machine_is_refused_before_anything_happens() {
    let sandbox = Sandbox::new();
    sandbox.import("app:1", b"x");
    for (name, value, reason) in [
        (
            "DOCKER_HOST",
            "tcp://192.0.2.1",
            "Cannot connect to the Docker daemon at tcp://192.0.2.1.",
        ),
        (
            "DOCKER_CONTEXT",
            "there",
            "Failed to initialize: unable to resolve docker endpoint: context",
        ),
    ] {
        let output = sandbox.command(&["rmi", "app:1"]).env(name, value).output().expect("runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), text.starts_with(reason)), (Some(1), true), "{text}");
    }
    assert_eq!(sandbox.run(&["images", "-q"]).stdout.lines().count(), 1);
}

/// As docker: what the program knows of itself comes before the error.
#[test]
fn version_and_info_tell_of_the_program_when_another_machine_is_named() {
    let sandbox = Sandbox::new();
    let elsewhere = |line: &[&str]| {
        let output = sandbox.command(line).env("DOCKER_HOST", "tcp://192.0.2.1").output();
        let output = output.expect("varve runs");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let version = elsewhere(&["version"]);
    assert!(
        version.starts_with("Client:\n Version:  ") && !version.contains("Server"),
        "{version}"
    );
    assert!(elsewhere(&["info"]).ends_with(" Debug Mode: false\n\nServer:\n"));
    assert!(elsewhere(&["system", "info"]).ends_with("\n\nServer:\n"));
    let template = "{{.Client.Os}} {{json .Server}}";
    assert_eq!(elsewhere(&["version", "--format", template]), "linux null\n");
    assert_eq!(elsewhere(&["images"]), "");
}

#[test]
fn pruning_asks_first_and_takes_only_yes() {
    let sandbox = Sandbox::new();
    sandbox.import("app:1", b"one");
    let id = sandbox.import("app:1", b"two");
    let warning = "WARNING! This will remove all dangling images.\n\
                   Are you sure you want to continue? [y/N] ";
    for no in [&b"n\n"[..], b"", b"yes\n"] {
        assert_eq!(sandbox.run_with(&["image", "prune"], no), ran(warning, "", 0));
    }
    let pruned = sandbox.run_with(&["image", "prune"], b"y\n");
    assert!(pruned.stdout.starts_with(&format!("{warning}Deleted Images:\ndeleted: sha256:")));
    assert!(pruned.stdout.ends_with("\n\nTotal reclaimed space: 3B\n"), "{pruned:?}");
    let left = sandbox.run(&["images", "-q", "--no-trunc"]);
    assert_eq!(left, ran(&format!("{id}\n"), "", 0));
}

#[test]
fn help_goes_where_it_was_asked_for() {
    let sandbox = Sandbox::new();
    let asked = sandbox.run(&["image", "--help"]);
    let stray = sandbox.run(&["image"]);
    assert!(asked.stdout.starts_with("Usage:  varve image COMMAND\n\nManage images\n"));
    assert_eq!(stray, ran("", &asked.stdout, 0));
}

#[test]
fn a_closed_pipe_ends_quietly_and_a_full_disk_does_not() {
    let sandbox = Sandbox::new();
    sandbox.import("app:1", b"x");
    for line in [&["images"][..], &["save", "app:1"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = sandbox.command(line).stdout(writer).output().expect("varve runs");
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(141), &b""[..]));

        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let output = sandbox.command(line).stdout(Stdio::from(full)).output().expect("runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1));
        assert!(text.starts_with("error: cannot write to standard output: No space"), "{text}");
    }
}

#[test]
fn a_failed_save_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    sandbox.import("app:1", b"x");
    let failed = sandbox.run(&["save", "-o", "app.tar", "app:1", "nosuch"]);
    assert_eq!(failed, ran("", "Error response from daemon: No such image: nosuch\n", 1));
    assert_eq!(fs::read_dir(sandbox.path(".")).expect("a directory").count(), 0);
}

#[test]
fn an_archive_is_its_owners_and_replaces_nothing_but_files() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let sandbox = Sandbox::new();
    sandbox.import("app:1", b"x");
    assert_eq!(sandbox.run(&["save", "-o", "app.tar", "app:1"]), ran("", "", 0));
    let mode = || fs::metadata(sandbox.path("app.tar")).expect("the archive").permissions().mode();
    assert_eq!(mode() & 0o777, 0o600);
    symlink("app.tar", sandbox.path("link")).expect("a link");
    symlink("nowhere", sandbox.path("broken")).expect("a link");
    let refused = "failed to save image: cannot write to a symbolic link directly\n";
    for link in ["link", "broken"] {
        assert_eq!(sandbox.run(&["save", "-o", link, "app:1"]), ran("", refused, 1));
        assert!(sandbox.path(link).is_symlink());
    }
}

#[test]
fn foreign_texts_are_escaped_in_tables_and_kept_in_json() {
    let sandbox = Sandbox::new();
    sandbox.run_with(&["import", "-m", "a\u{1b}[31m\nb", "-", "app:1"], &[]);
    let table = sandbox.run(&["history", "app:1"]);
    assert!(table.stdout.contains("a\\x1b[31m\\nb"), "{table:?}");
    let json = sandbox.run(&["history", "--format", "{{json .Comment}}", "app:1"]);
    assert_eq!(json.stdout, "\"a\\u001b[31m\\nb\"\n");
    let error = sandbox.run(&["inspect", "no\u{1b}such"]);
    assert!(!error.stderr.contains('\u{1b}'), "{error:?}");
}

#[test]
fn the_store_is_where_the_flag_says() {
    let sandbox = Sandbox::new();
    sandbox.import("app:1", b"x");
    assert_eq!(sandbox.run(&["--root", "elsewhere", "images", "-q"]), ran("", "", 0));
    assert_eq!(sandbox.run(&["images", "-q", "--root=elsewhere"]), ran("", "", 0));
    assert_eq!(sandbox.run(&["images", "-q"]).stdout.lines().count(), 1);
}

/// One image whose config is gone must not hide the others, nor be called absent itself.
#[test]
fn a_damaged_image_is_told_from_an_absent_one() {
    let sandbox = Sandbox::new();
    let id = sandbox.import("bad:1", b"one");
    sandbox.import("good:1", b"three");
    let config = id.replace("sha256:", "../store/blobs/sha256/");
    fs::remove_file(sandbox.path(&config)).expect("the config");
    let hint =
        "hint: run `varve system check` to see what is wrong, and add `--repair` to mend it\n";
    for line in [&["inspect", "bad:1"][..], &["history", "bad:1"], &["save", "-o", "x", "bad:1"]] {
        let failed = sandbox.run(line);
        assert_eq!(failed.code, 1, "{failed:?}");
        assert!(failed.stderr.ends_with(hint), "{failed:?}");
        assert_eq!(failed.stderr.matches(&id).count(), 1, "{failed:?}");
    }
    let usage = sandbox.run(&["system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Size}}"]);
    assert!(usage.stdout.starts_with("Images 2 5B\n"), "{usage:?}");
    assert_eq!(sandbox.run(&["rmi", "bad:1"]).code, 0);
    assert_eq!(sandbox.run(&["system", "check"]), ran("The store is sound.\n", "", 0));
}
