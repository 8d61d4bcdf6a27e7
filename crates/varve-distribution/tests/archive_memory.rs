//! How much memory loading and saving take. Alone in its program, because it looks at the peak
//! of the whole process.

use std::io::{self, Read, Write};

use varve_distribution::archive::{self, LoadInput, SavedImage};
use varve_fs::tar;
use varve_store::Store;
use varve_types::{Ctx, Digest, Hasher};

const LAYER_SIZE_BYTES: u64 = 160 << 20;
const PEAK_GROWTH_SIZE_BYTES_MAX: u64 = 64 << 20;

/// A tar of one large file, made as it is read.
struct Large {
    head: io::Cursor<Vec<u8>>,
    left: u64,
    tail: io::Cursor<Vec<u8>>,
}

impl Large {
    fn new() -> Self {
        let tar = |size: u64| {
            let mut writer = tar::Writer::new(Vec::new());
            let entry = tar::NewEntry::file(b"large", size);
            writer.append(&entry, &mut io::repeat(b'x').take(size)).unwrap();
            writer.finish().unwrap()
        };
        // The header is that of the large file; only its size and sum differ from the small one's.
        let mut header = tar(512)[..512].to_vec();
        header[124..136].copy_from_slice(format!("{LAYER_SIZE_BYTES:011o}\0").as_bytes());
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        Self {
            head: io::Cursor::new(header),
            left: LAYER_SIZE_BYTES,
            tail: io::Cursor::new(vec![0; 1024]),
        }
    }

    fn size() -> u64 {
        512 + LAYER_SIZE_BYTES + 1024
    }

    fn digest() -> Digest {
        let mut hasher = Hasher::new();
        io::copy(&mut Self::new(), &mut hasher).unwrap();
        hasher.finish()
    }
}

impl Read for Large {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.head.read(buffer)? {
            0 => {}
            count => return Ok(count),
        }
        let count = (buffer.len() as u64).min(self.left) as usize;
        if count == 0 {
            return self.tail.read(buffer);
        }
        buffer[..count].fill(b'x');
        self.left -= count as u64;
        Ok(count)
    }
}

fn peak_size_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

#[test]
fn memory_does_not_grow_with_the_archive() {
    let Some(before) = peak_size_bytes() else {
        eprintln!("skipped: /proc tells no peak of memory");
        return;
    };
    let digest = Large::digest();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{digest}"]}}}}"#
    );
    let manifest = r#"[{"Config":"c.json","RepoTags":["large:1"],"Layers":["l.tar"]}]"#;
    let (mut reader, mut writer) = io::pipe().unwrap();
    let sender = std::thread::spawn(move || {
        let mut tar = tar::Writer::new(&mut writer);
        tar.append(&tar::NewEntry::file(b"l.tar", Large::size()), &mut Large::new()).unwrap();
        for (path, text) in [("c.json", config.as_str()), ("manifest.json", manifest)] {
            let entry = tar::NewEntry::file(path.as_bytes(), text.len() as u64);
            tar.append_bytes(&entry, text.as_bytes()).unwrap();
        }
        tar.finish().unwrap().flush().unwrap();
    });
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("store")).unwrap();
    let lease = store.lease().unwrap();
    let input = LoadInput::Stream(&mut reader);
    let loaded = archive::load(&store, &lease, input, None, &Ctx::for_test()).unwrap();
    sender.join().unwrap();
    let image = SavedImage {
        manifest: loaded[0].target.clone(),
        image: loaded[0].image,
        tags: loaded[0].names.clone(),
    };
    archive::save(&store, &[image], None, &mut io::sink()).unwrap();
    let growth = peak_size_bytes().unwrap() - before;
    assert!(growth < PEAK_GROWTH_SIZE_BYTES_MAX, "the peak grew by {growth} bytes");
}
