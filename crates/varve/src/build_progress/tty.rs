//! A live tree on a terminal, redrawn in place, as docker draws it.
//!
//! One line says how far the build is, one follows for each step and each of its parts; steps that
//! run show their last lines of output. Nothing that came from outside is sent raw: a program's
//! escape sequences are taken out of its lines.

use std::time::Duration;

use unicode_width::UnicodeWidthChar as _;
use varve_types::Printable;

use super::trace::{Outcome, Shown, Trace, amount};

/// Lines of output that a running step shows.
const OUTPUT_LINES: usize = 6;
/// Columns of a name below which a line is not worth showing.
const NAME_WIDTH_MIN: usize = 12;
/// A time below is shown as zero.
const SECONDS_MIN: f64 = 0.05;

/// Colours of lines (`BUILDKIT_COLORS`, `NO_COLOR`), as parameters of the escape sequence; empty
/// for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Colours {
    done: String,
    canceled: String,
    failed: String,
}

/// What is on the screen.
#[derive(Debug)]
pub(crate) struct Tree {
    colours: Colours,
    line_count: usize,
    is_drawn: bool,
}

/// A line to be drawn.
struct Row {
    name: String,
    amount: Option<String>,
    seconds: f64,
    colour: Option<Colour>,
    ended: bool,
    output: Vec<String>,
}

#[derive(Clone, Copy)]
enum Colour {
    Done,
    Canceled,
    Failed,
}

impl Colours {
    /// Reads `BUILDKIT_COLORS` (`run=green:warning=yellow:error=1,2,3:cancel=cyan`); what cannot be
    /// read is left as it is.
    pub(crate) fn new(setting: Option<&str>, no_colour: bool) -> Self {
        let mut colours = Self { done: "34".into(), canceled: "33".into(), failed: "31".into() };
        if no_colour {
            return Self { done: String::new(), canceled: String::new(), failed: String::new() };
        }
        for (name, value) in
            setting.unwrap_or_default().split(':').filter_map(|s| s.split_once('='))
        {
            let Some(code) = colour_code(value) else { continue };
            match name {
                "run" => colours.done = code,
                "cancel" => colours.canceled = code,
                "error" => colours.failed = code,
                _ => {}
            }
        }
        colours
    }

    fn code(&self, colour: Colour) -> &str {
        match colour {
            Colour::Done => &self.done,
            Colour::Canceled => &self.canceled,
            Colour::Failed => &self.failed,
        }
    }
}

/// A colour's name, or `red,green,blue` from 0 to 255.
fn colour_code(value: &str) -> Option<String> {
    const NAMES: &[(&str, &str)] = &[
        ("black", "30"),
        ("red", "31"),
        ("green", "32"),
        ("yellow", "33"),
        ("blue", "34"),
        ("magenta", "35"),
        ("cyan", "36"),
        ("white", "37"),
    ];
    let value = value.to_ascii_lowercase();
    if let Some((_, code)) = NAMES.iter().find(|(name, _)| *name == value) {
        return Some((*code).to_owned());
    }
    let parts: Vec<u8> = value.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [red, green, blue] = parts[..] else { return None };
    Some(format!("38;2;{red};{green};{blue}"))
}

impl Tree {
    pub(crate) fn new(colours: Colours) -> Self {
        Self { colours, line_count: 0, is_drawn: false }
    }

    /// Draws all, over what was drawn before. `finished`: for the last time, whatever the height.
    pub(crate) fn draw(
        &mut self,
        trace: &Trace,
        now: Duration,
        (width, height): (usize, usize),
        finished: bool,
    ) -> String {
        let mut text = "\u{1b}[1A".repeat(self.line_count + 1);
        if !self.is_drawn {
            text += "\u{1b}[1B";
        }
        self.is_drawn = true;
        text += "\u{1b}[0G\u{1b}[?25l";
        let (ended, total) = (trace.ended(), trace.steps.len());
        let state = if finished && total > 0 && ended == total { "FINISHED" } else { "" };
        let seconds = now.as_secs_f64();
        let head = format!("[+] Building {seconds:.1}s ({ended}/{total}) {state}");
        text += &align(&head, "varve:default", width.saturating_sub(1));
        text.push('\n');
        let mut rows = rows(trace, now);
        let hidden = choose_output(&mut rows, height);
        if !finished {
            rows = fitting(rows, height.saturating_sub(2 + hidden));
        }
        let mut count = 0;
        for row in &rows {
            count += self.row(row, width, &mut text);
        }
        let gone = self.line_count.saturating_sub(count);
        if gone > 0 {
            text += &format!("{}\n", " ".repeat(width)).repeat(gone);
            text += &"\u{1b}[1A".repeat(gone);
            text += "\u{1b}[0G";
        }
        self.line_count = count;
        text += "\u{1b}[?25h";
        text
    }

    /// Draws a row; gives the number of lines.
    fn row(&self, row: &Row, width: usize, text: &mut String) -> usize {
        const PREFIX: &str = " => ";
        let seconds = if row.seconds < SECONDS_MIN { 0.0 } else { row.seconds };
        let timer = format!(" {seconds:3.1}s");
        let mut left = width as isize - (PREFIX.len() + timer.len() + 2) as isize;
        let amount = row.amount.as_ref().filter(|amount| left + amount.len() as isize > 20);
        if let Some(amount) = amount {
            left -= amount.len() as isize + 1;
        }
        if left < NAME_WIDTH_MIN as isize {
            return 0;
        }
        let mut line = format!("{PREFIX}{}", clip(&row.name, left as usize));
        if let Some(amount) = amount {
            line += " ";
            line += amount;
        }
        let line = align(&line, &timer, width.saturating_sub(1));
        match row.colour.map(|colour| self.colours.code(colour)).filter(|code| !code.is_empty()) {
            Some(code) => text.extend(["\u{1b}[", code, "m", &line, "\n\u{1b}[0m"]),
            None => text.extend([&line, "\n"]),
        }
        for output in &row.output {
            let shown = clip(output, width.saturating_sub(" => => # ".len() + 1));
            text.extend(["\u{1b}[2m => => # ", &shown, "\n\u{1b}[0m"]);
        }
        1 + row.output.len()
    }
}

/// The rows of all steps and parts.
fn rows(trace: &Trace, now: Duration) -> Vec<Row> {
    let mut rows = Vec::new();
    for step in &trace.steps {
        let plain = Printable(&step.name.replace('\t', " ")).to_string();
        let (name, colour) = match &step.outcome {
            None => (plain, None),
            Some(Outcome::Done { cached: false }) => (plain, Some(Colour::Done)),
            Some(Outcome::Done { cached: true }) => (format!("CACHED {plain}"), Some(Colour::Done)),
            Some(Outcome::Failed(_)) => (format!("ERROR {plain}"), Some(Colour::Failed)),
            Some(Outcome::Canceled) => (format!("CANCELED {plain}"), Some(Colour::Canceled)),
        };
        let seconds = step.ended.unwrap_or(now).saturating_sub(step.started).as_secs_f64();
        let ended = step.ended.is_some();
        let output = if ended { Vec::new() } else { last_output(step) };
        rows.push(Row { name, amount: None, seconds, colour, ended, output });
        for part in &step.parts {
            let seconds = part.ended.or(step.ended).unwrap_or(now).saturating_sub(part.started);
            let ended = part.ended.is_some();
            rows.push(Row {
                name: format!("=> {}", Printable(&part.name)),
                amount: amount(part),
                seconds: seconds.as_secs_f64(),
                colour: ended.then_some(Colour::Done),
                ended,
                output: Vec::new(),
            });
        }
        rows.extend(step.warnings.iter().map(|warning| Row {
            name: format!("WARN: {}", Printable(warning)),
            amount: None,
            seconds: 0.0,
            colour: Some(Colour::Canceled),
            ended: true,
            output: Vec::new(),
        }));
    }
    rows
}

/// The last lines of a program's output that are not empty, without control characters.
fn last_output(step: &Shown) -> Vec<String> {
    let lines = step.tail.iter().map(|line| readable(&line.text)).filter(|line| !line.is_empty());
    let lines: Vec<String> = lines.collect();
    lines[lines.len().saturating_sub(OUTPUT_LINES)..].to_vec()
}

/// What a terminal would show of a line at its end: what follows the last carriage return, without
/// escape sequences.
pub(crate) fn readable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches('\r');
    let text = text.rsplit('\r').next().unwrap_or_default();
    let mut shown = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => skip_sequence(&mut letters),
            '\t' => shown.push_str("    "),
            letter if letter.is_control() => {}
            letter => shown.push(letter),
        }
    }
    Printable(shown.trim_end()).to_string()
}

/// Skips what follows an escape character: `[…letter`, `]…BEL`, or one letter.
fn skip_sequence(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match letters.next() {
        Some('[') => {
            for letter in letters.by_ref() {
                if ('\u{40}'..='\u{7e}').contains(&letter) {
                    return;
                }
            }
        }
        Some(']') => {
            while let Some(letter) = letters.next() {
                if letter == '\u{7}' {
                    return;
                }
                if letter == '\u{1b}' {
                    letters.next_if_eq(&'\\');
                    return;
                }
            }
        }
        _ => {}
    }
}

/// Leaves output only to as many running steps as there is room for; gives the lines it takes.
fn choose_output(rows: &mut [Row], height: usize) -> usize {
    let running = rows.iter().filter(|row| !row.ended).count();
    let mut free = height.saturating_sub(2 + running);
    let mut taken = 0;
    for row in rows.iter_mut().rev() {
        if row.output.is_empty() {
            continue;
        }
        if free > OUTPUT_LINES + 3 {
            free -= OUTPUT_LINES + 3;
            taken += row.output.len();
        } else {
            row.output.clear();
        }
    }
    taken
}

/// The last rows that fit; a row that still runs takes the place of one that has ended.
fn fitting(rows: Vec<Row>, limit: usize) -> Vec<Row> {
    let above = rows.len().saturating_sub(limit);
    if above == 0 {
        return rows;
    }
    let mut rows = rows;
    let below = rows.split_off(above);
    let mut running: Vec<Row> = rows.into_iter().filter(|row| !row.ended).collect();
    let mut to_drop = running.len();
    let mut kept: Vec<Row> = Vec::new();
    for row in below {
        if row.ended && to_drop > 0 {
            to_drop -= 1;
        } else {
            kept.push(row);
        }
    }
    let room = limit - kept.len();
    let mut shown = running.split_off(running.len().saturating_sub(room));
    shown.extend(kept);
    shown
}

/// Both texts at the ends of a line of so many columns.
fn align(left: &str, right: &str, width: usize) -> String {
    let room = width.saturating_sub(right.len() + 1);
    let left = clip(left, room);
    let pad = room.saturating_sub(columns(&left));
    format!("{left}{} {right}", " ".repeat(pad))
}

fn columns(text: &str) -> usize {
    text.chars().map(|letter| letter.width().unwrap_or(0)).sum()
}

/// The first so many columns of a text.
fn clip(text: &str, width: usize) -> String {
    let mut used = 0;
    let fits = |letter: &char| {
        used += letter.width().unwrap_or(0);
        used <= width
    };
    text.chars().take_while(fits).collect()
}
