//! What a layer's tree is after all its entries.

use expect_test::{Expect, expect};

use super::{
    raw::{DEVICE, MODE, Raw},
    shown,
};

#[track_caller]
fn check(tar: Raw, expected: Expect) {
    expected.assert_eq(&shown::layer(&tar.end()));
}

#[test]
fn last_entry_of_a_name_wins_and_is_counted_once() {
    let tar = Raw::new()
        .file("a", b"first")
        .file("./a", b"second one")
        .link(b'2', "b", "gone")
        .link(b'2', "b", "kept text");
    check(
        tar,
        expect![[r"
        a file 10@1536
        b -> kept text
        2 entries, 19 bytes
    "]],
    );
}

#[test]
fn file_replaces_a_directory_with_all_in_it_and_the_reverse() {
    let tar = Raw::new()
        .directory("d")
        .file("d/e/f", b"gone")
        .file("d", b"now a file")
        .file("f", b"gone")
        .directory("f")
        .file("f/x", b"x")
        .directory("f");
    check(
        tar,
        expect![[r"
        d file 10@2048
        f dir
        f/x file 1@4608
        3 entries, 11 bytes
    "]],
    );
}

#[test]
fn directories_left_out_are_implied_until_they_come() {
    let tar = Raw::new().file("a/b/c", b"").file("x/y", b"").directory("x").directory("./");
    check(
        tar,
        expect![[r"
        a dir implied
        a/b dir implied
        a/b/c file 0@512
        x dir
        x/y file 0@1024
        5 entries, 0 bytes
    "]],
    );
}

#[test]
fn hard_links_are_names_of_one_inode() {
    let tar = Raw::new()
        .file("a", b"12345")
        .link(b'1', "b", "/a")
        .link(b'1', "c", "b")
        .file("a", b"new")
        .link(b'2', "s", "b")
        .link(b'1', "t", "s");
    check(
        tar,
        expect![[r"
        a file 3@2560
        b file 5@512 links 2
        c file 5@512 links 2
        s -> b links 2
        t -> b links 2
        5 entries, 9 bytes
    "]],
    );
}

#[test]
fn hard_link_to_what_is_not_here_is_foreign_unless_it_comes_later() {
    let tar = Raw::new()
        .link(b'1', "a", "lower/file")
        .link(b'1', "b", "a")
        .link(b'1', "c", "later")
        .file("later", b"now")
        .link(b'1', "self", "self");
    check(
        tar,
        expect![[r"
        a link to lower/file links 2
        b link to lower/file links 2
        c file 3@2048 links 2
        later file 3@2048 links 2
        self link to self
        5 entries, 3 bytes
    "]],
    );
}

#[test]
fn whiteouts_hide_what_is_below_and_never_what_is_here() {
    let tar = Raw::new()
        .file(".wh.gone", b"")
        .file("d/.wh.gone", b"")
        .file("here", b"first")
        .file(".wh.here", b"")
        .file(".wh.back", b"")
        .file("back", b"again")
        .file(".wh.dir", b"")
        .directory("dir")
        .file("dir/x", b"")
        .file(".wh.implied", b"")
        .file("implied/x", b"")
        .directory("late")
        .file(".wh.late", b"");
    check(
        tar,
        expect![[r"
        back file 5@3584
        d dir implied
        d/gone whiteout
        dir dir opaque
        dir/x file 0@5632
        gone whiteout
        here file 5@1536
        implied dir opaque implied
        implied/x file 0@6656
        late dir opaque
        10 entries, 10 bytes
    "]],
    );
}

#[test]
fn opaque_marker_may_come_before_or_after_its_directory() {
    let tar = Raw::new()
        .file("a/.wh..wh..opq", b"")
        .directory("a")
        .directory("b")
        .file("b/.wh..wh..opq", b"")
        .file(".wh..wh..opq", b"");
    check(
        tar,
        expect![[r"
        a dir opaque
        b dir opaque
        root opaque
        2 entries, 0 bytes
    "]],
    );
}

#[test]
fn notes_of_the_aufs_driver_are_dropped_but_its_links_hold() {
    let tar = Raw::new()
        .directory(".wh..wh.plnk")
        .file(".wh..wh.plnk/123.456", b"linked")
        .file(".wh..wh.aufs", b"")
        .directory(".wh..wh.orph")
        .link(b'1', "a", ".wh..wh.plnk/123.456")
        .link(b'1', "b", ".wh..wh.plnk/123.456");
    check(
        tar,
        expect![[r"
        a file 6@1024 links 2
        b file 6@1024 links 2
        2 entries, 6 bytes
    "]],
    );
}

#[test]
fn symbolic_links_on_the_way_lead_within_the_layer() {
    let tar = Raw::new()
        .directory("usr/lib")
        .link(b'2', "lib", "usr/lib")
        .file("lib/a", b"a")
        .link(b'2', "usr/up", "../../../../new/place")
        .file("usr/up/b", b"b")
        .link(b'2', "root", "/")
        .file("root/c", b"c")
        .link(b'1', "d", "lib/a");
    check(
        tar,
        expect![[r"
        c file 1@4608
        d file 1@1536 links 2
        lib -> usr/lib
        new dir implied
        new/place dir implied
        new/place/b file 1@3072
        root -> /
        usr dir implied
        usr/lib dir
        usr/lib/a file 1@1536 links 2
        usr/up -> ../../../../new/place
        11 entries, 32 bytes
    "]],
    );
}

#[test]
fn places_that_cannot_be_are_refused() {
    check(
        Raw::new().file("a", b"").file("a/b", b""),
        expect![[r"
            error: `a` is not a directory, but something lies in it (at byte 512, last entry `a/b`)
        "]],
    );
    check(
        Raw::new().file("./", b"x"),
        expect![[r"
            error: `/` is not a directory, but something lies in it (at byte 0, last entry `/`)
        "]],
    );
    let round = Raw::new().link(b'2', "a", "b").link(b'2', "b", "a").file("a/x", b"");
    check(
        round,
        expect![[r"
            error: too many levels of symbolic links in `a/x` (at byte 1024, last entry `a/x`)
        "]],
    );
    check(
        Raw::new().directory("d").link(b'1', "h", "d"),
        expect![[r"
            error: hard link `h` points at the directory `d` (at byte 512, last entry `h`)
        "]],
    );
    check(
        Raw::new().link(b'1', "h", "./"),
        expect![[r"
            error: hard link `h` points at the directory `` (at byte 0, last entry `h`)
        "]],
    );
    check(
        Raw::new().file("d/.wh...", b""),
        expect![[r"
            error: path `d/.wh...` leaves the root of the archive (at byte 0, last entry `d/.wh...`)
        "]],
    );
    check(
        Raw::new().file("d/.wh.", b""),
        expect![[r"
            error: path `d/.wh.` leaves the root of the archive (at byte 0, last entry `d/.wh.`)
        "]],
    );
}

#[test]
fn links_cannot_blow_a_layer_up() {
    let deep = "d/".repeat(1000);
    // Each round goes through a link to where the last one ended.
    let tar = (0..3).fold(Raw::new(), |tar, round| {
        let here = "link".repeat(round);
        let path = format!("{here}/{deep}x");
        let target = format!("{here}/{deep}");
        tar.pax(&[("path", path.as_bytes())])
            .file("x", b"")
            .pax(&[("linkpath", target.as_bytes())])
            .link(b'2', &"link".repeat(round + 1), "x")
    });
    check(
        tar,
        expect![[r"
            error: bytes of a path: more than 4096 (at byte 14848, last entry `linklink/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d…`)
        "]],
    );
    // A link of many parts, gone through by each entry.
    let long = "./d/../".repeat(500) + "d";
    let first = Raw::new().directory("d").pax(&[("linkpath", long.as_bytes())]);
    let tar = (0..9_000).fold(first.link(b'2', "link", "x"), |tar, _| tar.file("link/x", b""));
    check(
        tar,
        expect![[r"
            error: parts of symbolic links to follow: more than 8388608 (at byte 4296192, last entry `link/x`)
        "]],
    );
    // A record that lists many long paths.
    let deep = "d/".repeat(2000);
    let tar = (0..7).fold(Raw::new(), |tar, round| {
        let path = format!("{round}/{deep}x");
        tar.pax(&[("path", path.as_bytes())]).file("x", b"")
    });
    check(
        tar,
        expect![[r"
        error: bytes of a layer's record: more than 16777216
    "]],
    );
}

#[test]
fn what_will_not_do_as_meant_is_warned_of() {
    let zero: (_, &[u8]) = (DEVICE, b"0000000\x000000000\0");
    let tar = Raw::new()
        .header_with("dev/\u{9b}31m", b'3', 0, &[zero])
        .header_with("socket", b'0', 0, &[(MODE, b"0140777\0")])
        .pax(&[
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.security.selinux", b"label"),
            ("SCHILY.xattr.user.kept", b"v"),
        ])
        .directory("d");
    check(
        tar,
        expect![[r"
        d dir
        dev dir implied
        dev/\xc2\x9b31m char 0,0
        3 entries, 0 bytes
        warning: /dev/\u{9b}31m: the character device 0/0 will act as a whiteout
        warning: /socket: a socket cannot be part of a layer and is left out
        warning: /d: the attribute security.selinux is dropped
        warning: /d: an attribute named for overlayfs will be escaped
    "]],
    );
}

#[test]
fn attributes_and_extents_are_kept() {
    use varve_fs::{layer::LayerParser, tar::Time, tree::Content};
    let tar = Raw::new()
        .pax(&[
            ("SCHILY.xattr.security.capability", b"\x01\0\0\x02"),
            ("SCHILY.xattr.security.selinux", b"dropped"),
            ("mtime", b"-0.5"),
            ("uid", b"7"),
            ("GNU.sparse.map", b"512,4,1024,0"),
            ("GNU.sparse.size", b"1024"),
        ])
        .header_with("a", b'0', 4, &[(MODE, b"0004755\0")])
        .data_padded_with(b"data", b'!')
        .end();
    let mut parser = LayerParser::new();
    parser.update(&tar).unwrap();
    let (summary, tree) = parser.finish().unwrap();
    assert_eq!(summary.content_size_bytes, 1024);
    let inode = tree.inode(tree.lookup(b"/a").unwrap());
    assert_eq!((inode.mode, inode.uid, inode.gid), (0o4755, 7, 0));
    assert_eq!(inode.mtime, Time { seconds: -1, nanoseconds: 500_000_000 });
    let capability = (b"security.capability".to_vec(), b"\x01\0\0\x02".to_vec());
    assert_eq!(*inode.xattrs, [capability]);
    let Content::File(data) = &inode.content else { panic!("{inode:?}") };
    assert!(!data.padding_is_zero);
    let extents: Vec<_> = data.extents().collect();
    assert_eq!(extents.len(), 1);
    assert_eq!((extents[0].offset, extents[0].length), (512, 4));
    assert_eq!(&tar[extents[0].tar_offset as usize..][..4], b"data");
}

#[test]
fn paths_survive_their_text() {
    use varve_fs::layer::{path_of_text, text_of_path};
    for path in [&b""[..], b"a/b c", b"\\x41\\", b"\xff\n\0\x7f", "käse\u{85}".as_bytes()] {
        let text = text_of_path(path);
        assert!(!text.contains(char::is_control));
        assert_eq!(path_of_text(&text).as_deref(), Some(path));
    }
    assert_eq!(text_of_path("käse/\\\n".as_bytes()), "käse/\\\\\\x0a");
    for wrong in ["\\", "\\y", "\\x", "\\x4", "\\xzz", "\\x\u{e4}"] {
        assert_eq!(path_of_text(wrong), None);
    }
}
