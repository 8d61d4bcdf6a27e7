//! Mounts made and taken away. Only root can; each test says aloud when it skips.

use std::{fs, io::Write as _, os::unix::fs::MetadataExt as _, time::Instant};

use varve_types::Kind;

use super::{table::Table, *};
use crate::{
    erofs::{BlockSize, Layer, write_index},
    layer::LayerParser,
    tar::{NewEntry, Writer},
};

/// Whether this process may mount; says aloud when not, also to whoever runs all tests.
fn may_mount() -> bool {
    let may = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).is_ok();
    if !may {
        skip("mount", "not allowed here");
    }
    may
}

fn skip(what: &str, why: &str) {
    eprintln!("SKIPPED: {what} is {why}");
    if let Some(list) = std::env::var_os("VARVE_TEST_SKIPS") {
        let mut list = File::options().append(true).create(true).open(list).unwrap();
        // In one go: other test programs write there too.
        list.write_all(format!("{what}: {why}\n").as_bytes()).unwrap();
    }
}

/// A directory with directories in it, whose names would mean something in mount options, and
/// whose path is longer than the new calls take as text. What is mounted there goes with it.
struct Place(tempfile::TempDir);

impl Place {
    fn new(directories: &[&str]) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for directory in directories {
            fs::create_dir_all(place.path(directory)).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("long".repeat(50)).join("a:b,c\\d").join("e".repeat(100)).join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for row in Table::read().unwrap().beneath(self.0.path()) {
            let _ = unmount(&row.place, InUse::Detached);
        }
    }
}

fn overlay(place: &Place, lowers: &[&str], is_writable: bool) -> Overlay {
    Overlay {
        lowers: lowers.iter().map(|name| place.path(name)).collect(),
        upper: is_writable.then(|| Upper {
            directory: place.path("upper"),
            work: place.path("work"),
            is_fleeting: false,
        }),
        marks: Marks::Trusted,
        context: None,
    }
}

fn read(mount: &OwnedFd, name: &str) -> String {
    fs::read_to_string(format!("/proc/self/fd/{}/{name}", mount.as_raw_fd())).unwrap()
}

#[test]
fn overlay_is_read_through_its_handle_and_gone_with_it() {
    if !may_mount() {
        return;
    }
    let place = Place::new(&["low", "high"]);
    place.write("low/a", "low");
    place.write("low/b", "low");
    place.write("high/b", "high");
    let before = Table::read().unwrap().rows.len();
    let mount = Mount::Overlay(overlay(&place, &["low", "high"], false));
    mount.probe().unwrap();
    let opened = mount.open().unwrap();
    assert_eq!((read(&opened, "a"), read(&opened, "b")), ("low".into(), "high".into()));
    let path = format!("/proc/self/fd/{}/c", opened.as_raw_fd());
    assert_eq!(fs::write(path, "").unwrap_err().kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    // Other tests mount meanwhile, but not here.
    assert!(Table::read().unwrap().beneath(place.0.path()).next().is_none());
    assert!(before > 0);
}

#[test]
fn overlay_is_mounted_found_and_unmounted_by_the_new_calls_and_the_old() {
    if !may_mount() {
        return;
    }
    for marks in [Marks::Trusted, Marks::User] {
        for is_old in [false, true] {
            let place = Place::new(&["low", "upper", "work", "top"]);
            place.write("low/a", "low");
            let overlay = Overlay { marks, ..overlay(&place, &["low"], true) };
            if is_old {
                overlay.mount_as_of_old(&place.path("top")).unwrap();
            } else {
                Mount::Overlay(overlay).mount(&place.path("top")).unwrap();
            }
            fs::remove_file(place.path("top/a")).unwrap();
            place.write("top/b", "new");
            assert_eq!(fs::read_to_string(place.path("upper/b")).unwrap(), "new");
            assert_eq!(place.path("upper/a").symlink_metadata().unwrap().rdev(), 0);

            let found = Table::read().unwrap();
            let rows: Vec<_> = found.at(&place.path("top")).collect();
            assert_eq!((rows.len(), rows[0].fs.as_str()), (1, "overlay"));

            let busy = File::open(place.path("top/b")).unwrap();
            let error = unmount(&place.path("top"), InUse::Refused).unwrap_err();
            assert_eq!(error.kind(), Kind::Conflict, "{error}");
            drop(busy);
            unmount(&place.path("top"), InUse::Refused).unwrap();
            assert!(Table::read().unwrap().at(&place.path("top")).next().is_none());
            assert!(unmount(&place.path("top"), InUse::Refused).is_err());
        }
    }
}

#[test]
fn what_need_not_be_kept_is_mounted_again_as_it_was_left() {
    if !may_mount() {
        return;
    }
    let place = Place::new(&["low", "upper", "work", "top"]);
    let mut overlay = overlay(&place, &["low"], true);
    overlay.upper.as_mut().unwrap().is_fleeting = true;
    for round in ["one", "two"] {
        Mount::Overlay(overlay.clone()).mount(&place.path("top")).unwrap();
        let table = Table::read().unwrap();
        let row = table.at(&place.path("top")).next().unwrap();
        assert!(row.fs_options.to_str().unwrap().contains("volatile"), "{row:?}");
        place.write(&format!("top/{round}"), round);
        unmount(&place.path("top"), InUse::Refused).unwrap();
    }
    assert_eq!(fs::read_to_string(place.path("upper/one")).unwrap(), "one");
    assert_eq!(fs::read_to_string(place.path("upper/two")).unwrap(), "two");
}

#[test]
fn mount_in_use_is_detached_at_once_and_stays_readable() {
    if !may_mount() {
        return;
    }
    let place = Place::new(&["low", "high", "top"]);
    place.write("low/a", "still there");
    Mount::Overlay(overlay(&place, &["low", "high"], false)).mount(&place.path("top")).unwrap();
    let mut file = File::open(place.path("top/a")).unwrap();
    unmount(&place.path("top"), InUse::Detached).unwrap();
    assert!(!place.path("top/a").exists());
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "still there");
}

#[test]
fn refusals_say_what_the_kernel_says() {
    let place = Place::new(&["low", "upper"]);
    let error = Mount::Overlay(overlay(&place, &["low"], false)).open().unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert_eq!(error.to_string(), "an overlay of a single directory cannot be mounted");
    let error = Mount::Overlay(overlay(&place, &["low", "gone"], false)).open().unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    if !may_mount() {
        return;
    }
    let file = place.write("low/file", "");
    let mut wrong = overlay(&place, &["low"], false);
    wrong.lowers.push(file.clone());
    let error = Mount::Overlay(wrong).open().unwrap_err();
    assert!(error.to_string().starts_with("cannot configure overlay"), "{error}");
    let (index, tar) = (file, None);
    let mount = Mount::Erofs(Erofs { index, tar });
    let error = mount.probe().unwrap_err();
    assert!(error.to_string().starts_with("cannot create erofs"), "{error}");
    assert!(mount.mount(&place.path("low")).is_err());
}

#[test]
fn many_layers_are_mounted_and_too_many_refused() {
    if !may_mount() {
        return;
    }
    let names: Vec<String> = (0..501).map(|number| format!("lower{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let place = Place::new(&names);
    for (number, name) in names.iter().enumerate() {
        place.write(&format!("{name}/{number}"), name);
        place.write(&format!("{name}/same"), name);
    }
    let started = Instant::now();
    for count in [127, 500] {
        let opened = Mount::Overlay(overlay(&place, &names[..count], false)).open().unwrap();
        assert_eq!(read(&opened, "0"), "lower0");
        assert_eq!(read(&opened, "same"), names[count - 1]);
        let root = format!("/proc/self/fd/{}", opened.as_raw_fd());
        assert_eq!(fs::read_dir(root).unwrap().count(), count + 1);
    }
    assert!(Mount::Overlay(overlay(&place, &names, false)).open().is_err());
    assert!(started.elapsed().as_secs() < 60);
}

#[test]
fn layer_is_mounted_from_its_tar_and_index() {
    if !may_mount() {
        return;
    }
    let place = Place::new(&["top", "empty"]);
    let mut writer = Writer::new(Vec::new());
    let long = "long ".repeat(1000);
    for (path, text) in [("d/a", "text"), ("d/empty", ""), ("long", &*long)] {
        let entry = NewEntry::file(path.as_bytes(), text.len() as u64);
        writer.append_bytes(&entry, text.as_bytes()).unwrap();
    }
    writer.append_bytes(&NewEntry::file(b".wh.gone", 0), b"").unwrap();
    let tar = writer.finish().unwrap();
    let mut parser = LayerParser::new();
    parser.update(&tar).unwrap();
    let (summary, tree) = parser.finish().unwrap();
    let (tar_size_bytes, block_size) = (tar.len() as u64, BlockSize::Tar);
    let layer = Layer { tree: &tree, diff_id: summary.diff_id, tar_size_bytes, block_size };
    let mut index = Vec::new();
    write_index(layer, &tar, &mut index).unwrap();
    fs::write(place.path("layer.tar"), &tar).unwrap();
    fs::write(place.path("index.erofs"), &index).unwrap();

    let (index, tar) = (place.path("index.erofs"), Some(place.path("layer.tar")));
    let mount = Mount::Erofs(Erofs { index, tar });
    match mount.probe() {
        Err(error) if error.kind() == Kind::Unsupported => {
            return skip("EROFS from plain files", "not what this kernel does here");
        }
        probed => probed.unwrap(),
    }
    mount.mount(&place.path("top")).unwrap();
    assert_eq!(fs::read_to_string(place.path("top/d/a")).unwrap(), "text");
    assert_eq!(fs::read_to_string(place.path("top/long")).unwrap(), long);
    let table = Table::read().unwrap();
    assert_eq!(table.at(&place.path("top")).next().unwrap().fs, "erofs");

    fs::write(place.path("empty/gone"), "hidden").unwrap();
    let merged = Mount::Overlay(overlay(&place, &["empty", "top"], false)).open().unwrap();
    assert_eq!(read(&merged, "d/a"), "text");
    assert!(!Path::new(&format!("/proc/self/fd/{}/gone", merged.as_raw_fd())).exists());
}
