//! What was removed.

use std::fmt::Write as _;

use varve_engine::{Pruned, Removed};

use crate::format::units;

/// The lines of `rmi`.
pub(crate) fn removed(removed: &[Removed]) -> String {
    lines(removed, "Untagged", "Deleted")
}

/// The report of `image prune` and of the images' part of `system prune`.
pub(crate) fn pruned(pruned: &Pruned) -> String {
    let mut text = String::new();
    if !pruned.removed.is_empty() {
        let _ =
            write!(text, "Deleted Images:\n{}\n", lines(&pruned.removed, "untagged", "deleted"));
    }
    let _ = writeln!(text, "Total reclaimed space: {}", units::size(pruned.reclaimed_bytes, 4));
    text
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
