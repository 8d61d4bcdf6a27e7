//! Images as a tree of their platforms.

use std::fmt::Write as _;

use crate::format::units;

/// An image with its platforms.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    /// Its names, or one for an image without any.
    pub(crate) names: Vec<String>,
    pub(crate) line: Line,
    pub(crate) platforms: Vec<(String, Line)>,
}

/// The figures of a line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) size_bytes: u64,
    pub(crate) content_size_bytes: u64,
    pub(crate) in_use: bool,
}

const WARNING: &str =
    "WARNING: This is an experimental feature. The output may change and shouldn't be depended on.";
const SPACE: &str = "   ";

/// Draws the trees, `width` columns wide where something stands at the right.
pub(crate) fn draw(trees: &[Tree], width: usize, colours: bool) -> String {
    let legend = if colours {
        "Info -> \u{1b}[0m\u{1b}[7m U \u{1b}[0m In Use "
    } else {
        "Info ->  U In Use "
    };
    let visible = "Info ->  U In Use ".len();
    let mut text = format!("{WARNING}\n{}{legend}\n\n", " ".repeat(width.saturating_sub(visible)));
    let widths = trees.iter().flat_map(|tree| {
        let names = tree.names.iter().map(|name| name.chars().count());
        names.chain(tree.platforms.iter().map(|(name, _)| 3 + name.chars().count()))
    });
    let widest = widths.max().unwrap_or(0).max("IMAGE".len());
    let head = |title: &str, width: usize| {
        let space = " ".repeat(width.saturating_sub(title.len()));
        if colours {
            format!("\u{1b}[39m\u{1b}[1m{title}\u{1b}[0m{space}")
        } else {
            format!("{title}{space}")
        }
    };
    let heads =
        [("IMAGE", widest), ("ID", 12), ("DISK USAGE", 10), ("CONTENT SIZE", 12), ("EXTRA", 5)];
    let heads: Vec<String> = heads.iter().map(|(title, width)| head(title, *width)).collect();
    let _ = writeln!(text, "{}", heads.join(SPACE));
    for (place, tree) in trees.iter().enumerate() {
        if place > 0 {
            text.push('\n');
        }
        for name in &tree.names {
            write_line(&mut text, name, widest, &tree.line);
        }
        for (place, (name, line)) in tree.platforms.iter().enumerate() {
            let last = place + 1 == tree.platforms.len();
            let name = format!("{} {name}", if last { "└─" } else { "├─" });
            write_line(&mut text, &name, widest, line);
        }
    }
    text
}

fn write_line(text: &mut String, name: &str, widest: usize, line: &Line) {
    let _ = writeln!(
        text,
        "{name:widest$}{SPACE}{:12}{SPACE}{:>10}{SPACE}{:>12}{SPACE}{:5}",
        units::short_id(&line.id),
        units::size(line.size_bytes, 3),
        units::size(line.content_size_bytes, 3),
        if line.in_use { "U" } else { "" },
    );
}
