//! Flags about devices of the host: weights, rates and rules.

use super::{
    super::{ThrottleDevice, WeightDevice, parse_size},
    FlagError,
};
use crate::Printable;

/// Reads `--blkio-weight-device`: `PATH:WEIGHT`, the weight between 10 and 1000, or 0.
pub fn weight(text: &str) -> Result<WeightDevice, FlagError> {
    let (path, number) = split(text)?;
    match number.parse::<u16>() {
        Ok(weight) if weight == 0 || (10..=1000).contains(&weight) => {
            Ok(WeightDevice { path: path.to_owned(), weight })
        }
        _ => Err(FlagError::of("invalid weight for device: ", text)),
    }
}

/// Reads `--device-read-bps` and `--device-write-bps`: `PATH:SIZE` a second.
pub fn bytes_rate(text: &str) -> Result<ThrottleDevice, FlagError> {
    let (path, size) = split(text)?;
    match parse_size(size).ok().and_then(|size| u64::try_from(size).ok()) {
        Some(rate) => Ok(ThrottleDevice { path: path.to_owned(), rate }),
        None => Err(FlagError::new(format!(
            "invalid rate for device: {}. The correct format is <device-path>:<number>[<unit>]. \
             Number must be a positive integer. Unit is optional and can be kb, mb, or gb",
            Printable(text)
        ))),
    }
}

/// Reads `--device-read-iops` and `--device-write-iops`: `PATH:NUMBER` a second.
pub fn operations_rate(text: &str) -> Result<ThrottleDevice, FlagError> {
    let (path, number) = split(text)?;
    match number.parse() {
        Ok(rate) => Ok(ThrottleDevice { path: path.to_owned(), rate }),
        Err(_) => Err(FlagError::new(format!(
            "invalid rate for device: {}. The correct format is <device-path>:<number>. \
             Number must be a positive integer",
            Printable(text)
        ))),
    }
}

/// Checks `--device-cgroup-rule`: `c 1:3 rwm`.
pub fn cgroup_rule(text: &str) -> Result<String, FlagError> {
    let number = |text: &str| {
        text == "*" || !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit())
    };
    let well_formed = match text.split(' ').collect::<Vec<_>>()[..] {
        [kind, numbers, access] => {
            matches!(kind, "a" | "b" | "c")
                && numbers.split_once(':').is_some_and(|(a, b)| number(a) && number(b))
                && (1..=3).contains(&access.len())
                && access.bytes().all(|letter| b"rwm".contains(&letter))
        }
        _ => false,
    };
    if well_formed {
        return Ok(text.to_owned());
    }
    Err(FlagError::new(format!("invalid device cgroup format '{}'", Printable(text))))
}

fn split(text: &str) -> Result<(&str, &str), FlagError> {
    let (path, value) = match text.split_once(':') {
        Some((path, value)) if !path.is_empty() => (path, value),
        _ => return Err(FlagError::of("bad format: ", text)),
    };
    if !path.starts_with("/dev/") {
        return Err(FlagError::of("bad format for device path: ", text));
    }
    Ok((path, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_weights_are_read_as_docker_reads_them() {
        let said = |error: FlagError| error.to_string();
        assert_eq!(weight("/dev/sda:500").unwrap().weight, 500);
        assert_eq!(
            said(weight("/dev/sda:5").unwrap_err()),
            "invalid weight for device: /dev/sda:5"
        );
        assert_eq!(said(weight("sda").unwrap_err()), "bad format: sda");
        assert_eq!(said(weight("sda:5").unwrap_err()), "bad format for device path: sda:5");
        assert_eq!(bytes_rate("/dev/sda:1mb").unwrap().rate, 1 << 20);
        assert_eq!(operations_rate("/dev/sda:10").unwrap().rate, 10);
        assert!(said(operations_rate("/dev/sda:1k").unwrap_err()).starts_with("invalid rate"));
        assert!(said(bytes_rate("/dev/sda:-1").unwrap_err()).starts_with("invalid rate"));
    }

    #[test]
    fn rules_have_three_words() {
        for good in ["c 1:3 rwm", "a *:* r", "b 8:* mw"] {
            assert_eq!(cgroup_rule(good).unwrap(), good);
        }
        for bad in ["c 1:3", "c 1:3 x", "d 1:3 r", "c 1 r", "c  1:3 r", "c 1:3 rwmr"] {
            let said = cgroup_rule(bad).unwrap_err().to_string();
            assert_eq!(said, format!("invalid device cgroup format '{bad}'"));
        }
    }
}
