//! Amounts as docker's users write them: `64m`, `1.5g`, `0.5` processors.

use crate::{Kind, Printable};

/// Why a text is no amount. The messages are docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// No digit at all, or negative.
    #[error("invalid size: '{}'", Printable(.0))]
    Format(String),
    /// Not a number before the unit.
    #[error("strconv.ParseFloat: parsing \"{}\": invalid syntax", Printable(.0))]
    Number(String),
    /// A unit that there is not.
    #[error("invalid suffix: '{}'", Printable(.0))]
    Suffix(String),
    /// Not a number of processors.
    #[error("failed to parse {} as a rational number", Printable(.0))]
    Cpus(String),
    /// More than nine digits after the point.
    #[error("value is too precise")]
    Precision,
}

impl SizeError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// Parses an amount of memory, in bytes: a number and perhaps `b`, `k`, `m`, `g`, `t` or `p`,
/// which count in 1024s and may be followed by `b` or `ib`.
pub fn parse_size(text: &str) -> Result<i64, SizeError> {
    let end = text
        .rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')
        .ok_or_else(|| SizeError::Format(text.to_owned()))?;
    let suffix = text[end + 1..].to_lowercase();
    let number = text[..=end].strip_suffix(' ').unwrap_or(&text[..=end]);
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    let amount: f64 = match number.parse() {
        Ok(amount) if plain => amount,
        _ => return Err(SizeError::Number(number.to_owned())),
    };
    if amount < 0.0 {
        return Err(SizeError::Format(text.to_owned()));
    }
    let exponent = match suffix.as_bytes() {
        [] | [b'b'] => 0,
        [unit] | [unit, b'b'] | [unit, b'i', b'b'] => b"kmgtp"
            .iter()
            .position(|known| known == unit)
            .map(|position| position as i32 + 1)
            .ok_or_else(|| SizeError::Suffix(suffix.clone()))?,
        _ => return Err(SizeError::Suffix(suffix)),
    };
    Ok((amount * 1024_f64.powi(exponent)) as i64)
}

/// Parses a number of processors, in billionths: `0.5` → 500,000,000.
pub fn parse_cpus(text: &str) -> Result<i64, SizeError> {
    let refused = || SizeError::Cpus(text.to_owned());
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || !digits.bytes().any(|b| b.is_ascii_digit()) {
        return Err(refused());
    }
    if fraction.len() > 9 {
        return Err(SizeError::Precision);
    }
    let digits = format!("{whole}{fraction:0<9}");
    let billionths: i64 = digits.parse().map_err(|_| refused())?;
    Ok(if negative { -billionths } else { billionths })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: Result<i64, SizeError>, expected: &str) {
        assert_eq!(found.map_or_else(|error| error.to_string(), |n| n.to_string()), expected);
    }

    #[test]
    fn sizes_count_in_1024s_whatever_the_unit_is_called() {
        check(parse_size("64m"), "67108864");
        check(parse_size("1.5KiB"), "1536");
        check(parse_size("1 GB"), "1073741824");
        check(parse_size("17b"), "17");
        check(parse_size("0"), "0");
        check(parse_size("1x"), "invalid suffix: 'x'");
        check(parse_size("1mm"), "invalid suffix: 'mm'");
        check(parse_size("1bb"), "invalid suffix: 'bb'");
        check(parse_size("m"), "invalid size: 'm'");
        check(parse_size("-1m"), "invalid size: '-1m'");
        check(parse_size("1.2.3m"), "strconv.ParseFloat: parsing \"1.2.3\": invalid syntax");
    }

    #[test]
    fn processors_are_counted_exactly() {
        check(parse_cpus("0.5"), "500000000");
        check(parse_cpus("100"), "100000000000");
        check(parse_cpus(".000000001"), "1");
        check(parse_cpus("1.2345678901"), "value is too precise");
        check(parse_cpus("x"), "failed to parse x as a rational number");
        check(parse_cpus("."), "failed to parse . as a rational number");
    }
}
