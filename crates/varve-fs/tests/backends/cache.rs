//! Bytes of a mounted layer are in memory once, not twice.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
};

use varve_fs::backend::{BackendKind, forget_cached};

use crate::{kernel, made::Layer, store::with_each};

const FILES: usize = 24;
const FILE_SIZE_BYTES: usize = 256 << 10;

/// Bytes of a file that are in the page cache, as util-linux's `fincore` has it.
fn cached_bytes(path: &Path) -> u64 {
    let output = Command::new("fincore")
        .args(["--bytes", "--noheadings", "--output", "RES"])
        .arg(path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

#[test]
fn bytes_of_a_mounted_layer_are_cached_once_when_the_tar_is_forgotten() {
    if !kernel::have("fincore") {
        return;
    }
    let test = "cache::bytes_of_a_mounted_layer_are_cached_once_when_the_tar_is_forgotten";
    with_each(test, |bench| {
        // A tmpfs has its files nowhere but in memory.
        if bench.backend.kind() == BackendKind::Directory || bench.store.on == "tmpfs" {
            return;
        }
        let lines = (0..FILES).fold(String::new(), |lines, number| {
            let data = char::from(b'a' + number as u8).to_string().repeat(FILE_SIZE_BYTES);
            lines + &format!("{number} = {data}\n")
        });
        let laid = bench.lay("layer", &Layer::made(&lines));
        let [_, tar, ..] = laid.paths();
        let file = File::open(&tar).unwrap();
        file.sync_all().unwrap();
        let total = (FILES * FILE_SIZE_BYTES) as u64;
        for number in 0..FILES {
            let bytes = fs::read(laid.lower.join(number.to_string())).unwrap();
            assert!(bytes.iter().all(|&byte| byte == b'a' + number as u8));
        }
        let mounted = || -> u64 {
            let names = (0..FILES).map(|number| laid.lower.join(number.to_string()));
            names.map(|path| cached_bytes(&path)).sum()
        };
        let name = bench.name();
        // The kernel may need a page for something else at any time.
        let most = total - total / 50;
        assert!(mounted() >= most, "{name}: {}", mounted());
        // As the kernel leaves it: twice.
        assert!(cached_bytes(&tar) >= most, "{name}: {}", cached_bytes(&tar));
        forget_cached(&file).unwrap();
        assert!(mounted() >= most, "{name}: {}", mounted());
        // A page that something else looks at just then may stay.
        assert!(cached_bytes(&tar) < total / 50, "{name}: {}", cached_bytes(&tar));
        drop(file);
        bench.take_away(&laid);
    });
}
