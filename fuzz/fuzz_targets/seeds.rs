//! Writes what fuzzing begins with: in the directory that `VARVE_FUZZ_SEEDS` names, one of inputs for
//! each target, of the awkward archives that the tests have and of small trees made at random.
//!
//! It fuzzes nothing, but is built with the same flags as the targets, so libFuzzer is in it too.
#![no_main]
// What the macro puts behind the end of the process.
#![allow(unreachable_code)]

#[path = "../../crates/varve-fs/tests/layers/corpus.rs"]
#[allow(dead_code)]
mod corpus;
#[path = "../../crates/varve-fs/tests/layers/raw.rs"]
#[allow(dead_code)]
mod raw;

#[path = "../../crates/varve-distribution/tests/fuzz/targets/mod.rs"]
#[allow(dead_code)]
mod targets;

use std::{error::Error, fs, path::Path};

use varve_fs::{
    erofs::{BlockSize, Layer, write_index},
    layer::LayerParser,
};
use varve_types::Digest;

/// Longer ones make every try slow.
const SEED_SIZE_BYTES_MAX: usize = 32 << 10;
const RANDOM_SEEDS: u64 = 300;

libfuzzer_sys::fuzz_target!(
    init: {
        if let Err(error) = write_seeds() {
            eprintln!("seeds: {error}");
            std::process::exit(1);
        }
        std::process::exit(0);
    },
    |_input: &[u8]| {}
);

fn write_seeds() -> Result<(), Box<dyn Error>> {
    let directory = std::env::var_os("VARVE_FUZZ_SEEDS").ok_or("VARVE_FUZZ_SEEDS is not set")?;
    let directory = Path::new(&directory);
    for target in ["tar", "index", "diff", "dockerfile", "nouns", "requests"] {
        fs::create_dir_all(directory.join(target))?;
    }
    let write = |target: &str, bytes: &[u8]| {
        let name = Digest::of(bytes).hex();
        let fits = bytes.len() <= SEED_SIZE_BYTES_MAX;
        if fits { fs::write(directory.join(target).join(name), bytes) } else { Ok(()) }
    };
    for case in corpus::cases() {
        write("tar", &case.tar)?;
        for block_size in [BlockSize::Tar, BlockSize::Page] {
            write("index", &index(&case.tar, block_size)?)?;
        }
    }
    for seed in targets::nouns::SEEDS {
        write("nouns", seed)?;
    }
    for seed in targets::requests::SEEDS {
        write("requests", seed)?;
    }
    for seed in 1..=RANDOM_SEEDS {
        write("diff", &random(seed))?;
    }
    Ok(())
}

fn index(tar: &[u8], block_size: BlockSize) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut parser = LayerParser::new();
    parser.update(tar)?;
    let (summary, tree) = parser.finish()?;
    let (diff_id, tar_size_bytes) = (summary.diff_id, summary.tar_size_bytes);
    let layer = Layer { tree: &tree, diff_id, tar_size_bytes, block_size };
    let mut bytes = Vec::new();
    write_index(layer, &tar, &mut bytes)?;
    Ok(bytes)
}

/// xorshift64; every byte sequence describes trees.
fn random(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..20 + seed).map(|_| next()).collect()
}
