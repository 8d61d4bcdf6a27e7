//! What it costs the store to take a tar in as a layer, parsed and indexed, beside taking it in as
//! a blob that is only hashed and written. `cargo xtask bench` runs this with a Debian root; `cargo
//! test` does not.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use varve_fs::tar::{NewEntry, Writer};
use varve_store::{Error, LayerRequest, LayerState, Store};
use varve_types::{Descriptor, media_type};

const PAIRS: usize = 31;

type Anything<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Anything<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    // Only `cargo bench` says so.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let work = Work::new()?;
    if let Some(root) = arguments.next() {
        compare(&work, "a Debian root", &fs::read(root)?)?;
    }
    compare(&work, "20,000 files of one byte", &small_files()?)
}

/// A directory of its own, on a disk, removed in the end.
struct Work(PathBuf);

impl Work {
    fn new() -> Anything<Self> {
        let name = format!("bench-layers-{}", std::process::id());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory)?;
        Ok(Self(directory))
    }

    /// Times what is done with a store that has nothing yet: on the clock, and of the processor.
    fn time(&self, run: impl FnOnce(&Store) -> Result<(), Error>) -> Anything<[Duration; 2]> {
        let root = self.0.join("store");
        let store = Store::open(&root)?;
        // The first lease makes the directories.
        drop(store.lease()?);
        let (begin, begin_processor) = (Instant::now(), processor_time());
        run(&store)?;
        let time = [begin.elapsed(), processor_time().saturating_sub(begin_processor)];
        fs::remove_dir_all(root)?;
        Ok(time)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What all threads have used so far.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn row(what: &str, measured: String, target: &str) {
    println!("{what:<44} {measured:>12} {target:>10}");
}

/// Takes a tar in as a blob and as a layer, in turns.
fn compare(work: &Work, what: &str, tar: &[u8]) -> Anything<()> {
    let descriptor = Descriptor::of(media_type::OCI_LAYER, tar);
    let (mut blobs, mut layers) = (Vec::new(), Vec::new());
    for pair in 0..=PAIRS {
        let blob = work.time(|store| {
            let ingest = store.ingest_blob(&store.lease()?, &descriptor)?;
            ingest.expect("the store is empty").receive(&mut &tar[..]).map(drop)
        })?;
        let layer = work.time(|store| {
            let descriptor = Some(descriptor.clone());
            let request = LayerRequest { descriptor, ..LayerRequest::default() };
            match store.ingest_layer(&store.lease()?, request)? {
                LayerState::Wanted(mut ingest) => ingest.receive(&mut &tar[..]).map(drop),
                LayerState::Present(_) => unreachable!("the store is empty"),
            }
        })?;
        // The first fills caches.
        if pair > 0 {
            blobs.push(blob);
            layers.push(layer);
        }
    }
    row(&format!("{what}, {} MB:", tar.len() / 1_000_000), String::new(), "");
    for (place, (by, target)) in [("clock", "25 %"), ("processor", "")].into_iter().enumerate() {
        let times = |times: &[[Duration; 2]]| -> Vec<f64> {
            times.iter().map(|time| time[place].as_secs_f64() * 1000.0).collect()
        };
        let (blobs, layers) = (times(&blobs), times(&layers));
        let more = |(blob, layer): (&f64, &f64)| (layer / blob - 1.0) * 100.0;
        let more = blobs.iter().zip(&layers).map(more).collect();
        row(&format!("  as a blob, by the {by}"), format!("{:.1} ms", median(blobs)), "");
        row("  as a layer", format!("{:.1} ms", median(layers)), "");
        row("  more, median of pairs", format!("{:+.1} %", median(more)), target);
    }
    Ok(())
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn small_files() -> std::io::Result<Vec<u8>> {
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
