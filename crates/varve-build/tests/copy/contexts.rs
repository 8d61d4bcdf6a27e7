//! Directories of the host, and tars, as contexts.

use std::{
    fs,
    io::Read as _,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::Path,
    sync::Arc,
};

use expect_test::expect;
use tempfile::TempDir;
use varve_build::{
    Ignore,
    solve::{Context, ContextRequest, Files, TarFiles},
};
use varve_fs::{root::Root, tar::Time};
use varve_testkit::guard;
use varve_types::Digest;

use crate::{Case, Tree, case::shown};

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

/// What is in a context that is a tar, in the form of [`Case::gives`], of the whole.
fn from_tar(tar: &[u8], ignore: &str) -> Result<String, String> {
    let ignore = Ignore::parse(ignore.as_bytes()).unwrap();
    let files = TarFiles::read(tar, tempfile::tempfile().unwrap(), &ignore);
    let files: Arc<dyn Files> = Arc::new(files.map_err(|error| error.to_string())?);
    let case = Case { files: Some(files), ..Case::new("COPY . /to/") };
    Ok(shown(&case.make().unwrap().tar))
}

#[test]
fn a_tar_is_a_context_with_the_files_of_root() {
    let tree = Tree("d 700 5:6 a\nf 5:6 @9 +user.x=y a/f = x\nh a/g -> a/f\nl a/l -> f\np a/p");
    expect![[r#"
        d to
        d 700 to/a
        f to/a/f = x
        f to/a/g = x
        l to/a/l -> f
        p to/a/p
    "#]]
    .assert_eq(&from_tar(&tree.tar(), "").unwrap());
    expect![[r#"
        d to
        d 700 to/a
        f to/a/g = x
        l to/a/l -> f
    "#]]
    .assert_eq(&from_tar(&tree.tar(), "a/[fp]\n").unwrap());
}

#[test]
fn a_compressed_tar_is_a_context() {
    let Some(program) = guard::tool("gzip") else { return };
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a"), Tree("f x = 1").tar()).unwrap();
    let plain = fs::File::open(directory.path().join("a")).unwrap();
    let packed = std::process::Command::new(program).arg("-c").stdin(plain).output().unwrap();
    assert_eq!(from_tar(&packed.stdout, "").unwrap(), "d to\nf to/x = 1\n");
}

#[test]
fn a_tar_that_is_none_is_refused_as_a_context() {
    assert!(from_tar(&[b'x'; 2000], "").is_err());
    assert!(from_tar(&Tree("f .wh.x").tar(), "").unwrap_err().contains("hide"));
    let mut cut = Tree("f x = 1").tar();
    cut.truncate(512);
    assert!(from_tar(&cut, "").is_err());
}

/// A context with a file to remember digests in.
fn open(directory: &Path, hashes: &Path, now: i64) -> Context {
    let ignore = Ignore::parse(b"").unwrap();
    let now = Time { seconds: now, nanoseconds: 0 };
    let (shown, hashes) = (directory, Some(hashes));
    let request = ContextRequest { shown, ignore: &ignore, paths: None, hashes, now };
    Context::open(Root::open(directory).unwrap(), &request).unwrap()
}

/// Long after anything here was written.
const LATER: i64 = 1 << 40;

#[test]
fn a_digest_is_remembered_for_a_file_that_has_not_changed() {
    let (context, memory) = (context(), tempfile::tempdir().unwrap());
    let hashes = memory.path().join("hashes");
    let first = open(context.path(), &hashes, LATER);
    let digest = first.digest("top").unwrap();
    assert_eq!(digest, Digest::of(b"top"));
    first.remember(&hashes).unwrap();
    let again = open(context.path(), &hashes, LATER);
    // It is not read: what is not there any more cannot be.
    fs::remove_file(context.path().join("top")).unwrap();
    assert_eq!(again.digest("top").unwrap(), digest);
    assert!(again.digest("src/a").is_ok());
}

#[test]
fn a_digest_is_not_remembered_for_a_file_that_changed() {
    let (context, memory) = (context(), tempfile::tempdir().unwrap());
    let hashes = memory.path().join("hashes");
    let first = open(context.path(), &hashes, LATER);
    first.digest("top").unwrap();
    first.remember(&hashes).unwrap();
    let file = fs::File::options().write(true).open(context.path().join("top")).unwrap();
    let times = file.metadata().unwrap().modified().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"TOP", 0).unwrap();
    // Same size and time: the time of the change tells.
    file.set_modified(times).unwrap();
    assert_eq!(open(context.path(), &hashes, LATER).digest("top").unwrap(), Digest::of(b"TOP"));
}

#[test]
fn nothing_is_remembered_of_files_written_just_now() {
    let (context, memory) = (context(), tempfile::tempdir().unwrap());
    let hashes = memory.path().join("hashes");
    let written = fs::metadata(context.path().join("top")).unwrap();
    let first = open(context.path(), &hashes, std::os::unix::fs::MetadataExt::mtime(&written) + 1);
    first.digest("top").unwrap();
    first.remember(&hashes).unwrap();
    assert!(!hashes.exists());
}

#[test]
fn a_memory_that_is_damaged_is_forgotten() {
    let (context, memory) = (context(), tempfile::tempdir().unwrap());
    let hashes = memory.path().join("hashes");
    let first = open(context.path(), &hashes, LATER);
    first.digest("top").unwrap();
    first.remember(&hashes).unwrap();
    let whole = fs::read(&hashes).unwrap();
    for place in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        fs::write(&hashes, &damaged).unwrap();
        assert_eq!(open(context.path(), &hashes, LATER).digest("top").unwrap(), Digest::of(b"top"));
    }
    fs::write(&hashes, &whole[..whole.len() / 2]).unwrap();
    let again = open(context.path(), &hashes, LATER);
    assert_eq!(again.digest("top").unwrap(), Digest::of(b"top"));
    again.remember(&hashes).unwrap();
    assert_eq!(fs::read(&hashes).unwrap(), whole);
}

/// Bytes of a file that is too large to be held in memory.
const LARGE: usize = 100_000;

#[test]
fn a_file_that_changes_after_it_was_hashed_is_an_error() {
    let (context, memory) = (context(), tempfile::tempdir().unwrap());
    let path = context.path().join("large");
    fs::write(&path, vec![b'a'; LARGE]).unwrap();
    let files = open(context.path(), &memory.path().join("hashes"), LATER);
    files.digest("large").unwrap();
    for changed in [vec![b'b'; LARGE], vec![b'a'; LARGE / 2]] {
        fs::write(&path, changed).unwrap();
        let mut bytes = Vec::new();
        let error = files.open("large").unwrap().read_to_end(&mut bytes).unwrap_err();
        assert_eq!(error.to_string(), "it has changed meanwhile");
    }
}

#[test]
fn a_file_that_becomes_longer_is_copied_as_it_was() {
    let (context, memory) = (context(), tempfile::tempdir().unwrap());
    let path = context.path().join("large");
    fs::write(&path, vec![b'a'; LARGE]).unwrap();
    let files = open(context.path(), &memory.path().join("hashes"), LATER);
    let digest = files.digest("large").unwrap();
    fs::write(&path, vec![b'a'; LARGE * 2]).unwrap();
    let mut bytes = Vec::new();
    let mut reader = files.open("large").unwrap();
    reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
    assert_eq!((bytes.len(), Digest::of(&bytes)), (LARGE, digest));
}

#[test]
fn a_small_file_is_copied_as_it_was_hashed_whatever_becomes_of_it() {
    let (context, memory) = (context(), tempfile::tempdir().unwrap());
    let files = open(context.path(), &memory.path().join("hashes"), LATER);
    files.digest("top").unwrap();
    fs::write(context.path().join("top"), "TOP").unwrap();
    let mut text = String::new();
    files.open("top").unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "top");
    // Once; after that, it is read again.
    assert!(files.open("top").unwrap().read_to_string(&mut text).is_err());
}

#[test]
fn what_cannot_be_read_is_named_in_dockers_words() {
    let context = context();
    let files = open(context.path(), Path::new("/nonexistent/hashes"), LATER);
    fs::remove_file(context.path().join("top")).unwrap();
    let error = files.digest("top").unwrap_err().to_string();
    let expected = format!(
        "error from sender: open {}/top: no such file or directory",
        context.path().display()
    );
    assert_eq!(error, expected);
}

#[test]
fn a_file_that_may_not_be_read_is_an_error_only_if_it_is_taken() {
    if !guard::not_root() {
        return;
    }
    let context = context();
    let secret = context.path().join("secret");
    fs::write(&secret, "x").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    Case::new("COPY . /").context(context.path()).gives(expect![[r#"
        error: error from sender: open CONTEXT/secret: permission denied
    "#]]);
    Case::new("COPY top /").context(context.path()).make().unwrap();
}

#[test]
fn only_what_steps_take_is_looked_at() {
    let context = context();
    let find = |paths: &[&str]| {
        let ignore = Ignore::parse(b"").unwrap();
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        let now = Time { seconds: LATER, nanoseconds: 0 };
        let (shown, paths) = (context.path(), Some(paths.as_slice()));
        let request = ContextRequest { shown, ignore: &ignore, paths, hashes: None, now };
        let files = Context::open(Root::open(shown).unwrap(), &request).unwrap();
        files.listing().iter().map(|(path, _)| path.to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(find(&["/top"]), "top");
    assert_eq!(find(&["/nosuch", "/top/x"]), "");
    assert_eq!(find(&["/src/*.txt"]), "src src/c.txt");
    assert_eq!(find(&["/src/deep"]), "src src/deep src/deep/b.txt");
    assert_eq!(find(&["/src/l*"]), "src src/deep src/deep/b.txt src/link");
    assert_eq!(find(&["/to-deep"]), "src src/deep src/deep/b.txt to-deep");
    assert_eq!(find(&["/to-deep/*.txt"]), "src src/deep src/deep/b.txt to-deep");
    assert_eq!(find(&["/src/**/b.txt"]).split(' ').count(), 6);
    assert_eq!(find(&["/*/b.txt"]), "src");
    assert_eq!(find(&["/out"]), "out");
}

#[test]
fn links_of_a_context_that_lead_to_each_other_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    symlink("b", directory.path().join("a")).unwrap();
    symlink("a", directory.path().join("b")).unwrap();
    Case::new("COPY a /x").context(directory.path()).gives(expect![[r#"
        error: "/a": too many levels of symbolic links
    "#]]);
    Case::new("COPY . /x").context(directory.path()).gives(expect![[r#"
        d x
        l x/a -> b
        l x/b -> a
    "#]]);
}
