//! See `targets/tar.rs`.
//!
//! A changed byte in a header makes its checksum wrong, and the parser would see little else. So
//! most changes are followed by sealing all headers anew, and some are of whole blocks.
#![no_main]

#[path = "../../crates/varve-fs/tests/fuzz/targets/mod.rs"]
#[allow(dead_code)]
mod targets;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

const BLOCK: usize = 512;
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const TYPE: usize = 156;

fuzz_target!(|data: &[u8]| targets::tar::run(data));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random(u64::from(seed) << 1 | 1);
    let size = match random.below(4) {
        0 => mutate_blocks(data, size, max_size, &mut random),
        _ => fuzzer_mutate(data, size, max_size),
    };
    if random.below(8) > 0 {
        seal_all(&mut data[..size]);
    }
    size
});

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end.max(1)
    }
}

/// Takes a run of blocks out, or puts it in once more somewhere else.
fn mutate_blocks(data: &mut [u8], size: usize, max_size: usize, random: &mut Random) -> usize {
    let blocks = size / BLOCK;
    let from = random.below(blocks) * BLOCK;
    let length = (1 + random.below(4)) * BLOCK;
    if from + length > size {
        return fuzzer_mutate(data, size, max_size);
    }
    if random.below(2) == 0 {
        data.copy_within(from + length..size, from);
        return size - length;
    }
    let to = random.below(blocks + 1) * BLOCK;
    if size + length > max_size {
        data.copy_within(from..from + length, to.min(size - length));
        return size;
    }
    let run = data[from..from + length].to_vec();
    data.copy_within(to..size, to + length);
    data[to..to + length].copy_from_slice(&run);
    size + length
}

/// Writes the right checksum into whatever stands where a header is expected.
fn seal_all(data: &mut [u8]) {
    let mut at = 0;
    while let Some(block) = data.get_mut(at..at + BLOCK) {
        at += BLOCK;
        if block.iter().all(|&byte| byte == 0) {
            continue;
        }
        block[CHECKSUM].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        if !matches!(block[TYPE], b'1'..=b'6') {
            let digits = block[SIZE].iter().take_while(|byte| byte.is_ascii_digit());
            let size = digits.fold(0_usize, |size, digit| size << 3 | usize::from(digit & 7));
            at = at.saturating_add(size.next_multiple_of(BLOCK));
        }
    }
}
