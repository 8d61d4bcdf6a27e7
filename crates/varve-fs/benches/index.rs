//! What indexing a layer costs one core beside writing and hashing its tar, and how large the index
//! is. (The store parses while another thread writes and hashes; its own bench has what is left of
//! this then.) `cargo xtask bench` runs this with a Debian root; `cargo test` does not.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use varve_fs::{
    compression, durable,
    erofs::{BlockSize, Index, Layer, write_index},
    layer::LayerParser,
    tar::{NewEntry, Writer},
};
use varve_types::{DiffId, Digest, Hasher};

const CHUNK_SIZE_BYTES: usize = 128 << 10;
const PAIRS: usize = 21;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    // Only `cargo bench` says so.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let work = Work::new()?;
    if let Some(root) = arguments.next() {
        let tar = fs::read(&root)?;
        let percent = layer(&work, "a Debian root", &tar)?;
        row("  index, of the tar", format!("{percent:.2} %"), "2 %");
        streams(&tar)?;
    }
    let percent = layer(&work, "20,000 files of one byte", &small_files()?)?;
    row("  index, of the tar", format!("{percent:.2} %"), "");
    Ok(())
}

/// A directory of its own, on a disk, removed in the end.
struct Work(PathBuf);

impl Work {
    fn new() -> io::Result<Self> {
        let name = format!("bench-index-{}", std::process::id());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory)?;
        Ok(Self(directory))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn row(what: &str, measured: String, target: &str) {
    println!("{what:<44} {measured:>12} {target:>10}");
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Writes and hashes a tar with and without an index, in turns; returns the index's size.
fn layer(work: &Work, what: &str, tar: &[u8]) -> io::Result<f64> {
    let (mut plain, mut indexed, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut size = 0;
    let expected = Digest::of(tar);
    for pair in 0..=PAIRS {
        let begin = Instant::now();
        assert_eq!(without_index(work, tar)?, expected);
        let without = begin.elapsed();
        let begin = Instant::now();
        let (digest, index_size) = with_index(work, tar)?;
        let with = begin.elapsed();
        assert_eq!(digest, DiffId(expected));
        size = index_size;
        // The first fills caches.
        if pair > 0 {
            plain.push(without);
            indexed.push(with);
            ratios.push(with.as_secs_f64() / without.as_secs_f64() - 1.0);
        }
    }
    ratios.sort_by(f64::total_cmp);
    row(
        &format!("{what}, {} MB: write and hash", tar.len() / 1_000_000),
        format!("{:.1} ms", milliseconds(median(plain))),
        "",
    );
    row("  and parse and index", format!("{:.1} ms", milliseconds(median(indexed))), "");
    row("  more on one core, median of pairs", format!("{:+.1} %", ratios[PAIRS / 2] * 100.0), "");
    parts(tar)?;
    Ok(size as f64 * 100.0 / tar.len() as f64)
}

fn create(work: &Work, name: &str) -> io::Result<File> {
    let path = work.0.join(name);
    let _ = fs::remove_file(&path);
    durable::create_new(&path, 0o600)
}

fn without_index(work: &Work, tar: &[u8]) -> io::Result<Digest> {
    let file = create(work, "tar")?;
    let mut hasher = Hasher::new();
    for chunk in tar.chunks(CHUNK_SIZE_BYTES) {
        durable::write_all(&file, chunk)?;
        hasher.update(chunk);
    }
    Ok(hasher.finish())
}

/// All that the store does, one after the other.
fn with_index(work: &Work, tar: &[u8]) -> io::Result<(DiffId, u64)> {
    let file = create(work, "tar")?;
    let mut parser = LayerParser::new();
    for chunk in tar.chunks(CHUNK_SIZE_BYTES) {
        durable::write_all(&file, chunk)?;
        parser.update(chunk).map_err(io::Error::other)?;
    }
    let (summary, tree) = parser.finish().map_err(io::Error::other)?;
    let (diff_id, tar_size_bytes) = (summary.diff_id, summary.tar_size_bytes);
    let layer = Layer { tree: &tree, diff_id, tar_size_bytes, block_size: BlockSize::Tar };
    let mut index = Hashed(create(work, "index")?, Hasher::new());
    let tar = File::open(work.0.join("tar"))?;
    let written = write_index(layer, &tar, &mut index).map_err(io::Error::other)?;
    index.1.finish();
    Ok((diff_id, written.size_bytes))
}

struct Hashed(File, Hasher);

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        durable::write_all(&self.0, bytes)?;
        self.1.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where the time goes, without any file.
fn parts(tar: &[u8]) -> io::Result<()> {
    let mut times = [(); 4].map(|()| Vec::new());
    for _ in 0..PAIRS {
        let begin = Instant::now();
        Digest::of(tar);
        times[0].push(begin.elapsed());
        let begin = Instant::now();
        let mut parser = LayerParser::new();
        for chunk in tar.chunks(CHUNK_SIZE_BYTES) {
            parser.update(chunk).map_err(io::Error::other)?;
        }
        let (summary, tree) = parser.finish().map_err(io::Error::other)?;
        times[1].push(begin.elapsed());
        let begin = Instant::now();
        let (diff_id, tar_size_bytes) = (summary.diff_id, summary.tar_size_bytes);
        let layer = Layer { tree: &tree, diff_id, tar_size_bytes, block_size: BlockSize::Tar };
        let mut bytes = Vec::new();
        write_index(layer, &tar, &mut bytes).map_err(io::Error::other)?;
        times[2].push(begin.elapsed());
        let begin = Instant::now();
        let index = Index::open(&bytes[..]).map_err(io::Error::other)?;
        index.tree().map_err(io::Error::other)?;
        times[3].push(begin.elapsed());
    }
    let [hash, parse, index, back] = times.map(|times| milliseconds(median(times)));
    row("  of that: hash", format!("{hash:.1} ms"), "");
    row("  parse, tree, summary", format!("{:.1} ms", parse - hash), "");
    row("  write the index to memory", format!("{index:.1} ms"), "");
    row("  the tree from the index again", format!("{back:.1} ms"), "");
    Ok(())
}

/// What hashing and inflating do in a second, on one core.
fn streams(tar: &[u8]) -> io::Result<()> {
    let rate = |bytes: usize, time: Duration| {
        format!("{:.0} MB/s", bytes as f64 / 1_000_000.0 / time.as_secs_f64())
    };
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let mut gzip = vec![0; compressor.gzip_compress_bound(tar.len())];
    let size = compressor.gzip_compress(tar, &mut gzip).map_err(io::Error::other)?;
    gzip.truncate(size);
    let (mut hash, mut stream, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    let mut plain = vec![0; tar.len()];
    for _ in 0..5 {
        let begin = Instant::now();
        Digest::of(tar);
        hash.push(begin.elapsed());
        let begin = Instant::now();
        let (_, mut reader) = compression::decode(&gzip[..])?;
        let mut buffer = vec![0; CHUNK_SIZE_BYTES];
        let mut count = 0;
        loop {
            match reader.read(&mut buffer)? {
                0 => break,
                more => count += more,
            }
        }
        assert_eq!(count, tar.len());
        stream.push(begin.elapsed());
        let begin = Instant::now();
        let inflated = libdeflater::Decompressor::new().gzip_decompress(&gzip, &mut plain);
        assert_eq!(inflated.ok(), Some(tar.len()));
        whole.push(begin.elapsed());
    }
    row("SHA-256", rate(tar.len(), median(hash)), "");
    row("inflate, as it comes (zlib-rs)", rate(tar.len(), median(stream)), "");
    row("inflate, all at hand (libdeflate)", rate(tar.len(), median(whole)), "");
    Ok(())
}

fn small_files() -> io::Result<Vec<u8>> {
    let mut writer = Writer::new(Vec::new());
    for directory in 0..100 {
        let path = format!("usr/share/things/{directory:03}");
        writer.append_bytes(&NewEntry::directory(path.as_bytes()), b"")?;
        for file in 0..200 {
            let path = format!("{path}/file-{file:05}.txt");
            writer.append_bytes(&NewEntry::file(path.as_bytes(), 1), b"x")?;
        }
    }
    writer.finish()
}
