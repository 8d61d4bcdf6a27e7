//! What was removed.

use std::fmt::Write as _;

use varve_engine::{Pruned, Removed};

use crate::format::units;

/// The lines of `rmi`.
pub(crate) fn removed(removed: &[Removed]) -> String {
    lines(removed, "Untagged", "Deleted")
}

/// The report of `image prune`.
pub(crate) fn pruned(pruned: &Pruned) -> String {
    images(pruned) + &total(pruned.reclaimed_bytes)
}

/// The images' part of the report of `system prune`.
pub(crate) fn images(pruned: &Pruned) -> String {
    if pruned.removed.is_empty() {
        return String::new();
    }
    format!("Deleted Images:\n{}\n", lines(&pruned.removed, "untagged", "deleted"))
}

/// The last line of a prune.
pub(crate) fn total(bytes: u64) -> String {
    format!("Total reclaimed space: {}\n", units::size(bytes, 4))
}

fn lines(removed: &[Removed], untagged: &str, deleted: &str) -> String {
    let mut text = String::new();
    for one in removed {
        let _ = match one {
            Removed::Untagged(reference) => writeln!(text, "{untagged}: {}", reference.familiar()),
            Removed::Image(id) => writeln!(text, "{deleted}: {id}"),
            Removed::Layer(id, _) => writeln!(text, "{deleted}: {id}"),
        };
    }
    text
}
