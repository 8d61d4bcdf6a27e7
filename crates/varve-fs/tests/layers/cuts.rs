//! The same bytes cut differently, cut off, and damaged.

use varve_fs::{
    layer::LayerParser,
    tar::{NewEntry, Reader, Writer},
};

use super::{
    raw::{LINK, MAGIC, Raw, SIZE, seal},
    shown,
};

/// Numbers that look random and are the same every time (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// One tar with something of everything.
fn sample() -> Vec<u8> {
    let data = vec![b'd'; 612];
    Raw::new()
        .directory("./")
        .file("plain", &data)
        .extension(b'L', "long/".repeat(40).as_bytes())
        .extension(b'K', "target/".repeat(30).as_bytes())
        .header_with("long", b'2', 0, &[(LINK, b"target"), (MAGIC, b"ustar  \0")])
        .global(&[("mtime", b"77.5"), ("SCHILY.xattr.user.g", b"global")])
        .pax(&[("path", b"pax/path"), ("size", b"612"), ("SCHILY.xattr.user.a", b"\n\0")])
        .header("a", b'0', 0)
        .data(&data)
        .header_with(
            "old sparse",
            b'S',
            612,
            &[
                (386..410, b"00000001000\x0000000001000\0"),
                (410..434, b"00000004000\x0000000000144\0"),
                (482..495, b"\x0100000004144\0"),
                (MAGIC, b"ustar  \0"),
            ],
        )
        .bytes(&[0; 512])
        .data(&data)
        .pax(&[("GNU.sparse.size", b"2148"), ("GNU.sparse.map", b"512,512,2048,100")])
        .file("sparse 0.1", &data)
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.realsize", b"2148"),
            ("GNU.sparse.name", b"sparse 1.0"),
        ])
        .header("b", b'0', 1124)
        .data(b"2\n512\n512\n2048\n100\n")
        .data(&data)
        .link(b'1', "hard", "plain")
        .link(b'1', "foreign", "below")
        .link(b'2', "way", "some/where")
        .file("way/there", b"x")
        .file(".wh.gone", b"")
        .file("plain", b"again")
        .file("opaque/.wh..wh..opq", b"")
        .header("fifo", b'6', 0)
        .header_with("base 256", b'0', 0, &[(SIZE, b"\x80\0\0\0\0\0\0\0\0\0\x02\x64")])
        .data(&data)
        .bytes(&[0; 1024])
        .bytes(b"whatever follows")
        .0
}

#[test]
fn pieces_of_any_size_give_the_same() {
    let tar = sample();
    let whole = shown::parse(&tar, || usize::MAX);
    assert!(!whole.contains("error"), "{whole}");
    let mut random = Random(1);
    for limit in [2, 3, 100, 511, 512, 513, 1024, 1025, 4000] {
        for _ in 0..20 {
            assert_eq!(shown::parse(&tar, || 1 + random.below(limit)), whole, "{limit}");
        }
    }
}

#[test]
fn tar_cut_off_anywhere_is_an_error_or_a_part_of_the_whole() {
    let tar = sample();
    let whole = shown::parse(&tar, || usize::MAX);
    let mut clean_ends = 0;
    for boundary in (0..=tar.len()).step_by(512) {
        for end in [boundary.saturating_sub(1), boundary, boundary + 1] {
            let part = &tar[..end.min(tar.len())];
            let shown = shown::parse(part, || 333);
            let entries = if let Some((entries, error)) = shown.split_once("error: ") {
                assert_eq!(error, "unexpected EOF\n", "{end}");
                // An entry that is cut off has no end of line.
                entries
            } else {
                clean_ends += 1;
                shown.trim_end_matches(" unclean\n")
            };
            assert!(whole.starts_with(entries), "{end}: {shown}");
            layer(part);
        }
    }
    // A tar may end between entries, and in the padding of one.
    assert!(clean_ends > 20);
}

#[test]
fn damaged_tars_never_panic_and_never_depend_on_the_cuts() {
    let tar = sample();
    let mut random = Random(7);
    let mut sound = 0;
    for _ in 0..3000 {
        let mut damaged = tar.clone();
        for _ in 0..=random.below(3) {
            let block = random.below(damaged.len() / 512) * 512;
            let block = &mut damaged[block..block + 512];
            for _ in 0..=random.below(4) {
                // Where the numbers, the type and the sparse map are, more often than elsewhere.
                let at = match random.below(4) {
                    0 => random.below(512),
                    1 => 124 + random.below(12),
                    2 => 156,
                    _ => random.below(64),
                };
                let bytes = b"0179 x\n=,\0\x80\xffgLKS/.";
                block[at] = bytes[random.below(bytes.len())];
            }
            let sealed = seal((&*block).try_into().unwrap());
            if random.below(8) > 0 {
                block.copy_from_slice(&sealed);
            }
        }
        let whole = shown::parse(&damaged, || usize::MAX);
        sound += usize::from(!whole.contains("error: "));
        assert_eq!(shown::parse(&damaged, || 1 + random.below(700)), whole);
        layer(&damaged);
    }
    assert!(sound > 50, "the damage is too heavy to test anything: {sound}");
}

#[test]
fn noise_never_panics() {
    let mut random = Random(3);
    for _ in 0..500 {
        let mut noise: Vec<u8> = (0..2048).map(|_| random.below(256) as u8).collect();
        let sealed = seal(noise[..512].try_into().unwrap());
        noise[..512].copy_from_slice(&sealed);
        layer(&noise);
    }
}

#[test]
fn reader_gives_what_was_written_and_skips_what_is_not_read() {
    use std::io::Read as _;
    let big = vec![b'b'; 200_000];
    let mut writer = Writer::new(Vec::new());
    for name in ["1", "2", "3", "4"] {
        writer.append_bytes(&NewEntry::file(name.as_bytes(), 200_000), &big).unwrap();
    }
    let mut tar = writer.finish().unwrap();
    tar.resize(tar.len() + 100_000, 1);
    for (case, most) in [1, 1000, 64 << 10, usize::MAX].into_iter().enumerate() {
        let mut reader = Reader::new(Trickle(&tar, most));
        let mut names = Vec::new();
        let mut read = 0;
        while let Some(mut member) = reader.next().unwrap() {
            names.extend_from_slice(member.path());
            match names.len() + case {
                2 => {}
                3 => read += member.by_ref().take(70_000).read_to_end(&mut Vec::new()).unwrap(),
                _ => read += member.read_to_end(&mut Vec::new()).unwrap(),
            }
            assert_eq!(member.size(), 200_000);
        }
        assert_eq!(names, b"1234");
        assert!(read > 400_000);
    }
    tar.truncate(450_000);
    let mut reader = Reader::new(&tar[..]);
    for _ in 0..2 {
        reader.next().unwrap().unwrap();
    }
    let mut cut = reader.next().unwrap().unwrap();
    let error = cut.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    assert_eq!(error.to_string(), "unexpected EOF");
}

/// Gives few bytes at a time.
struct Trickle<'a>(&'a [u8], usize);

impl std::io::Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(self.1);
        self.0.read(&mut buffer[..most])
    }
}

/// Builds the tree and looks at all of it.
fn layer(tar: &[u8]) {
    let mut parser = LayerParser::new();
    let Ok(()) = parser.update(tar) else { return };
    let Ok((summary, tree)) = parser.finish() else { return };
    let mut walk = tree.walk();
    let mut entries = 0;
    while let Some((path, id)) = walk.next() {
        entries += 1;
        assert!(tree.inode(id).links > 0);
        assert_eq!(tree.lookup(path), Some(id));
    }
    assert_eq!(summary.entries, entries);
    assert_eq!(summary.tar_size_bytes, tar.len() as u64);
}
