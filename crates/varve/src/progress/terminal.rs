//! A line for each layer, redrawn in place, as Docker draws them.
//!
//! Every layer has a line; to change it the cursor goes up to it, and down again. What is not
//! about a layer is a line of its own, after which layers begin new lines.

use std::{collections::HashMap, fmt::Write as _};

use varve_types::Event;

use super::{is_final, line, pace::Pace};
use crate::format::units;

/// The bar is shown only where it leaves room for the rest.
const WIDTH_WITH_BAR_MIN: usize = 110;
/// Columns inside the bar.
const BAR_WIDTH: usize = 50;

/// The lines that are on the screen.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    lines: HashMap<String, Line>,
    pace: Pace,
}

#[derive(Debug)]
struct Line {
    place: usize,
    finished: bool,
}

impl Screen {
    /// What to write for an event on a terminal of `width` columns.
    pub(crate) fn show(&mut self, event: &Event, width: usize) -> Option<String> {
        let Event::Layer { id, state } = event else {
            self.lines.clear();
            return Some(line::text(event) + "\n");
        };
        let counts = line::counts(state);
        let mut text = String::new();
        let count = self.lines.len();
        let known = self.lines.entry(id.clone()).or_insert_with(|| {
            text.push('\n');
            Line { place: count, finished: false }
        });
        // A late count from another thread must not undo the end.
        if known.finished && counts.is_some() {
            return None;
        }
        if !self.pace.is_due(id, counts) {
            return None;
        }
        known.finished = is_final(state);
        let place = known.place;
        let up = self.lines.len() - place;
        let mut shown = format!("{} {}", line::text(event), progress(counts, width));
        if shown.chars().count() >= width {
            // A line that wraps would move all others.
            shown = shown.chars().take(width.saturating_sub(1)).collect();
        }
        let _ = write!(text, "\u{1b}[{up}A\u{1b}[2K\r{shown}\r\u{1b}[{up}B");
        Some(text)
    }
}

/// The bar and the counts: `[==>   ]  36.45kB/3.001MB`.
fn progress(counts: Option<(u64, u64)>, width: usize) -> String {
    let Some((done, total)) = counts.filter(|(done, total)| *done > 0 || *total > 0) else {
        return String::new();
    };
    let size = |bytes| units::size(bytes, 4);
    if total == 0 {
        return format!("{:>8}", size(done));
    }
    let mut text = String::new();
    if width > WIDTH_WITH_BAR_MIN {
        let filled = (done.min(total) as u128 * BAR_WIDTH as u128 / total as u128) as usize;
        let _ = write!(text, "[{}>{}] ", "=".repeat(filled), " ".repeat(BAR_WIDTH - filled));
    }
    let _ = write!(text, "{:>8}", size(done));
    if done <= total {
        let _ = write!(text, "/{}", size(total));
    }
    text
}
