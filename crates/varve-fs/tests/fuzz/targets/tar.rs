//! Any bytes as a layer's tar: parsed whole and in pieces, walked as an archive, written as an
//! index, and read from that.

use std::io::Read as _;

use varve_fs::{
    erofs::{BlockSize, Index, Kind, Layer, write_index},
    layer::{LayerError, LayerParser, LayerSummary},
    tar::{Device, Reader, Region},
    tree::{Content, Extent, FileBytes, Tree},
};

use super::facts::{self, Facts, What};

/// Of larger files the content is not compared.
const CONTENT_SIZE_BYTES_MAX: u64 = 64 << 10;

/// The target.
pub(crate) fn run(data: &[u8]) {
    let whole = parse(data, data.len().max(1));
    for piece_size in [1, 511, 4096] {
        let cut = parse(data, piece_size);
        match (&whole, &cut) {
            (Ok((summary, tree)), Ok((cut_summary, cut_tree))) => {
                assert_eq!(summary, cut_summary);
                assert_eq!(facts::of_tree(tree), facts::of_tree(cut_tree));
            }
            (Err(error), Err(cut_error)) => assert_eq!(error.to_string(), cut_error.to_string()),
            _ => panic!("whole: {:?}, in pieces of {piece_size}: {:?}", whole.err(), cut.err()),
        }
    }
    read_members(data);
    if let Ok((summary, tree)) = whole {
        check_paths(&tree);
        for block_size in [BlockSize::Tar, BlockSize::Page] {
            check_index(data, &summary, &tree, block_size);
        }
    }
}

fn parse(data: &[u8], piece_size: usize) -> Result<(LayerSummary, Tree), LayerError> {
    let mut parser = LayerParser::new();
    for piece in data.chunks(piece_size) {
        parser.update(piece)?;
    }
    parser.finish()
}

fn read_members(data: &[u8]) {
    let mut reader = Reader::new(data);
    let mut read = 0;
    while let Ok(Some(mut member)) = reader.next() {
        let mut content = Vec::new();
        if member.read_to_end(&mut content).is_err() {
            return;
        }
        assert_eq!(member.size(), content.len() as u64);
        read += content.len();
        assert!(read <= data.len(), "more data than there are bytes");
    }
}

fn check_paths(tree: &Tree) {
    let mut walk = tree.walk();
    while let Some((path, _)) = walk.next() {
        for name in path.split(|&byte| byte == b'/') {
            assert!(!matches!(name, b"" | b"." | b".."), "{path:?}");
            assert!(!name.contains(&0), "{path:?}");
        }
    }
}

/// The index says what the tree says.
fn check_index(data: &[u8], summary: &LayerSummary, tree: &Tree, block_size: BlockSize) {
    let (diff_id, tar_size_bytes) = (summary.diff_id, summary.tar_size_bytes);
    let layer = Layer { tree, diff_id, tar_size_bytes, block_size };
    let mut bytes = Vec::new();
    let Ok(written) = write_index(layer, &data, &mut bytes) else { return };
    assert_eq!(written.size_bytes, bytes.len() as u64);
    let index = Index::open(&bytes[..]).expect("what was written can be opened");
    let again = index.tree().expect("what was written can be read");
    if written.warnings.is_empty() {
        assert_eq!(shown(tree), shown(&again));
        assert_eq!(facts::names(tree), facts::names(&again));
    }
    let root = index.node(index.root()).expect("the root can be read");
    let mut visit = index.visit(&root);
    while let Some((path, node)) = visit.next().expect("what was written can be visited") {
        let found = index.lookup(path).expect("what was written can be searched");
        assert_eq!(found.map(|found| found.id), Some(node.id), "{path:?}");
        if node.kind != Kind::File || node.size > CONTENT_SIZE_BYTES_MAX {
            continue;
        }
        let id = tree.lookup(path).expect("the index has no path of its own");
        let Content::File(file) = &tree.inode(id).content else { panic!("{path:?} is no file") };
        let mut content = Vec::new();
        index.copy_content(&node, &data, &mut content).expect("content can be read");
        assert!(content == content_of(file, data), "{path:?}");
    }
}

fn content_of(file: &FileBytes, tar: &[u8]) -> Vec<u8> {
    let mut content = vec![0; file.size as usize];
    for extent in file.extents() {
        let (from, to) = (extent.tar_offset as usize, extent.offset as usize);
        let length = extent.length as usize;
        content[to..to + length].copy_from_slice(&tar[from..from + length]);
    }
    content
}

/// What can be told of a tree by its index.
fn shown(tree: &Tree) -> Facts {
    let mut facts = facts::of_tree(tree);
    for fact in facts.values_mut() {
        match &mut fact.what {
            What::Whiteout | What::ForeignHardLink(_) => {
                (fact.mode, fact.owner) = (0, (0, 0));
                (fact.mtime, fact.xattrs) = (varve_fs::tar::Time::default(), Vec::new());
            }
            // As many bits as the kernel has.
            What::CharacterDevice(Device { major, minor })
            | What::BlockDevice(Device { major, minor }) => {
                (*major, *minor) = (*major & 0xfff, *minor & 0xf_ffff);
            }
            // Only where its bytes are, not in what words.
            What::File(bytes) => {
                let extents = bytes.extents().filter(|extent| extent.length > 0);
                let regions: Vec<Region> = extents
                    .map(|Extent { offset, length, .. }| Region { offset, length })
                    .collect();
                if regions.is_empty() {
                    (bytes.data_offset, bytes.padding_is_zero) = (0, true);
                }
                bytes.sparse = Some(joined(regions).into());
            }
            _ => {}
        }
    }
    facts
}

/// Regions that touch become one.
fn joined(regions: Vec<Region>) -> Vec<Region> {
    let mut joined: Vec<Region> = Vec::new();
    for region in regions {
        match joined.last_mut() {
            Some(last) if last.offset + last.length == region.offset => {
                last.length += region.length;
            }
            _ => joined.push(region),
        }
    }
    joined
}
