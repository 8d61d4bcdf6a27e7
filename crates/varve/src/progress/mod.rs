//! How a long operation goes on, as it is shown: plain lines, redrawn lines, JSON, or nothing.

mod json;
mod line;
mod pace;
mod terminal;

use std::sync::{Mutex, PoisonError};

use varve_types::{Event, LayerState, Progress};

use crate::{commands::flags, error::CommandError, format::template::print, ui, ui::Ui};
use pace::Pace;
use terminal::Screen;

/// Shows events as they come.
pub(crate) struct Reporter<'a> {
    ui: &'a Ui,
    form: Form,
}

enum Form {
    /// Only warnings.
    Quiet,
    /// A line for each change.
    Plain,
    /// A line for each layer, redrawn.
    Terminal(Mutex<Screen>),
    /// A JSON object for each event.
    Json(Mutex<Pace>),
    /// What Docker says on standard error when an image is pulled for a container.
    Stderr,
}

impl<'a> Reporter<'a> {
    /// Chooses the form: what `--progress` says, else what suits standard output. `quiet` is
    /// the command's own flag.
    pub(crate) fn new(ui: &'a Ui, quiet: bool) -> Self {
        let terminal = || Form::Terminal(Mutex::new(Screen::default()));
        let form = match ui.globals().progress {
            _ if quiet => Form::Quiet,
            flags::Progress::Quiet => Form::Quiet,
            flags::Progress::Json => Form::Json(Mutex::default()),
            flags::Progress::Tty => terminal(),
            flags::Progress::Auto if ui::stdout_is_terminal() => terminal(),
            flags::Progress::Plain | flags::Progress::Auto => Form::Plain,
        };
        Self { ui, form }
    }

    /// The form for a pull on the way to a container: lines on standard error.
    pub(crate) fn on_stderr(ui: &'a Ui, quiet: bool) -> Self {
        let is_quiet = quiet || matches!(ui.globals().progress, flags::Progress::Quiet);
        Self { ui, form: if is_quiet { Form::Quiet } else { Form::Stderr } }
    }

    /// The form for `load`, whose results are shown in any case.
    pub(crate) fn for_load(ui: &'a Ui, quiet: bool) -> Self {
        let reporter = Self::new(ui, false);
        match reporter.form {
            Form::Terminal(_) | Form::Quiet if quiet => Self { ui, form: Form::Plain },
            Form::Quiet => Self { ui, form: Form::Plain },
            _ => reporter,
        }
    }

    /// Says what came of it: the last line of output.
    pub(crate) fn result(&self, name: &str) -> Result<(), CommandError> {
        match self.form {
            Form::Json(_) => self.ui.line(json::result(name)),
            _ => self.ui.line(name),
        }
    }

    /// Whether lines for people are shown.
    pub(crate) fn is_shown(&self) -> bool {
        matches!(self.form, Form::Plain | Form::Terminal(_))
    }

    /// Writes at once. What cannot be written is reported by whoever writes last.
    fn write(&self, text: &str) {
        let _ = self.ui.text(text).and_then(|()| self.ui.flush());
    }
}

impl Progress for Reporter<'_> {
    fn event(&self, event: Event) {
        if let Event::Warning(text) = &event {
            match self.form {
                Form::Json(_) => self.write(&(json::line(&event) + "\n")),
                _ => self.ui.complain(print::lines(text)),
            }
            return;
        }
        match &self.form {
            Form::Quiet => {}
            Form::Stderr => {
                if !matches!(event, Event::Layer { .. }) {
                    self.ui.complain(line::text(&event));
                }
            }
            Form::Json(pace) => {
                let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
                if let Event::Layer { id, state } = &event
                    && !pace.is_due(id, line::counts(state))
                {
                    return;
                }
                self.write(&(json::line(&event) + "\n"));
            }
            Form::Plain => {
                if let Event::Layer { state, .. } = &event
                    && line::counts(state).is_some()
                {
                    return;
                }
                self.write(&(line::text(&event) + "\n"));
            }
            Form::Terminal(screen) => {
                let mut screen = screen.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(text) = screen.show(&event, ui::width()) {
                    self.write(&text);
                }
            }
        }
    }
}

/// Whether a layer will not change any more.
fn is_final(state: &LayerState) -> bool {
    matches!(
        state,
        LayerState::PullComplete
            | LayerState::AlreadyExists
            | LayerState::Pushed
            | LayerState::LayerAlreadyExists
            | LayerState::MountedFrom { .. }
    )
}

#[cfg(test)]
mod tests;
