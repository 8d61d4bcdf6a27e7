//! DNS messages: enough to read one question and to answer it (RFC 1035).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEADER_SIZE: usize = 12;
const NAME_SIZE_MAX: usize = 255;
const CLASS_IN: u16 = 1;
/// Docker's.
const TTL_SECONDS: u32 = 600;

/// The type of a question for an address.
pub(super) const A: u16 = 1;
/// The same for IPv6.
pub(super) const AAAA: u16 = 28;
/// The name of an address.
pub(super) const PTR: u16 = 12;

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    NoError = 0,
    ServerFailure = 2,
}

/// The one question of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// In small letters, without the dot at the end.
    pub(super) name: String,
    pub(super) kind: u16,
    /// Where the question ends in the message.
    pub(super) end: usize,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Address(IpAddr),
    Name(String),
}

/// Reads a query. `None` for what is no ordinary question: it is not answered.
pub(super) fn question(message: &[u8]) -> Option<Question> {
    let header = message.get(..HEADER_SIZE)?;
    let is_query = header[2] & 0xf8 == 0;
    let one_question = header[4..6] == [0, 1];
    if !is_query || !one_question {
        return None;
    }
    let (name, at) = name(message, HEADER_SIZE)?;
    let fixed = message.get(at..at + 4)?;
    let class = u16::from_be_bytes([fixed[2], fixed[3]]);
    let kind = u16::from_be_bytes([fixed[0], fixed[1]]);
    (class == CLASS_IN).then_some(Question { name, kind, end: at + 4 })
}

/// A name without compression, which questions have no use for.
fn name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let start = at;
    let mut labels: Vec<String> = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        if length > 63 || at + length - start > NAME_SIZE_MAX {
            return None;
        }
        let label = std::str::from_utf8(message.get(at..at + length)?).ok()?;
        labels.push(label.to_ascii_lowercase());
        at += length;
    }
}

/// The address that a name under `in-addr.arpa` or `ip6.arpa` stands for.
pub(super) fn reversed(name: &str) -> Option<IpAddr> {
    if let Some(digits) = name.strip_suffix(".in-addr.arpa") {
        let parts = digits.rsplit('.').map(|part| part.parse().ok());
        let bytes: Vec<u8> = parts.collect::<Option<_>>()?;
        return <[u8; 4]>::try_from(bytes).ok().map(|bytes| Ipv4Addr::from(bytes).into());
    }
    let digits = name.strip_suffix(".ip6.arpa")?;
    let digits: Vec<u32> = digits
        .rsplit('.')
        .map(|part| if part.len() == 1 { part.chars().next()?.to_digit(16) } else { None })
        .collect::<Option<_>>()?;
    let number = digits.iter().fold(0_u128, |number, digit| number << 4 | u128::from(*digit));
    (digits.len() == 32).then(|| Ipv6Addr::from(number).into())
}

/// Answers a query. What does not fit into `size_max` bytes is left out, and the answer says so.
pub(super) fn reply(
    query: &[u8],
    question: &Question,
    code: Code,
    records: &[Record],
    size_max: usize,
) -> Vec<u8> {
    let mut bytes = query[..question.end].to_vec();
    // A response; recursion as wanted, and available.
    bytes[2] = 0x80 | (query[2] & 1);
    bytes[3] = 0x80 | code as u8;
    bytes[6..HEADER_SIZE].fill(0);
    let mut count = 0_u16;
    for record in records {
        let one = encode(record);
        if bytes.len() + one.len() > size_max {
            bytes[2] |= 2;
            break;
        }
        bytes.extend(one);
        count += 1;
    }
    bytes[6..8].copy_from_slice(&count.to_be_bytes());
    bytes
}

fn encode(record: &Record) -> Vec<u8> {
    let (kind, data) = match record {
        Record::Address(IpAddr::V4(address)) => (A, address.octets().to_vec()),
        Record::Address(IpAddr::V6(address)) => (AAAA, address.octets().to_vec()),
        Record::Name(name) => {
            let mut data = Vec::new();
            for label in name.split('.').filter(|label| !label.is_empty() && label.len() < 64) {
                data.push(label.len() as u8);
                data.extend(label.bytes());
            }
            data.push(0);
            (PTR, data)
        }
    };
    // The name is that of the question.
    let mut bytes = vec![0xc0, HEADER_SIZE as u8];
    bytes.extend(kind.to_be_bytes());
    bytes.extend(CLASS_IN.to_be_bytes());
    bytes.extend(TTL_SECONDS.to_be_bytes());
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}

/// Whether a message is the answer to a query that was sent with this ID: same ID, a response,
/// and the same question, letter for letter.
pub(super) fn answers(message: &[u8], id: u16, query: &[u8], question: &Question) -> bool {
    message.len() >= question.end
        && message[..2] == id.to_be_bytes()
        && message[2] & 0x80 != 0
        && message[4..6] == [0, 1]
        && message[HEADER_SIZE..question.end] == query[HEADER_SIZE..question.end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            bytes.push(label.len() as u8);
            bytes.extend(label.bytes());
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    #[test]
    fn a_question_is_read_in_small_letters() {
        let bytes = query("Web.Back", A);
        let read = question(&bytes).unwrap();
        assert_eq!((read.name.as_str(), read.kind, read.end), ("web.back", A, bytes.len()));
    }

    #[test]
    fn what_is_no_question_is_not_read() {
        let good = query("a", A);
        for length in 0..good.len() {
            assert_eq!(question(&good[..length]), None, "{length} bytes");
        }
        let mut response = good.clone();
        response[2] |= 0x80;
        assert_eq!(question(&response), None);
        let mut two = good.clone();
        two[5] = 2;
        assert_eq!(question(&two), None);
        let mut pointer = good;
        pointer[12] = 0xc0;
        assert_eq!(question(&pointer), None);
        assert_eq!(question(&query(&["x".repeat(60).as_str(); 5].join("."), A)), None);
    }

    #[test]
    fn an_answer_that_is_too_long_is_cut_between_records_and_says_so() {
        let bytes = query("all", A);
        let asked = question(&bytes).unwrap();
        let records = vec![Record::Address(Ipv4Addr::new(10, 0, 0, 1).into()); 100];
        let cut = reply(&bytes, &asked, Code::NoError, &records, 512);
        assert!(cut.len() <= 512);
        assert_eq!(cut[2] & 2, 2);
        assert_eq!(cut.len(), bytes.len() + 16 * usize::from(u16::from_be_bytes([cut[6], cut[7]])));
        let whole = reply(&bytes, &asked, Code::NoError, &records, 65_535);
        assert_eq!((whole[2] & 2, whole[7]), (0, 100));
    }

    #[test]
    fn an_answer_must_have_the_id_and_the_question() {
        let bytes = query("example.com", A);
        let asked = question(&bytes).unwrap();
        let mut good = reply(&bytes, &asked, Code::NoError, &[], 512);
        assert!(answers(&good, 0x1234, &bytes, &asked));
        assert!(!answers(&good, 0x1235, &bytes, &asked));
        assert!(!answers(&bytes, 0x1234, &bytes, &asked));
        good[13] = b'E';
        assert!(!answers(&good, 0x1234, &bytes, &asked));
    }

    #[test]
    fn reversed_names_are_addresses() {
        assert_eq!(reversed("2.0.83.10.in-addr.arpa"), Some("10.83.0.2".parse().unwrap()));
        let v6 = format!("1.{}d.f.ip6.arpa", "0.".repeat(29));
        assert_eq!(reversed(&v6), Some("fd00::1".parse().unwrap()));
        for bad in ["0.83.10.in-addr.arpa", "300.0.83.10.in-addr.arpa", "web", "1.ip6.arpa"] {
            assert_eq!(reversed(bad), None);
        }
    }
}
