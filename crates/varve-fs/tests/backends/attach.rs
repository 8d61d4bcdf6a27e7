//! Layers that are attached and detached, one by one and many.

use std::{
    fs,
    path::{Path, PathBuf},
};

use varve_fs::{
    backend::{BackendKind, LayerFiles},
    mount::{InUse, Marks, table::Table},
};
use varve_types::Kind;

use crate::{
    corpus,
    disk::facts_of_disk,
    facts::{compare, facts_of_tree},
    made::{self, Layer},
    store::{Bench, loop_devices_of, with_each},
};

/// Of an access control list's mask, the mode makes the group's bits where files are made, as with
/// GNU tar; an index keeps it as it is.
fn is_as_in_the_tar(bench: &Bench, case: &corpus::Case) -> bool {
    bench.backend.kind() != BackendKind::Directory || !case.name.contains("access control")
}

#[test]
fn every_archive_is_shown_as_its_tree() {
    with_each("attach::every_archive_is_shown_as_its_tree", |bench| {
        // In an extracted tree other marks are seen as they are; chains show what they mean.
        if bench.backend.marks() != Marks::Trusted {
            return;
        }
        let mut compared = 0;
        for case in corpus::cases().into_iter().filter(|case| is_as_in_the_tar(bench, case)) {
            let layer = Layer::of(&case.tar);
            let laid = bench.lay("layer", &layer);
            let name = format!("{}, {}", case.name, bench.name());
            compare(&facts_of_tree(&layer.tree, &case.tar), &facts_of_disk(&laid.lower), &name);
            bench.take_away(&laid);
            compared += 1;
        }
        assert!(compared >= 60, "{compared}");
    });
}

#[test]
fn layers_without_entries_are_empty_directories() {
    with_each("attach::layers_without_entries_are_empty_directories", |bench| {
        for tar in [&[][..], &[0; 1024], &[0; 10240]] {
            let laid = bench.lay("layer", &Layer::of(tar));
            assert_eq!(fs::read_dir(&laid.lower).unwrap().count(), 0, "{}", bench.name());
            bench.take_away(&laid);
        }
    });
}

#[test]
fn hundred_and_twenty_seven_layers_are_put_one_upon_the_other() {
    with_each("attach::hundred_and_twenty_seven_layers_are_put_one_upon_the_other", |bench| {
        // The kernel takes its time to let go of loop devices; one store shows it.
        let is_slow = bench.backend.kind() == BackendKind::ErofsLoop;
        let count = if is_slow && bench.store.on != "disk" { 20 } else { 127 };
        let mut laid = Vec::new();
        for number in 0..count {
            let layer = Layer::made(&format!("./\n{number} = {number}\nsame = {number}"));
            laid.push(bench.lay(&format!("layer{number}"), &layer));
        }
        let merged = bench.merge(&laid.iter().collect::<Vec<_>>(), false);
        assert_eq!(fs::read_dir(&merged.place).unwrap().count(), count + 1);
        assert_eq!(fs::read_to_string(merged.place.join("same")).unwrap(), (count - 1).to_string());
        for number in 0..count {
            let name = number.to_string();
            assert_eq!(fs::read_to_string(merged.place.join(&name)).unwrap(), name);
        }
        drop(merged);
        for laid in &laid {
            bench.take_away(laid);
        }
    });
}

#[test]
fn detaching_and_removing_twice_is_as_good_as_once() {
    with_each("attach::detaching_and_removing_twice_is_as_good_as_once", |bench| {
        let laid = bench.lay("layer", &Layer::made("a = a"));
        let [.., place] = laid.paths();
        let is_mounted = bench.backend.kind() != BackendKind::Directory;
        assert_eq!(laid.lower == place, is_mounted);
        let mounts = |place: &Path| Table::read().unwrap().at(place).count();
        assert_eq!(mounts(&place), usize::from(is_mounted));
        let is_loop = bench.backend.kind() == BackendKind::ErofsLoop;
        assert_eq!(loop_devices_of(&bench.store.path).len(), 2 * usize::from(is_loop));
        for _ in 0..2 {
            bench.backend.detach(&place, InUse::Refused).unwrap();
            assert_eq!(mounts(&place), 0);
        }
        bench.backend.detach(&bench.store.path.join("nowhere"), InUse::Refused).unwrap();
        let trash = bench.store.path.join("trash");
        fs::create_dir(&trash).unwrap();
        for _ in 0..2 {
            laid.with_files(|files| bench.backend.remove(files, &trash)).unwrap();
        }
        bench.take_away(&laid);
        // Its directory is gone too.
        laid.with_files(|files| bench.backend.remove(files, &trash)).unwrap();
    });
}

#[test]
fn layer_in_use_stays_unless_it_is_to_go_at_once() {
    with_each("attach::layer_in_use_stays_unless_it_is_to_go_at_once", |bench| {
        let laid = bench.lay("layer", &Layer::made("a = still there"));
        let [.., place] = laid.paths();
        if laid.lower == place {
            let file = fs::File::open(laid.lower.join("a")).unwrap();
            let error = bench.backend.detach(&place, InUse::Refused).unwrap_err();
            assert_eq!(error.kind(), Kind::Conflict);
            bench.backend.detach(&place, InUse::Detached).unwrap();
            assert_eq!(std::io::read_to_string(&file).unwrap(), "still there");
        }
        bench.take_away(&laid);
    });
}

#[test]
fn layers_are_attached_by_many_at_once() {
    with_each("attach::layers_are_attached_by_many_at_once", |bench| {
        let laid = std::thread::scope(|scope| {
            let lay = |number: usize| {
                bench.lay(&format!("layer{number}"), &Layer::made(&format!("a = {number}")))
            };
            let threads: Vec<_> = (0..16).map(|number| scope.spawn(move || lay(number))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        for (number, laid) in laid.iter().enumerate() {
            let read = fs::read_to_string(laid.lower.join("a")).unwrap();
            assert_eq!(read, number.to_string(), "{}", bench.name());
            bench.take_away(laid);
        }
    });
}

#[test]
fn what_is_not_there_or_no_index_is_refused_and_leaves_nothing() {
    with_each("attach::what_is_not_there_or_no_index_is_refused_and_leaves_nothing", |bench| {
        let path = |name: &str| bench.store.path.join(name);
        let [index, tar, tree, place]: [PathBuf; 4] = ["index", "tar", "tree", "place"].map(path);
        let files = LayerFiles { index: &index, tar: Some(&tar), tree: &tree };
        fs::create_dir(&place).unwrap();
        let error = bench.backend.attach(&files, &place).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{error}");
        for (path, bytes) in [(&index, &[7; 8192]), (&tar, &[0; 8192])] {
            fs::write(path, bytes).unwrap();
        }
        bench.backend.attach(&files, &place).unwrap_err();
        // A good index, and no tar.
        let laid = bench.lay("layer", &Layer::made("a = a"));
        let [good, ..] = laid.paths();
        fs::remove_file(&tar).unwrap();
        let files = LayerFiles { index: &good, ..files };
        assert_eq!(bench.backend.attach(&files, &place).unwrap_err().kind(), Kind::NotFound);
        bench.take_away(&laid);
        fs::remove_dir(&place).unwrap();
        fs::remove_file(&index).unwrap();
    });
}

/// GNU tar's own facts of what it made are compared in `layers` and `stack`; here it reads.
#[test]
fn gnu_tar_reads_of_every_backend_what_the_archive_has() {
    if !crate::kernel::have("tar") {
        return;
    }
    with_each("attach::gnu_tar_reads_of_every_backend_what_the_archive_has", |bench| {
        if bench.backend.marks() != Marks::Trusted {
            return;
        }
        let tar = made::tar(
            "./ =751 +9 @3:4\nd/ =1777 @1:2 +5 user.a:=b\nd/f =4755 @7:8 +1 user.k:=v = text
            d/h => d/f\na => d/f\ne/ =500 +77\ne/x => a\nl @5:6 +3 trusted.t:=v -> d/f\nl2 => l
            p =640 @9:9 +4 |\nc =666 @0:5 +6 char 1,3\nempty +8",
        );
        let layer = Layer::of(&tar);
        let laid = bench.lay("layer", &layer);
        let seen = crate::kernel::facts_of_directory(&laid.lower);
        assert_eq!(made::show(&seen), made::show(&made::facts_of_layer(&layer)));
        bench.take_away(&laid);
    });
}
