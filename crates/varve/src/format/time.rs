//! Times and ages as Docker shows them.

use jiff::{Timestamp, fmt::strtime, tz::TimeZone};

/// `2026-11-20T13:17:23.892822042Z`: as many digits of the second as there are.
pub(crate) fn rfc3339_nano(time: Timestamp) -> String {
    let whole = strtime::format("%Y-%m-%dT%H:%M:%S", time).unwrap_or_default();
    format!("{whole}{}Z", fraction(time))
}

/// `2026-11-20T13:17:23Z`, in the zone.
pub(crate) fn rfc3339(time: Timestamp, zone: &TimeZone) -> String {
    let zoned = time.to_zoned(zone.clone());
    let text = zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    match text.strip_suffix("+00:00") {
        Some(text) => format!("{text}Z"),
        None => text,
    }
}

/// `2026-11-20 13:17:28 +0000 UTC`: how Go prints a time of whole seconds, in the zone.
pub(crate) fn go_seconds(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

/// `2026-11-20 13:17:28.5 +0000 UTC`: how Go prints a time with the second's digits, in the zone.
pub(crate) fn go_nanoseconds(time: Timestamp, zone: &TimeZone) -> String {
    let zoned = time.to_zoned(zone.clone());
    let (whole, rest) = (zoned.strftime("%Y-%m-%d %H:%M:%S"), zoned.strftime("%z %Z"));
    format!("{whole}{} {rest}", fraction(time))
}

/// How Go prints a time of the universal zone, with the second's digits.
pub(crate) fn go_text(time: Timestamp) -> String {
    let whole = strtime::format("%Y-%m-%d %H:%M:%S", time).unwrap_or_default();
    format!("{whole}{} +0000 UTC", fraction(time))
}

fn fraction(time: Timestamp) -> String {
    let nanoseconds = time.subsec_nanosecond().unsigned_abs();
    let text = format!(".{nanoseconds:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `42 minutes ago`
pub(crate) fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(then.as_second());
    format!("{} ago", duration(seconds))
}

/// `42 minutes`, `About an hour`
pub(crate) fn duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    // Hours are rounded, and all that is longer is counted in such hours.
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_dockers() {
        let shown = |seconds| duration(seconds);
        let ages = [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (5399, "About an hour"),
            (5400, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (13 * 86_400, "13 days"),
            (14 * 86_400, "2 weeks"),
            (59 * 86_400, "8 weeks"),
            (60 * 86_400, "2 months"),
            (700 * 86_400, "23 months"),
            (730 * 86_400, "2 years"),
        ];
        for (seconds, expected) in ages {
            assert_eq!(shown(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn times_print_as_go_prints_them() {
        let time: Timestamp = "2026-11-20T13:17:23.8928Z".parse().unwrap();
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(rfc3339_nano(time), "2026-11-20T13:17:23.8928Z");
        assert_eq!(go_text(time), "2026-11-20 13:17:23.8928 +0000 UTC");
        assert_eq!(go_seconds(time, &TimeZone::UTC), "2026-11-20 13:17:23 +0000 UTC");
        assert_eq!(go_seconds(time, &berlin), "2026-11-20 14:17:23 +0100 CET");
        assert_eq!(rfc3339(time, &TimeZone::UTC), "2026-11-20T13:17:23Z");
        assert_eq!(rfc3339(time, &berlin), "2026-11-20T14:17:23+01:00");
        let zero: Timestamp = "0001-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(go_text(zero), "0001-01-01 00:00:00 +0000 UTC");
    }
}
