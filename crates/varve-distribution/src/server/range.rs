//! `Range` and `Content-Range`.

/// What a `Range` header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of it: no range, several ranges, or something that is not understood (RFC 9110, 14.2).
    Whole,
    /// From the first byte to the last, both included.
    Part(u64, u64),
    /// Nothing that is there.
    Unsatisfiable,
}

/// Judges a `Range` header for content of `size_bytes`.
pub(super) fn parse(header: Option<&str>, size_bytes: u64) -> Asked {
    let Some((first, last)) = header
        .and_then(|header| header.strip_prefix("bytes="))
        .filter(|ranges| !ranges.contains(','))
        .and_then(|range| range.trim().split_once('-'))
    else {
        return Asked::Whole;
    };
    match (number(first), number(last)) {
        (Some(first), None) if last.is_empty() && first < size_bytes => {
            Asked::Part(first, size_bytes - 1)
        }
        (Some(first), Some(last)) if first <= last && first < size_bytes => {
            Asked::Part(first, last.min(size_bytes - 1))
        }
        (None, Some(count)) if first.is_empty() && count > 0 && size_bytes > 0 => {
            Asked::Part(size_bytes.saturating_sub(count), size_bytes - 1)
        }
        (Some(first), Some(last)) if first > last => Asked::Whole,
        (Some(_), _) if last.is_empty() || number(last).is_some() => Asked::Unsatisfiable,
        (None, Some(_)) if first.is_empty() => Asked::Unsatisfiable,
        _ => Asked::Whole,
    }
}

/// Parses the `Content-Range` of a chunk, `first-last`; the form of RFC 9110
/// (`bytes first-last/size`) is understood too.
pub(super) fn parse_chunk(header: &str) -> Option<(u64, u64)> {
    let range = header.trim().strip_prefix("bytes").unwrap_or(header).trim();
    let range = range.split_once('/').map_or(range, |(range, _)| range);
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    // An end before the beginning is how an empty chunk comes out of naive arithmetic.
    (last.checked_add(1)? >= first).then_some((first, last))
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_judged_against_the_size() {
        for (header, expected) in [
            ("bytes=0-", Asked::Part(0, 9)),
            ("bytes=3-5", Asked::Part(3, 5)),
            ("bytes=3-99", Asked::Part(3, 9)),
            ("bytes=-4", Asked::Part(6, 9)),
            ("bytes=-99", Asked::Part(0, 9)),
            ("bytes=9-9", Asked::Part(9, 9)),
            ("bytes=10-", Asked::Unsatisfiable),
            ("bytes=10-12", Asked::Unsatisfiable),
            ("bytes=-0", Asked::Unsatisfiable),
            ("bytes=5-3", Asked::Whole),
            ("bytes=0-1,3-4", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("lines=0-1", Asked::Whole),
        ] {
            assert_eq!(parse(Some(header), 10), expected, "{header}");
        }
        assert_eq!(parse(None, 10), Asked::Whole);
        assert_eq!(parse(Some("bytes=0-"), 0), Asked::Unsatisfiable);
    }

    #[test]
    fn chunk_ranges_are_two_numbers() {
        assert_eq!(parse_chunk("0-9"), Some((0, 9)));
        assert_eq!(parse_chunk("bytes 10-19/20"), Some((10, 19)));
        assert_eq!(parse_chunk("bytes 10-19/*"), Some((10, 19)));
        for text in ["", "-", "5", "9-3", "a-b", "1-18446744073709551615"] {
            assert_eq!(parse_chunk(text), None, "{text}");
        }
    }
}
