//! PAX extended headers (POSIX.1-2024, pax, "pax Extended Header"): records of keyword and value.

use std::collections::BTreeMap;

use varve_types::limits;

use super::Time;
use crate::layer::{HeaderFault, LayerError};

/// What PAX records say of an entry. What they do not say is `None`.
#[derive(Debug, Clone, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Time>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) sparse: Sparse,
}

/// What records with the prefix `GNU.sparse.` say: the formats 0.0, 0.1 and 1.0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sparse {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    /// The name of the file; `path` is then an invented one.
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    /// Number of regions; in format 0.0 each is a pair of records, in 0.1 they are one record.
    pub(super) regions: Option<u64>,
    pub(super) map: Vec<(u64, u64)>,
    /// The offset of a region whose length is still to come (format 0.0).
    offset: Option<u64>,
}

/// Why records were not taken.
pub(super) enum PaxError {
    Fault(HeaderFault),
    Limit(LayerError),
}

impl From<HeaderFault> for PaxError {
    fn from(fault: HeaderFault) -> Self {
        PaxError::Fault(fault)
    }
}

impl Pax {
    /// Parses all records of an extended header.
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Self, PaxError> {
        let mut pax = Self::default();
        while !bytes.is_empty() {
            let (keyword, value, rest) = next_record(bytes).ok_or(HeaderFault::PaxRecord)?;
            pax.set(keyword, value)?;
            bytes = rest;
        }
        if pax.sparse.offset.is_some() {
            return Err(HeaderFault::Sparse.into());
        }
        pax.check_xattrs()?;
        Ok(pax)
    }

    /// Takes over what a later global header says.
    pub(super) fn merge_global(&mut self, later: Self) -> Result<(), PaxError> {
        let forbidden = [
            (later.path.is_some(), "path"),
            (later.link_path.is_some(), "linkpath"),
            (later.size.is_some(), "size"),
            (later.sparse != Sparse::default(), "GNU.sparse"),
        ];
        if let Some((_, keyword)) = forbidden.into_iter().find(|(is_set, _)| *is_set) {
            return Err(HeaderFault::Global(keyword).into());
        }
        self.uid = later.uid.or(self.uid);
        self.gid = later.gid.or(self.gid);
        self.mtime = later.mtime.or(self.mtime);
        self.xattrs.extend(later.xattrs);
        self.check_xattrs()
    }

    /// Fills in from the global headers what an entry's own records do not say.
    pub(super) fn fill_from_global(&mut self, global: &Self) -> Result<(), PaxError> {
        self.uid = self.uid.or(global.uid);
        self.gid = self.gid.or(global.gid);
        self.mtime = self.mtime.or(global.mtime);
        for (name, value) in &global.xattrs {
            self.xattrs.entry(name.clone()).or_insert_with(|| value.clone());
        }
        self.check_xattrs()
    }

    fn set(&mut self, keyword: &[u8], value: &[u8]) -> Result<(), PaxError> {
        if let Some(name) = keyword.strip_prefix(b"SCHILY.xattr.") {
            return self.set_xattr(name, value);
        }
        // An empty value takes back what an earlier record said.
        let is_set = !value.is_empty();
        match keyword {
            b"path" => self.path = is_set.then(|| value.to_vec()),
            b"linkpath" => self.link_path = is_set.then(|| value.to_vec()),
            b"size" => self.size = optional(is_set, "size", || decimal(value))?,
            b"uid" => self.uid = optional(is_set, "uid", || id(value))?,
            b"gid" => self.gid = optional(is_set, "gid", || id(value))?,
            b"mtime" => self.mtime = optional(is_set, "mtime", || time(value))?,
            _ => {
                if let Some(keyword) = keyword.strip_prefix(b"GNU.sparse.") {
                    self.sparse.set(keyword, value)?;
                }
            }
        }
        Ok(())
    }

    fn set_xattr(&mut self, name: &[u8], value: &[u8]) -> Result<(), PaxError> {
        if name.is_empty() || name.contains(&0) {
            return Err(HeaderFault::PaxValue("SCHILY.xattr").into());
        }
        if name.len() > limits::XATTR_NAME_SIZE_BYTES_MAX {
            return Err(limit("bytes of an extended attribute's name", 255));
        }
        if value.len() > limits::XATTR_SIZE_BYTES_MAX {
            let most = limits::XATTR_SIZE_BYTES_MAX as u64;
            return Err(limit("bytes of an extended attribute", most));
        }
        self.xattrs.insert(name.to_vec(), value.to_vec());
        Ok(())
    }

    fn check_xattrs(&self) -> Result<(), PaxError> {
        let size: usize = self.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size > limits::XATTRS_SIZE_BYTES_MAX {
            let most = limits::XATTRS_SIZE_BYTES_MAX as u64;
            return Err(limit("bytes of extended attributes of one file", most));
        }
        Ok(())
    }
}

impl Sparse {
    fn set(&mut self, keyword: &[u8], value: &[u8]) -> Result<(), PaxError> {
        let number = || decimal(value).ok_or(HeaderFault::PaxValue("GNU.sparse"));
        match keyword {
            b"major" => self.major = Some(number()?),
            b"minor" => self.minor = Some(number()?),
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.real_size = Some(number()?),
            b"numblocks" => self.regions = Some(number()?),
            b"offset" if self.offset.is_some() => return Err(HeaderFault::Sparse.into()),
            b"offset" => self.offset = Some(number()?),
            b"numbytes" => {
                let offset = self.offset.take().ok_or(HeaderFault::Sparse)?;
                self.map.push((offset, number()?));
            }
            b"map" => self.map = list(value).ok_or(HeaderFault::Sparse)?,
            _ => {}
        }
        if self.map.len() > limits::SPARSE_REGIONS_MAX {
            let most = limits::SPARSE_REGIONS_MAX as u64;
            return Err(limit("regions of a sparse file", most));
        }
        Ok(())
    }
}

fn limit(what: &'static str, limit: u64) -> PaxError {
    PaxError::Limit(LayerError::Limit { what, limit })
}

fn optional<T>(
    is_set: bool,
    keyword: &'static str,
    parse: impl FnOnce() -> Option<T>,
) -> Result<Option<T>, HeaderFault> {
    if !is_set {
        return Ok(None);
    }
    parse().map(Some).ok_or(HeaderFault::PaxValue(keyword))
}

/// Splits `length keyword=value\n` off; the length counts all of it, itself included.
fn next_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(21).position(|&byte| byte == b' ')?;
    let length = usize::try_from(decimal(&bytes[..space])?).ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    let (keyword, value) = (&record[..equals], &record[equals + 1..]);
    // Names end at a zero byte for the kernel: two readers could see two names.
    let is_name = matches!(keyword, b"path" | b"linkpath" | b"GNU.sparse.name");
    if keyword.is_empty() || keyword.contains(&0) || is_name && value.contains(&0) {
        return None;
    }
    Some((keyword, value, rest))
}

pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

fn id(digits: &[u8]) -> Option<u32> {
    decimal(digits).and_then(|value| u32::try_from(value).ok())
}

/// Seconds with any number of decimals; those past the ninth are cut off.
fn time(value: &[u8]) -> Option<Time> {
    let (negative, digits) = match value.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    let mut parts = digits.splitn(2, |&byte| byte == b'.');
    let seconds = i64::try_from(decimal(parts.next()?)?).ok()?;
    let mut nanoseconds = 0_u32;
    if let Some(fraction) = parts.next() {
        if !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        for place in 0..9 {
            let digit = fraction.get(place).map_or(0, |digit| u32::from(digit - b'0'));
            nanoseconds = nanoseconds * 10 + digit;
        }
    }
    // A time is a second and what has passed since: -1.25 is three quarters past -2.
    Some(match (negative, nanoseconds) {
        (false, _) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds: 0 },
        (true, _) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

/// `offset,length,offset,length…`
fn list(value: &[u8]) -> Option<Vec<(u64, u64)>> {
    if value.is_empty() {
        return Some(Vec::new());
    }
    let mut numbers = value.split(|&byte| byte == b',').map(decimal);
    let mut map = Vec::new();
    while let Some(offset) = numbers.next() {
        map.push((offset?, numbers.next()??));
    }
    Some(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_and_fractions_are_exact() {
        type Case<'a> = (&'a [u8], Option<(i64, u32)>);
        let cases: [Case; 10] = [
            (b"0", Some((0, 0))),
            (b"1.5", Some((1, 500_000_000))),
            (b"1.", Some((1, 0))),
            (b"1.0000000019", Some((1, 1))),
            (b"-1", Some((-1, 0))),
            (b"-1.25", Some((-2, 750_000_000))),
            (b"-0.000000001", Some((-1, 999_999_999))),
            (b"1.5x", None),
            (b".5", None),
            (b"99999999999999999999", None),
        ];
        for (text, expected) in cases {
            let actual = time(text).map(|time| (time.seconds, time.nanoseconds));
            assert_eq!(actual, expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn record_is_taken_whole_or_refused() {
        let good: &[u8] = b"12 path=a\nb\n20 next=";
        assert_eq!(next_record(good), Some((&b"path"[..], &b"a\nb"[..], &b"20 next="[..])));
        let bad: [&[u8]; 9] = [
            b"12 path=ab\0\n",
            b"8 path=a\n",
            b"12 path=a\n",
            b"99 path=a\n",
            b" 9 path=a\n",
            b"0 \n",
            b"3 \n",
            b"8 patha\n",
            b"5 =a\n",
        ];
        for record in bad {
            assert_eq!(next_record(record), None, "{}", record.escape_ascii());
        }
    }
}
