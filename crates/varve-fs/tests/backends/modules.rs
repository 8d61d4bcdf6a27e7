//! A root like those that package managers of JavaScript leave: many small files, deep down, with
//! long names and links among them.

use std::{fs, process::Command};

use varve_fs::{
    mount::Marks,
    tar::{EntryKind, NewEntry, Time, Writer},
};

use crate::{
    disk::facts_of_disk,
    facts::{compare, facts_of_tree},
    kernel,
    made::Layer,
    store::with_each,
};

/// Packages in packages: real trees have ways of some 20 directories and of 1,400 bytes.
const DEPTH: usize = 22;
const PACKAGES: usize = 9;

struct Root {
    writer: Writer<Vec<u8>>,
    entries: u32,
    state: u64,
}

impl Root {
    /// Numbers that look like chance and are the same each time.
    fn number(&mut self, below: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.state >> 33) % below
    }

    fn add(&mut self, entry: &NewEntry, data: &[u8]) {
        self.entries += 1;
        let mtime = Time { seconds: 499_162_500 + i64::from(self.entries % 7), nanoseconds: 0 };
        let (uid, gid) = (1000 * (self.entries % 2), 1000);
        let entry = NewEntry { mtime, uid, gid, size: data.len() as u64, ..*entry };
        self.writer.append_bytes(&entry, data).unwrap();
    }

    fn directory(&mut self, path: &str) {
        self.add(&NewEntry::directory(format!("{path}/").as_bytes()), b"");
    }

    fn file(&mut self, path: &str) {
        let size = self.number(3000) as usize;
        let data: Vec<u8> = (0..size).map(|at| b'!' + (at % 90) as u8).collect();
        let mode = if size.is_multiple_of(13) { 0o755 } else { 0o644 };
        self.add(&NewEntry { mode, ..NewEntry::file(path.as_bytes(), 0) }, &data);
    }

    fn link(&mut self, path: &str, target: &str, kind: EntryKind) {
        let entry = NewEntry::file(path.as_bytes(), 0);
        let mode = if kind == EntryKind::Symlink { 0o777 } else { 0o644 };
        self.add(&NewEntry { kind, mode, link_target: target.as_bytes(), ..entry }, b"");
    }

    fn package(&mut self, path: &str, depth: usize) {
        self.directory(path);
        for name in ["package.json", "README.md", "index.js", "index.d.ts"] {
            self.file(&format!("{path}/{name}"));
        }
        let dist = format!("{path}/dist");
        self.directory(&dist);
        for number in 0..6 + self.number(20) {
            let long = "AbstractSingletonProxyFactoryBean".repeat(1 + number as usize % 6);
            self.file(&format!("{dist}/{number}.{long}.js.map"));
        }
        self.link(&format!("{path}/main.js"), &format!("{path}/index.js"), EntryKind::HardLink);
        let modules = format!("{path}/node_modules");
        self.directory(&modules);
        self.directory(&format!("{modules}/.bin"));
        self.link(&format!("{modules}/.bin/run"), "../../index.js", EntryKind::Symlink);
        self.directory(&format!("{modules}/@scope-of-{depth}"));
        if depth < DEPTH {
            let name = format!("{modules}/@scope-of-{depth}/a-package-with-a-longer-name-{depth}");
            self.package(&name, depth + 1);
        }
    }
}

fn root() -> Vec<u8> {
    let mut root = Root { writer: Writer::new(Vec::new()), entries: 0, state: 1 };
    root.directory(".");
    root.directory("app");
    root.directory("app/node_modules");
    for number in 0..PACKAGES {
        // One goes all the way down, the others are as most are.
        let depth = if number == 0 { 0 } else { DEPTH - number % 4 };
        root.package(&format!("app/node_modules/package-{number}"), depth);
    }
    root.writer.finish().unwrap()
}

#[test]
fn deep_tree_of_many_small_files_is_shown_as_gnu_tar_unpacks_it() {
    if !kernel::have("tar") {
        return;
    }
    let test = "modules::deep_tree_of_many_small_files_is_shown_as_gnu_tar_unpacks_it";
    with_each(test, |bench| {
        if bench.backend.marks() != Marks::Trusted {
            return;
        }
        let tar = root();
        let layer = Layer::of(&tar);
        let longest = {
            let (mut longest, mut walk) = (0, layer.tree.walk());
            while let Some((path, _)) = walk.next() {
                longest = longest.max(path.len());
            }
            longest
        };
        assert!(layer.summary.entries > 700 && longest > 1400, "{longest}");
        let unpacked = bench.store.elsewhere.join("unpacked");
        fs::create_dir(&unpacked).unwrap();
        let archive = bench.store.elsewhere.join("archive.tar");
        fs::write(&archive, &tar).unwrap();
        let output = Command::new("tar")
            .args(["--extract", "--preserve-permissions", "--numeric-owner", "--file"])
            .arg(&archive)
            .arg("--directory")
            .arg(&unpacked)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let expected = facts_of_disk(&unpacked);
        compare(&facts_of_tree(&layer.tree, &tar), &expected, "the tree");
        let laid = bench.lay("layer", &layer);
        compare(&expected, &facts_of_disk(&laid.lower), &bench.name());
        bench.take_away(&laid);
        fs::remove_dir_all(unpacked).unwrap();
        fs::remove_file(archive).unwrap();
    });
}
