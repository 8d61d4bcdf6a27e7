//! Many clients at once, which push, pull, overwrite and break off: nothing that was stored is lost,
//! and what is read is right.

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use varve_testkit::{
    Seeded,
    torture::{Plan, Tally},
};
use varve_types::Digest;

use crate::client::{Connection, Served};

const CLIENTS: usize = 64;
/// How long in the short form.
const TIME: Duration = Duration::from_secs(4);
/// And in the long one.
const LONG_TIME: Duration = Duration::from_mins(1);
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What the registry said it has: the manifest of each tag that only one client sets.
type Stored = Mutex<BTreeMap<String, Vec<u8>>>;

/// Content from a number; clients push some of the same.
fn content(number: usize) -> Vec<u8> {
    let mut random = Seeded::from(number as u64);
    (0..200 + number * 977 % 60_000).map(|_| random.word() as u8).collect()
}

fn descriptor(media_type: &str, bytes: &[u8]) -> String {
    let (digest, size) = (Digest::of(bytes), bytes.len());
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}

struct Client<'a> {
    served: &'a Served,
    connection: Connection,
    random: Seeded,
    number: usize,
    stored: &'a Stored,
}

impl Client<'_> {
    fn push_blob(&mut self, bytes: &[u8]) -> Result<(), String> {
        let begun = self.connection.ask("POST /v2/app/blobs/uploads/", b"");
        let location = begun.header("location").ok_or(format!("{begun:?}"))?.to_owned();
        if self.random.below(8) == 0 {
            // Breaks off, and goes on over another connection.
            let head = format!(
                "PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
                bytes.len()
            );
            self.connection.write(&[head.as_bytes(), &bytes[..bytes.len() / 2]].concat());
            self.connection = self.served.connect();
            return Ok(());
        }
        let put = format!("PUT {location}?digest={}", Digest::of(bytes));
        let answer = self.connection.ask(&put, bytes);
        if answer.status == 201 { Ok(()) } else { Err(format!("{put}: {answer:?}")) }
    }

    fn has(&mut self, bytes: &[u8]) -> bool {
        let head = format!("HEAD /v2/app/blobs/{}", Digest::of(bytes));
        self.connection.ask(&head, b"").status == 200
    }

    fn push(&mut self, round: usize) -> Result<(), String> {
        let (config, layer) = (content(self.random.below(40)), content(self.random.below(40)));
        for bytes in [&config, &layer] {
            // One that broke off is pushed again.
            while !self.has(bytes) {
                self.push_blob(bytes)?;
            }
        }
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{},"layers":[{}]}}"#,
            descriptor("application/vnd.oci.image.config.v1+json", &config),
            descriptor("application/vnd.oci.image.layer.v1.tar", &layer)
        );
        let own = format!("own-{}-{}", self.number, round % 5);
        for tag in [own.as_str(), "latest"] {
            let put = format!("PUT /v2/app/manifests/{tag}\nContent-Type: {MANIFEST}");
            let answer = self.connection.ask(&put, manifest.as_bytes());
            if answer.status != 201 {
                return Err(format!("{put}: {answer:?}"));
            }
        }
        self.stored.lock().unwrap().insert(own, manifest.into_bytes());
        Ok(())
    }

    fn pull(&mut self, tag: &str) -> Result<Vec<u8>, String> {
        let get = format!("GET /v2/app/manifests/{tag}\nAccept: {MANIFEST}");
        let answer = self.connection.ask(&get, b"");
        if answer.status != 200 {
            return Err(format!("{tag}: {answer:?}"));
        }
        let manifest = String::from_utf8(answer.body).map_err(|error| error.to_string())?;
        for part in manifest.split("\"digest\":\"").skip(1) {
            let digest: Digest = part[..71].parse().map_err(|_| manifest.clone())?;
            let blob = self.connection.ask(&format!("GET /v2/app/blobs/{digest}"), b"");
            if blob.status != 200 || Digest::of(&blob.body) != digest {
                return Err(format!("{digest} of {tag}: {} {}", blob.status, blob.body.len()));
            }
        }
        Ok(manifest.into_bytes())
    }
}

#[test]
fn sixty_four_clients_lose_nothing() {
    let plan = Plan::of_the_environment();
    let (served, stored) = (Served::start(), Stored::default());
    let end = Instant::now() + if plan.is_long() { LONG_TIME } else { TIME };
    let counts = Mutex::new((0, Vec::new()));
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let random = Seeded::from(plan.seed() ^ number as u64);
            let mut client = Client {
                served: &served,
                connection: served.connect(),
                random,
                number,
                stored: &stored,
            };
            let counts = &counts;
            scope.spawn(move || {
                for round in 0.. {
                    let done = client.push(round).and_then(|()| client.pull("latest").map(drop));
                    let mut counts = counts.lock().unwrap();
                    counts.0 += 1;
                    counts.1.extend(done.err());
                    if Instant::now() > end {
                        break;
                    }
                }
            });
        }
    });
    let (tried, wrong) = counts.into_inner().unwrap();
    let mut tally = Tally::of("64 clients of a registry", &plan);
    for number in 0..tried {
        tally.count("a push and a pull", wrong.get(number).map_or(Ok(()), |it| Err(it.clone())));
    }
    let random = plan.random();
    let mut client = Client {
        served: &served,
        connection: served.connect(),
        random,
        number: 0,
        stored: &Stored::default(),
    };
    for (tag, manifest) in stored.into_inner().unwrap() {
        let pulled = client.pull(&tag);
        let outcome = match pulled {
            Ok(pulled) if pulled == manifest => Ok(()),
            Ok(_) => Err("another manifest".to_owned()),
            Err(error) => Err(error),
        };
        tally.count(&format!("afterwards, {tag}"), outcome);
    }
    tally.finish();
}
