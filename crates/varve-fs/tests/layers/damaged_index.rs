//! Damaged indexes are refused or read as something else, and nothing worse.

use varve_fs::erofs::{BlockSize, Index, Kind, ReadError};

use super::{corpus, index::index, raw::Raw};

/// Reads all that can be read; stops at the first error.
fn read_all(bytes: &[u8]) -> Result<u64, ReadError> {
    let index = Index::open(bytes)?;
    let root = index.node(index.root())?;
    let mut ranges = 0;
    let mut visit = index.visit(&root);
    while let Some((path, node)) = visit.next()? {
        let path = path.to_vec();
        index.attributes(&node)?;
        if node.kind == Kind::Symlink {
            index.read_link(&node)?;
        }
        for range in index.ranges(&node).take(100) {
            range?;
            ranges += 1;
        }
        if path.len() < 100 {
            index.lookup(&path)?;
        }
    }
    index.tree()?;
    Ok(ranges)
}

#[test]
fn no_changed_byte_makes_the_reader_panic_or_go_on_for_ever() {
    let names = ["one of each", "hard links", "attributes", "sparse in pieces", "whiteouts"];
    for case in corpus::cases().iter().filter(|case| names.contains(&case.name)) {
        let (bytes, _) = index(&case.tar, BlockSize::Tar).unwrap();
        read_all(&bytes).unwrap();
        let mut damaged = bytes.clone();
        for at in 1000..bytes.len() {
            let change = [0x01, 0x20, 0x80, 0xff][at % 4];
            damaged[at] ^= change;
            // Only that it ends.
            let _ = read_all(&damaged);
            damaged[at] ^= change;
        }
    }
}

#[test]
fn index_that_is_cut_short_is_refused() {
    let case = corpus::cases().into_iter().find(|case| case.name == "one of each").unwrap();
    let (bytes, _) = index(&case.tar, BlockSize::Tar).unwrap();
    for size in (0..bytes.len()).step_by(7) {
        let error = read_all(&bytes[..size]).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{size}: {error}");
    }
}

#[test]
fn superblock_is_covered_by_its_checksum() {
    let (bytes, _) = index(&Raw::new().file("a", b"x").end(), BlockSize::Tar).unwrap();
    for at in 1024..1536 {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        assert!(Index::open(damaged).is_err(), "{at}");
    }
}

/// The root directory's entry `d` is made to lead to the root.
#[test]
fn directories_that_go_round_come_to_an_end() {
    let (mut bytes, _) = index(&Raw::new().directory("d").end(), BlockSize::Tar).unwrap();
    let index = Index::open(&bytes[..]).unwrap();
    let child = index.lookup(b"d").unwrap().unwrap();
    assert_ne!(child.id, index.root());
    // Three entries of twelve bytes, the last of which is `d`; its name is the last byte.
    let name = bytes.windows(4).position(|window| window == b"...d").unwrap();
    let entry = name - 12;
    bytes[entry..entry + 8].copy_from_slice(&1_u64.to_le_bytes());
    let error = read_all(&bytes).unwrap_err();
    assert!(matches!(error, ReadError::Limit { .. }), "{error}");
    let error = Index::open(&bytes[..]).unwrap().tree().unwrap_err();
    assert!(error.to_string().contains("a directory's entries are wrong"), "{error}");
}

/// Found by fuzzing: an inode in the last bytes, whose data would lie right behind them.
#[test]
fn no_range_lies_behind_the_end_of_the_index() {
    let (mut bytes, _) = index(&Raw::new().file("a", b"x").end(), BlockSize::Tar).unwrap();
    let inode = bytes.len() - 32;
    bytes[inode..].fill(0);
    // The data of five bytes behind the inode, a file with one name.
    bytes[inode] = 2 << 1;
    bytes[inode + 4..inode + 6].copy_from_slice(&0o100_644_u16.to_le_bytes());
    (bytes[inode + 6], bytes[inode + 8]) = (1, 5);
    let name = bytes.windows(4).position(|window| window == b"...a").unwrap();
    let number = (inode as u64 - 1536) / 32;
    bytes[name - 12..name - 4].copy_from_slice(&number.to_le_bytes());
    let index = Index::open(&bytes[..]).unwrap();
    let node = index.lookup(b"a").unwrap().unwrap();
    assert_eq!((node.kind, node.size), (Kind::File, 5));
    let ranges: Vec<_> = index.ranges(&node).collect();
    assert!(matches!(&ranges[..], [Err(ReadError::Damaged { .. })]), "{ranges:?}");
}
