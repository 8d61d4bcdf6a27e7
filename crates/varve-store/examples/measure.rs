//! Figures for the store: `cargo run --release -p varve-store --example measure`.
#![allow(clippy::unwrap_used)]

use std::{
    io::Read,
    time::{Duration, Instant},
};

use varve_store::{Error, Keep, LayerRequest, LayerState, Row, Store};
use varve_types::{Descriptor, Digest, ImageId, media_type};

/// Wall time and the time this thread had a processor: the second is what counts on a busy machine.
struct Stopwatch(Instant, Duration);

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

impl Stopwatch {
    fn start() -> Self {
        Self(Instant::now(), processor_time())
    }

    fn elapsed(&self) -> String {
        format!("{:?} wall, {:?} busy", self.0.elapsed(), processor_time().saturating_sub(self.1))
    }
}

fn main() {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "/tmp/varve-measure".to_owned());
    let _ = std::fs::remove_dir_all(&directory);
    let store = Store::open(std::path::Path::new(&directory)).unwrap();
    let lease = store.lease().unwrap();
    if let Some(path) = std::env::args().nth(2) {
        let mut file = std::fs::File::open(&path).unwrap();
        let started = Stopwatch::start();
        let request = LayerRequest { keep: Keep::AsReceived, ..LayerRequest::default() };
        let LayerState::Wanted(mut ingest) = store.ingest_layer(&lease, request).unwrap() else {
            unreachable!()
        };
        let stored = ingest.receive(&mut file).unwrap();
        println!("layer of {} bytes: {}", stored.blob.size, started.elapsed());
        println!("index: {:?}", stored.record.index);
        let mut status = String::new();
        std::fs::File::open("/proc/self/status").unwrap().read_to_string(&mut status).unwrap();
        println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap());
        return;
    }
    let digest = store.put_blob(&lease, b"{}").unwrap();
    let row = |number: u32| {
        let id = Digest::of(&number.to_le_bytes());
        let mut row = Row::new(Descriptor::new(media_type::OCI_MANIFEST, id, 1234), ImageId(id));
        row.reference = Some(format!("127.0.0.1:5000/team/app{number}:v1").parse().unwrap());
        row.created = Some("2026-01-01T00:00:00.123456789Z".parse().unwrap());
        row.tagged = row.created;
        row.stored = row.created;
        row.size_bytes = 123_456_789;
        row.index = Some(digest);
        row.source = Some("docker.io/library/busybox".to_owned());
        row.platform = Some("linux/amd64".parse().unwrap());
        row
    };
    let started = Stopwatch::start();
    store
        .update_names(|names| {
            names.rows = (0..10_000).map(row).collect::<Vec<Row>>();
            Ok::<_, Error>(())
        })
        .unwrap();
    println!("write 10,000 rows: {}", started.elapsed());
    for _ in 0..3 {
        let started = Stopwatch::start();
        let names = store.names().unwrap();
        println!("read {} rows: {}", names.rows.len(), started.elapsed());
        drop(names);
        let started = Stopwatch::start();
        store.update_names(|names| Ok::<_, Error>(names.put(row(10_001)))).unwrap();
        println!("tag: {}", started.elapsed());
        let reference = row(10_001).reference.unwrap();
        let started = Stopwatch::start();
        store.remove_names(|names| Ok::<_, Error>(names.take(&reference))).unwrap();
        println!("remove: {}", started.elapsed());
    }
}
