//! `image mount` and `image unmount`, by the built program.

use std::{fs, path::PathBuf, process::Child, thread};

use varve_testkit::namespace::alone;

use crate::sandbox::{Ran, Sandbox};

pub(crate) fn ran(stdout: &str, stderr: &str, code: i32) -> Ran {
    Ran { stdout: stdout.to_owned(), stderr: stderr.to_owned(), code }
}

/// A sandbox on a disk, where layers can be mounted from plain files.
fn sandbox() -> Sandbox {
    Sandbox::below(env!("CARGO_TARGET_TMPDIR"))
}

fn mounts_of(sandbox: &Sandbox, what: &str) -> Vec<String> {
    // Made by the first command that mounts.
    let Ok(run) = sandbox.path("../run").canonicalize() else { return Vec::new() };
    let table = fs::read_to_string("/proc/self/mountinfo").expect("the kernel's table");
    let places = table.lines().filter_map(|line| line.split(' ').nth(4));
    let ours = places.filter(|place| {
        place.starts_with(run.to_str().expect("UTF-8")) && place.contains(&format!("/{what}/"))
    });
    ours.map(str::to_owned).collect()
}

#[test]
fn an_image_is_mounted_listed_and_unmounted() {
    alone("mounts::an_image_is_mounted_listed_and_unmounted", || {
        let sandbox = sandbox();
        let (id, other) = (sandbox.import("app:1", b"one"), sandbox.import("other:1", b"two"));
        assert_eq!(sandbox.run(&["image", "mount"]), ran("", "", 0));
        let mounted = sandbox.run(&["image", "mount", "app:1"]);
        let path = mounted.stdout.trim_end().to_owned();
        assert_eq!(mounted, ran(&format!("{path}\n"), "", 0));
        assert_eq!(fs::read(PathBuf::from(&path).join("hello")).expect("a file"), b"one");
        let refused = fs::write(PathBuf::from(&path).join("new"), b"x").unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        assert_eq!(sandbox.run(&["image", "mount", &id[7..19]]), ran(&format!("{path}\n"), "", 0));
        let both = sandbox.run(&["image", "mount", "app:1", "other:1"]).stdout;
        let other_path = both.lines().nth(1).expect("a line").replace("other:1 ", "");
        assert_eq!(both, format!("app:1 {path}\nother:1 {other_path}\n"));
        let mut listed = sandbox.run(&["image", "mount"]).stdout;
        let mut lines: Vec<&str> = listed.lines().collect();
        lines.sort_unstable();
        listed = lines.join("\n") + "\n";
        assert_eq!(listed, both);
        let json = sandbox.run(&["image", "mount", "--format", "json", "app:1"]).stdout;
        assert_eq!(json, format!("{{\"ID\":\"{id}\",\"Names\":\"app:1\",\"Path\":\"{path}\"}}\n"));
        let unmounted = sandbox.run(&["image", "unmount", "app:1"]);
        assert_eq!(unmounted, ran(&format!("{id}\n"), "", 0));
        let again = sandbox.run(&["image", "umount", "app:1"]);
        assert_eq!(again, ran("", "error: image app:1 is not mounted\n", 1));
        assert_eq!(sandbox.run(&["image", "unmount", "--all"]), ran(&format!("{other}\n"), "", 0));
        assert_eq!(mounts_of(&sandbox, "layers"), [""; 0]);
        assert_eq!(sandbox.run(&["image", "unmount"]).code, 1);
    });
}

#[test]
fn an_image_in_use_is_unmounted_by_force_or_with_its_removal() {
    alone("mounts::an_image_in_use_is_unmounted_by_force_or_with_its_removal", || {
        let sandbox = sandbox();
        sandbox.import("app:1", b"one");
        let mount = || PathBuf::from(sandbox.run(&["image", "mount", "app:1"]).stdout.trim_end());
        let path = mount();
        let file = fs::File::open(path.join("hello")).expect("a file");
        let refused = sandbox.run(&["image", "unmount", "app:1"]);
        let said = format!("error: {} is in use\n", path.display());
        assert!(refused.stderr.starts_with(&said) && refused.code == 1, "{refused:?}");
        assert_eq!(sandbox.run(&["image", "unmount", "--force", "app:1"]).code, 0);
        drop(file);
        let file = fs::File::open(mount().join("hello")).expect("a file");
        assert_eq!(sandbox.run(&["rmi", "app:1"]).code, 0);
        drop(file);
        assert_eq!(mounts_of(&sandbox, "images"), [""; 0]);
        assert_eq!(mounts_of(&sandbox, "layers"), [""; 0]);
        let layers = sandbox.path("../store/varve/layers");
        assert_eq!(fs::read_dir(layers).expect("a directory").count(), 0);
        assert_eq!(sandbox.run(&["system", "check"]).code, 0);
    });
}

#[test]
fn thirty_two_processes_mount_an_image_once() {
    alone("mounts::thirty_two_processes_mount_an_image_once", || {
        let sandbox = sandbox();
        sandbox.import("app:1", b"one");
        let children: Vec<Child> = (0..32)
            .map(|_| sandbox.command(&["image", "mount", "app:1"]).spawn().expect("varve starts"))
            .collect();
        let ended = |child: Child| child.wait_with_output().expect("varve ends");
        let mut paths: Vec<String> = children
            .into_iter()
            .map(|child| {
                let output = ended(child);
                assert!(output.status.success(), "{output:?}");
                String::from_utf8(output.stdout).expect("UTF-8")
            })
            .collect();
        paths.dedup();
        assert_eq!(paths.len(), 1, "{paths:?}");
        assert_eq!(mounts_of(&sandbox, "images").len(), 1);
        assert_eq!(mounts_of(&sandbox, "layers").len(), 1);
        sandbox.run(&["image", "unmount", "--all"]);
    });
}

/// Whatever order they come in: never two mounts of a layer, none at the end, and who mounted last
/// can read.
#[test]
fn processes_that_mount_and_unmount_at_once_leave_nothing_behind() {
    alone("mounts::processes_that_mount_and_unmount_at_once_leave_nothing_behind", || {
        let sandbox = &sandbox();
        for number in 0..3 {
            sandbox.import(&format!("app:{number}"), format!("{}", number / 2).as_bytes());
        }
        thread::scope(|scope| {
            for worker in 0..6 {
                scope.spawn(move || {
                    for round in 0..6 {
                        let name = format!("app:{}", (worker + round) % 3);
                        let verb = if worker % 2 == 0 { "mount" } else { "unmount" };
                        let ran = sandbox.run(&["image", verb, &name]);
                        let missing = ran.stderr.contains("is not mounted");
                        assert!(ran.code == 0 || missing, "{verb} {name}: {ran:?}");
                        let mut layers = mounts_of(sandbox, "layers");
                        let all = layers.len();
                        layers.sort();
                        layers.dedup();
                        assert_eq!(layers.len(), all, "a mount upon another");
                    }
                });
            }
        });
        sandbox.run(&["image", "unmount", "--all"]);
        assert_eq!(mounts_of(sandbox, "layers"), [""; 0]);
        assert_eq!(mounts_of(sandbox, "images"), [""; 0]);
    });
}

#[test]
fn the_backend_is_chosen_by_flag_or_environment_and_shown() {
    alone("mounts::the_backend_is_chosen_by_flag_or_environment_and_shown", || {
        let sandbox = sandbox();
        sandbox.import("app:1", b"one");
        let info = |line: &[&str]| {
            let shown = sandbox.run(&[line, &["info", "-f", "{{json .DriverStatus}}"]].concat());
            shown.stdout.trim_end().to_owned()
        };
        let directory = "[\"Storage Backend\",\"directory\"]";
        assert!(info(&["--storage-backend", "directory"]).contains(directory));
        assert!(!info(&["--storage-backend", "auto"]).contains(directory));
        let line = ["image", "mount", "app:1", "--storage-backend=directory"];
        let path = PathBuf::from(sandbox.run(&line).stdout.trim_end());
        assert_eq!(fs::read(path.join("hello")).expect("a file"), b"one");
        assert_eq!(mounts_of(&sandbox, "layers"), [""; 0]);
        assert_eq!(sandbox.run(&["image", "unmount", "-a"]).code, 0);
        let mut command = sandbox.command(&["image", "mount", "app:1"]);
        let output = command.env("VARVE_STORAGE_BACKEND", "zfs").output().expect("varve ends");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        let expected =
            "VARVE_STORAGE_BACKEND is \"zfs\": must be one of auto, erofs, erofs-loop, directory\n";
        assert_eq!((said.as_str(), output.status.code()), (expected, Some(125)));
    });
}
