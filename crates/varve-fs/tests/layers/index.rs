//! What an index says is what the tree says.

use varve_fs::{
    erofs::{BlockSize, Index, Kind, Layer, Node, Place, ReadAt, WriteError, Written, write_index},
    layer::{LayerParser, LayerSummary, text_of_path},
    tree::{Content, Tree},
};
use varve_types::{DiffId, Digest};

use super::{
    corpus,
    facts::{Facts, Summed, Told, WHITEOUT, compare, device, facts_of_tree, sum_piecewise},
    raw::Raw,
};

pub(crate) fn parse(tar: &[u8]) -> (LayerSummary, Tree) {
    let mut parser = LayerParser::new();
    parser.update(tar).unwrap();
    parser.finish().unwrap()
}

pub(crate) fn index(tar: &[u8], block_size: BlockSize) -> Result<(Vec<u8>, Written), WriteError> {
    let (summary, tree) = parse(tar);
    let layer = Layer {
        tree: &tree,
        diff_id: summary.diff_id,
        tar_size_bytes: summary.tar_size_bytes,
        block_size,
    };
    let mut bytes = Vec::new();
    let written = write_index(layer, &tar, &mut bytes)?;
    assert_eq!(written.size_bytes, bytes.len() as u64);
    Ok((bytes, written))
}

#[test]
fn index_of_every_archive_says_what_its_tree_says() {
    for case in corpus::cases() {
        for block_size in [BlockSize::Tar, BlockSize::Page] {
            let (bytes, _) = index(&case.tar, block_size).unwrap();
            let (_, tree) = parse(&case.tar);
            let (expected, actual) =
                (facts_of_tree(&tree, &case.tar), facts_of_index(&bytes, &case.tar));
            compare(&expected, &actual, case.name);
            let tree_again = Index::open(&bytes[..]).unwrap().tree().unwrap();
            let again = facts_of_tree(&tree_again, &case.tar);
            compare(&expected, &again, case.name);
            assert_eq!(rest_of_tree(&tree_again), rest_of_tree(&tree), "{}", case.name);
            let again = index(&case.tar, block_size).unwrap().0;
            assert!(bytes == again, "{}: the same tree, other bytes", case.name);
        }
    }
}

#[test]
fn names_are_found_without_reading_all_of_a_directory() {
    let tar = (0..3000).fold(Raw::new(), |tar, at| tar.file(&format!("d/{at}"), b""));
    let (bytes, _) = index(&tar.end(), BlockSize::Tar).unwrap();
    let index = Index::open(bytes).unwrap();
    for at in (0..3000).step_by(7) {
        assert!(index.lookup(format!("/d/{at}").as_bytes()).unwrap().is_some(), "{at}");
    }
    for absent in ["d/", "d/3000", "d/1500x", "d/!", "d/~", "d/.", "d/..", "e", "d/1/x"] {
        let found = index.lookup(absent.as_bytes()).unwrap();
        assert_eq!(found.is_some(), absent == "d/", "{absent}");
    }
}

#[test]
fn data_stays_in_the_tar() {
    let content = vec![b'x'; 100_000];
    let tar = Raw::new().file("clean", &content).header("dirty", b'0', 99_999);
    let tar = tar.data_padded_with(&content[..99_999], b'!').end();
    let (bytes, _) = index(&tar, BlockSize::Tar).unwrap();
    assert!(bytes.len() <= 4096, "{}", bytes.len());
    let index = Index::open(bytes).unwrap();
    let places = |name: &[u8]| {
        let node = index.lookup(name).unwrap().unwrap();
        let ranges = index.ranges(&node).map(Result::unwrap);
        ranges.map(|range| (range.length, range.place)).collect::<Vec<_>>()
    };
    assert_eq!(places(b"clean"), [(100_000, Place::Tar(512))]);
    let dirty = places(b"dirty");
    assert_eq!(dirty[0], (99_840, Place::Tar(512 + 100_352 + 512)));
    assert!(matches!(dirty[1], (159, Place::Index(_))), "{dirty:?}");
}

/// The tar of a file that is the tar's last thing may end with its last byte.
#[test]
fn block_that_the_tar_has_only_a_part_of_is_not_mapped() {
    let tar = Raw::new().file("a", &[b'x'; 700]).0;
    let cut = &tar[..512 + 700];
    let (summary, tree) = parse(&tar);
    let layer = Layer {
        tree: &tree,
        diff_id: summary.diff_id,
        tar_size_bytes: cut.len() as u64,
        block_size: BlockSize::Tar,
    };
    let mut bytes = Vec::new();
    write_index(layer, &cut, &mut bytes).unwrap();
    compare(&facts_of_tree(&tree, &tar), &facts_of_index(&bytes, cut), "cut");
}

#[test]
fn what_cannot_be_stored_is_said_or_refused_by_name() {
    let warnings = |name: &str| {
        let case = corpus::cases().into_iter().find(|case| case.name == name).unwrap();
        index(&case.tar, BlockSize::Tar).unwrap().1.warnings
    };
    assert_eq!(warnings("attribute without a namespace"), ["the attribute other cannot be stored"]);
    assert_eq!(warnings("attribute that grows too long").len(), 1);
    assert_eq!(warnings("attributes"), [""; 0]);
    let huge = (u64::MAX / 2).to_string();
    let map = format!("{},1", u64::MAX / 4);
    let bomb = Raw::new()
        .pax(&[("GNU.sparse.map", map.as_bytes()), ("GNU.sparse.size", huge.as_bytes())])
        .file("bomb", b"x");
    let error = index(&bomb.end(), BlockSize::Tar).unwrap_err();
    assert_eq!(error.to_string(), "bytes of a layer's index: more than 2147483648");
}

/// What a tree says beyond [`facts_of_tree`].
fn rest_of_tree(tree: &Tree) -> Vec<String> {
    let mut rest = Vec::new();
    let mut walk = tree.walk();
    while let Some((path, id)) = walk.next() {
        let inode = tree.inode(id);
        let what = match &inode.content {
            Content::File(bytes) if bytes.size > 0 => {
                let extents: Vec<_> = bytes.extents().collect();
                format!("{extents:?} {}", bytes.padding_is_zero)
            }
            Content::Directory(directory) => format!("implied {}", directory.is_implied),
            Content::ForeignHardLink(target) => format!("{} {target:?}", inode.links),
            Content::Whiteout => "whiteout".into(),
            Content::CharacterDevice(device) => format!("{device:?} {:o}", inode.mode),
            _ => continue,
        };
        rest.push(format!("{} {what}", text_of_path(path)));
    }
    rest
}

pub(crate) fn facts_of_index(bytes: &[u8], tar: &[u8]) -> Facts {
    let index = Index::open(bytes).unwrap();
    let root = index.node(index.root()).unwrap();
    let mut facts = Facts::new();
    facts.insert(String::new(), fact_of_node(&index, &root, tar));
    let mut visit = index.visit(&root);
    while let Some((path, node)) = visit.next().unwrap() {
        facts.insert(text_of_path(path), fact_of_node(&index, &node, tar));
    }
    facts
}

fn fact_of_node(index: &Index<&[u8]>, node: &Node, tar: &[u8]) -> String {
    let attributes = index.attributes(node).unwrap();
    let what = match node.kind {
        Kind::File => {
            let (mut summed, mut rest) = (Summed::default(), vec![]);
            for range in index.ranges(node).map(Result::unwrap) {
                let mut data = vec![0; range.length as usize];
                match range.place {
                    Place::Tar(offset) => tar.read_exact_at(&mut data, offset).unwrap(),
                    Place::Index(offset) => {
                        index.source().read_exact_at(&mut data, offset).unwrap();
                    }
                    Place::Hole => {
                        sum_piecewise(&mut summed, &mut rest, range.length, None);
                        continue;
                    }
                }
                sum_piecewise(&mut summed, &mut rest, 0, Some(&data));
            }
            summed.add(&rest);
            summed.finish()
        }
        Kind::Directory => {
            format!("directory{}", if attributes.is_opaque { " opaque" } else { "" })
        }
        Kind::Symlink => format!("-> {}", text_of_path(&index.read_link(node).unwrap())),
        Kind::CharacterDevice(numbers) => device("character", numbers),
        Kind::BlockDevice(numbers) => device("block", numbers),
        Kind::Fifo => "fifo".into(),
        Kind::Whiteout => return WHITEOUT.into(),
    };
    Told {
        what,
        mode: node.mode,
        owner: (node.uid, node.gid),
        mtime: (node.mtime.seconds, node.mtime.nanoseconds),
        links: node.links,
        xattrs: &attributes.xattrs,
    }
    .fact()
}

#[test]
fn identity_of_an_index_is_its_layers() {
    let tar = Raw::new().file("a", b"x").end();
    let (summary, tree) = parse(&tar);
    let write = |diff_id| {
        let layer = Layer {
            tree: &tree,
            diff_id,
            tar_size_bytes: summary.tar_size_bytes,
            block_size: BlockSize::Tar,
        };
        let mut bytes = Vec::new();
        write_index(layer, &tar, &mut bytes).unwrap();
        bytes
    };
    let other = DiffId(Digest::of(b"another layer"));
    assert_eq!(write(summary.diff_id), write(summary.diff_id));
    assert_ne!(write(summary.diff_id), write(other));
}
