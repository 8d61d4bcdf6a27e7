//! Several processes in one store, and processes that die.
//!
//! A child process is this test program again, told by its environment what to do.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use varve_store::{Error, LayerState, Store};

use crate::made::{Image, Layer, TempStore, files, noise, reference};

const ROLE: &str = "VARVE_STORE_TEST_ROLE";
const ROOT: &str = "VARVE_STORE_TEST_ROOT";
const SEED: &str = "VARVE_STORE_TEST_SEED";

fn child(role: &str, root: &Path, seed: u64) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "processes::what_a_child_does", "--nocapture"])
        .env(ROLE, role)
        .env(ROOT, root)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until a child says that it is where it should be.
fn wait_for(child: &mut Child, word: &str) {
    let output = child.stdout.as_mut().unwrap();
    let found = BufReader::new(output).lines().any(|line| line.unwrap().contains(word));
    assert!(found, "the child ended before it said {word}");
}

#[test]
fn what_a_child_does() {
    let Ok(role) = env::var(ROLE) else { return };
    let store = crate::made::open(Path::new(&env::var(ROOT).unwrap()));
    let seed: u64 = env::var(SEED).unwrap().parse().unwrap();
    match role.as_str() {
        "receive slowly" => receive_slowly(&store),
        "hold content" => hold_content(&store),
        "add and remove" => add_and_remove(&store, seed),
        other => panic!("no role {other}"),
    }
}

fn slow_layer() -> Layer {
    Layer::gzipped(&noise(8 << 20, 77))
}

/// Gives a little at a time, and says when it has given some.
struct Slow<'a> {
    left: &'a [u8],
    given: usize,
}

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        std::thread::sleep(Duration::from_millis(1));
        let length = buffer.len().min(40_000);
        let count = self.left.read(&mut buffer[..length])?;
        self.given += count;
        if self.given > 400_000 {
            println!("under way");
        }
        Ok(count)
    }
}

fn receive_slowly(store: &Store) {
    let layer = slow_layer();
    let lease = store.lease().unwrap();
    let LayerState::Wanted(mut ingest) = store.ingest_layer(&lease, layer.request()).unwrap()
    else {
        return;
    };
    println!("resumes from {}", ingest.resume_from());
    let left = &layer.blob[ingest.resume_from() as usize..];
    ingest.receive(&mut Slow { left, given: 0 }).unwrap();
}

/// Every byte that was written before the process was killed is there for the next one.
#[test]
fn an_ingest_killed_at_any_moment_is_resumed_by_the_next_process() {
    let (store, layer) = (TempStore::new(), slow_layer());
    let mut reached = 0;
    for round in 0..4 {
        let mut receiver = child("receive slowly", store.root(), 0);
        wait_for(&mut receiver, "under way");
        std::thread::sleep(Duration::from_millis(round * 7));
        receiver.kill().unwrap();
        receiver.wait().unwrap();
        let lease = store.lease().unwrap();
        let LayerState::Wanted(ingest) = store.ingest_layer(&lease, layer.request()).unwrap()
        else {
            panic!("it was killed before the end");
        };
        assert!(ingest.resume_from() >= reached + 400_000, "round {round}: bytes were lost");
        reached = ingest.resume_from();
        drop(ingest);
        assert_eq!(store.check().unwrap(), []);
        store.sweep().unwrap();
    }
    let lease = store.lease().unwrap();
    let LayerState::Wanted(mut ingest) = store.ingest_layer(&lease, layer.request()).unwrap()
    else {
        panic!("it was killed before the end");
    };
    assert_eq!(ingest.resume_from(), reached);
    let stored = ingest.receive(&mut &layer.blob[reached as usize..]).unwrap();
    assert_eq!(stored.blob, layer.descriptor);
}

fn hold_content(store: &Store) {
    let lease = store.lease().unwrap();
    Image::store(store, &lease, &[Layer::gzipped(b"held")]);
    println!("holding");
    std::thread::sleep(Duration::from_mins(1));
}

#[test]
fn content_of_a_living_process_stays_and_that_of_a_dead_one_goes() {
    let store = TempStore::new();
    let mut holder = child("hold content", store.root(), 0);
    wait_for(&mut holder, "holding");
    assert!(store.sweep().unwrap().blobs.is_empty());
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(store.sweep().unwrap().blobs.len(), 3);
    let left = files(store.root());
    assert!(!left.iter().any(|path| path.starts_with("varve/leases")), "{left:?}");
}

/// Images of a few shared layers under a few names, added, renamed and removed.
fn add_and_remove(store: &Store, seed: u64) {
    let mut random = noise(4096, seed).into_iter();
    let mut below = |limit: u8| random.next().unwrap() % limit;
    for _ in 0..25 {
        let name = format!("app{}:1", below(4));
        match below(3) {
            0 => {
                let lease = store.lease().unwrap();
                let layers =
                    [below(3), below(3)].map(|seed| Layer::gzipped(&noise(2_000, u64::from(seed))));
                let image = Image::store(store, &lease, &layers);
                store.update_names(|names| Ok::<_, Error>(names.put(image.named(&name)))).unwrap();
            }
            1 => {
                let other = reference(&format!("app{}:1", below(4)));
                store
                    .update_names(|names| {
                        if let Some(row) = names.get(&reference(&name)).cloned() {
                            names.put(varve_store::Row { reference: Some(other), ..row });
                        }
                        Ok::<_, Error>(())
                    })
                    .unwrap();
            }
            _ => {
                let reference = reference(&name);
                store
                    .remove_names(|names| {
                        names.rows.retain(|row| row.reference.is_some());
                        Ok::<_, Error>(names.take(&reference))
                    })
                    .unwrap();
            }
        }
    }
    std::io::stdout().flush().unwrap();
}

#[test]
fn processes_that_add_rename_and_remove_at_once_leave_a_sound_store() {
    let store = TempStore::new();
    let children: Vec<Child> =
        (1..=6).map(|seed| child("add and remove", store.root(), seed)).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    assert_eq!(store.check().unwrap(), []);
    store
        .remove_names(|names| {
            names.rows.clear();
            Ok::<_, Error>(())
        })
        .unwrap();
    let left = files(store.root());
    let expected = [
        "index.json",
        "oci-layout",
        "varve/format",
        "varve/gate",
        "varve/index.lock",
        "varve/lock",
        "varve/reserve",
        "varve/table.json",
    ];
    assert_eq!(left, expected);
}
