//! What the cache of builds holds, as docker lists it.

use std::fmt::Write as _;

use jiff::Timestamp;
use varve_engine::CacheUse;
use varve_types::Printable;

use crate::format::{time, units};

/// Columns between two stops of a tab.
const TAB: usize = 8;

/// A row for each, under a header when there are some.
pub(crate) fn rows(uses: &[CacheUse], now: Timestamp) -> String {
    let mut text = String::new();
    if !uses.is_empty() {
        text += "ID\t\t\t\t\t\tRECLAIMABLE\tSIZE\t\tLAST ACCESSED\n";
    }
    for (at, it) in uses.iter().enumerate() {
        let id = format!("{}{}", it.id, if it.mutable { "*" } else { "" });
        let shared = if it.shared { "*" } else { "" };
        let size = format!("{}{shared}", units::size(it.size_bytes, 4));
        let reclaimable = !it.in_use;
        // The first row is lined up with the header, each other with itself alone.
        let tab = if at == 0 { "\t\t" } else { "\t" };
        let age = time::age(now, it.last_used);
        let _ = writeln!(text, "{id:<40}\t{reclaimable:<5}{tab}{size:<10}\t{age}");
    }
    text
}

/// All that is known of each.
pub(crate) fn verbose(uses: &[CacheUse], now: Timestamp) -> String {
    let mut text = String::new();
    for it in uses {
        let mut pair = |name: &str, value: &str| {
            let _ = writeln!(text, "{:<16}{value}", format!("{name}:"));
        };
        pair("ID", &it.id);
        if !it.parents.is_empty() {
            pair("Parents", &it.parents.join(","));
        }
        pair("Created at", &time::rfc3339_nano(it.created));
        pair("Mutable", &it.mutable.to_string());
        pair("Reclaimable", &(!it.in_use).to_string());
        pair("Shared", &it.shared.to_string());
        pair("Size", &units::size(it.size_bytes, 4));
        pair("Description", &Printable(&it.description).to_string());
        pair("Usage count", &it.uses.to_string());
        pair("Last used", &time::age(now, it.last_used));
        pair("Type", it.kind.name());
        text.push('\n');
    }
    text
}

/// How much of it can go, and how much it is.
pub(crate) fn summary(uses: &[CacheUse]) -> String {
    let sum = |wanted: &dyn Fn(&CacheUse) -> bool| {
        let bytes = uses.iter().filter(|it| wanted(it)).map(|it| it.size_bytes).sum();
        units::size(bytes, 4)
    };
    let mut lines = Vec::new();
    if uses.iter().any(|it| it.shared) {
        lines.push(("Shared:", sum(&|it| it.shared)));
        lines.push(("Private:", sum(&|it| !it.shared)));
    }
    lines.push(("Reclaimable:", sum(&|it| !it.in_use)));
    lines.push(("Total:", sum(&|_| true)));
    let widest = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let width = (widest + 1).next_multiple_of(TAB);
    let line = |(name, size): (&str, String)| {
        let tabs = "\t".repeat((width - name.len()).div_ceil(TAB));
        format!("{name}{tabs}{size}\n")
    };
    lines.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn an_empty_cache_is_summed_up_as_docker_does() {
        assert_eq!(summary(&[]), "Reclaimable:\t0B\nTotal:\t\t0B\n");
    }
}
