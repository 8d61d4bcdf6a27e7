//! The same with other programs: `cp`, `chmod`, GNU tar.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

use varve_testkit::guard;

use crate::Case;

/// Numbers that look random, the same in every run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A path, what is there (`d`, `f`, `l`), a mode and a text.
type Entry = (String, char, u32, String);

/// Entries whose parents come first; few names, so that two of these meet often.
fn entries(seeded: &mut Seeded) -> Vec<Entry> {
    let mut directories = vec![String::new()];
    let mut all: Vec<Entry> = Vec::new();
    for number in 0..12 {
        let parent = directories[seeded.below(directories.len() as u64) as usize].clone();
        let name = ["a", "b", "a-b", "c", "d", "e"][seeded.below(6) as usize];
        let path = if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") };
        if all.iter().any(|entry| entry.0 == path) {
            continue;
        }
        // Mostly, what meets fits.
        let is_directory = (name < "c") != (seeded.below(20) == 0);
        let kind = if is_directory { 'd' } else { ['f', 'f', 'l'][seeded.below(3) as usize] };
        if kind == 'd' {
            directories.push(path.clone());
        }
        let mode = [0o755, 0o700, 0o751, 0o4755][seeded.below(4) as usize];
        // `cp` keeps such bits of directories that are there; we do not.
        let mode = if kind == 'd' { mode & 0o777 } else { mode };
        all.push((path, kind, mode, format!("text {number}")));
    }
    all
}

fn create<'a>(directory: &Path, entries: impl Iterator<Item = &'a Entry>) {
    fs::create_dir_all(directory).unwrap();
    for (path, kind, mode, text) in entries {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match kind {
            'd' => fs::create_dir_all(&path).unwrap(),
            'f' => fs::write(&path, text).unwrap(),
            _ => symlink(text, &path).unwrap(),
        }
        if *kind != 'l' {
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
    }
}

/// What is below a directory: kind and mode, and text.
fn seen(directory: &Path) -> BTreeMap<String, (u32, String)> {
    let mut all = BTreeMap::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let stat = fs::symlink_metadata(&path).unwrap();
            let text = if stat.is_dir() {
                waiting.push(path.clone());
                String::new()
            } else if stat.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else {
                fs::read_to_string(&path).unwrap()
            };
            let name = path.strip_prefix(directory).unwrap().display().to_string();
            all.insert(name, (stat.mode(), text));
        }
    }
    all
}

fn extract(tar: &Path, bytes: &[u8], to: &Path) {
    let archive = to.join("layer.tar");
    fs::write(&archive, bytes).unwrap();
    let done = Command::new(tar).args(["-xpf"]).arg(&archive).arg("-C").arg(to).status();
    assert!(done.unwrap().success());
    fs::remove_file(archive).unwrap();
}

#[test]
fn copying_a_directory_over_another_does_what_cp_does() {
    let (Some(cp), Some(tar)) = (guard::tool("cp"), guard::tool("tar")) else { return };
    let mut refused = 0;
    for seed in 0..40 {
        let directory = tempfile::tempdir().unwrap();
        let (source, base) = (directory.path().join("source"), directory.path().join("base"));
        let mut seeded = Seeded(seed);
        create(&source, entries(&mut seeded).iter());
        create(&base, entries(&mut seeded).iter());
        let below = Case::new("COPY . /to/").context(&base).make().unwrap();
        let case = Case { base_tar: Some(&below.tar), ..Case::new("COPY . /to/").base("") };
        let made = case.context(&source).make();
        // Stops at the first thing that it cannot do, as we do.
        let copied = Command::new(&cp)
            .args(["-a", "--remove-destination", "-T"])
            .args([&source, &base])
            .output()
            .unwrap();
        assert_eq!(copied.status.success(), made.is_ok(), "seed {seed}: {made:?} {copied:?}");
        let Ok(made) = made else {
            refused += 1;
            continue;
        };
        let out = directory.path().join("out");
        fs::create_dir(&out).unwrap();
        extract(&tar, &below.tar, &out);
        extract(&tar, &made.tar, &out);
        assert_eq!(seen(&out.join("to")), seen(&base), "seed {seed}");
    }
    assert!((3..37).contains(&refused), "{refused} of 40 were refused");
}

#[test]
fn in_what_order_a_context_was_made_does_not_matter() {
    for seed in 100..120 {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (directory.path().join("one"), directory.path().join("other"));
        let entries = entries(&mut Seeded(seed));
        create(&one, entries.iter());
        create(&other, entries.iter().rev());
        let make = |context: &Path| Case::new("COPY . /").context(context).make().unwrap();
        let (one, other) = (make(&one), make(&other));
        assert_eq!((one.tar, one.contents), (other.tar, other.contents), "seed {seed}");
    }
}

#[test]
fn chmod_changes_modes_as_the_program_does() {
    // Only root reads what the program closes to its owner.
    if !guard::root() {
        return;
    }
    let Some(program) = guard::tool("sh") else { return };
    let changes = [
        "755",
        "0",
        "4711",
        "u+x",
        "+x",
        "+w",
        "a+w",
        "-w",
        "go-rwx",
        "u=rw,go=r",
        "a+X",
        "u=g",
        "g=u,o=",
        "o+g",
        "u+s",
        "g+s",
        "ug+s",
        "+t",
        "u-s,g-s",
        "=r",
        "a=",
        "u+rw-x",
        "g-w+x",
        "ugo+r",
        "o=u-w",
        "u+x,g=u",
        "-s",
        "a-t",
    ];
    for change in changes {
        let directory = tempfile::tempdir().unwrap();
        for mode in [0o644, 0o600, 0o750, 0o4755, 0o2711, 0o1000, 0o7777, 0] {
            let path = directory.path().join(format!("{mode:o}"));
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let text = format!("COPY --chmod={change} . /");
        let made = Case::new(&text).context(directory.path()).make().unwrap();
        let mut reader = varve_fs::tar::Reader::new(made.tar.as_slice());
        let mut modes = BTreeMap::new();
        while let Some(member) = reader.next().unwrap() {
            let name = String::from_utf8(member.path().to_vec()).unwrap();
            modes.insert(name, member.entry().mode);
        }
        let done = Command::new(&program)
            .args(["-c", "umask 022; chmod -- \"$0\" *", change])
            .current_dir(directory.path())
            .status();
        assert!(done.unwrap().success(), "{change}");
        for (name, (mode, _)) in seen(directory.path()) {
            assert_eq!(
                format!("{:o}", modes[&name]),
                format!("{:o}", mode & 0o7777),
                "{change} of {name}"
            );
        }
    }
}

#[test]
fn a_large_file_is_copied_whole() {
    let Some(tar) = guard::tool("tar") else { return };
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    fs::create_dir(&source).unwrap();
    let bytes: Vec<u8> = (0..3_000_001_u32).map(|number| (number % 251) as u8).collect();
    fs::write(source.join("large"), &bytes).unwrap();
    let made = Case::new("COPY large /").context(&source).make().unwrap();
    extract(&tar, &made.tar, directory.path());
    assert_eq!(fs::read(directory.path().join("large")).unwrap(), bytes);
}
