//! Writing compressed streams, the same bytes every time.

use std::{
    io::{self, Read, Write},
    num::NonZero,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

/// Bytes of input in one gzip member. Part of what decides the output: it stands in the version.
const MEMBER_SIZE_BYTES: usize = 1 << 20;
/// Threads at most, so that their buffers stay below 16 MiB.
const THREADS_MAX: usize = 5;
/// What makes gzip. A test pins the bytes it makes, so that an update of the library that changes
/// them cannot go unnoticed: this text must change with them.
const GZIP_VERSION: &str = "libdeflate-1.26/1MiB";
/// What makes zstd, pinned like [`GZIP_VERSION`].
const ZSTD_VERSION: &str = "zstd-1.5.7";

/// A compressor whose output is a function of these values and its input only, so that they
/// can be written down and the same bytes made again.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Compressor {
    /// `gzip` or `zstd`.
    pub name: String,
    /// What makes it, and its version, such as `libdeflate-1.26/1MiB`.
    pub version: String,
    /// The level.
    pub level: i32,
}

/// A compressor's record, understood.
enum Method {
    Gzip(libdeflater::CompressionLvl),
    Zstd(i32),
}

impl Compressor {
    /// The compressor a push uses unless told otherwise.
    pub fn gzip() -> Self {
        Self { name: "gzip".into(), version: GZIP_VERSION.into(), level: 6 }
    }

    /// Zstd at a level.
    pub fn zstd(level: i32) -> Self {
        Self { name: "zstd".into(), version: ZSTD_VERSION.into(), level }
    }

    /// Compresses all of `source` into `target`, on as many threads as help; returns bytes written.
    ///
    /// A record that this program cannot follow to the byte (another name, version or level) is an
    /// error of kind `Unsupported`; nothing is written then.
    pub fn compress(&self, source: &mut dyn Read, target: &mut dyn Write) -> io::Result<u64> {
        match self.method()? {
            Method::Gzip(level) => {
                let threads = thread::available_parallelism().map_or(1, NonZero::get);
                gzip(level, threads.min(THREADS_MAX), source, target)
            }
            Method::Zstd(level) => zstd(level, source, target),
        }
    }

    fn method(&self) -> io::Result<Method> {
        let method = match (self.name.as_str(), self.version.as_str()) {
            ("gzip", GZIP_VERSION) => {
                libdeflater::CompressionLvl::new(self.level).ok().map(Method::Gzip)
            }
            ("zstd", ZSTD_VERSION) => zstd::compression_level_range()
                .contains(&self.level)
                .then_some(Method::Zstd(self.level)),
            _ => None,
        };
        method.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "this version of varve cannot compress like `{}` `{}` at level {}",
                    varve_types::Printable(&self.name),
                    varve_types::Printable(&self.version),
                    self.level
                ),
            )
        })
    }
}

/// Compresses members on `threads` threads. Thread `n` gets every `threads`-th piece, so that
/// asking them in turn gives the members in order.
fn gzip(
    level: libdeflater::CompressionLvl,
    threads: usize,
    source: &mut dyn Read,
    target: &mut dyn Write,
) -> io::Result<u64> {
    let mut piece = Vec::new();
    read_piece(source, &mut piece)?;
    if piece.len() < MEMBER_SIZE_BYTES {
        // All there is; an empty input is one empty member.
        return write_member(
            target,
            &compress_member(&mut new_deflater(level), &piece, Vec::new()),
        );
    }
    thread::scope(|scope| {
        let mut workers = Vec::with_capacity(threads);
        for _ in 0..threads {
            let (pieces, inbox) = sync_channel(1);
            let (outbox, members) = sync_channel(1);
            scope.spawn(move || work(level, &inbox, &outbox));
            workers.push(Worker { pieces, members, busy: false });
        }
        let (mut written, mut turn) = (0, 0);
        let mut spare = Done::default();
        while !piece.is_empty() {
            let worker = &mut workers[turn % threads];
            if worker.busy {
                spare = worker.take()?;
                written += write_member(target, &spare.member)?;
            }
            worker.give(piece, std::mem::take(&mut spare.member))?;
            piece = std::mem::take(&mut spare.piece);
            read_piece(source, &mut piece)?;
            turn += 1;
        }
        for late in turn..turn + threads {
            let worker = &mut workers[late % threads];
            if worker.busy {
                written += write_member(target, &worker.take()?.member)?;
            }
        }
        Ok(written)
    })
}

/// A thread that compresses one piece at a time. Buffers travel with the work and back.
struct Worker {
    pieces: SyncSender<(Vec<u8>, Vec<u8>)>,
    members: Receiver<Done>,
    busy: bool,
}

#[derive(Default)]
struct Done {
    piece: Vec<u8>,
    member: Vec<u8>,
}

impl Worker {
    fn give(&mut self, piece: Vec<u8>, member: Vec<u8>) -> io::Result<()> {
        self.busy = true;
        self.pieces.send((piece, member)).map_err(|_| died())
    }

    fn take(&mut self) -> io::Result<Done> {
        self.busy = false;
        self.members.recv().map_err(|_| died())
    }
}

/// A worker only ends before its work does when it panicked.
fn died() -> io::Error {
    io::Error::other("a compressing thread ended early")
}

fn work(
    level: libdeflater::CompressionLvl,
    inbox: &Receiver<(Vec<u8>, Vec<u8>)>,
    outbox: &SyncSender<Done>,
) {
    let mut deflater = new_deflater(level);
    while let Ok((piece, member)) = inbox.recv() {
        let member = compress_member(&mut deflater, &piece, member);
        if outbox.send(Done { piece, member }).is_err() {
            return;
        }
    }
}

fn new_deflater(level: libdeflater::CompressionLvl) -> libdeflater::Compressor {
    libdeflater::Compressor::new(level)
}

fn compress_member(
    deflater: &mut libdeflater::Compressor,
    piece: &[u8],
    mut member: Vec<u8>,
) -> Vec<u8> {
    member.resize(deflater.gzip_compress_bound(piece.len()), 0);
    let size = deflater.gzip_compress(piece, &mut member).expect("the bound is large enough");
    member.truncate(size);
    member
}

fn write_member(target: &mut dyn Write, member: &[u8]) -> io::Result<u64> {
    target.write_all(member)?;
    Ok(member.len() as u64)
}

/// Fills `piece` to [`MEMBER_SIZE_BYTES`] or the end of `source`.
fn read_piece(source: &mut dyn Read, piece: &mut Vec<u8>) -> io::Result<()> {
    piece.clear();
    piece.reserve_exact(MEMBER_SIZE_BYTES);
    source.take(MEMBER_SIZE_BYTES as u64).read_to_end(piece)?;
    Ok(())
}

/// Compresses one frame. Pieces of one size go in, so that the output cannot depend on how
/// `source` cuts its bytes.
fn zstd(level: i32, source: &mut dyn Read, target: &mut dyn Write) -> io::Result<u64> {
    let mut counted = Counted { target, count: 0 };
    let mut encoder = zstd::stream::write::Encoder::new(&mut counted, level)?;
    encoder.include_checksum(true)?;
    let mut piece = Vec::new();
    loop {
        read_piece(source, &mut piece)?;
        if piece.is_empty() {
            break;
        }
        encoder.write_all(&piece)?;
    }
    encoder.finish()?;
    Ok(counted.count)
}

struct Counted<'a> {
    target: &'a mut dyn Write,
    count: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.target.write(bytes)?;
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.target.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that compress neither to nothing nor not at all.
    fn sample(size: usize) -> Vec<u8> {
        let mut state = 1_u32;
        (0..size)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                b'a' + (state >> 28) as u8
            })
            .collect()
    }

    fn gzip_on(threads: usize, input: &[u8]) -> Vec<u8> {
        let level = libdeflater::CompressionLvl::new(6).unwrap();
        let mut output = Vec::new();
        let written = gzip(level, threads, &mut { input }, &mut output).unwrap();
        assert_eq!(written, output.len() as u64);
        output
    }

    #[test]
    fn number_of_threads_does_not_change_a_byte() {
        for size in [0, 1, MEMBER_SIZE_BYTES - 1, MEMBER_SIZE_BYTES, 3 * MEMBER_SIZE_BYTES + 7] {
            let input = sample(size);
            let one = gzip_on(1, &input);
            assert_eq!(one, gzip_on(3, &input), "{size}");
            let mut plain = Vec::new();
            let (_, mut reader) = super::super::decode(&one[..]).unwrap();
            reader.read_to_end(&mut plain).unwrap();
            assert_eq!(plain, input);
        }
    }

    #[test]
    fn error_of_the_target_ends_the_work() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let input = sample(4 * MEMBER_SIZE_BYTES);
        let error = Compressor::gzip().compress(&mut &input[..], &mut Full).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn version_names_the_library_that_is_linked() {
        assert_eq!(ZSTD_VERSION, format!("zstd-{}", zstd::zstd_safe::version_string()));
    }

    /// When a library is updated and this fails, its output changed: change the version too.
    #[test]
    fn bytes_are_pinned_to_the_version() {
        let input = sample(MEMBER_SIZE_BYTES + 1000);
        let mut gzip = Vec::new();
        Compressor::gzip().compress(&mut &input[..], &mut gzip).unwrap();
        let mut zstd = Vec::new();
        Compressor::zstd(3).compress(&mut &input[..], &mut zstd).unwrap();
        expect_test::expect![[r"
            libdeflate-1.26/1MiB sha256:414ee6ecaebc266270edb8e66e06081efa6a96ea9a2ef9853cc5349e683af3b3
            zstd-1.5.7 sha256:6c46d0c62e5530b4c0b962480c6c4ab6b780fd8656885ebb6e79909456c833f0
        "]].assert_eq(&format!(
            "{GZIP_VERSION} {}\n{ZSTD_VERSION} {}\n",
            varve_types::Digest::of(&gzip),
            varve_types::Digest::of(&zstd)
        ));
    }

    #[test]
    fn foreign_record_is_refused_and_writes_nothing() {
        let records = [
            ("gzip", "libdeflate-1.20/1MiB", 6),
            ("gzip", GZIP_VERSION, 99),
            ("zstd", "zstd-1.4.0", 3),
            ("lz4", "1", 1),
        ];
        for (name, version, level) in records {
            let record = Compressor { name: name.into(), version: version.into(), level };
            let mut output = Vec::new();
            let error = record.compress(&mut &b"x"[..], &mut output).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Unsupported);
            assert!(error.to_string().contains(version), "{error}");
            assert!(output.is_empty());
        }
    }
}
