//! Moments as users write them: a time, or how long ago.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use varve_types::duration;

/// The text is neither a time nor a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoMoment;

/// Reads `--since` and `--until`: `42m` before `now`, seconds since 1970 with a fraction, or a
/// time in the zone unless it names its own (`2013-01-02T13:23:37`, `…Z`, `2013-01-02`). An
/// empty text is no moment.
pub(crate) fn parse(
    text: &str,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<Option<Timestamp>, NoMoment> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(nanoseconds) = duration::parse(text) {
        let ago = jiff::SignedDuration::from_nanos(nanoseconds);
        return now.checked_sub(ago).map(Some).map_err(|_| NoMoment);
    }
    if let Some(time) = seconds(text) {
        return Ok(Some(time));
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(Some(time));
    }
    let date = match text.len() {
        // Hours or minutes alone, which the parser wants more of.
        13 => format!("{text}:00:00"),
        16 => format!("{text}:00"),
        _ => text.to_owned(),
    };
    let time = date.parse::<DateTime>().map_err(|_| NoMoment)?;
    zone.to_timestamp(time).map(Some).map_err(|_| NoMoment)
}

/// `1136073600.000000001`
fn seconds(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    Timestamp::new(whole.parse().ok()?, format!("{fraction:0<9}").parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_times_or_how_long_ago() {
        let now: Timestamp = "2026-11-20T13:00:00Z".parse().unwrap();
        let berlin = TimeZone::posix("CET-1").unwrap();
        let shown = |text: &str| match parse(text, now, &berlin) {
            Ok(Some(time)) => time.to_string(),
            Ok(None) => "none".to_owned(),
            Err(NoMoment) => "error".to_owned(),
        };
        assert_eq!(shown(""), "none");
        assert_eq!(shown("42m"), "2026-11-20T12:18:00Z");
        assert_eq!(shown("1136073600.5"), "2006-01-01T00:00:00.5Z");
        assert_eq!(shown("2013-01-02T13:23:37Z"), "2013-01-02T13:23:37Z");
        assert_eq!(shown("2013-01-02T13:23:37+02:00"), "2013-01-02T11:23:37Z");
        assert_eq!(shown("2013-01-02T13:23:37"), "2013-01-02T12:23:37Z");
        assert_eq!(shown("2013-01-02T13:23"), "2013-01-02T12:23:00Z");
        assert_eq!(shown("2013-01-02"), "2013-01-01T23:00:00Z");
        assert_eq!(shown("bogus"), "error");
    }
}
