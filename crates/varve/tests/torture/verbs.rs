//! The verbs that are stopped, and what there is before them.

use std::{fs, os::unix::fs::symlink, process::Command, time::Duration};

use varve_testkit::{Fault, Image, On, guard, image::Built};

use crate::stage::{Place, Stage};

/// A command that changes a store.
pub(crate) struct Verb {
    /// As the table of families calls it.
    pub(crate) family: &'static str,
    /// Makes what the command needs; `false` where the machine lacks something.
    pub(crate) prepare: fn(&Stage, &Place) -> bool,
    pub(crate) line: fn(&Stage) -> Vec<String>,
    /// What it may say, with an exit code that is not 0, when it was done before.
    pub(crate) done: &'static str,
    /// What is to be done before each try, outside of the store.
    pub(crate) ready: fn(&Stage),
    /// Whether it runs programs: then what is left of containers is taken away at the end.
    pub(crate) runs: bool,
}

const PLAIN: Verb = Verb {
    family: "",
    prepare: images,
    line: |_| Vec::new(),
    done: "never",
    ready: |_| {},
    runs: false,
};

pub(crate) const PULL: Verb = Verb {
    family: "crash: pull",
    prepare: |stage, place| {
        stage.registry.push("app:1", pulled());
        images(stage, place)
    },
    line: |stage| words(&["pull", &stage.registry.reference("app:1").to_string()]),
    ready: |stage| {
        stage.registry.heal();
        stage.registry.take_log();
    },
    ..PLAIN
};

pub(crate) const PUSH: Verb = Verb {
    family: "crash: push",
    prepare: |stage, place| {
        images(stage, place);
        stage.ok(place, &["tag", "kept:1", &stage.registry.reference("pushed:1").to_string()]);
        true
    },
    line: |stage| words(&["push", &stage.registry.reference("pushed:1").to_string()]),
    ready: |stage| {
        for name in ["pushed", "_varve/blobs/sha256"] {
            let path = stage.path("registry").join(name);
            for entry in fs::read_dir(path).into_iter().flatten() {
                let path = entry.expect("an entry").path();
                let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            }
        }
        let _ = fs::remove_dir(stage.path("registry").join("pushed"));
    },
    ..PLAIN
};

pub(crate) const LOAD: Verb = Verb {
    family: "crash: load",
    line: |stage| {
        let archive = Image::seeded(11).layers(2).plain().build().docker_archive(&["loaded:1"]);
        words(&["load", "--input", &stage.write("image.tar", &archive)])
    },
    ..PLAIN
};

pub(crate) const IMPORT: Verb = Verb {
    family: "crash: import",
    line: |stage| {
        let tar = Image::seeded(12).build().images[0].tars[0].clone();
        words(&["import", &stage.write("root.tar", &tar), "imported:1"])
    },
    ..PLAIN
};

pub(crate) const TAG: Verb =
    Verb { family: "crash: tag", line: |_| words(&["tag", "kept:1", "tagged:1"]), ..PLAIN };

pub(crate) const RMI: Verb = Verb {
    family: "crash: rmi",
    line: |_| words(&["rmi", "other:1"]),
    done: "No such image",
    ..PLAIN
};

pub(crate) const PRUNE: Verb = Verb {
    family: "crash: prune",
    prepare: |stage, place| {
        images(stage, place);
        stage.ok(place, &["rmi", "--no-prune", "two:1"]);
        stage.ok(place, &["tag", "other:1", "kept:2"]);
        stage.ok(place, &["create", "--name", "old", "kept:1", "true"]);
        stage.ok(place, &["volume", "create", "unused"]);
        // What an interrupted pull left.
        stage.registry.push("cut:1", Image::seeded(9).layer_size_bytes(60_000));
        stage.registry.fail(On::Blob, Fault::CutBody(20_000));
        stage.registry.fail_always_after(1, On::Blob, Fault::status(404));
        let name = stage.registry.reference("cut:1").to_string();
        assert_ne!(stage.run(place, &["pull", &name]).code, Some(0));
        stage.registry.heal();
        true
    },
    line: |_| {
        words(&["system", "prune", "--all", "--volumes", "--force", "--filter", "label!=keep"])
    },
    ..PLAIN
};

pub(crate) const BUILD: Verb = Verb {
    family: "crash: build",
    line: |stage| {
        stage.write("context/Dockerfile", BUILT.as_bytes());
        stage.write("context/a", b"a file");
        stage.write("context/sub/b", &[7; 30_000]);
        let context = stage.text("context");
        words(&["build", "--quiet", "--tag", "built:1", &context])
    },
    ..PLAIN
};

const BUILT: &str = "FROM kept:1 AS one\nCOPY a /one/\nCOPY sub /one/sub/\n\
    FROM scratch\nCOPY --from=one /one /two\nLABEL made=here\n";

pub(crate) const RUN: Verb = Verb {
    family: "crash: run",
    prepare: busybox,
    line: |_| container("run", &["sh", "-c", "echo said; echo written > /file"]),
    runs: true,
    ..PLAIN
};

pub(crate) const RUN_RM: Verb = Verb {
    family: "crash: run --rm",
    prepare: busybox,
    line: |_| {
        let mut line = container("run", &["true"]);
        line.insert(1, "--rm".to_owned());
        line
    },
    runs: true,
    ..PLAIN
};

pub(crate) const COMMIT: Verb = Verb {
    family: "crash: commit",
    prepare: |stage, place| {
        busybox(stage, place) && {
            ended_container(stage, place);
            true
        }
    },
    line: |_| words(&["commit", "ended", "committed:1"]),
    runs: true,
    ..PLAIN
};

pub(crate) const RM: Verb = Verb {
    family: "crash: rm",
    prepare: COMMIT.prepare,
    line: |_| words(&["rm", "--volumes", "ended"]),
    done: "No such container",
    runs: true,
    ..PLAIN
};

pub(crate) const BUILD_RUN: Verb = Verb {
    family: "crash: build with RUN",
    prepare: busybox,
    line: |stage| {
        let text = "FROM busybox\nRUN --network=none --mount=type=cache,target=/cache echo x >/cache/y; echo z >/made\n";
        stage.write("context/Dockerfile", text.as_bytes());
        words(&["build", "--quiet", "--tag", "built:1", &stage.text("context")])
    },
    runs: true,
    ..PLAIN
};

fn words(line: &[&str]) -> Vec<String> {
    line.iter().map(|word| (*word).to_owned()).collect()
}

fn container(verb: &str, command: &[&str]) -> Vec<String> {
    words(&[&[verb, "--network", "none", "busybox"], command].concat())
}

/// What is pulled: one layer is a plain tar, one is compressed, one is large enough to be interrupted in.
fn pulled() -> Built {
    Image::seeded(10).layers(3).layer_size_bytes(60_000).files(3).build()
}

/// Slows a pull down, so that bytes are synced while they come.
pub(crate) fn slow_down(stage: &Stage) {
    stage.registry.fail(On::Blob, Fault::Stall(20_000, Duration::from_millis(1_300)));
    stage.registry.fail_after(1, On::Blob, Fault::Stall(30_000, Duration::from_millis(1_300)));
}

/// Images that a command may find: `kept:1` with the layer of `two:1` and one of its own, and `other:1`.
fn images(stage: &Stage, place: &Place) -> bool {
    let load = |image: Built, name: &str| {
        let archive = stage.write("base.tar", &image.docker_archive(&[name]));
        stage.ok(place, &["load", "--input", &archive]);
    };
    load(Image::seeded(1).layers(2).plain().build(), "kept:1");
    load(Image::seeded(2).layers(2).build(), "other:1");
    load(Image::seeded(3).build(), "two:1");
    true
}

/// An image whose programs run.
fn busybox(stage: &Stage, place: &Place) -> bool {
    let Some(program) = guard::tool("busybox") else { return false };
    let bin = stage.path("rootfs/bin");
    fs::create_dir_all(&bin).expect("a directory");
    fs::copy(program, bin.join("busybox")).expect("a program");
    for name in ["sh", "true", "cat", "echo"] {
        symlink("busybox", bin.join(name)).expect("a link");
    }
    let tar = stage.text("busybox.tar");
    let mut pack = Command::new("tar");
    pack.arg("-C").arg(stage.path("rootfs")).args(["-cf", &tar, "."]);
    assert!(pack.status().expect("tar starts").success());
    stage.ok(place, &["import", &tar, "busybox"]);
    // The layer's files, and the places that are mounted over.
    let line = container("run", &["true"]);
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    stage.ok(place, &[&line[..1], &["--rm"], &line[1..]].concat());
    true
}

fn ended_container(stage: &Stage, place: &Place) {
    let script = "echo said; echo written > /file; rm /bin/cat; echo kept > /volume/file";
    let mut line = container("run", &["sh", "-c", script]);
    line.splice(1..1, words(&["--name", "ended", "--volume", "/volume"]));
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    stage.ok(place, &line);
    crate::stage::wait_for_end();
}
