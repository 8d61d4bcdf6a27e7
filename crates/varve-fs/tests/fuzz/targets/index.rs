//! Any bytes as an index: everything is read that the reader offers. It may refuse, at any point;
//! it must come to an end.

use varve_fs::erofs::{Index, Kind, Node, Place};

const SUPERBLOCK_AT: usize = 1024;
/// Names after which visiting stops: each costs a few hundred reads.
const VISITED_MAX: usize = 2_000;
const RANGES_MAX: usize = 2_000;
const CONTENT_SIZE_BYTES_MAX: u64 = 64 << 10;

/// The target.
pub(crate) fn run(data: &[u8]) {
    read(data);
    // Few would get past the checksum.
    let mut sealed = data.to_vec();
    if seal(&mut sealed) && sealed != data {
        read(&sealed);
    }
}

fn read(data: &[u8]) {
    let Ok(index) = Index::open(data) else { return };
    let (_, _) = (index.inode_count(), index.size_bytes());
    if let Ok(root) = index.node(index.root()) {
        read_node(&index, &root);
        let mut visit = index.visit(&root);
        let mut visited = 0;
        while let Ok(Some((path, node))) = visit.next() {
            assert!(path.len() <= varve_types::limits::PATH_SIZE_BYTES_MAX);
            read_node(&index, &node);
            visited += 1;
            if visited > VISITED_MAX {
                break;
            }
            // Of long paths each would read every directory above again.
            if path.len() < 100 {
                let _ = index.lookup(path);
            }
        }
    }
    for path in [&b"a"[..], b"d/x", b"many/7", b"", b"/", b"..", b"\xff/\0"] {
        let _ = index.lookup(path);
    }
    let _ = index.tree();
}

fn read_node(index: &Index<&[u8]>, node: &Node) {
    let _ = index.attributes(node);
    let _ = index.read_link(node);
    for name in [&b"a"[..], b"x", b"\xff"] {
        let _ = index.child(node, name);
    }
    let mut end = 0;
    for range in index.ranges(node).take(RANGES_MAX).map_while(Result::ok) {
        assert_eq!(range.offset, end, "a gap");
        assert!(range.length > 0, "an empty range");
        end = range.offset.checked_add(range.length).expect("within the file");
        assert!(end <= node.size, "a range behind the file's end");
        if let Place::Index(at) = range.place {
            assert!(at.checked_add(range.length).is_some_and(|end| end <= index.size_bytes()));
        }
    }
    if node.kind == Kind::File && node.size <= CONTENT_SIZE_BYTES_MAX {
        let tar = vec![b't'; CONTENT_SIZE_BYTES_MAX as usize];
        let mut content = Vec::new();
        if index.copy_content(node, &tar, &mut content).is_ok() {
            assert_eq!(content.len() as u64, node.size);
        }
    }
}

/// Makes the superblock one that the reader looks at: what follows from other numbers is made to,
/// what nothing depends on is zero, and the checksum is right. `false` where there is none.
fn seal(data: &mut [u8]) -> bool {
    let Some(&bits) = data.get(SUPERBLOCK_AT + 12) else { return false };
    let Some(block_size) = 1_usize.checked_shl(u32::from(bits)) else { return false };
    // From the superblock to the end of its block; small blocks are counted from there on.
    let end = if block_size > SUPERBLOCK_AT { block_size } else { SUPERBLOCK_AT + block_size };
    let Some(block) = data.get_mut(SUPERBLOCK_AT..end) else { return false };
    let device = 192..196;
    if device.end + 4 > block.len() {
        return false;
    }
    let is_kept = |at: usize| {
        matches!(at, 0..4 | 8..12 | 12 | 14..40 | 40..64 | 80..82 | 86..90) || device.contains(&at)
    };
    for (at, byte) in block.iter_mut().enumerate() {
        if !is_kept(at) {
            *byte = 0;
        }
    }
    if block[80] & 8 == 0 {
        block[device].fill(0);
    } else {
        block.copy_within(36..40, device.end);
    }
    // CRC-32C without the final complement.
    let sum = block.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            sum >> 1 ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    });
    block[4..8].copy_from_slice(&sum.to_le_bytes());
    true
}
