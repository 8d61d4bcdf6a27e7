//! How much memory bodies without end and layers that inflate take. Alone in its program, because
//! it looks at the peak of the whole process.

use std::io::{self, Read as _};

use serde_json::json;
use varve_engine::{Engine, Pull, PullPlatform, Registries};
use varve_fs::compression::Compressor;
use varve_testkit::{Fault, Image, On, Registry};
use varve_types::{Ctx, Digest, Hasher};

/// What the layer inflates to: a tar of zeros is an empty one, and may be any size.
const INFLATED_SIZE_BYTES: u64 = 256 << 20;
const PEAK_GROWTH_SIZE_BYTES_MAX: u64 = 64 << 20;

fn peak_size_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

#[test]
fn memory_grows_neither_with_endless_bodies_nor_with_what_a_layer_inflates_to() {
    let registry = Registry::start();
    let good = Image::seeded(1).build();
    registry.push("app:1", &good);
    let zeros = || io::repeat(0).take(INFLATED_SIZE_BYTES);
    let (mut hasher, mut blob) = (Hasher::new(), Vec::new());
    io::copy(&mut zeros(), &mut hasher).unwrap();
    Compressor::gzip().compress(&mut zeros(), &mut blob).unwrap();
    let diff_id: Digest = hasher.finish();
    let bomb = good
        .clone()
        .replace_layer(0, blob)
        .change_config(|config| config["rootfs"]["diff_ids"] = json!([diff_id]));
    registry.push("app:bomb", &bomb);
    let root = tempfile::tempdir().unwrap();
    let engine = Engine::open(root.path(), Registries::default()).unwrap();
    let pull = |name: &str| {
        let reference = &registry.reference(name);
        let request = Pull { reference, all_tags: false, platform: PullPlatform::Host };
        engine.pull(&Ctx::for_test(), &request).map(drop)
    };
    let Some(before) = peak_size_bytes() else {
        eprintln!("skipped: /proc tells no peak of memory");
        return;
    };
    for on in [On::Manifest, On::Blob] {
        registry.fail_always(on, Fault::Endless);
        pull("app:1").unwrap_err();
        registry.heal();
    }
    // An error page without end, too.
    registry.fail_always(On::Manifest, Fault::Respond(404, Vec::new(), Vec::new()));
    registry.fail_always(On::Manifest, Fault::Endless);
    pull("app:1").unwrap_err();
    registry.heal();
    pull("app:bomb").unwrap();
    pull("app:1").unwrap();
    let growth = peak_size_bytes().unwrap() - before;
    assert!(growth < PEAK_GROWTH_SIZE_BYTES_MAX, "the peak grew by {growth} bytes");
}
