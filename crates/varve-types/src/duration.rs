//! Durations as Go writes them, which is how Docker's users write them: `1h2m3.5s`, `100ms`.

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurationError {
    /// A number without a unit.
    Unit,
    /// Anything else, or more than 292 years.
    Format,
}

/// Parses a duration, in nanoseconds (Go's `time.ParseDuration`). Fractions below a nanosecond
/// are rounded.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let (sign, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (-1.0, &text[1..]),
        Some(b'+') => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(DurationError::Format);
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().map_err(|_| DurationError::Format)?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "" => return Err(DurationError::Unit),
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(DurationError::Format),
        };
        rest = &rest[end..];
        total += number * unit;
    }
    if total >= 9.2e18 {
        return Err(DurationError::Format);
    }
    Ok((sign * total).round() as i64)
}

/// Writes nanoseconds as Go's `Duration.String` does: `1h0m0s`, `1.5s`, `100ms`, `0s`.
pub fn format(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let all = nanoseconds.unsigned_abs();
    let (unit, digits, name) = match all {
        0 => return "0s".to_owned(),
        1..1_000 => (1, 0, "ns"),
        1_000..1_000_000 => (1_000, 3, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, 6, "ms"),
        _ => (1_000_000_000, 9, "s"),
    };
    let mut whole = all / unit;
    let fraction = format!("{:0digits$}", all % unit);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    let mut above = String::new();
    if name == "s" && whole >= 60 {
        let minutes = whole / 60;
        whole %= 60;
        above = match minutes / 60 {
            0 => format!("{minutes}m"),
            hours => format!("{hours}h{}m", minutes % 60),
        };
    }
    format!("{sign}{above}{whole}{point}{fraction}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let cases: &[(i64, &str)] = &[
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (100_000_000, "100ms"),
            (30_000_000_000, "30s"),
            (90_500_000_000, "1m30.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (-1_000_000, "-1ms"),
        ];
        for (nanoseconds, text) in cases {
            assert_eq!(format(*nanoseconds), *text);
        }
    }

    #[test]
    fn units_add_up_and_a_sign_counts_for_all() {
        assert_eq!(parse("1h2m3.5s"), Ok(3_723_500_000_000));
        assert_eq!(parse("-1.5h"), Ok(-5_400_000_000_000));
        assert_eq!(parse("100ms"), Ok(100_000_000));
        assert_eq!(parse("+0"), Ok(0));
    }

    #[test]
    fn numbers_without_units_and_nonsense_are_told_apart() {
        assert_eq!(parse("5"), Err(DurationError::Unit));
        for text in ["", "-", "s", "5x", "1h-2m", "99999999h", "24 h"] {
            assert_eq!(parse(text), Err(DurationError::Format), "{text}");
        }
    }
}
