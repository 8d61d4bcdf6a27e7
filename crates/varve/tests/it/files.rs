//! `image tree`, `cat`, `diff` and `export`: the files of an image.

use std::fs;

use varve_testkit::Image;

use crate::sandbox::{Ran, Sandbox};

fn ran(stdout: &str, stderr: &str, code: i32) -> Ran {
    Ran { stdout: stdout.to_owned(), stderr: stderr.to_owned(), code }
}

/// Loads an image of two layers, each a directory with a file.
fn load(sandbox: &Sandbox, name: &str, size_bytes: usize) {
    let image = Image::seeded(5).layers(2).layer_size_bytes(size_bytes).plain().build();
    fs::write(sandbox.path("image.tar"), image.docker_archive(&[name])).expect("a file");
    let loaded = sandbox.run(&["load", "-q", "-i", "image.tar"]);
    assert_eq!((loaded.code, loaded.stderr.as_str()), (0, ""), "{loaded:?}");
}

#[test]
fn files_are_listed_as_ls_lists_them() {
    let sandbox = Sandbox::new();
    load(&sandbox, "app:1", 300);
    let table = "\
MODE         OWNER     GROUP     SIZE      MODIFIED               PATH -> TARGET
drwxr-xr-x   0         0         0         1970-01-01T00:00:00Z   /
drwxr-xr-x   0         0         0         2023-11-14T22:13:20Z   /layer-0
-rw-r--r--   0         0         300       2023-11-14T22:13:20Z   /layer-0/file-0
drwxr-xr-x   0         0         0         2023-11-14T22:13:20Z   /layer-1
-rw-r--r--   0         0         300       2023-11-14T22:13:20Z   /layer-1/file-0
";
    assert_eq!(sandbox.run(&["image", "tree", "app:1"]), ran(table, "", 0));
    let object = r#"{"Device":"","Group":0,"Links":1,"Mode":"-rw-r--r--","ModifiedAt":"2023-11-14T22:13:20Z","Owner":0,"Path":"/layer-1/file-0","Size":300,"Target":"","Type":"file"}"#;
    let line = ["image", "tree", "--format", "json", "app:1", "layer-1/file-0"];
    assert_eq!(sandbox.run(&line), ran(&format!("{object}\n"), "", 0));
    let line = ["image", "tree", "--format", "{{.Size}} {{.Path}}", "app:1", "/layer-1"];
    assert_eq!(sandbox.run(&line), ran("0 /layer-1\n300 /layer-1/file-0\n", "", 0));
}

#[test]
fn names_cannot_drive_the_terminal() {
    let sandbox = Sandbox::new();
    let tar = crate::sandbox::tar_of("a\u{1b}[31m\n-> b", b"x");
    assert_eq!(sandbox.run_with(&["import", "-", "app:1"], &tar).code, 0);
    sandbox.import("other:1", b"x");
    let listed = sandbox.run(&["image", "tree", "app:1"]);
    assert!(listed.stdout.ends_with("   /a\\x1b[31m\\n-> b\n"), "{listed:?}");
    let listed = sandbox.run(&["image", "diff", "app:1", "other:1"]);
    assert!(listed.stdout.contains("   /a\\x1b[31m\\n-> b\n"), "{listed:?}");
}

#[test]
fn a_file_is_printed_as_it_is() {
    let sandbox = Sandbox::new();
    sandbox.import("app:1", b"no line break\x1b[0m");
    let line = ["image", "cat", "app:1", "/hello"];
    assert_eq!(sandbox.run(&line), ran("no line break\x1b[0m", "", 0));
    for (image, path, text) in [
        ("app:1", "/nosuch", "open /nosuch: no such file or directory\n"),
        ("app:1", "/", "read /: is a directory\n"),
        ("app:1", "hello/x", "open hello/x: no such file or directory\n"),
        ("nosuch", "/hello", "Error response from daemon: No such image: nosuch:latest\n"),
    ] {
        assert_eq!(sandbox.run(&["image", "cat", image, path]), ran("", text, 1));
    }
    let other = sandbox.run(&["image", "cat", "--platform", "linux/s390x", "app:1", "/hello"]);
    assert_eq!(other.code, 1);
    assert!(other.stderr.contains("(linux/s390x)"), "{other:?}");
}

#[test]
fn differences_are_listed_with_sizes() {
    let sandbox = Sandbox::new();
    sandbox.import("app:1", b"hello");
    sandbox.import("app:2", b"hello, world");
    load(&sandbox, "app:3", 300);
    let headers = "CHANGE    OLD SIZE   NEW SIZE   ASPECTS   PATH\n";
    let same = sandbox.run(&["image", "diff", "app:1", "app:1"]);
    assert_eq!(same, ran(headers, "", 0));
    let table = format!("{headers}changed   5          12         content   /hello\n");
    assert_eq!(sandbox.run(&["image", "diff", "app:1", "app:2"]), ran(&table, "", 0));
    let objects = r#"{"Aspects":[],"Change":"deleted","NewSize":null,"OldSize":5,"Path":"/hello"}
{"Aspects":[],"Change":"added","NewSize":0,"OldSize":null,"Path":"/layer-0"}
{"Aspects":[],"Change":"added","NewSize":300,"OldSize":null,"Path":"/layer-0/file-0"}
{"Aspects":[],"Change":"added","NewSize":0,"OldSize":null,"Path":"/layer-1"}
{"Aspects":[],"Change":"added","NewSize":300,"OldSize":null,"Path":"/layer-1/file-0"}
"#;
    let line = ["image", "diff", "--format", "json", "app:1", "app:3"];
    assert_eq!(sandbox.run(&line), ran(objects, "", 0));
    let missing = "Error response from daemon: No such image: nosuch:latest\n";
    assert_eq!(sandbox.run(&["image", "diff", "app:1", "nosuch"]), ran("", missing, 1));
}

#[test]
fn an_export_can_be_imported_again() {
    let sandbox = Sandbox::new();
    load(&sandbox, "app:1", 300);
    assert_eq!(sandbox.run(&["image", "export", "-o", "root.tar", "app:1"]), ran("", "", 0));
    let written = fs::read(sandbox.path("root.tar")).expect("a file");
    let printed = sandbox.command(&["image", "export", "app:1"]).output().expect("varve runs");
    assert!(printed.stdout == written, "standard output and file differ");
    assert_eq!(sandbox.run(&["import", "root.tar", "flat:1"]).code, 0);
    let line = ["image", "diff", "--format", "json", "app:1", "flat:1"];
    assert_eq!(sandbox.run(&line), ran("", "", 0));

    // The same as files, as GNU tar makes them of the tar.
    let ours = ["image", "export", "--directory", "ours", "app:1"];
    assert_eq!(sandbox.run(&ours), ran("", "", 0));
    fs::create_dir(sandbox.path("theirs")).expect("a directory");
    let tar = std::process::Command::new("tar")
        .args(["-xpf", "root.tar", "-C", "theirs"])
        .current_dir(sandbox.path("."))
        .status();
    assert!(tar.expect("GNU tar").success());
    let facts = |directory: &str| {
        let script = "find . -mindepth 1 -printf '%p %y %m %U:%G %Ts %s\\n' | sed 's/ d \\(.*\\) [0-9]*$/ d \\1/' | sort; find . -type f -exec sha256sum {} + | sort";
        let listed = std::process::Command::new("sh")
            .args(["-c", script])
            .current_dir(sandbox.path(directory))
            .output();
        String::from_utf8(listed.expect("sh").stdout).expect("UTF-8")
    };
    assert!(facts("ours").lines().count() > 5);
    assert_eq!(facts("ours"), facts("theirs"));
    let full = "open ours: directory not empty\n";
    assert_eq!(sandbox.run(&ours), ran("", full, 1));

    let refused = "failed to export image: cannot write to a directory\n";
    assert_eq!(sandbox.run(&["image", "export", "-o", ".", "app:1"]), ran("", refused, 1));
    let missing = "Error response from daemon: No such image: nosuch:latest\n";
    let line = ["image", "export", "-o", "none.tar", "nosuch"];
    assert_eq!(sandbox.run(&line), ran("", missing, 1));
    assert!(!sandbox.path("none.tar").exists());
}
