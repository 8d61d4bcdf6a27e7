//! `ADD`: archives that are unpacked, files that are fetched, documents.

use std::{
    fs,
    io::Read,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use expect_test::expect;
use tempfile::TempDir;
use varve_build::{
    select::{EntryKind, Listing},
    solve::{Fault, FileKind, FileStatus, Files},
};
use varve_testkit::guard;
use varve_types::Digest;

use crate::{Case, Tree, case::shown};

const ARCHIVE: &str = "
    d 700 5:6 @7 dir
    f 640 5:6 @8 +user.a=b dir/file = one
    h dir/other -> dir/file
    l dir/link -> file
    f implied/deep/x = two
    p pipe
    f @3000000 late = late
";

fn with(name: &str, bytes: &[u8]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    directory
}

fn unpack(text: &str, archive: &'static str, base: &'static str) -> Result<String, String> {
    let context = with("a.tar", &Tree(archive).tar());
    let made = Case::new(text).base(base).context(context.path()).make();
    made.map(|made| shown(&made.tar)).map_err(|error| error.to_string())
}

#[test]
fn an_archive_is_unpacked_with_its_owners_modes_times_and_attributes() {
    let context = with("a.tar", &Tree(ARCHIVE).tar());
    Case::new("ADD a.tar /x").context(context.path()).gives(expect![[r#"
        d x
        d 700 5:6 @7 x/dir
        l @0 x/dir/link -> file
        d x/implied
        d x/implied/deep
        p @0 x/pipe
        f 640 5:6 @8 +user.a=b x/dir/file = one
        f @0 x/implied/deep/x = two
        f x/late = late
        h 640 5:6 @8 x/dir/other -> x/dir/file
    "#]]);
}

#[test]
fn the_owner_that_is_asked_for_owns_what_is_unpacked() {
    let context = with("a.tar", &Tree("d 700 5:6 dir\nf 5:6 implied/x = 1").tar());
    Case::new("ADD --chown=7:8 --chmod=777 a.tar /x/").context(context.path()).gives(expect![[
        r#"
        d 7:8 x
        d 700 7:8 @0 x/dir
        d 7:8 x/implied
        f 7:8 @0 x/implied/x = 1
    "#
    ]]);
}

#[test]
fn copy_unpacks_nothing_and_neither_does_add_when_told() {
    let tar = Tree("f x = 1").tar();
    let context = with("a.tar", &tar);
    for text in ["COPY a.tar /a", "ADD --unpack=false a.tar /a"] {
        let made = Case::new(text).context(context.path()).make().unwrap();
        assert!(made.tar.windows(tar.len()).any(|window| window == tar), "{text}");
    }
}

#[test]
fn what_is_no_archive_is_copied() {
    let zeros = [0; 1024];
    for (name, bytes) in [("text", b"plain".as_slice()), ("empty", b""), ("zeros", &zeros)] {
        let context = with(name, bytes);
        let text = format!("ADD {name} /to");
        let made = Case::new(&text).context(context.path()).make().unwrap();
        let text = String::from_utf8_lossy(bytes);
        let text = if text.is_empty() { String::new() } else { format!(" = {text}") };
        assert_eq!(shown(&made.tar), format!("f to{text}\n"));
    }
}

#[test]
fn every_compression_is_unpacked() {
    let tools =
        [("gzip", &["-c"][..]), ("bzip2", &["-c"]), ("xz", &["-c"]), ("zstd", &["-c", "-q"])];
    for (tool, arguments) in tools {
        let Some(program) = guard::tool(tool) else { continue };
        let context = with("plain", &Tree("f x = 1").tar());
        let plain = fs::File::open(context.path().join("plain")).unwrap();
        let packed = Command::new(program).args(arguments).stdin(plain).output().unwrap();
        assert!(packed.status.success(), "{tool}");
        let context = with("a", &packed.stdout);
        let made = Case::new("ADD a /to/").context(context.path()).make().unwrap();
        assert_eq!(shown(&made.tar), "d to\nf @0 to/x = 1\n", "{tool}");
    }
}

#[test]
fn a_compressed_text_is_copied_as_it_is() {
    let Some(program) = guard::tool("gzip") else { return };
    let context = with("plain", b"no archive");
    let plain = fs::File::open(context.path().join("plain")).unwrap();
    let packed = Command::new(program).args(["-cn"]).stdin(plain).output().unwrap().stdout;
    let context = with("a.gz", &packed);
    let made = Case::new("ADD a.gz /to").context(context.path()).make().unwrap();
    assert!(made.tar.windows(packed.len()).any(|window| window == packed));
}

#[test]
fn a_damaged_archive_is_refused() {
    let mut tar = Tree("f x = 1\nf y = 2").tar();
    tar.truncate(1300);
    let context = with("a.tar", &tar);
    Case::new("ADD a.tar /x").context(context.path()).gives(expect![[r#"
        error: cannot unpack `/a.tar`
          unexpected EOF (at byte 1300, last entry `x`)
          unexpected EOF
    "#]]);
}

#[test]
fn an_archive_replaces_what_is_in_its_way() {
    let base = "d x\nd x/dir\nf x/dir/old = old\nf x/file = f\nl x/link -> dir";
    let shown = unpack("ADD a.tar /x", "f dir = new\nd file\nf file/in = i\nd link", base);
    expect![[r#"
        d @0 x
        d @0 x/file
        d @0 x/link
        f @0 x/dir = new
        f @0 x/file/in = i
    "#]]
    .assert_eq(&shown.unwrap());
}

#[test]
fn a_directory_that_was_replaced_and_comes_back_is_empty() {
    let base = "d x\nd x/dir\nf x/dir/old = old";
    let context = with("a.tar", &Tree("f dir = file").tar());
    fs::write(context.path().join("b.tar"), Tree("d dir\nf dir/new = new").tar()).unwrap();
    Case::new("ADD a.tar b.tar /x/").base(base).context(context.path()).gives(expect![[r#"
        d @0 x
        d @0 x/dir
        f 600 @0 x/dir/.wh..wh..opq
        f @0 x/dir/new = new
    "#]]);
}

#[test]
fn directories_that_an_archive_does_not_name_are_where_links_lead() {
    let base = "d x\nl x/lib -> usr/lib\nd x/usr\nd 711 x/usr/lib\nl x/up -> ../../..";
    let shown = unpack("ADD a.tar /x", "f lib/one = 1\nf up/two = 2", base);
    expect![[r#"
        d @0 x
        d @0 x/usr
        d 711 @0 x/usr/lib
        f @0 x/usr/lib/one = 1
        f @0 x/two = 2
    "#]]
    .assert_eq(&shown.unwrap());
}

#[test]
fn names_that_leave_the_archive_are_refused() {
    let error = unpack("ADD a.tar /x", "f fine = 1\nf ../../out = 1", "d x").unwrap_err();
    assert_eq!(error, "cannot unpack `/a.tar`");
}

#[test]
fn whiteouts_of_an_archive_are_refused() {
    for archive in ["f dir/.wh.x", "f dir/.wh..wh..opq"] {
        let error = unpack("ADD a.tar /x", archive, "d x").unwrap_err();
        assert!(error.contains("would hide another file"), "{error}");
    }
}

#[test]
fn gnu_tars_of_sparse_files_and_long_names_are_unpacked() {
    let Some(program) = guard::tool("tar") else { return };
    for format in ["gnu", "posix"] {
        let directory = tempfile::tempdir().unwrap();
        let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
        fs::create_dir(directory.path().join("d".repeat(120))).unwrap();
        fs::write(directory.path().join(&long), "long").unwrap();
        let sparse = fs::File::create(directory.path().join("sparse")).unwrap();
        sparse.set_len(300_000).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"middle", 200_000).unwrap();
        let archive = directory.path().join("a.tar");
        let done = Command::new(&program)
            .args(["-S", "--format", format, "-cf"])
            .arg(&archive)
            .arg("-C")
            .arg(directory.path())
            .args(["sparse", &long])
            .status();
        assert!(done.unwrap().success());
        let context = with("a.tar", &fs::read(&archive).unwrap());
        let made = Case::new("ADD a.tar /x").context(context.path()).make().unwrap();
        let out = tempfile::tempdir().unwrap();
        extract(&program, &made.tar, out.path());
        assert_eq!(fs::read(out.path().join("x").join(&long)).unwrap(), b"long");
        let mut expected = vec![0; 300_000];
        expected[200_000..200_006].copy_from_slice(b"middle");
        assert_eq!(fs::read(out.path().join("x/sparse")).unwrap(), expected, "{format}");
    }
}

fn extract(program: &Path, tar: &[u8], to: &Path) {
    fs::write(to.join("layer.tar"), tar).unwrap();
    let done =
        Command::new(program).arg("-xf").arg(to.join("layer.tar")).arg("-C").arg(to).status();
    assert!(done.unwrap().success());
}

#[test]
fn a_fetched_file_is_named_as_it_was_or_as_it_is_asked_for() {
    Case::new("ADD http://example.com/dir/file.bin /to").gives(expect![[r#"
        f 600 to = fetched
    "#]]);
    Case::new("ADD --chmod=755 http://example.com/dir/file.bin /to/").gives(expect![[r#"
        d to
        f 755 to/file.bin = fetched
    "#]]);
}

#[test]
fn documents_are_files() {
    Case::new("COPY <<one <<two /to/\nfirst\none\nsecond\ntwo").gives(expect![[r#"
        d to
        f to/one = first

        f to/two = second

    "#]]);
    Case::new("COPY <<EOF /to\nalone\nEOF").gives(expect![[r#"
        f to = alone

    "#]]);
}

/// A context with one archive, which becomes another one once it was read for its tree.
struct Changing {
    listing: Listing,
    opened: AtomicUsize,
    archives: [Vec<u8>; 2],
}

impl Files for Changing {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn status(&self, _: &str) -> Result<FileStatus, Fault> {
        Ok(FileStatus::of(FileKind::File(self.archives[0].len() as u64)))
    }

    fn open(&self, _: &str) -> Result<Box<dyn Read + Send + '_>, Fault> {
        // The first time it is looked whether it is an archive.
        let is_later = self.opened.fetch_add(1, Ordering::Relaxed) >= 2;
        Ok(Box::new(&self.archives[usize::from(is_later)][..]))
    }

    fn digest(&self, _: &str) -> Result<Digest, Fault> {
        Ok(Digest::of(&self.archives[0]))
    }
}

#[test]
fn an_archive_that_has_changed_meanwhile_is_an_error_and_loses_nothing() {
    let tar = |text| Tree(text).tar();
    for later in ["f a = one", "f b = two\nf a = one", "d a\nd b"] {
        let files = Changing {
            listing: [("a.tar".to_owned(), EntryKind::File)].into_iter().collect(),
            opened: AtomicUsize::new(0),
            archives: [tar("f a = one\nf long = 1234567890\nf b = two"), tar(later)],
        };
        let files: Option<Arc<dyn Files>> = Some(Arc::new(files));
        let error = Case { files, ..Case::new("ADD a.tar /x/") }.make().unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.starts_with("it has "), "{later}: {error}: {cause}");
    }
}
