//! What cannot be done is said clearly, with docker's exit code, and leaves nothing half-done.

use std::{fs, process::Command};

use serde_json::json;
use varve_testkit::{Fault, Image, On, Registry, guard};

use crate::{disk::Disk, home::Home};

/// An image that needs some megabytes; noise, so that nothing makes it smaller.
fn large(seed: u64) -> Image {
    Image::seeded(seed).layers(2).layer_size_bytes(2 << 20)
}

/// Nothing that a terminal would act on.
#[track_caller]
fn is_plain(text: &str) {
    let odd = text.chars().find(|&c| c.is_control() && c != '\n' && c != '\t');
    assert_eq!(odd, None, "{text:?}");
}

/// The store must be sound, and a failure must not have named anything.
#[track_caller]
fn is_untouched(home: &Home, images: &[String]) {
    home.check();
    assert_eq!(home.images(), images);
}

#[test]
fn a_full_disk_fails_a_pull_and_a_load_and_costs_nothing_that_was_there() {
    let Some(disk) = Disk::of(8 << 20) else { return };
    let (home, registry) = (Home::on(&disk), Registry::start());
    registry.push("small:1", Image::seeded(81));
    registry.push("large:1", large(82).layers(8));
    let (small, large_name) = (registry.reference("small:1"), registry.reference("large:1"));
    home.ok(&["pull", &small.to_string()]);
    let images = home.images();

    let said = home.fails(&["pull", &large_name.to_string()]);
    assert!(said.to_lowercase().contains("no space left on device"), "{said}");
    is_untouched(&home, &images);

    let archive =
        home.write("large.tar", &large(83).layers(8).build().docker_archive(&["large:2"]));
    let said = home.fails(&["load", "-i", &archive.display().to_string()]);
    assert!(said.to_lowercase().contains("no space left on device"), "{said}");
    is_untouched(&home, &images);

    let tar =
        home.write("root.tar", &large(84).layer_size_bytes(20 << 20).build().images[0].tars[0]);
    let said = home.fails(&["import", &tar.display().to_string(), "large:3"]);
    assert!(said.to_lowercase().contains("no space left on device"), "{said}");
    is_untouched(&home, &images);

    // What the failed pull kept may be let go; then there is room again.
    home.ok(&["system", "prune", "-f"]);
    registry.push("fits:1", large(85).layers(1));
    home.ok(&["pull", &registry.reference("fits:1").to_string()]);
    home.check();
}

/// The way out of a full disk must not need room.
#[test]
fn rmi_and_prune_work_with_not_one_byte_free() {
    let Some(disk) = Disk::of(8 << 20) else { return };
    let (home, registry) = (Home::on(&disk), Registry::start());
    let names = ["one:1", "two:1", "three:1"].map(|name| registry.reference(name).to_string());
    for (seed, name) in (91..).zip(["one:1", "two:1", "three:1"]) {
        registry.push(name, Image::seeded(seed).layer_size_bytes(500 << 10));
    }
    for name in &names {
        home.ok(&["pull", name]);
    }
    home.ok(&["tag", &names[1], "kept:1"]);
    disk.fill();
    home.ok(&["rmi", &names[0]]);
    disk.fill();
    // This one frees no content.
    home.ok(&["rmi", &names[1]]);
    assert_eq!(home.images().len(), 2);
    home.check();
    home.ok(&["save", "-o", &home.text("saved.tar"), &names[2]]);
    disk.fill();
    home.ok(&["image", "prune", "-f"]);
    home.ok(&["system", "prune", "-a", "-f"]);
    assert!(home.images().is_empty());
    assert!(home.blobs().is_empty());
    home.check();
    disk.relieve();
    home.ok(&["pull", &names[2]]);
    home.check();
}

#[test]
fn a_store_on_a_read_only_file_system_is_read_and_not_changed() {
    let Some(mut disk) = Disk::of(8 << 20) else { return };
    let home = Home::on(&disk);
    only_reads(&home, "Read-only file system", || disk.make_read_only());
}

#[test]
fn a_store_without_permission_to_write_is_read_and_not_changed() {
    if !guard::not_root() {
        return;
    }
    let home = Home::new();
    let chmod = |mode: &str| {
        let store = home.store().display().to_string();
        assert!(Command::new("chmod").args(["-R", mode, &store]).status().unwrap().success());
    };
    only_reads(&home, "Permission denied", || chmod("a-w"));
    chmod("u+w");
    home.check();
}

/// Fills a store, makes it unwritable, and tries everything.
fn only_reads(home: &Home, reason: &str, mut make_unwritable: impl FnMut()) {
    let registry = Registry::start();
    registry.push("app:1", Image::seeded(101));
    registry.push("other:1", Image::seeded(102));
    let (name, other) =
        (registry.reference("app:1").to_string(), registry.reference("other:1").to_string());
    home.ok(&["pull", &name]);
    let (images, id) = (home.images(), home.id(&name));
    make_unwritable();
    let archive = home.write("app.tar", &Image::seeded(103).build().docker_archive(&["app:3"]));
    let archive = archive.display().to_string();
    let refused: [&[&str]; 6] = [
        &["pull", &other],
        &["tag", &name, "app:2"],
        &["rmi", &name],
        &["load", "-i", &archive],
        &["import", &archive, "app:4"],
        &["system", "prune", "-a", "-f"],
    ];
    for command in refused {
        let said = home.fails(command);
        assert!(said.contains(reason), "{command:?}: {said}");
    }
    is_untouched(home, &images);
    // Reading needs no writing.
    assert_eq!(home.id(&name), id);
    home.ok(&["history", &name]);
    home.ok(&["system", "df"]);
    home.ok(&["save", "-o", &home.text("saved.tar"), &name]);
}

#[test]
fn a_store_of_a_newer_format_is_left_alone() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.push("app:1", Image::seeded(111));
    let name = registry.reference("app:1").to_string();
    home.ok(&["pull", &name]);
    let images = home.images();
    let format = home.store().join("varve/format");
    let known = fs::read(&format).unwrap();
    fs::write(&format, "99999\n").unwrap();
    let table = fs::read(home.store().join("index.json")).unwrap();
    let archive = home.write("app.tar", &Image::seeded(112).build().docker_archive(&["app:2"]));
    let archive = archive.display().to_string();
    let saved = home.text("saved.tar");
    let refused: [&[&str]; 9] = [
        &["images"],
        &["pull", &name],
        &["tag", &name, "app:2"],
        &["rmi", &name],
        &["load", "-i", &archive],
        &["save", "-o", &saved, &name],
        &["push", &name],
        &["system", "prune", "-a", "-f"],
        &["system", "check"],
    ];
    for command in refused {
        let said = home.fails(command);
        assert!(said.contains("has format 99999"), "{command:?}: {said}");
    }
    assert_eq!(fs::read(home.store().join("index.json")).unwrap(), table);
    fs::write(&format, known).unwrap();
    is_untouched(&home, &images);
}

#[test]
fn an_archive_that_stops_half_way_loads_nothing() {
    let home = Home::new();
    let image = Image::seeded(121).layers(3).layer_size_bytes(40 << 10).build();
    for archive in [image.docker_archive(&["half:1"]), image.oci_archive(Some("half:1"))] {
        // Not at the very end: the zeros that close a tar may be missing.
        for part in [1, 3, 5, 7, 8] {
            let half = &archive[..archive.len() * part / 10];
            let said = home.run_with_input(&["load"], half);
            assert_eq!(said.code, 1, "{}{}", said.stdout, said.stderr);
            assert!(!said.stderr.is_empty());
            is_plain(&said.stderr);
            is_untouched(&home, &[]);
        }
        let odd = home.run_with_input(&["load"], &archive[..archive.len() / 2 + 100]);
        assert_eq!(odd.code, 1, "{}{}", odd.stdout, odd.stderr);
    }
    home.ok(&["system", "prune", "-f"]);
    assert!(home.blobs().is_empty(), "{:?}", home.blobs());
    let left = fs::read_dir(home.store().join("varve/ingest")).map_or(0, Iterator::count);
    assert_eq!(left, 0);
    let whole = home.run_with_input(&["load"], &image.docker_archive(&["half:1"]));
    assert_eq!(whole.code, 0, "{}", whole.stderr);
    home.check();
}

/// What is no archive at all, in every dress.
#[test]
fn what_is_no_archive_is_refused() {
    let home = Home::new();
    let noise: Vec<u8> =
        (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let inputs: [&[u8]; 5] = [b"", b"not a tar", &noise, &[0; 10_240], b"\x1f\x8b\x08\x00garbage"];
    for input in inputs {
        let said = home.run_with_input(&["load"], input);
        assert_eq!(
            said.code,
            1,
            "{:?}: {}{}",
            &input[..input.len().min(9)],
            said.stdout,
            said.stderr
        );
        is_plain(&said.stderr);
    }
    is_untouched(&home, &[]);
}

#[test]
fn escapes_of_an_archive_reach_no_terminal() {
    let home = Home::new();
    let evil = "\u{1b}[31mevil\u{1b}]0;title\u{7}:1";
    let archive = Image::seeded(131).build().docker_archive(&[evil]);
    let said = home.run_with_input(&["load"], &archive);
    is_plain(&said.stdout);
    is_plain(&said.stderr);
    assert!(said.code == 0 || !said.stderr.is_empty());
    home.check();

    let labelled = Image::seeded(132).label("evil", "\u{1b}[31m\u{9b}2J\u{8}").build();
    let said = home.run_with_input(&["load"], &labelled.docker_archive(&["labelled:1"]));
    assert_eq!(said.code, 0, "{}", said.stderr);
    is_plain(&home.ok(&["image", "inspect", "labelled:1"]));
    let shown: [&[&str]; 4] = [
        &["images"],
        &["history", "labelled:1"],
        &["history", "--no-trunc", "labelled:1"],
        &["image", "inspect", "-f", "{{json .Config.Labels}}", "labelled:1"],
    ];
    for command in shown {
        is_plain(&home.ok(command));
    }
}

#[test]
fn escapes_on_the_command_line_are_not_printed_back() {
    let home = Home::new();
    let evil = "app\u{1b}[31m:1";
    let commands: [&[&str]; 9] = [
        &["pull", evil],
        &["push", evil],
        &["rmi", evil],
        &["tag", evil, "app:1"],
        &["history", evil],
        &["image", "inspect", evil],
        &["save", "-o", "saved.tar", evil],
        &["import", "/nowhere\u{1b}[31m", "app:1"],
        &["load", "-i", "/nowhere\u{1b}[31m"],
    ];
    for command in commands {
        let ran = home.run(command);
        assert_eq!(ran.code, 1, "{command:?}: {}{}", ran.stdout, ran.stderr);
        assert!(!ran.stderr.is_empty(), "{command:?}");
        is_plain(&ran.stdout);
        is_plain(&ran.stderr);
    }
    assert!(home.images().is_empty());
}

#[test]
fn escapes_of_a_registry_reach_no_terminal() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.push("app:1", Image::seeded(141));
    let name = registry.reference("app:1").to_string();
    let evil = "\u{1b}[31mdenied\u{1b}[0m\r\u{8}";
    let body = json!({"errors": [{"code": evil, "message": evil, "detail": evil}]}).to_string();
    for (on, status) in [(On::Manifest, 403), (On::Manifest, 404), (On::Blob, 404), (On::Any, 400)]
    {
        registry.fail(on, Fault::Respond(status, Vec::new(), body.clone().into_bytes()));
        let ran = home.run(&["pull", &name]);
        is_plain(&ran.stdout);
        is_plain(&ran.stderr);
        assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
        registry.heal();
        is_untouched(&home, &[]);
    }
}
