//! How a build goes on, as it is shown on standard error.
//!
//! ```text
//! events of the engine ─▶ trace ─▶ plain │ tty ─▶ bytes
//!                    └──▶ json
//! ```
//!
//! Everything below [`Display`] is pure: events and times in, bytes out.

mod json;
mod plain;
mod trace;
mod tty;

use std::{
    io::{self, Write as _},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use varve_engine::build::{BuildEvent, Watch};

use crate::format::template::print;
use json::Documents;
use plain::Plain;
use trace::{Outcome, Trace};
use tty::Tree;

pub(crate) use tty::Colours;

/// Lines and trees are brought up to date so often.
const PACE: Duration = Duration::from_millis(100);
/// What the first line says.
const HEAD: &str = "building with \"default\" instance using varve driver";

/// In which form a build is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// Not at all.
    Quiet,
    /// Lines that follow each other.
    Plain,
    /// A tree that is redrawn.
    Tty(Colours),
    /// An object for each event.
    Json,
    /// Documents of docker's builder.
    RawJson,
}

/// What is shown, without what it is shown on.
#[derive(Debug)]
struct Picture {
    trace: Trace,
    drawing: Drawing,
}

#[derive(Debug)]
enum Drawing {
    Quiet,
    Plain(Plain),
    Tty(Tree),
    Json,
    RawJson(Documents),
}

impl Picture {
    fn new(form: &Form, begin: Timestamp, out: &mut Vec<u8>) -> Self {
        let drawing = match form {
            Form::Quiet => Drawing::Quiet,
            Form::Plain => Drawing::Plain(Plain::new(Some(HEAD), out)),
            Form::Tty(colours) => Drawing::Tty(Tree::new(colours.clone())),
            Form::Json => Drawing::Json,
            Form::RawJson => Drawing::RawJson(Documents::new(begin)),
        };
        Self { trace: Trace::default(), drawing }
    }

    /// Takes an event.
    fn take(&mut self, event: &BuildEvent<'_>, now: Duration, out: &mut Vec<u8>) {
        match &mut self.drawing {
            Drawing::Quiet => {}
            Drawing::Plain(_) => self.trace.take(event, now),
            Drawing::Tty(_) => {
                self.trace.take(event, now);
                // The tree shows the last lines only, which are kept apart.
                self.trace.forget_lines();
            }
            Drawing::Json => out.extend_from_slice(json::line(event, now).as_bytes()),
            Drawing::RawJson(documents) => {
                out.extend_from_slice(documents.document(event, now).as_bytes());
            }
        }
    }

    /// Brings what is shown up to date.
    fn refresh(&mut self, now: Duration, size: (usize, usize), out: &mut Vec<u8>) {
        match &mut self.drawing {
            Drawing::Quiet | Drawing::Json | Drawing::RawJson(_) => {}
            Drawing::Plain(plain) => {
                if !self.trace.changed.is_empty() {
                    plain.show(&mut self.trace, now, out);
                }
            }
            Drawing::Tty(tree) => {
                out.extend_from_slice(tree.draw(&self.trace, now, size, false).as_bytes());
            }
        }
    }

    /// Shows the end, and again what failed.
    fn finish(&mut self, now: Duration, size: (usize, usize), out: &mut Vec<u8>) {
        match &mut self.drawing {
            Drawing::Quiet | Drawing::Json | Drawing::RawJson(_) => return,
            Drawing::Plain(plain) => plain.finish(&mut self.trace, now, out),
            Drawing::Tty(tree) => {
                out.extend_from_slice(tree.draw(&self.trace, now, size, true).as_bytes());
            }
        }
        let raw = matches!(self.drawing, Drawing::Plain(_));
        for step in &self.trace.steps {
            if !matches!(step.outcome, Some(Outcome::Failed(_))) {
                continue;
            }
            let name = print::lines(&step.name);
            out.extend_from_slice(format!("------\n > {name}:\n").as_bytes());
            for line in &step.tail {
                out.extend_from_slice(line.at.as_bytes());
                out.push(b' ');
                if raw {
                    out.extend_from_slice(&line.text);
                } else {
                    out.extend_from_slice(tty::readable(&line.text).as_bytes());
                }
                out.push(b'\n');
            }
            out.extend_from_slice(b"------\n");
        }
    }
}

/// Shows a build on standard error.
pub(crate) struct Display {
    begin: Instant,
    picture: Mutex<Picture>,
    over: Mutex<bool>,
    told: Condvar,
    tells_streams: bool,
}

impl Display {
    /// Begins to show a build. `now` is the time of day.
    pub(crate) fn new(form: &Form, now: Timestamp) -> Self {
        let mut out = Vec::new();
        let picture = Picture::new(form, now, &mut out);
        write(&out);
        Self {
            begin: Instant::now(),
            picture: Mutex::new(picture),
            over: Mutex::new(false),
            told: Condvar::new(),
            tells_streams: matches!(form, Form::Json | Form::RawJson),
        }
    }

    /// Runs a build while another thread keeps what is shown up to date; then shows the end.
    pub(crate) fn during<T>(&self, build: impl FnOnce() -> T) -> T {
        let result = std::thread::scope(|scope| {
            scope.spawn(|| self.keep_up());
            let over = Over(self);
            let result = build();
            drop(over);
            result
        });
        let mut out = Vec::new();
        self.picture().finish(self.begin.elapsed(), size(), &mut out);
        write(&out);
        result
    }

    fn keep_up(&self) {
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        while !*over {
            let waited = self.told.wait_timeout(over, PACE);
            over = waited.unwrap_or_else(PoisonError::into_inner).0;
            if !*over {
                let mut out = Vec::new();
                let mut picture = self.picture();
                picture.refresh(self.begin.elapsed(), size(), &mut out);
                write(&out);
            }
        }
    }

    fn picture(&self) -> MutexGuard<'_, Picture> {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the thread that keeps up, whatever becomes of the build.
struct Over<'a>(&'a Display);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        *self.0.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.told.notify_all();
    }
}

impl Watch for Display {
    fn event(&self, event: &BuildEvent<'_>) {
        let mut out = Vec::new();
        let mut picture = self.picture();
        picture.take(event, self.begin.elapsed(), &mut out);
        // Under the lock, so that objects come out whole and in order.
        write(&out);
    }

    fn tells_streams(&self) -> bool {
        self.tells_streams
    }
}

/// A reader of progress that has gone does not end the build.
fn write(bytes: &[u8]) {
    if !bytes.is_empty() {
        let _ = io::stderr().lock().write_all(bytes);
    }
}

/// Columns and rows of the terminal on standard error, now.
fn size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok();
    let known = size.filter(|size| size.ws_col > 0 && size.ws_row > 0);
    known.map_or((80, 10), |size| (size.ws_col.into(), size.ws_row.into()))
}

#[cfg(test)]
mod tests;
