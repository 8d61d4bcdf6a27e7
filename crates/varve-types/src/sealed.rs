//! JSON records that carry their own sum, so that a bit that fell over is found when they are
//! read, and not believed.
//!
//! A sealed record is one line: an object whose last member is `sum`, the SHA-256 of the same
//! object without it. One without `sum` was written before records were sealed, and is read as it
//! is; so is one that a person wrote.

use std::borrow::Cow;

use serde::{Serialize, de::DeserializeOwned};

use crate::{Digest, Hasher, Kind};

/// Hexadecimal digits of a sum.
const SUM_DIGITS: usize = 64;
const BEFORE: &[u8] = b",\"sum\":\"";
/// How many bytes of that may be wrong.
const BYTES_WRONG_MAX: usize = 2;
const AFTER: &[u8] = b"\"}";

/// Why a record was not believed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The bytes are not those that were summed.
    #[error("its sum does not fit")]
    Sum,
    /// It is not the JSON of such a record.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl SealError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Sum | Self::Json(_) => Kind::Corrupt,
        }
    }
}

/// A record as one sealed line, its line feed included. What is no JSON object stays without sum.
pub fn seal(record: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(record)?;
    if text.len() > 2 && text.starts_with(b"{") {
        let sum = Digest::of(&text).hex();
        text.pop();
        for part in [BEFORE, sum.as_bytes(), AFTER] {
            text.extend_from_slice(part);
        }
    }
    text.push(b'\n');
    Ok(text)
}

/// The JSON of a record, without its sum, which was found right.
pub fn unseal(text: &[u8]) -> Result<Cow<'_, [u8]>, SealError> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let Some((object, before, sum)) = split(text) else { return Ok(Cow::Borrowed(text)) };
    let mut hasher = Hasher::new();
    hasher.update(object);
    hasher.update(b"}");
    if before != BEFORE || hasher.finish().hex().as_bytes() != sum {
        return Err(SealError::Sum);
    }
    Ok(Cow::Owned([object, b"}"].concat()))
}

/// Parses a record whose sum, if it has one, is right.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, SealError> {
    Ok(serde_json::from_slice(&unseal(text)?)?)
}

/// The object without its last brace, what introduces the sum, and the sum. What introduces it may
/// be damaged as well: no other member looks nearly like it.
fn split(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let text = text.strip_suffix(AFTER)?;
    let (text, sum) = text.split_at_checked(text.len().checked_sub(SUM_DIGITS)?)?;
    let (object, before) = text.split_at_checked(text.len().checked_sub(BEFORE.len())?)?;
    let alike = before.iter().zip(BEFORE).filter(|(one, other)| one == other).count();
    (alike + BYTES_WRONG_MAX >= BEFORE.len()).then_some((object, before, sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Record = std::collections::BTreeMap<String, u64>;

    fn record() -> Record {
        [("a".to_owned(), 1), ("b".to_owned(), 22)].into()
    }

    #[test]
    fn a_sealed_record_is_read_back_and_is_still_json() {
        let text = seal(&record()).unwrap();
        assert_eq!(parse::<Record>(&text).unwrap(), record());
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["sum"].as_str().unwrap().len(), SUM_DIGITS);
        assert!(text.ends_with(b"\n"));
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let text = seal(&record()).unwrap();
        // The line feed at the end says nothing.
        for bit in 0..(text.len() - 1) * 8 {
            let mut flipped = text.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let read = parse::<serde_json::Value>(&flipped);
            assert!(read.is_err(), "bit {bit}: {read:?}");
        }
    }

    #[test]
    fn a_record_that_ends_in_a_digest_is_not_taken_for_a_sealed_one() {
        let digest = Digest::of(b"").hex();
        for end in
            [format!("{{\"a\":\"sha256:{digest}\"}}"), format!("{{\"a\":1,\"id\":\"{digest}\"}}")]
        {
            assert!(parse::<serde_json::Value>(end.as_bytes()).is_ok(), "{end}");
        }
    }

    #[test]
    fn a_cut_record_is_refused() {
        let text = seal(&record()).unwrap();
        for end in 0..text.len() - 1 {
            assert!(parse::<Record>(&text[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn a_record_without_sum_is_read_as_it_is() {
        assert_eq!(parse::<Record>(b"{\"a\":1,\"b\":22}\n").unwrap(), record());
        assert_eq!(parse::<Record>(b"{}").unwrap(), Record::new());
        assert_eq!(seal(&Record::new()).unwrap(), b"{}\n");
    }
}
