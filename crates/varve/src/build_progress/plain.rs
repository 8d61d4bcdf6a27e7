//! Plain lines, in docker's shape.
//!
//! Steps are numbered in the order in which they are first shown. What has ended is shown first;
//! of the steps that still go on one is *open*, and its lines follow each other, until another one
//! had to wait for long. A step that comes back gets its header again.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use varve_types::Printable;

use super::trace::{Line, Outcome, Part, Shown, Trace, amount};

/// After so long a step that waits is shown, however much the open one says.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// The open step stays open for at least so long while others have something to say.
const OPEN_MIN: Duration = Duration::from_secs(5);
/// A part that goes on is told of again after so long, or after such a share of it.
const PART_PAUSE: Duration = Duration::from_secs(5);
const PART_SHARE: f64 = 0.05;

/// What was written so far.
#[derive(Debug)]
pub(crate) struct Plain {
    numbers: BTreeMap<usize, Number>,
    /// The open step, and since when.
    open: Option<(usize, Duration)>,
    is_first: bool,
}

/// A step that was shown.
#[derive(Debug, Default)]
struct Number {
    shown_as: usize,
    warned: usize,
    /// Bytes of the last line that were written, when the line is still open.
    written: usize,
    /// When it was last shown.
    shown: Duration,
}

impl Plain {
    /// Begins with a line that says who builds.
    pub(crate) fn new(head: Option<&str>, out: &mut Vec<u8>) -> Self {
        if let Some(head) = head {
            out.extend_from_slice(format!("#0 {head}\n").as_bytes());
        }
        Self { numbers: BTreeMap::new(), open: None, is_first: head.is_none() }
    }

    /// Shows what changed since the last time.
    pub(crate) fn show(&mut self, trace: &mut Trace, now: Duration, out: &mut Vec<u8>) {
        let changed = trace.take_changed();
        let (mut ended, mut rest): (Vec<usize>, Vec<usize>) =
            changed.into_iter().partition(|place| trace.steps[*place].ended.is_some());
        let open = self.open.map(|(place, _)| place);
        ended.sort_by_key(|place| (Some(*place) != open, trace.steps[*place].ended));
        for place in ended {
            self.step(trace, place, now, out);
        }
        let still_open = self.open;
        if rest.is_empty() {
            // Whoever looks should see what the build is at.
            if still_open.is_none() {
                let running = trace.steps.iter().position(|step| step.ended.is_none());
                if let Some(place) = running {
                    self.step(trace, place, now, out);
                }
            }
            return;
        }
        if let Some((place, _)) = still_open
            && rest.contains(&place)
        {
            self.step(trace, place, now, out);
            rest.retain(|other| *other != place);
        }
        let next = self.next(trace, &rest, now);
        if let Some(place) = next {
            self.step(trace, place, now, out);
            rest.retain(|other| *other != place);
        }
        // What was not shown stays news.
        trace.changed.extend(rest);
    }

    /// Shows all that was not shown yet.
    pub(crate) fn finish(&mut self, trace: &mut Trace, now: Duration, out: &mut Vec<u8>) {
        while !trace.changed.is_empty() {
            let before = trace.changed.len();
            self.show(trace, now, out);
            if trace.changed.len() == before {
                let place = trace.changed.pop_first();
                if let Some(place) = place {
                    self.step(trace, place, now, out);
                }
            }
        }
        if let Some((open, _)) = self.open
            && let Some(known) = self.numbers.get_mut(&open)
            && std::mem::take(&mut known.written) > 0
        {
            out.push(b'\n');
        }
    }

    /// Which of the waiting steps is to be opened.
    fn next(&self, trace: &Trace, waiting: &[usize], now: Duration) -> Option<usize> {
        let busiest = waiting.iter().copied().max_by_key(|place| trace.steps[*place].news)?;
        let Some((_, since)) = self.open else { return Some(busiest) };
        let shown = |place: &usize| {
            self.numbers.get(place).map_or(trace.steps[*place].started, |n| n.shown)
        };
        let overdue =
            waiting.iter().copied().find(|place| now.saturating_sub(shown(place)) > WAIT_MAX);
        overdue.or_else(|| (now.saturating_sub(since) > OPEN_MIN).then_some(busiest))
    }

    /// Shows what is new of one step, which is open afterwards unless it has ended.
    fn step(&mut self, trace: &mut Trace, place: usize, now: Duration, out: &mut Vec<u8>) {
        self.header(trace, place, out);
        let step = &mut trace.steps[place];
        let count = self.numbers.len();
        let known = self
            .numbers
            .entry(place)
            .or_insert_with(|| Number { shown_as: count + 1, ..Number::default() });
        known.shown = now;
        step.news = 0;
        let number = known.shown_as;
        let is_last = step.ended.is_some();
        for part in &mut step.parts {
            show_part(part, number, now, is_last, out);
        }
        for text in &step.warnings[known.warned..] {
            line(out, number, &format!("WARN: {}", Printable(text)));
        }
        known.warned = step.warnings.len();
        known.logs(step, out);
        if self.open.is_none_or(|(open, _)| open != place) {
            self.open = Some((place, now));
        }
        if let (Some(ended), Some(outcome)) = (step.ended, &step.outcome) {
            self.open = None;
            let seconds = ended.saturating_sub(step.started).as_secs_f64();
            match outcome {
                Outcome::Done { cached: true } => line(out, number, "CACHED"),
                Outcome::Done { cached: false } => {
                    line(out, number, &format!("DONE {seconds:.1}s"));
                }
                Outcome::Failed(text) => {
                    line(
                        out,
                        number,
                        &format!("ERROR: {}", crate::format::template::print::lines(text)),
                    );
                }
                Outcome::Canceled => line(out, number, "CANCELED"),
            }
        }
    }

    /// Closes the open step and begins another one, unless it is open.
    fn header(&mut self, trace: &Trace, place: usize, out: &mut Vec<u8>) {
        if let Some((open, _)) = self.open {
            if open == place {
                return;
            }
            if let Some(known) = self.numbers.get_mut(&open) {
                if std::mem::take(&mut known.written) > 0 {
                    out.push(b'\n');
                }
                line(out, known.shown_as, "...");
            }
        }
        if !std::mem::take(&mut self.is_first) {
            out.push(b'\n');
        }
        let number =
            self.numbers.get(&place).map_or(self.numbers.len() + 1, |known| known.shown_as);
        line(out, number, &Printable(&trace.steps[place].name).to_string());
    }
}

impl Number {
    /// Lines of output, as the program wrote them. The last one is written as far as it is known.
    fn logs(&mut self, step: &mut Shown, out: &mut Vec<u8>) {
        while let Some(text) = step.lines.pop_front() {
            let Line { at, text: bytes, is_open } = &text;
            if self.written == 0 {
                out.extend_from_slice(format!("#{} {at} ", self.shown_as).as_bytes());
            }
            out.extend_from_slice(&bytes[self.written.saturating_sub(1)..]);
            if *is_open {
                // One more than was written, so that a line of no bytes yet counts as begun.
                self.written = bytes.len() + 1;
                step.lines.push_front(text);
                return;
            }
            self.written = 0;
            out.push(b'\n');
        }
    }
}

/// Tells of a part, if there is news that cannot wait.
fn show_part(part: &mut Part, number: usize, now: Duration, is_last: bool, out: &mut Vec<u8>) {
    if !part.is_news {
        return;
    }
    let share = part.current_bytes as f64 / part.total_bytes.max(1) as f64;
    if part.ended.is_none()
        && !is_last
        && let Some((then, told)) = part.told
        && now.saturating_sub(then) < PART_PAUSE
        && (part.total_bytes == 0 || share - told < PART_SHARE)
    {
        return;
    }
    let mut text = part.name.clone();
    if let Some(amount) = amount(part) {
        text += " ";
        text += &amount;
    }
    let seconds = part.ended.unwrap_or(now).saturating_sub(part.started).as_secs_f64();
    if seconds > 0.01 {
        let _ = write!(text, " {seconds:.1}s");
    }
    if part.ended.is_some() {
        text += " done";
    }
    line(out, number, &Printable(&text).to_string());
    part.is_news = false;
    part.told = Some((now, share));
}

fn line(out: &mut Vec<u8>, number: usize, text: &str) {
    out.extend_from_slice(format!("#{number} {text}\n").as_bytes());
}
