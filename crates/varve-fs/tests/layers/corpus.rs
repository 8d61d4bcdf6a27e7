//! Awkward archives, each a layer that must be indexed and mounted as it was meant.

use super::raw::{DEVICE, MAGIC, MODE, MTIME, Raw, UID};

/// An archive with a name for messages.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) tar: Vec<u8>,
    /// Whether GNU tar, unpacking it as root, makes the same tree of it. It does not where it
    /// knows nothing of whiteouts, or heeds other records than Docker.
    pub(crate) is_for_gnu_tar: bool,
}

/// All archives.
pub(crate) fn cases() -> Vec<Case> {
    let case = |is_for_gnu_tar| {
        move |(name, tar): (&'static str, Raw)| Case { name, tar: tar.end(), is_for_gnu_tar }
    };
    let mut cases: Vec<Case> = Vec::new();
    cases.extend(names_and_kinds().into_iter().map(case(true)));
    cases.extend(attributes().into_iter().map(case(true)));
    cases.extend(formats().into_iter().map(case(true)));
    cases.extend(data().into_iter().map(case(true)));
    cases.extend(layers().into_iter().map(case(false)));
    assert!(cases.len() >= 60, "{}", cases.len());
    cases
}

fn root() -> Raw {
    Raw::new().directory("./")
}

fn device(major: u32, minor: u32) -> Vec<u8> {
    format!("{major:07o}\0{minor:07o}\0").into_bytes()
}

fn names_and_kinds() -> Vec<(&'static str, Raw)> {
    let with_device = |tar: Raw, name: &str, kind, numbers: (u32, u32)| {
        tar.header_with(name, kind, 0, &[(DEVICE, &device(numbers.0, numbers.1))])
    };
    let long = "n".repeat(255);
    let deep = (1..30).fold(root(), |tar, depth| tar.directory(&"d/".repeat(depth)));
    let many = |count: usize| {
        (0..count).fold(root().directory("many"), |tar, number| {
            tar.file(&format!("many/{}", number * 7919 % count), b"")
        })
    };
    let long_names = (0..40).fold(root(), |tar, number| {
        let name = format!("{number:03}{}", "x".repeat(252));
        tar.pax(&[("path", name.as_bytes())]).file("x", b"named")
    });
    let odd_names: [&[u8]; 8] =
        [b"!", b"-", b"...", b".a", b"..b", b"/ space", b"\xff\xfe", b"tab\tand\nline"];
    let odd_names = odd_names
        .into_iter()
        .fold(root(), |tar, name| tar.pax(&[("path", name)]).file("x", b"odd"));
    let sorted_names = ["a", "aa", "aaa", "ab", "b", "a.b", "a-b", "a b", "A", "ä"]
        .into_iter()
        .fold(root(), |tar, name| tar.file(name, name.as_bytes()));
    let links = [1, 50, 400, 440, 460, 512, 1000, 4000].into_iter().fold(root(), |tar, size| {
        let target = "t/".repeat(size / 2) + if size % 2 == 1 { "t" } else { "" };
        tar.pax(&[("linkpath", target.as_bytes())]).link(b'2', &format!("link{size}"), "x")
    });
    let numbers = [(1, 3), (8, 300), (4095, 0), (0, 1), (5, 1), (255, 256), (7, 0xf_ffff)];
    let devices = numbers.into_iter().enumerate().fold(root(), |tar, (at, numbers)| {
        let tar = with_device(tar, &format!("c{at}"), b'3', numbers);
        with_device(tar, &format!("b{at}"), b'4', numbers)
    });
    vec![
        ("empty", Raw::new()),
        ("only the root", root()),
        (
            "one of each",
            root().file("f", b"x").directory("d").link(b'2', "l", "f").header("p", b'6', 0),
        ),
        ("device numbers", devices),
        ("deep directories", deep),
        ("a directory of one block", many(10)),
        ("a directory of many blocks", many(700)),
        ("a name of 255 bytes", root().pax(&[("path", long.as_bytes())]).file("x", b"long")),
        ("names of 255 bytes", long_names),
        ("odd names", odd_names),
        ("names in order of bytes", sorted_names),
        ("links of every length", links),
        (
            "hard links",
            root().file("a", b"x").directory("d").link(b'1', "d/b", "a").link(b'1', "0", "a"),
        ),
        ("hard link of a link", root().link(b'2', "s", "nowhere").link(b'1', "t", "s")),
        (
            "hard links of special files",
            with_device(root().header("p", b'6', 0), "dev", b'3', (1, 3))
                .link(b'1', "p2", "p")
                .link(b'1', "dev2", "dev"),
        ),
        (
            "many hard links",
            (0..200).fold(root().file("a", b"x"), |tar, at| tar.link(b'1', &format!("h{at}"), "a")),
        ),
        ("file twice", root().file("a", b"first").file("a", b"the second")),
        ("file instead of a directory", root().directory("d").file("d", b"file")),
        ("directory instead of a file", root().file("d", b"file").directory("d").file("d/f", b"")),
        (
            "dots and slashes",
            root().file("./a", b"1").directory("d/").file("d//b", b"2").file("d/./c", b"3"),
        ),
        ("absolute names", root().file("/abs", b"1")),
        ("parents left out", Raw::new().file("a/b/c", b"deep")),
        ("empty directories", root().directory("a").directory("b").directory("b/c")),
    ]
}

fn attributes() -> Vec<(&'static str, Raw)> {
    let times: [&[u8]; 8] = [
        b"0",
        b"-1",
        b"-0.5",
        b"-2.25",
        b"1.000000001",
        b"4294967296.5",
        b"8589934592",
        b"0.999999999",
    ];
    let times = times
        .into_iter()
        .enumerate()
        .fold(root(), |tar, (at, time)| tar.pax(&[("mtime", time)]).file(&format!("t{at}"), b"x"));
    let modes = ["0000000", "0004755", "0002755", "0001777", "0007777", "0000644"];
    let modes = modes.into_iter().fold(root(), |tar, mode| {
        let field = format!("{mode}\0");
        tar.header_with(&format!("f{mode}"), b'0', 0, &[(MODE, field.as_bytes())]).header_with(
            &format!("d{mode}"),
            b'5',
            0,
            &[(MODE, field.as_bytes())],
        )
    });
    let owners: [&[u8]; 5] = [b"0", b"1000", b"65535", b"65536", b"3000000000"];
    let owners = owners.into_iter().enumerate().fold(root(), |tar, (at, id)| {
        let tar = tar.pax(&[("uid", id)]).file(&format!("u{at}"), b"");
        tar.pax(&[("gid", id)]).directory(&format!("g{at}"))
    });
    let xattr = |name: &str| format!("SCHILY.xattr.{name}");
    let big = vec![b'v'; 3000];
    let shared = (0..20).fold(root(), |tar, at| {
        let same = xattr("user.same");
        tar.pax(&[(&same, b"the same value")]).file(&format!("f{at}"), b"x")
    });
    let user = |number: usize| format!("SCHILY.xattr.user.{number:03}");
    let names: Vec<String> = (0..60).map(user).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"v"[..])).collect();
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let (one, two) = (xattr("user.one"), xattr("trusted.two"));
    vec![
        ("times", times),
        (
            "one time that most have",
            (0..9).fold(root(), |tar, at| {
                tar.header_with(&format!("f{at}"), b'0', 0, &[(MTIME, b"00000000777\0")])
            }),
        ),
        ("modes", modes),
        ("owners", owners),
        ("owner of the old kind", root().header_with("a", b'0', 0, &[(UID, b"0000017\0")])),
        ("attributes", root().pax(&[(&one, b"1"), (&two, b"\0\n=\xff")]).file("a", b"x")),
        ("attribute without a value", root().pax(&[(&one, b"")]).file("a", b"x")),
        ("attributes of the root", Raw::new().pax(&[(&one, b"root")]).directory("./")),
        (
            "attributes of a directory",
            root().pax(&[(&two, b"dir")]).directory("d").file("d/x", b""),
        ),
        ("attributes of a link", root().pax(&[(&two, b"link")]).link(b'2', "l", "to")),
        ("attribute that many share", shared),
        ("long attribute", root().pax(&[(&one, &big)]).file("a", b"x")),
        ("many attributes", root().pax(&many).file("a", b"x")),
        ("capability", root().pax(&[(&xattr("security.capability"), capability)]).file("a", b"x")),
        ("label", root().pax(&[(&xattr("security.selinux"), b"dropped")]).file("a", b"x")),
    ]
}

fn data() -> Vec<(&'static str, Raw)> {
    let bytes = |size: usize| (0..size).map(|at| (at * 31 % 251) as u8 + 1).collect::<Vec<u8>>();
    let sizes = [0, 1, 511, 512, 513, 1023, 1024, 4095, 4096, 4097, 100_000];
    let files =
        sizes.into_iter().fold(root(), |tar, size| tar.file(&format!("f{size}"), &bytes(size)));
    let unclean = sizes.into_iter().chain([400, 440, 448, 449, 460, 500, 1400, 200_500]).fold(
        root(),
        |tar, size| {
            tar.header(&format!("f{size}"), b'0', size as u64).data_padded_with(&bytes(size), b'!')
        },
    );
    let sparse = |map: &[u8], size: &[u8], stored: &[u8]| {
        #[expect(clippy::naive_bytecount, reason = "a few bytes")]
        let regions = map.iter().filter(|&&byte| byte == b',').count().div_ceil(2).to_string();
        root()
            .pax(&[
                ("GNU.sparse.size", size),
                ("GNU.sparse.numblocks", regions.as_bytes()),
                ("GNU.sparse.map", map),
            ])
            .file("sparse", stored)
    };
    let xattr = ("SCHILY.xattr.user.a", &b"with an attribute"[..]);
    vec![
        ("files of every size", files),
        ("files of every size with dirty padding", unclean),
        (
            "dirty padding and attributes",
            root().pax(&[xattr]).header("a", b'0', 450).data_padded_with(&bytes(450), b'!'),
        ),
        ("file of holes", sparse(b"1000000,0", b"1000000", b"")),
        ("empty sparse file", sparse(b"0,0", b"0", b"")),
        ("sparse in whole blocks", sparse(b"512,1024,4096,512,10000,0", b"10000", &bytes(1536))),
        ("sparse up to the end", sparse(b"4096,4096", b"8192", &bytes(4096))),
        ("sparse up to an odd end", sparse(b"4096,77", b"4173", &bytes(77))),
        ("sparse from the start", sparse(b"0,1000,2000000,0", b"2000000", &bytes(1000))),
        ("sparse without holes", sparse(b"0,1000", b"1000", &bytes(1000))),
        ("sparse and large", sparse(b"9000000000,512,10737418240,0", b"10737418240", &bytes(512))),
        (
            "sparse, large and odd",
            sparse(b"9000000001,511,10737418241,0", b"10737418241", &bytes(511)),
        ),
        (
            "sparse with dirty padding",
            root()
                .pax(&[
                    ("GNU.sparse.size", b"516"),
                    ("GNU.sparse.numblocks", b"1"),
                    ("GNU.sparse.map", b"512,4"),
                ])
                .header("sparse", b'0', 4)
                .data_padded_with(b"data", b'!'),
        ),
    ]
}

fn formats() -> Vec<(&'static str, Raw)> {
    let long = "d/".repeat(120) + "end";
    let deep = (1..=120).fold(root(), |tar, depth| {
        tar.pax(&[("path", "d/".repeat(depth).as_bytes())]).directory("x")
    });
    let gnu: (_, &[u8]) = (MAGIC, b"ustar  \0");
    let old: (_, &[u8]) = (MAGIC, b"\0\0\0\0\0\0\0\0");
    let large: (_, &[u8]) = (UID, b"\x80\0\0\0\0\x2d\xc6\xc0");
    let ancient: (_, &[u8]) = (MTIME, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf0");
    vec![
        (
            "long name of GNU",
            deep.extension(b'L', format!("{long}\0").as_bytes()).file("x", b"long"),
        ),
        (
            "long link of GNU",
            root().extension(b'K', format!("{long}\0").as_bytes()).link(b'2', "l", "x"),
        ),
        ("header for all", root().global(&[("mtime", b"77")]).file("a", b"x").file("b", b"y")),
        ("large number of GNU", root().header_with("a", b'0', 0, &[gnu.clone(), large])),
        ("negative number of GNU", root().header_with("a", b'0', 0, &[gnu, ancient])),
        (
            "size in a record",
            root().pax(&[("size", b"5")]).header("a", b'0', 0).data(b"sized").file("b", b"x"),
        ),
        ("seventh edition", root().header_with("a", 0, 1, std::slice::from_ref(&old)).data(b"x")),
        ("contiguous file", root().header("a", b'7', 3).data(b"abc")),
        (
            "sparse file 1.0",
            root()
                .pax(&[
                    ("GNU.sparse.major", b"1"),
                    ("GNU.sparse.minor", b"0"),
                    ("GNU.sparse.name", b"named"),
                    ("GNU.sparse.realsize", b"20000"),
                ])
                .header("GNUSparseFile.0/named", b'0', 1024)
                .data(b"2\n8192\n512\n20000\n0\n")
                .data(&[b's'; 512]),
        ),
    ]
}

fn layers() -> Vec<(&'static str, Raw)> {
    let overlay: (_, &[u8]) = ("SCHILY.xattr.trusted.overlay.redirect", b"/etc");
    let twice: (_, &[u8]) = ("SCHILY.xattr.trusted.overlay.overlay.opaque", b"y");
    let opaque: (_, &[u8]) = ("SCHILY.xattr.trusted.overlay.opaque", b"y");
    let user: (_, &[u8]) = ("SCHILY.xattr.user.overlay.opaque", b"y");
    let zero = device(0, 0);
    let xattr = |name: &str| format!("SCHILY.xattr.{name}");
    let acl = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x07\0\x05\0\0\0\x04\0\x04\0\xff\xff\xff\xff\x10\0\x07\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff";
    vec![
        (
            "whiteouts",
            root().file(".wh.gone", b"").directory("d").file("d/.wh.a", b"").file("d/.wh.b", b""),
        ),
        ("opaque directory", root().directory("d").file("d/.wh..wh..opq", b"").file("d/x", b"")),
        ("opaque root", root().file(".wh..wh..opq", b"")),
        ("whiteout and directory", root().file(".wh.d", b"").directory("d").file("d/x", b"x")),
        ("attributes of overlayfs", root().pax(&[overlay, twice, opaque, user]).directory("d")),
        ("device that is a whiteout", root().header_with("z", b'3', 0, &[(DEVICE, &zero)])),
        (
            "hard link to a lower file",
            root().link(b'1', "a", "lower/file").file("b", b"x").link(b'1', "d/c", "a"),
        ),
        // To GNU tar each piece begins at a block of the tar, to Docker where the last one ended.
        (
            "sparse in pieces",
            root()
                .pax(&[
                    ("GNU.sparse.size", b"9999"),
                    ("GNU.sparse.numblocks", b"3"),
                    ("GNU.sparse.map", b"1,3,700,600,5000,5"),
                ])
                .file("sparse", &[b'p'; 608]),
        ),
        // GNU tar has records of its own for these.
        ("access control", root().pax(&[(&xattr("system.posix_acl_access"), acl)]).file("a", b"x")),
        (
            "default access control",
            root().pax(&[(&xattr("system.posix_acl_default"), acl)]).directory("d"),
        ),
        ("socket", root().header_with("s", b'0', 0, &[(MODE, b"0140777\0")])),
        (
            "attribute without a namespace",
            root().pax(&[("SCHILY.xattr.other", b"v")]).file("a", b"x"),
        ),
        (
            "attribute that grows too long",
            root()
                .pax(&[(&format!("SCHILY.xattr.trusted.overlay.{}", "x".repeat(235)), b"v")])
                .file("a", b""),
        ),
    ]
}
