//! What is refused, and how it is named.

use expect_test::{Expect, expect};
use varve_types::limits;

use super::{
    raw::{LINK, MAGIC, MODE, MTIME, Raw, SIZE, UID, seal},
    shown,
};

#[track_caller]
fn check(tar: Raw, expected: Expect) {
    let tar = tar.end();
    let whole = shown::parse(&tar, || usize::MAX);
    expected.assert_eq(&whole);
    assert_eq!(shown::parse(&tar, || 1), whole);
}

const GNU: (std::ops::Range<usize>, &[u8]) = (MAGIC, b"ustar  \0");

#[test]
fn bytes_that_are_no_tar() {
    assert_eq!(shown::parse(b"garbage\n", || 99), "error: unexpected EOF\n");
    check(
        Raw::new().bytes(&[b'x'; 512]),
        expect![[r"
        error: archive/tar: invalid tar header: the checksum is wrong @0
    "]],
    );
    let mut damaged = Raw::new().file("a", b"data").0;
    damaged[0] ^= 1;
    check(
        Raw(damaged),
        expect![[r"
        error: archive/tar: invalid tar header: the checksum is wrong @0
    "]],
    );
    check(
        Raw::new().file("a", b"").bytes(&[0; 512]).file("b", b""),
        expect![[r"
        file `a` 644 0:0 1 0@512
        error: archive/tar: invalid tar header: a single block of zeros lies between entries @1024
    "]],
    );
}

#[test]
fn numbers_that_make_no_sense() {
    let with = |field, bytes: &[u8]| Raw::new().header_with("a", b'0', 0, &[(field, bytes), GNU]);
    check(
        with(SIZE, b"000000000x0\0"),
        expect![[r"
        error: archive/tar: invalid tar header: the field size is not a number that it may hold @0
    "]],
    );
    check(
        with(SIZE, &[0xff; 12]),
        expect![[r"
        error: archive/tar: invalid tar header: the field size is not a number that it may hold @0
    "]],
    );
    check(
        with(SIZE, b"\x80\xff\0\0\0\0\0\0\0\0\0\0"),
        expect![[r"
        error: archive/tar: invalid tar header: the field size is not a number that it may hold @0
    "]],
    );
    check(
        with(SIZE, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"),
        expect![[r"
        error: bytes of a file in an archive: more than 1099511627776
    "]],
    );
    check(
        with(UID, &[0xff; 8]),
        expect![[r"
        error: archive/tar: invalid tar header: the field uid is not a number that it may hold @0
    "]],
    );
    check(
        with(UID, b"\x80\0\0\x01\0\0\0\0"),
        expect![[r"
        error: archive/tar: invalid tar header: the field uid is not a number that it may hold @0
    "]],
    );
    check(
        with(MTIME, b"\x80\xff\0\0\0\0\0\0\0\0\0\0"),
        expect![[r"
        error: archive/tar: invalid tar header: the field mtime is not a number that it may hold @0
    "]],
    );
    check(
        with(MODE, b"rw-r--r-"),
        expect![[r"
        error: archive/tar: invalid tar header: the field mode is not a number that it may hold @0
    "]],
    );
}

#[test]
fn pax_records_that_make_no_sense() {
    let with = |records: &[(&str, &[u8])]| Raw::new().pax(records).file("a", b"");
    check(
        with(&[("size", b"-1")]),
        expect![[r"
        error: archive/tar: invalid tar header: the PAX value of size makes no sense @512
    "]],
    );
    check(
        with(&[("size", b"99999999999999999999")]),
        expect![[r"
        error: archive/tar: invalid tar header: the PAX value of size makes no sense @512
    "]],
    );
    check(
        with(&[("size", b"9999999999999")]),
        expect![[r"
        error: bytes of a file in an archive: more than 1099511627776
    "]],
    );
    check(
        with(&[("uid", b"4294967296")]),
        expect![[r"
        error: archive/tar: invalid tar header: the PAX value of uid makes no sense @512
    "]],
    );
    check(
        with(&[("gid", b"-1")]),
        expect![[r"
        error: archive/tar: invalid tar header: the PAX value of gid makes no sense @512
    "]],
    );
    check(
        with(&[("mtime", b"yesterday")]),
        expect![[r"
        error: archive/tar: invalid tar header: the PAX value of mtime makes no sense @512
    "]],
    );
    check(
        with(&[("path", b"a\0b")]),
        expect![[r"
        error: archive/tar: invalid tar header: a PAX record is malformed @512
    "]],
    );
    check(
        with(&[("SCHILY.xattr.", b"v")]),
        expect![[r"
        error: archive/tar: invalid tar header: the PAX value of SCHILY.xattr makes no sense @512
    "]],
    );
    check(
        with(&[("SCHILY.xattr.user.a", &vec![1; 65_537])]),
        expect![[r"
        error: bytes of an extended attribute: more than 65536
    "]],
    );
    let text = |text: &[u8]| Raw::new().extension(b'x', text).file("a", b"");
    check(
        text(b"99 path=b\n"),
        expect![[r"
        error: archive/tar: invalid tar header: a PAX record is malformed @512
    "]],
    );
    check(
        text(b"path=b\n"),
        expect![[r"
        error: archive/tar: invalid tar header: a PAX record is malformed @512
    "]],
    );
    check(
        text(b"9 path=b\n\0\0\0"),
        expect![[r"
        error: archive/tar: invalid tar header: a PAX record is malformed @512
    "]],
    );
}

#[test]
fn extensions_that_contradict_each_other() {
    let (long, pax): (&[u8], _) = (b"long\0", [("path", &b"pax"[..])]);
    check(
        Raw::new().extension(b'L', long).extension(b'L', long).file("a", b""),
        expect![[r"
        error: archive/tar: invalid tar header: two extension headers contradict each other @1024
    "]],
    );
    check(
        Raw::new().pax(&pax).pax(&pax).file("a", b""),
        expect![[r"
        error: archive/tar: invalid tar header: two extension headers contradict each other @1024
    "]],
    );
    check(
        Raw::new().extension(b'L', long).pax(&pax).file("a", b""),
        expect![[r"
        error: archive/tar: invalid tar header: two extension headers contradict each other @2048
    "]],
    );
    check(
        Raw::new().file("a", b"").pax(&pax),
        expect![[r"
        file `a` 644 0:0 1 0@512
        error: archive/tar: invalid tar header: an extension header is not followed by an entry @1536
    "]],
    );
    let cut = Raw::new().pax(&pax).0;
    assert_eq!(shown::parse(&cut, || 99), "error: unexpected EOF\n");
    check(
        Raw::new().global(&pax).file("a", b""),
        expect![[r"
        error: archive/tar: invalid tar header: a global PAX header sets path @512
    "]],
    );
    check(
        Raw::new().global(&[("size", b"1")]).file("a", b""),
        expect![[r"
        error: archive/tar: invalid tar header: a global PAX header sets size @512
    "]],
    );
}

#[test]
fn names_that_lead_nowhere() {
    check(
        Raw::new().file("../a", b""),
        expect![[r"
        error: path `../a` leaves the root of the archive
    "]],
    );
    check(
        Raw::new().file("a/../../b", b""),
        expect![[r"
        error: path `a/../../b` leaves the root of the archive
    "]],
    );
    check(
        Raw::new().link(b'1', "a", "../../etc/passwd"),
        expect![[r"
        error: path `../../etc/passwd` leaves the root of the archive
    "]],
    );
    check(
        Raw::new().link(b'2', "a", ""),
        expect![[r"
        error: archive/tar: invalid tar header: a name or link target is empty or contains a zero byte @0
    "]],
    );
    check(
        Raw::new().pax(&[("path", "n".repeat(256).as_bytes())]).file("a", b""),
        expect![[r"
        error: bytes of a file name: more than 255
    "]],
    );
    check(
        Raw::new().pax(&[("path", "n/".repeat(2049).as_bytes())]).file("a", b""),
        expect![[r"
        error: bytes of a path: more than 4096
    "]],
    );
    let link = "n/".repeat(2049);
    check(
        Raw::new().pax(&[("linkpath", link.as_bytes())]).link(b'2', "a", "b"),
        expect![[r"
        error: bytes of a link target: more than 4096
    "]],
    );
}

#[test]
fn sizes_and_types_beyond_all_limits() {
    let size = limits::TAR_EXTENSION_SIZE_BYTES_MAX + 1;
    check(
        Raw::new().header("x", b'x', size),
        expect![[r"
        error: bytes of an extension header: more than 2097152
    "]],
    );
    check(
        Raw::new().header("L", b'L', (1 << 33) - 1),
        expect![[r"
        error: bytes of an extension header: more than 2097152
    "]],
    );
    check(
        Raw::new().header("volume", b'V', 0),
        expect![[r"
        error: unhandled tar header type 86 of `volume`
    "]],
    );
    check(
        Raw::new().header("\u{1b}[31m", b'D', 0),
        expect![[r"
        error: unhandled tar header type 68 of `\x1b[31m`
    "]],
    );
}

#[test]
fn sparse_maps_that_do_not_fit() {
    let with = |map: &[u8], size: &[u8], data: &[u8]| {
        Raw::new().pax(&[("GNU.sparse.map", map), ("GNU.sparse.size", size)]).file("a", data)
    };
    check(
        with(b"0,4", b"4", b"data"),
        expect![[r"
        file `a` 644 0:0 1 4@1536 [0+4] data 4
    "]],
    );
    check(
        with(b"0,4", b"3", b"data"),
        expect![[r"
        error: archive/tar: invalid tar header: the sparse map does not fit @1024
    "]],
    );
    check(
        with(b"0,3", b"4", b"data"),
        expect![[r"
        error: archive/tar: invalid tar header: the sparse map does not fit @1024
    "]],
    );
    check(
        with(b"2,2,0,2", b"4", b"data"),
        expect![[r"
        error: archive/tar: invalid tar header: the sparse map does not fit @1024
    "]],
    );
    check(
        with(b"0,2,1,2", b"4", b"data"),
        expect![[r"
        error: archive/tar: invalid tar header: the sparse map does not fit @1024
    "]],
    );
    check(
        with(b"0,2,2", b"4", b"data"),
        expect![[r"
        error: archive/tar: invalid tar header: the sparse map does not fit @512
    "]],
    );
    check(
        with(b"0,18446744073709551615,5,9", b"4", b"data"),
        expect![[r"
        error: archive/tar: invalid tar header: the sparse map does not fit @1024
    "]],
    );
    let with = |text: &[u8], real_size: &[u8]| {
        let major: (&str, &[u8]) = ("GNU.sparse.major", b"1");
        let minor: (&str, &[u8]) = ("GNU.sparse.minor", b"0");
        let real_size = ("GNU.sparse.realsize", real_size);
        Raw::new().pax(&[major, minor, real_size]).file("a", text)
    };
    check(
        with(b"", b"4"),
        expect![[r"
        error: archive/tar: invalid tar header: the sparse map does not fit @1024
    "]],
    );
    check(
        with(b"1\n", b"4"),
        expect![[r"
        error: archive/tar: invalid tar header: the sparse map does not fit @1024
    "]],
    );
    check(
        with(&[b'1'; 600], b"4"),
        expect![[r"
        error: archive/tar: invalid tar header: the sparse map does not fit @1536
    "]],
    );
    check(
        with(&[b"100001\n".as_slice(), &[b'0'; 600]].concat(), b"4"),
        expect![[r"
        error: regions of a sparse file: more than 100000
    "]],
    );
    check(
        Raw::new().header_with("a", b'S', 0, &[(483..495, b"00000000004\0")]),
        expect![[r"
        error: archive/tar: invalid tar header: the sparse map does not fit @0
    "]],
    );
    let mut endless = Raw::new().header_with("a", b'S', 0, &[(482..483, b"\x01"), GNU]);
    for _ in 0..=limits::SPARSE_REGIONS_MAX / 21 {
        let mut block = [b'0'; 512];
        block[504] = 1;
        endless = endless.bytes(&block);
    }
    let error = shown::parse(&endless.0, || usize::MAX);
    assert_eq!(error, "error: regions of a sparse file: more than 100000\n");
}

#[test]
fn checksum_of_signed_bytes_is_accepted() {
    let mut block: [u8; 512] = Raw::new().file("\u{e4}", b"").0.try_into().unwrap();
    let signed: i32 = seal(block)
        .iter()
        .enumerate()
        .map(|(at, &byte)| if (148..156).contains(&at) { 32 } else { i32::from(byte as i8) })
        .sum();
    block[148..156].copy_from_slice(format!("{signed:06o}\0 ").as_bytes());
    assert_eq!(shown::parse(&block, || 99), "file `ä` 644 0:0 1 0@512\n");
}

#[test]
fn link_target_of_something_else_is_ignored() {
    check(
        Raw::new().header_with("a", b'0', 0, &[(LINK, b"../..")]),
        expect![[r"
        file `a` 644 0:0 1 0@512
    "]],
    );
}
