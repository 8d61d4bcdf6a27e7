//! Numbers as templates write them.

/// A number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Int(i64),
    Float(f64),
}

/// Reads a number: decimal, hexadecimal, octal, binary or with a fraction.
pub(crate) fn parse(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let plain = digits.replace('_', "");
    let lower = plain.to_ascii_lowercase();
    let radix = |prefix: &str, radix| {
        lower.strip_prefix(prefix).map(|rest| i64::from_str_radix(rest, radix).ok())
    };
    let found = radix("0x", 16).or_else(|| radix("0b", 2)).or_else(|| radix("0o", 8));
    let whole = match found {
        Some(found) => Some(found?),
        None if lower.len() > 1 && lower.starts_with('0') => i64::from_str_radix(&lower, 8).ok(),
        None => lower.parse::<i64>().ok(),
    };
    if let Some(whole) = whole {
        return Some(Number::Int(if negative { -whole } else { whole }));
    }
    if !lower.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-')) {
        return None;
    }
    let float: f64 = lower.parse().ok()?;
    Some(Number::Float(if negative { -float } else { float }))
}
