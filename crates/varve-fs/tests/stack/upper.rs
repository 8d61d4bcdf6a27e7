//! Upper directories made into layers.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::{fd::AsFd as _, unix::fs::symlink},
    path::Path,
};

use expect_test::expect;
use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use varve_fs::{
    extract::{Marks, Source},
    stack::Stack,
    tar::{Event, Parser, Time},
    tree::Tree,
    upper::{Times, UpperError, changes, write_layer, write_layer_with},
};
use varve_types::Kind;

use crate::{
    kernel,
    made::{self, Facts, Layer},
};

fn layer_of(upper: &Path, marks: Marks) -> Result<Vec<u8>, UpperError> {
    let directory = File::open(upper).unwrap();
    write_layer(directory.as_fd(), marks, Vec::new()).map(|(tar, _)| tar)
}

/// All that may happen in a container, done in an overlay.
const CHANGES: &str = r#"
    rm a; rm -r d; mkdir -m 711 d; echo new > d/n
    echo more >> f; chmod 4711 g; chown 5:6 h; touch -d @77 times
    mv moved elsewhere; ln f f2; ln linked/one linked/three; rm linked/two
    mkfifo -m 622 p; mknod c c 1 3; mknod b b 7 300
    rm -r e; ln -s x e; rm file; mkdir file; echo in > file/in
    mkdir -p deep/er; touch deep/er/empty "deep/odd	name"
    touch "$(printf '%0200d' 0)"; rm deeper/down/x; rmdir gone
    rm "$(printf %0255d 1)"; rm back; echo back > back
"#;

#[test]
fn what_happened_in_an_overlay_is_what_its_layer_shows() {
    if !kernel::is_root() || !kernel::may_mount_overlays() || !kernel::have("python3") {
        return;
    }
    let lower = Layer::made(
        &("a = a\nd/\nd/x = x\nd/y = y\nf =640 @1:2 user.k:=v = f\ng = g\nh = h\ntimes = t\nmoved/\n\
         moved/m = m\nmoved/n/\nlinked/\nlinked/one = 1\nlinked/two => linked/one\ne/\ne/in = e\n\
         file = file\ndeeper/ =700\ndeeper/down/ +5\ndeeper/down/x = x\ndeeper/down/y = y\ngone/\n\
         back = old\nkept/\nkept/k = k\n".to_owned() + &format!("{:0255} = long", 1)),
    );
    for (marks, option, own) in
        [(Marks::Trusted, "", "trusted"), (Marks::User, ",userxattr", "user")]
    {
        let dir = tempfile::tempdir().unwrap();
        let (low, up) = (dir.path().join("lower"), dir.path().join("upper"));
        kernel::extract_to(Source::Layer(&lower.tree, &lower.tar), &low, marks);
        fs::create_dir(&up).unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        let options = format!(
            "upperdir={},workdir={}{option}",
            up.display(),
            dir.path().join("work").display()
        );
        let attributes = format!(
            "python3 -c 'import os
os.setxattr(\"g\", \"user.new\", b\"\\n\\0\")
os.setxattr(\"e\", \"trusted.link\", b\"l\", follow_symlinks=False)
os.setxattr(\"h\", \"{own}.overlay.redirect\", b\"/etc\")'"
        );
        let shown = kernel::facts_of_overlay(&[low], &options, &(CHANGES.to_owned() + &attributes));
        let tar = layer_of(&up, marks).unwrap();
        assert_eq!(tar, layer_of(&up, marks).unwrap());
        let layer = Layer::of(&tar);
        let stack = Stack::merge(&[&lower.tree, &layer.tree]).unwrap();
        let merged = made::facts_of_stack(&stack, &[&lower.tar, &layer.tar]);
        assert_eq!(made::show(&comparable(merged)), made::show(&comparable(shown)), "{marks:?}");
        let names = |path: &[u8]| layer.tree.inode(layer.tree.lookup(path).unwrap()).links;
        assert_eq!((names(b"f"), names(b"linked/three")), (2, 2));
    }
}

#[test]
fn what_happened_in_an_overlay_is_listed_as_by_docker() {
    if !kernel::is_root() || !kernel::may_mount_overlays() {
        return;
    }
    let lower = Layer::made(
        "same = s\nf = f\nbin/\nbin/yes = y\nbin/no = n\nd/\nd/x = x\nd/y = y\nd/z/\n\
         d/z/a = a\nlink -> x\ntouched/\ntouched/t = t\nquiet/\nquiet/q = q\ndeep/\ndeep/er/\n\
         deep/er/e = e\nmode/\ngone/\ngone/g = g\nturned = file\nother/\nother/o = o\n",
    );
    let dir = tempfile::tempdir().unwrap();
    let (low, up) = (dir.path().join("lower"), dir.path().join("upper"));
    kernel::extract_to(Source::Layer(&lower.tree, &lower.tar), &low, Marks::Trusted);
    fs::create_dir(&up).unwrap();
    fs::create_dir(dir.path().join("work")).unwrap();
    let work = dir.path().join("work");
    let options = format!("upperdir={},workdir={}", up.display(), work.display());
    // `quiet/q` is copied up by opening it, and not changed.
    kernel::facts_of_overlay(
        std::slice::from_ref(&low),
        &options,
        "echo 1 > new; mkdir -p add/in; touch add/in/side; echo f > f; rm bin/yes; : >> quiet/q
         rm -r d; mkdir d; echo x > d/n; mkdir d/z; rm link; ln -s y link; chmod 700 mode
         rm -r gone; rm turned; mkdir turned; touch turned/in; rm -r other; echo > other
         chown 3 deep/er/e; touch -d @5 touched/t",
    );
    let mut shown = String::new();
    let directory = File::open(&up).unwrap();
    for change in changes(directory.as_fd(), Marks::Trusted, &lower.tree).unwrap() {
        let path = String::from_utf8(change.path).unwrap();
        let letter = &format!("{:?}", change.kind)[..1];
        shown += &format!("{letter} /{path}\n");
    }
    expect![[r"
        A /add
        A /add/in
        A /add/in/side
        C /bin
        D /bin/yes
        C /d
        A /d/n
        D /d/x
        D /d/y
        C /d/z
        D /d/z/a
        C /deep
        C /deep/er
        C /deep/er/e
        C /f
        D /gone
        C /link
        C /mode
        A /new
        C /other
        C /touched
        C /touched/t
        C /turned
        A /turned/in
    "]]
    .assert_eq(&shown);
}

/// Without the root, which no layer has, and without fractions of seconds.
fn comparable(facts: Facts) -> Facts {
    let whole = |word: &str| match word.split_once('.') {
        Some((seconds, fraction))
            if fraction.len() == 9 && seconds.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            seconds.to_owned()
        }
        _ => word.to_owned(),
    };
    let mut facts: Facts = facts
        .into_iter()
        .map(|(path, fact)| (path, fact.split(' ').map(whole).collect::<Vec<_>>().join(" ")))
        .collect();
    facts.remove(".");
    facts
}

#[test]
fn layer_is_written_as_docker_writes_it() {
    if !kernel::is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let up = dir.path();
    let device = |name: &str, number| {
        rustix::fs::mknodat(CWD, up.join(name), FileType::CharacterDevice, Mode::RUSR, number)
            .unwrap();
    };
    let xattr = |name: &str, attribute: &str, value: &str| {
        rustix::fs::setxattr(up.join(name), attribute, value.as_bytes(), XattrFlags::empty())
            .unwrap();
    };
    fs::create_dir_all(up.join("z/sub")).unwrap();
    fs::write(up.join("z/sub/f"), "text").unwrap();
    fs::hard_link(up.join("z/sub/f"), up.join("a")).unwrap();
    symlink("a", up.join("link")).unwrap();
    device("z/gone", 0);
    device("real", rustix::fs::makedev(1, 3));
    // The kernel gives all whiteouts one inode.
    fs::hard_link(up.join("z/gone"), up.join("gone")).unwrap();
    fs::write(up.join("z/too"), "").unwrap();
    xattr("z/too", "trusted.overlay.whiteout", "y");
    xattr("z", "trusted.overlay.opaque", "x");
    xattr("z/sub", "trusted.overlay.opaque", "y");
    xattr("z/sub", "trusted.overlay.origin", "somewhere");
    xattr("z/sub/f", "trusted.overlay.overlay.kept", "k");
    xattr("z/sub/f", "user.own", "o");
    drop(std::os::unix::net::UnixListener::bind(up.join("socket")).unwrap());

    let directory = File::open(up).unwrap();
    let (tar, sockets) = write_layer(directory.as_fd(), Marks::Trusted, Vec::new()).unwrap();
    assert_eq!(sockets, 1);
    let (mut shown, mut parser, mut rest) = (String::new(), Parser::new(), &tar[..]);
    while let Some(event) = parser.next(&mut rest).unwrap() {
        let Event::Entry(entry) = event else { continue };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (path, kind) = (text(&entry.path), entry.kind);
        shown += &format!("{path} {kind:?} {:o} {}", entry.mode, text(&entry.link_target));
        for (name, value) in &entry.xattrs {
            shown += &format!(" {}={}", text(name), text(value));
        }
        shown += "\n";
    }
    expect![[r"
        a File 644  trusted.overlay.kept=k user.own=o
        .wh.gone File 600 
        link Symlink 777 a
        real CharacterDevice 400 
        z Directory 755 
        z/.wh.gone File 600 
        z/sub Directory 755 
        z/sub/.wh..wh..opq File 755 
        z/sub/f HardLink 644 a
        z/.wh.too File 600 
    "]]
    .assert_eq(&shown);
}

#[test]
fn what_a_layer_cannot_say_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("d/.wh.x"), "precious").unwrap();
    let error = layer_of(dir.path(), Marks::User).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the name of `/d/.wh.x` would be taken for a whiteout in a layer"
    );
    assert_eq!(error.kind(), Kind::Unsupported);
    fs::remove_file(dir.path().join("d/.wh.x")).unwrap();
    let redirect = "user.overlay.redirect";
    let set = rustix::fs::setxattr(dir.path().join("d"), redirect, b"/a", XattrFlags::empty());
    if set.is_err() {
        return kernel::skip("user attributes", "not kept here");
    }
    let error = layer_of(dir.path(), Marks::User).unwrap_err();
    assert_eq!(error.to_string(), "`/d` has the attribute redirect: not all of it is here");
    // With the other prefix it is the user's.
    let tree = Layer::of(&layer_of(dir.path(), Marks::Trusted).unwrap()).tree;
    assert_eq!(tree.inode(tree.lookup(b"d").unwrap()).xattrs.len(), 1);
}

#[test]
fn deep_uppers_are_read_as_far_as_paths_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut at = File::open(dir.path()).unwrap();
    let mut enter = |count| {
        for _ in 0..count {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            let flags = rustix::fs::OFlags::DIRECTORY;
            at = rustix::fs::openat(&at, "d", flags, Mode::empty()).unwrap().into();
        }
    };
    enter(2000);
    let layer = Layer::of(&layer_of(dir.path(), Marks::Trusted).unwrap());
    assert_eq!(layer.tree.inode_count(), 2001);
    enter(100);
    let error = layer_of(dir.path(), Marks::Trusted).unwrap_err();
    assert_eq!(error.kind(), Kind::Exhausted, "{error}");
}

#[test]
fn empty_upper_is_an_empty_layer() {
    let dir = tempfile::tempdir().unwrap();
    let tar = layer_of(dir.path(), Marks::Trusted).unwrap();
    assert_eq!(tar, [0; 1024]);
    assert!(Layer::of(&tar).tree.children(Tree::ROOT).next().is_none());
}

/// A build's layers must not tell when they were made, and what runs over them must.
#[test]
fn what_is_later_than_the_last_time_allowed_gets_that_one_and_its_own_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let up = dir.path();
    fs::create_dir(up.join("d")).unwrap();
    for (name, seconds, nanoseconds) in
        [("d/late", 200, 5), ("d/early", 50, 0), ("d/exact", 100, 0), ("d/within", 50, 7)]
    {
        fs::write(up.join(name), name).unwrap();
        let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, up.join(name), &times, rustix::fs::AtFlags::empty()).unwrap();
    }
    fs::hard_link(up.join("d/late"), up.join("late-too")).unwrap();
    let time = rustix::fs::Timespec { tv_sec: 300, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, up.join("d"), &times, rustix::fs::AtFlags::empty()).unwrap();

    let directory = File::open(up).unwrap();
    let written = |times| {
        let written =
            write_layer_with(directory.as_fd(), Marks::Trusted, times, Vec::new()).unwrap();
        let (mut shown, mut parser, mut rest) = (String::new(), Parser::new(), &written.target[..]);
        while let Some(event) = parser.next(&mut rest).unwrap() {
            let Event::Entry(entry) = event else { continue };
            let path = String::from_utf8(entry.path.clone()).unwrap();
            let real = written.real_times.get(path.trim_end_matches('/').as_bytes());
            let real = real.map(|time| format!(" really {}.{}", time.seconds, time.nanoseconds));
            shown += &format!("{path} {}{}\n", entry.mtime.seconds, real.unwrap_or_default());
        }
        shown
    };
    let latest = Time { seconds: 100, nanoseconds: 0 };
    let (nothing, besides) =
        (BTreeSet::new(), BTreeSet::from([Time { seconds: 50, nanoseconds: 7 }]));
    expect![[r"
        d 100 really 300.0
        d/early 50
        d/exact 100
        d/late 100 really 200.5
        d/within 50 really 50.7
        late-too 100 really 200.5
    "]]
    .assert_eq(&written(Times::Until { latest, besides: &nothing }));
    let shown = written(Times::Until { latest, besides: &besides });
    assert!(shown.contains("d/early 50\n"), "{shown}");
    assert!(shown.contains("d/within 100 really 50.7\n"), "{shown}");
    expect![[r"
        d 300
        d/early 50
        d/exact 100
        d/late 200 really 200.5
        d/within 50 really 50.7
        late-too 200 really 200.5
    "]]
    .assert_eq(&written(Times::Own));
}
