//! What prunes of containers, volumes and networks removed.

use std::fmt::Write as _;

use varve_types::container::listing::PruneReport;

use super::removal;

/// The report of `container prune`.
pub(crate) fn containers(report: &PruneReport) -> String {
    deleted("Containers", report) + &removal::total(report.reclaimed_bytes)
}

/// The report of `volume prune`.
pub(crate) fn volumes(report: &PruneReport) -> String {
    deleted("Volumes", report) + &removal::total(report.reclaimed_bytes)
}

/// The report of `network prune`, which counts no bytes.
pub(crate) fn networks(report: &PruneReport) -> String {
    deleted("Networks", report)
}

/// What was removed of one kind, as a part of a report.
pub(crate) fn deleted(what: &str, report: &PruneReport) -> String {
    let mut text = String::new();
    if !report.removed.is_empty() {
        let _ = writeln!(text, "Deleted {what}:\n{}\n", report.removed.join("\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_name_what_is_gone() {
        let report = PruneReport { removed: vec!["a".into(), "b".into()], reclaimed_bytes: 0 };
        let some = "Deleted Containers:\na\nb\n\nTotal reclaimed space: 0B\n";
        assert_eq!(containers(&report), some);
        assert_eq!(networks(&report), "Deleted Networks:\na\nb\n\n");
        assert_eq!(volumes(&PruneReport::default()), "Total reclaimed space: 0B\n");
        assert_eq!(networks(&PruneReport::default()), "");
    }
}
