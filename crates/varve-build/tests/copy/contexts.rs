//! Directories of the host as contexts.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
    },
};

use expect_test::expect;
use tempfile::TempDir;

use crate::Case;

/// A directory with something of each kind.
fn context() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fs::create_dir_all(path.join("src/deep")).unwrap();
    let files =
        [("src/a", 0o640), ("src/deep/b.txt", 0o755), ("top", 0o600), ("src/c.txt", 0o4755)];
    for (name, mode) in files {
        fs::write(path.join(name), name).unwrap();
        fs::set_permissions(path.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    for name in ["src", "src/deep"] {
        fs::set_permissions(path.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    symlink("deep/b.txt", path.join("src/link")).unwrap();
    symlink("src/deep", path.join("to-deep")).unwrap();
    symlink("/etc/passwd", path.join("out")).unwrap();
    UnixListener::bind(path.join("socket")).unwrap();
    directory
}

#[test]
fn a_context_is_copied_without_its_sockets_owners_and_times() {
    let context = context();
    Case::new("COPY . /").context(context.path()).gives(expect![[r#"
        l out -> /etc/passwd
        d src
        f 640 src/a = src/a
        f 4755 src/c.txt = src/c.txt
        d src/deep
        f 755 src/deep/b.txt = src/deep/b.txt
        l src/link -> deep/b.txt
        l to-deep -> src/deep
        f 600 top = top
    "#]]);
}

#[test]
fn a_link_out_of_the_context_leads_nowhere() {
    let context = context();
    Case::new("COPY out /x").context(context.path()).gives(expect![[r#"
        error: "/out": not found
    "#]]);
    Case::new("COPY ../../etc/passwd /x").context(context.path()).gives(expect![[r#"
        error: "/etc/passwd": not found
    "#]]);
}

#[test]
fn links_inside_are_followed_where_they_are_named() {
    let context = context();
    Case::new("COPY to-deep/b.txt src/link /x/").context(context.path()).gives(expect![[r#"
        d x
        f 755 x/b.txt = src/deep/b.txt
        f 755 x/link = src/deep/b.txt
    "#]]);
    Case::new("COPY to-deep /x/").context(context.path()).gives(expect![[r#"
        d x
        f 755 x/b.txt = src/deep/b.txt
    "#]]);
}

#[test]
fn what_is_ignored_is_not_there() {
    let context = context();
    let case = || Case { ignore: "src\n!src/deep\n", ..Case::new("COPY . /") };
    case().context(context.path()).gives(expect![[r#"
        l out -> /etc/passwd
        d src
        d src/deep
        f 755 src/deep/b.txt = src/deep/b.txt
        l to-deep -> src/deep
        f 600 top = top
    "#]]);
    let case = || Case { ignore: "top\n", ..Case::new("COPY top /") };
    case().context(context.path()).gives(expect![[r#"
        error: "/top": not found
    "#]]);
}

#[test]
fn equal_contexts_have_equal_contents_whatever_their_times() {
    let (one, other) = (context(), context());
    let old = std::time::SystemTime::UNIX_EPOCH;
    let top = fs::File::options().write(true).open(other.path().join("top")).unwrap();
    top.set_modified(old).unwrap();
    let make = |context: &TempDir| Case::new("COPY . /").context(context.path()).make().unwrap();
    let (made, again) = (make(&one), make(&other));
    assert_eq!((made.contents, &made.tar), (again.contents, &again.tar));
    assert_eq!(again.real_times[b"top".as_slice()].seconds, 0);
    fs::write(other.path().join("top"), "TOP").unwrap();
    assert_ne!(make(&other).contents, made.contents);
}
