//! What is known of a build's steps: events in, state out.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry},
    time::Duration,
};

use varve_engine::build::{BuildEvent, StepId};

/// Bytes of a line that has not ended; a longer one is shown as several.
const LINE_SIZE_BYTES_MAX: usize = 64 << 10;
/// Lines of a step's output that are shown again when it fails.
pub(crate) const TAIL_LINES: usize = 10;

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done { cached: bool },
    Failed(String),
    Canceled,
}

/// A part of a step.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) current_bytes: u64,
    pub(crate) total_bytes: u64,
    pub(crate) started: Duration,
    pub(crate) ended: Option<Duration>,
    /// Whether it changed since it was last shown.
    pub(crate) is_news: bool,
    /// When and at which share it was last shown.
    pub(crate) told: Option<(Duration, f64)>,
}

/// A step. Times are since the start of the build.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) name: String,
    pub(crate) started: Duration,
    pub(crate) ended: Option<Duration>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) parts: Vec<Part>,
    pub(crate) warnings: Vec<String>,
    /// Lines of output that were not shown yet, each with the second in which it began; the last
    /// one may go on.
    pub(crate) lines: VecDeque<Line>,
    /// The last lines of output.
    pub(crate) tail: VecDeque<Line>,
    /// Changes that were not shown yet.
    pub(crate) news: u64,
}

/// A line of output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// `0.248`.
    pub(crate) at: String,
    pub(crate) text: Vec<u8>,
    pub(crate) is_open: bool,
}

/// The steps, in the order in which they began.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) steps: Vec<Shown>,
    places: BTreeMap<StepId, usize>,
    /// Places of steps that changed since they were last shown.
    pub(crate) changed: BTreeSet<usize>,
}

impl Trace {
    /// Takes an event.
    pub(crate) fn take(&mut self, event: &BuildEvent<'_>, now: Duration) {
        let id = match event {
            BuildEvent::Started(step) => {
                if let Entry::Vacant(entry) = self.places.entry(step.id) {
                    let place = self.steps.len();
                    entry.insert(place);
                    self.steps.push(Shown::new(&step.name, now));
                    self.changed.insert(place);
                }
                return;
            }
            BuildEvent::Status { id, .. }
            | BuildEvent::Log { id, .. }
            | BuildEvent::Warning { id, .. }
            | BuildEvent::Done { id, .. }
            | BuildEvent::Failed { id, .. }
            | BuildEvent::Canceled { id } => *id,
        };
        let Some(&place) = self.places.get(&id) else { return };
        self.changed.insert(place);
        let step = &mut self.steps[place];
        step.news += 1;
        match event {
            BuildEvent::Started(_) => {}
            BuildEvent::Status { name, current_bytes, total_bytes, done, .. } => {
                step.part(name, *current_bytes, *total_bytes, *done, now);
            }
            BuildEvent::Log { bytes, .. } => step.log(bytes, now),
            BuildEvent::Warning { text, .. } => step.warnings.push((*text).to_owned()),
            BuildEvent::Done { cached, .. } => step.end(Outcome::Done { cached: *cached }, now),
            BuildEvent::Failed { text, .. } => step.end(Outcome::Failed((*text).to_owned()), now),
            BuildEvent::Canceled { .. } => step.end(Outcome::Canceled, now),
        }
    }

    /// How many steps have ended.
    pub(crate) fn ended(&self) -> usize {
        self.steps.iter().filter(|step| step.ended.is_some()).count()
    }

    /// Drops output that nobody will show but for its last lines.
    pub(crate) fn forget_lines(&mut self) {
        for place in std::mem::take(&mut self.changed) {
            self.steps[place].lines.clear();
        }
    }

    /// Takes what changed, as places of steps.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<usize> {
        std::mem::take(&mut self.changed)
    }
}

impl Shown {
    fn new(name: &str, now: Duration) -> Self {
        Self {
            name: name.to_owned(),
            started: now,
            ended: None,
            outcome: None,
            parts: Vec::new(),
            warnings: Vec::new(),
            lines: VecDeque::new(),
            tail: VecDeque::new(),
            news: 1,
        }
    }

    fn end(&mut self, outcome: Outcome, now: Duration) {
        if self.ended.is_none() {
            self.outcome = Some(outcome);
            self.ended = Some(now);
            if let Some(line) = self.lines.back_mut() {
                line.is_open = false;
            }
        }
    }

    fn part(
        &mut self,
        name: &str,
        current: Option<u64>,
        total: Option<u64>,
        done: bool,
        now: Duration,
    ) {
        let place = self.parts.iter().position(|part| part.name == name).unwrap_or_else(|| {
            self.parts.push(Part {
                name: name.to_owned(),
                current_bytes: 0,
                total_bytes: 0,
                started: now,
                ended: None,
                is_news: true,
                told: None,
            });
            self.parts.len() - 1
        });
        let part = &mut self.parts[place];
        part.current_bytes = current.unwrap_or(part.current_bytes);
        part.total_bytes = total.unwrap_or(part.total_bytes);
        if done && part.ended.is_none() {
            part.ended = Some(now);
        }
        part.is_news = true;
    }

    fn log(&mut self, bytes: &[u8], now: Duration) {
        let at = seconds_of_line(now.saturating_sub(self.started));
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            for list in [&mut self.lines, &mut self.tail] {
                grow(list, text, ends, &at);
            }
            while self.tail.len() > TAIL_LINES {
                self.tail.pop_front();
            }
        }
    }
}

/// Adds bytes without a line's end to the last line, or begins one.
fn grow(lines: &mut VecDeque<Line>, mut text: &[u8], ends: bool, at: &str) {
    loop {
        if !lines.back().is_some_and(|line| line.is_open) {
            lines.push_back(Line { at: at.to_owned(), text: Vec::new(), is_open: true });
        }
        let Some(line) = lines.back_mut() else { return };
        let room = LINE_SIZE_BYTES_MAX.saturating_sub(line.text.len());
        let (fits, rest) = text.split_at(text.len().min(room));
        line.text.extend_from_slice(fits);
        if rest.is_empty() {
            line.is_open = !ends && line.text.len() < LINE_SIZE_BYTES_MAX;
            return;
        }
        line.is_open = false;
        text = rest;
    }
}

/// `0.248`, `12.34`, `123.4`: seconds in front of a line.
fn seconds_of_line(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 10.0 {
        format!("{seconds:.3}")
    } else if seconds < 100.0 {
        format!("{seconds:.2}")
    } else {
        format!("{seconds:.1}")
    }
}

/// `875B`, `1.24MB`, `3.58kB / 4.00kB`: how much of a part is done, if that is known.
pub(crate) fn amount(part: &Part) -> Option<String> {
    match (part.current_bytes, part.total_bytes) {
        (0, 0) => None,
        (current, 0) => Some(size(current)),
        (current, total) => Some(format!("{} / {}", size(current), size(total))),
    }
}

fn size(bytes: u64) -> String {
    const UNITS: &[&str] = &["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes}B");
    }
    let (mut size, mut unit) = (bytes as f64 / 1000.0, 0);
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    format!("{size:.2}{}", UNITS[unit])
}
