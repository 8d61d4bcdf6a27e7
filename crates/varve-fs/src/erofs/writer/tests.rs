//! Files too large for a test to have them.

use varve_types::Digest;

use super::*;
use crate::{
    erofs::{Index, Place},
    tar::Region,
    tree::{Content, FileBytes, Inode, Tree},
};

const GIB: u64 = 1 << 30;

fn index_of(bytes: FileBytes, tar_size_bytes: u64) -> Vec<u8> {
    let mut tree = Tree::new();
    let inode = Inode { content: Content::File(bytes), ..Inode::implied_directory() };
    let id = tree.push(inode);
    tree.insert(Tree::ROOT, b"large", id);
    tree.count_links();
    let diff_id = DiffId(Digest::of(b"large"));
    let layer = Layer { tree: &tree, diff_id, tar_size_bytes, block_size: BlockSize::Tar };
    let mut out = Vec::new();
    // Reads zeros wherever it is asked to.
    struct Zeros;
    impl ReadAt for Zeros {
        fn read_exact_at(&self, buffer: &mut [u8], _: u64) -> std::io::Result<()> {
            buffer.fill(0);
            Ok(())
        }
    }
    write_index(layer, &Zeros, &mut out).expect("within the limits");
    out
}

fn places(image: &[u8]) -> Vec<(u64, Place)> {
    let index = Index::open(image).expect("sound");
    let node = index.lookup(b"large").expect("sound").expect("there");
    let ranges = index.ranges(&node).map(|range| range.expect("sound"));
    ranges.map(|range| (range.length, range.place)).collect()
}

#[test]
fn file_of_ten_gigabytes_is_one_run_of_the_tar() {
    let size = 10 * GIB + 5;
    let bytes = FileBytes { size, data_offset: 512, sparse: None, padding_is_zero: true };
    let image = index_of(bytes, 512 + size.next_multiple_of(512) + 1024);
    assert_eq!(image.len(), 4096);
    assert_eq!(places(&image), [(size, Place::Tar(512))]);
}

#[test]
fn layer_may_be_as_large_as_its_limit() {
    let limit = varve_types::limits::LAYER_INFLATED_SIZE_BYTES_MAX;
    let bytes =
        FileBytes { size: limit - 1536, data_offset: 512, sparse: None, padding_is_zero: true };
    let image = index_of(bytes, limit);
    assert_eq!(places(&image), [(limit - 1536, Place::Tar(512))]);
}

#[test]
fn large_file_with_few_pieces_takes_little_of_the_index() {
    let regions =
        [Region { offset: 77, length: 1024 }, Region { offset: 90 * GIB, length: 3 * GIB }];
    let bytes = FileBytes {
        size: 100 * GIB,
        data_offset: 512,
        sparse: Some(regions.into()),
        padding_is_zero: true,
    };
    let image = index_of(bytes, 4 * GIB);
    assert!(image.len() < 4 << 20, "{}", image.len());
    let mapped = places(&image).into_iter().filter(|(_, place)| matches!(place, Place::Tar(_)));
    assert_eq!(mapped.map(|(length, _)| length).sum::<u64>(), 3 * GIB);
}
