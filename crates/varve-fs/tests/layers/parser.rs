//! The parser as data: what comes out of every kind of header.

use expect_test::{Expect, expect};

use super::{
    raw::{DEVICE, LINK, MAGIC, MODE, MTIME, PREFIX, Raw, SIZE, UID},
    shown,
};

#[track_caller]
fn check(tar: Vec<u8>, expected: Expect) {
    let whole = shown::parse(&tar, || usize::MAX);
    expected.assert_eq(&whole);
    assert_eq!(shown::parse(&tar, || 1), whole);
}

const GNU: (std::ops::Range<usize>, &[u8]) = (MAGIC, b"ustar  \0");

#[test]
fn every_type_of_entry_is_told() {
    let device = (DEVICE, &b"0000010\x000000003\0"[..]);
    let tar = Raw::new()
        .file("file", b"data")
        .directory("dir/")
        .link(b'1', "hard", "./dir//file")
        .link(b'2', "soft", "../any/./text")
        .header_with("char", b'3', 0, std::slice::from_ref(&device))
        .header_with("block", b'4', 0, &[device])
        .header("fifo", b'6', 0)
        .header("contiguous", b'7', 0)
        .header_with("socket", b'0', 0, &[(MODE, b"0140777\0")]);
    check(
        tar.end(),
        expect![[r"
        file `file` 644 0:0 1 4@512 data 4
        dir `dir` 755 0:0 1
        hard `hard` 644 0:0 1 -> `dir/file`
        symlink `soft` 644 0:0 1 -> `../any/./text`
        char `char` 644 0:0 1 8,3
        block `block` 644 0:0 1 8,3
        fifo `fifo` 644 0:0 1
        file `contiguous` 644 0:0 1 0@4608
        socket `socket` 777 0:0 1
    "]],
    );
}

#[test]
fn seventh_edition_header_knows_directories_by_their_slash() {
    let tar = Raw::new()
        .header_with("old/", 0, 0, &[(MAGIC, &[0; 8])])
        .header_with("old/file", 0, 0, &[(MAGIC, &[0; 8])])
        .header("a file/", b'0', 0);
    check(
        tar.end(),
        expect![[r"
        dir `old` 644 0:0 1
        file `old/file` 644 0:0 1 0@1024
        file `a file` 644 0:0 1 0@1536
    "]],
    );
}

#[test]
fn only_files_have_data_whatever_the_size_says() {
    let tar = Raw::new()
        .header("dir", b'5', 1000)
        .header_with("hard", b'1', 1000, &[(LINK, b"target")])
        .header("fifo", b'6', 1 << 32)
        .file("next", b"data");
    check(
        tar.end(),
        expect![[r"
        dir `dir` 644 0:0 1
        hard `hard` 644 0:0 1 -> `target`
        fifo `fifo` 644 0:0 1
        file `next` 644 0:0 1 4@2048 data 4
    "]],
    );
}

#[test]
fn prefix_counts_in_ustar_and_not_in_gnu() {
    let tar = Raw::new()
        .header_with("name", b'0', 0, &[(PREFIX, b"some/prefix")])
        .header_with("name", b'0', 0, &[(PREFIX, b"00000000017\x0000000000017\0"), GNU])
        .header_with("name", b'0', 0, &[(PREFIX, b"written/by/go/1.7"), GNU])
        .header_with("name", b'0', 0, &[(PREFIX, b"star"), (508..512, b"tar\0")]);
    check(
        tar.end(),
        expect![[r"
        file `some/prefix/name` 644 0:0 1 0@512
        file `name` 644 0:0 1 0@1024
        file `written/by/go/1.7/name` 644 0:0 1 0@1536
        file `star/name` 644 0:0 1 0@2048
    "]],
    );
}

#[test]
fn base_256_numbers_are_read_negative_ones_too() {
    let mut size = [0; 12];
    (size[0], size[11]) = (0x80, 4);
    let tar = Raw::new()
        .header_with("a", b'0', 0, &[(SIZE, &size), (UID, b"\x80\0\0\0\xff\xff\xff\xfe"), GNU])
        .data(b"data")
        .header_with("b", b'0', 0, &[(MTIME, &[0xff; 12]), GNU])
        .header_with("c", b'3', 0, &[(DEVICE, b"\x80\0\0\0\0\x20\0\0\x80\0\0\0\0\x30\0\0"), GNU]);
    check(
        tar.end(),
        expect![[r"
        file `a` 644 4294967294:0 1 4@512 data 4
        file `b` 644 0:0 -1 0@1536
        char `c` 644 0:0 1 2097152,3145728
    "]],
    );
}

#[test]
fn gnu_long_names_and_links_are_put_together() {
    let (long, target) = ("long/".repeat(40) + "\0", "target/".repeat(30) + "\0");
    let tar = Raw::new()
        .extension(b'K', target.as_bytes())
        .extension(b'L', long.as_bytes())
        .header_with("long/long", b'2', 0, &[(LINK, b"target/tar"), GNU])
        .file("next", b"");
    check(
        tar.end(),
        expect![[r"
        symlink `long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long` 644 0:0 1 -> `target/target/target/target/target/target/target/target/target/target/target/target/target/target/target/target/target/target/target/target/target/target/target/target/target/target/target/target/target/target/`
        file `next` 644 0:0 1 0@3072
    "]],
    );
}

#[test]
fn pax_records_win_over_the_header() {
    let tar = Raw::new()
        .pax(&[
            ("path", "./pax/ä\n=name".as_bytes()),
            ("uid", b"4294967294"),
            ("gid", b"70000"),
            ("mtime", b"-1.25"),
            ("size", b"4"),
            ("comment", b"ignored"),
            ("SCHILY.xattr.user.b", b"\nbinary\0=\xff"),
            ("SCHILY.xattr.user.a", b""),
        ])
        .header("short", b'0', 0)
        .data(b"data")
        .pax(&[("linkpath", b"somewhere/else"), ("path", b"link"), ("path", b"")])
        .link(b'1', "kept", "replaced")
        .file("next", b"x");
    check(
        tar.end(),
        expect![[r"
        file `pax/ä\x0a=name` 644 4294967294:70000 -2+750000000 4@1536 user.a= user.b=\x0abinary\x00=\xff data 4
        hard `kept` 644 0:0 1 -> `somewhere/else`
        file `next` 644 0:0 1 1@4096 data 1
    "]],
    );
}

#[test]
fn global_pax_header_holds_for_all_that_follow() {
    let tar = Raw::new()
        .file("before", b"")
        .global(&[("mtime", b"77.5"), ("comment", b"a commit"), ("SCHILY.xattr.user.g", b"v")])
        .file("after", b"")
        .pax(&[("mtime", b"88")])
        .global(&[("gid", b"9")])
        .file("own", b"");
    check(
        tar.end(),
        expect![[r"
        file `before` 644 0:0 1 0@512
        file `after` 644 0:0 77+500000000 0@2048 user.g=v
        file `own` 644 0:9 88 0@4608 user.g=v
    "]],
    );
}

#[test]
fn names_are_bytes() {
    let tar = Raw::new()
        .header_with("", b'0', 0, &[(0..4, b"\xff\xfea\n")])
        .file("./dot", b"")
        .file("/absolute/../../up", b"")
        .directory("./")
        .directory("/")
        .directory("");
    check(
        tar.end(),
        expect![[r"
        file `\xff\xfea\x0a` 644 0:0 1 0@512
        file `dot` 644 0:0 1 0@1024
        file `up` 644 0:0 1 0@1536
        dir `` 755 0:0 1
        dir `` 755 0:0 1
        dir `` 755 0:0 1
    "]],
    );
}

#[test]
fn sparse_files_of_all_formats_are_the_same() {
    let data = [&[b'a'; 512][..], &[b'b'; 100]].concat();
    let old = |extended: u8| {
        let mut fields = vec![(386..410, &b"00000001000\x0000000001000\0"[..]), GNU];
        fields.push((483..495, b"00000004144\0"));
        if extended == 0 {
            fields.push((410..434, b"00000004000\x0000000000144\0"));
        } else {
            fields.push((482..483, b"\x01"));
        }
        fields
    };
    let mut more = [0; 512];
    more[..24].copy_from_slice(b"00000004000\x0000000000144\0");
    let real: &[u8] = b"2148";
    let tar = Raw::new()
        .header_with("old", b'S', 612, &old(0))
        .data(&data)
        .header_with("old, extended", b'S', 612, &old(1))
        .bytes(&more)
        .data(&data)
        .pax(&[
            ("GNU.sparse.size", real),
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.offset", b"512"),
            ("GNU.sparse.numbytes", b"512"),
            ("GNU.sparse.offset", b"2048"),
            ("GNU.sparse.numbytes", b"100"),
        ])
        .file("0.0", &data)
        .pax(&[
            ("GNU.sparse.size", real),
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.map", b"512,512,2048,100"),
            ("GNU.sparse.name", b"0.1"),
        ])
        .file("./GNUSparseFile.1/0.1", &data)
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"1.0"),
            ("GNU.sparse.realsize", real),
            ("size", b"1124"),
        ])
        .header("./GNUSparseFile.1/1.0", b'0', 0)
        .data(b"2\n512\n512\n2048\n100\n")
        .data(&data)
        .pax(&[("GNU.sparse.size", b"5000"), ("GNU.sparse.numblocks", b"0")])
        .file("only a hole", b"");
    check(
        tar.end(),
        expect![[r"
        file `old` 644 0:0 1 2148@512 [512+512] [2048+100] data 612
        file `old, extended` 644 0:0 1 2148@2560 [512+512] [2048+100] data 612
        file `0.0` 644 0:0 1 2148@5120 [512+512] [2048+100] data 612
        file `0.1` 644 0:0 1 2148@7680 [512+512] [2048+100] data 612
        file `1.0` 644 0:0 1 2148@10752 [512+512] [2048+100] data 612
        file `only a hole` 644 0:0 1 5000@13312
    "]],
    );
}

#[test]
fn end_may_be_marked_or_not_and_what_follows_is_not_looked_at() {
    let tar = || Raw::new().file("a", b"data");
    let expected = shown::parse(&tar().end(), || usize::MAX);
    let ends: [Vec<u8>; 4] = [
        tar().0,
        tar().bytes(&[0; 512]).0,
        tar().bytes(&[0; 10240]).0,
        tar().bytes(&[0; 1024]).bytes(b"anything at all").0,
    ];
    for end in ends {
        assert_eq!(shown::parse(&end, || 7), expected);
    }
    check(Vec::new(), expect![[""]]);
    let mut unpadded = tar().0;
    unpadded.truncate(512 + 4);
    check(
        unpadded,
        expect![[r"
        file `a` 644 0:0 1 4@512 data 4 unclean
    "]],
    );
    check(
        Raw::new().header("a", b'0', 4).data_padded_with(b"data", 1).end(),
        expect![[r"
        file `a` 644 0:0 1 4@512 data 4 unclean
    "]],
    );
}

#[test]
fn sizes_beyond_eight_gigabytes_are_read() {
    let pax = Raw::new().pax(&[("size", b"10737418240")]).header("pax", b'0', 0);
    let base_256: &[u8] = b"\x80\0\0\0\0\0\0\x02\x80\0\0\0";
    let gnu = Raw::new().header_with("gnu", b'0', 0, &[(SIZE, base_256), GNU]);
    check(
        pax.bytes(b"data").0,
        expect![[r"
        file `pax` 644 0:0 1 10737418240@1536error: unexpected EOF
    "]],
    );
    check(
        gnu.bytes(b"data").0,
        expect![[r"
        file `gnu` 644 0:0 1 10737418240@512error: unexpected EOF
    "]],
    );
}
