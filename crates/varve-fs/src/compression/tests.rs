//! Streams of every compression, whole, cut off and damaged.

use std::io::Write as _;

use super::*;

fn plain(stream: &[u8]) -> Result<(Compression, Vec<u8>), io::ErrorKind> {
    let (compression, mut reader) = decode(stream).map_err(|error| error.kind())?;
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(|error| error.kind())?;
    Ok((compression, bytes))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    Compressor::gzip().compress(&mut { bytes }, &mut stream).unwrap();
    stream
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    Compressor::zstd(3).compress(&mut { bytes }, &mut stream).unwrap();
    stream
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

type Encode = fn(&[u8]) -> Vec<u8>;

const ALL: [(Compression, Encode); 4] = [
    (Compression::Gzip, gzip),
    (Compression::Zstd, zstd),
    (Compression::Bzip2, bzip2),
    (Compression::Xz, xz),
];

#[test]
fn every_compression_is_detected_and_read() {
    for (compression, encode) in ALL {
        for text in [Vec::new(), b"hello".to_vec(), vec![7; 100_000]] {
            assert_eq!(plain(&encode(&text)), Ok((compression, text)));
        }
    }
    assert_eq!(plain(b"hello"), Ok((Compression::None, b"hello".to_vec())));
    assert_eq!(plain(b""), Ok((Compression::None, vec![])));
    assert_eq!(plain(b"\x1f\x8b"), Ok((Compression::None, b"\x1f\x8b".to_vec())));
}

#[test]
fn streams_behind_each_other_are_one() {
    for (compression, encode) in ALL {
        let stream = [encode(b"one "), encode(b""), encode(b"two")].concat();
        assert_eq!(plain(&stream), Ok((compression, b"one two".to_vec())));
    }
}

#[test]
fn stream_that_ends_early_is_an_error_at_every_byte() {
    for (compression, encode) in ALL {
        let stream = encode(b"some text that is long enough");
        for end in MAGIC_SIZE_BYTES..stream.len() {
            let result = plain(&stream[..end]);
            assert_eq!(result, Err(io::ErrorKind::UnexpectedEof), "{compression:?} at {end}");
        }
    }
}

#[test]
fn garbage_behind_a_stream_is_an_error() {
    for (compression, encode) in ALL {
        let stream = [encode(b"text"), b"garbage behind".to_vec()].concat();
        assert_eq!(plain(&stream), Err(io::ErrorKind::InvalidData), "{compression:?}");
    }
    let zeros_then_more = [gzip(b"text"), vec![0; 600], b"x".to_vec()].concat();
    assert_eq!(plain(&zeros_then_more), Err(io::ErrorKind::InvalidData));
}

#[test]
fn zeros_behind_gzip_are_padding() {
    let stream = [gzip(b"text"), vec![0; 20_000]].concat();
    assert_eq!(plain(&stream), Ok((Compression::Gzip, b"text".to_vec())));
}

#[test]
fn damage_is_invalid_data() {
    for (compression, encode) in ALL {
        let mut stream = encode(&b"0123456789".repeat(100));
        let middle = stream.len() / 2;
        stream[middle] ^= 0x55;
        let result = plain(&stream);
        assert!(
            matches!(result, Err(io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)),
            "{compression:?}: {result:?}"
        );
    }
}

#[test]
fn skippable_zstd_frames_are_skipped() {
    let skippable = [&[0x51, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let stream = [skippable.clone(), zstd(b"text"), skippable].concat();
    assert_eq!(plain(&stream), Ok((Compression::Zstd, b"text".to_vec())));
}

#[test]
fn xz_that_wants_too_much_memory_is_refused_by_name() {
    // An encoder for such a stream takes gigabytes; the header alone names the dictionary.
    let mut stream = xz(b"text");
    // Block header: size, flags, filter 0x21, properties size 1, dictionary, padding, CRC-32.
    stream[16] = 36;
    let crc = crc32(&stream[12..20]);
    stream[20..24].copy_from_slice(&crc.to_le_bytes());
    let (_, mut reader) = decode(&stream[..]).unwrap();
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("128 MiB"), "{error}");
}

#[test]
fn zstd_window_beyond_the_limit_is_refused() {
    let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(28).unwrap();
    encoder.write_all(b"text").unwrap();
    let stream = encoder.finish().unwrap();
    assert_eq!(plain(&stream), Err(io::ErrorKind::InvalidData));
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
