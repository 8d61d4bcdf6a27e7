//! What [`Writer`] writes, the parser reads back.

use std::io::Read as _;

use varve_fs::{
    layer::LayerParser,
    tar::{Device, EntryKind, NewEntry, Reader, Time, Writer},
};

fn entries<'a>(long: &'a [u8], xattrs: &'a [(Vec<u8>, Vec<u8>)]) -> Vec<NewEntry<'a>> {
    let late = Time { seconds: -2, nanoseconds: 750_000_000 };
    vec![
        NewEntry::directory(b"d"),
        NewEntry::file(b"d/plain", 3),
        NewEntry { xattrs, mtime: late, ..NewEntry::file(long, 3) },
        NewEntry { uid: u32::MAX, gid: 1 << 21, mode: 0o4755, ..NewEntry::file(b"owned", 3) },
        NewEntry::symlink(b"link", long),
        NewEntry::hard_link(b"hard", b"d/plain"),
        NewEntry {
            kind: EntryKind::BlockDevice,
            device: Device { major: 8, minor: 1 << 19 },
            ..NewEntry::file(b"device", 0)
        },
        NewEntry { kind: EntryKind::Fifo, ..NewEntry::file(b"d/fifo", 0) },
        NewEntry { mtime: Time { seconds: 1 << 40, nanoseconds: 1 }, ..NewEntry::file(b"\xff", 3) },
    ]
}

fn write(entries: &[NewEntry]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for entry in entries {
        writer.append_bytes(entry, &b"abc"[..entry.size as usize]).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn every_entry_comes_back_as_it_was_written() {
    let long = [b"d/".as_slice(), &b"long/".repeat(80), b"name"].concat();
    let xattrs = [(b"user.a".to_vec(), b"\n\0=binary".to_vec()), (b"user.b".to_vec(), vec![])];
    let entries = entries(&long, &xattrs);
    let tar = write(&entries);
    assert_eq!(tar, write(&entries));
    let mut reader = Reader::new(&tar[..]);
    for expected in &entries {
        let mut member = reader.next().unwrap().unwrap();
        let entry = member.entry().clone();
        assert_eq!(entry.path, expected.path);
        assert_eq!(entry.kind, expected.kind);
        assert_eq!(entry.mode, expected.mode);
        assert_eq!((entry.uid, entry.gid), (expected.uid, expected.gid));
        assert_eq!(entry.mtime, expected.mtime);
        assert_eq!(entry.link_target, expected.link_target);
        assert_eq!(entry.device, expected.device);
        assert_eq!(entry.xattrs, expected.xattrs);
        assert_eq!(&tar[entry.data_offset as usize..][..entry.size as usize], {
            let mut data = Vec::new();
            member.read_to_end(&mut data).unwrap();
            assert_eq!(data, b"abc"[..expected.size as usize]);
            data
        });
    }
    assert!(reader.next().unwrap().is_none());
}

#[test]
fn path_is_cut_into_prefix_and_name_where_it_can_be() {
    for length in [99, 100, 101, 150, 200, 255, 256, 257, 300] {
        let path: Vec<u8> =
            (0..length).map(|i| if i % 50 == 49 && i + 1 < length { b'/' } else { b'p' }).collect();
        let tar = write(&[NewEntry::file(&path, 3), NewEntry::directory(&path)]);
        let mut reader = Reader::new(&tar[..]);
        assert_eq!(reader.next().unwrap().unwrap().path(), path);
        assert_eq!(reader.next().unwrap().unwrap().path(), path);
    }
}

#[test]
fn layer_of_it_has_the_size_that_docker_shows() {
    let tar = write(&entries(b"d/other", &[]));
    let mut parser = LayerParser::new();
    parser.update(&tar).unwrap();
    let (summary, tree) = parser.finish().unwrap();
    // Four files of three bytes, a link text of seven; the hard link and the devices are nothing.
    assert_eq!(summary.content_size_bytes, 4 * 3 + 7);
    assert_eq!(summary.entries, 9);
    assert_eq!(summary.tar_size_bytes, tar.len() as u64);
    assert_eq!(tree.lookup(b"hard"), tree.lookup(b"d/plain"));
    assert_eq!(summary.implied_directories, [""]);
}

#[test]
fn empty_stream_is_an_empty_layer() {
    let (summary, tree) = LayerParser::new().finish().unwrap();
    assert_eq!(summary.diff_id.digest(), &varve_types::Digest::of(b""));
    assert_eq!((summary.entries, summary.tar_size_bytes), (0, 0));
    assert!(tree.walk().next().is_none());
}
