//! `--check` and `--call`: what a Dockerfile is, without building it.

use std::sync::atomic::AtomicBool;

use varve_engine::build::{NoWatch, check_json, check_text, outline, targets};

use super::{Args, context::Prepared, fields, refused, result, settings::Settings};
use crate::{build_progress::Form, error::CommandError, interrupt::Interrupts, ui::Ui};

/// What is wanted instead of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    method: Method,
    json: bool,
    /// Whether findings leave the exit code at 0.
    ignores_status: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Build,
    Check,
    Outline,
    Targets,
}

impl Call {
    /// Reads `--call`: `check`, `outline`, `targets`, then `,format=json`.
    pub(crate) fn parse(text: &str) -> Result<Self, CommandError> {
        let mut call = Self { method: Method::Build, json: false, ignores_status: false };
        if text.is_empty() {
            return Ok(call);
        }
        for (at, field) in fields::list(text, "call")?.iter().enumerate() {
            match field.split_once('=') {
                None if at == 0 => {
                    call.method = match field.strip_prefix("subrequests.").unwrap_or(field) {
                        "build" => Method::Build,
                        "check" | "lint" => Method::Check,
                        "outline" => Method::Outline,
                        "targets" => Method::Targets,
                        other => {
                            return Err(refused(format_args!("unsupported call method {other:?}")));
                        }
                    };
                }
                Some(("format", "json")) => call.json = true,
                Some(("format", "text" | "default" | "")) => call.json = false,
                None if field == "ignorestatus" => call.ignores_status = true,
                Some(("ignorestatus", value)) => {
                    call.ignores_status = matches!(value, "true" | "1");
                }
                _ => return Err(refused(format_args!("invalid call option {field:?}"))),
            }
        }
        Ok(call)
    }

    /// Whether an image is to be built.
    pub(crate) fn builds(&self) -> bool {
        self.method == Method::Build
    }
}

/// Looks at the Dockerfile and prints what was asked for.
pub(crate) fn run(
    ui: &Ui,
    args: &Args,
    settings: &Settings,
    call: &Call,
    interrupted: &AtomicBool,
) -> Result<(), CommandError> {
    let context = Prepared::new(args)?;
    let engine = ui.engine()?;
    let (mut stdin, mut stdout) = (context.stdin(), std::io::stdout());
    let request = settings.request(&context, &mut stdin, &mut stdout, interrupted);
    let (form, interrupts) = (Form::Quiet, Interrupts::default());
    let examined = engine
        .examine_build(&ui.silent(), request, &NoWatch)
        .map_err(|error| result::failed(ui, &form, &interrupts, &error))?;
    let mut source = examined.source.clone();
    source.name = context.dockerfile_name();
    let error = examined.error.as_ref();
    if let (Some(error), false) = (error, call.method == Method::Check) {
        let excerpt = source.excerpt(&error.at).map(|excerpt| excerpt.to_string());
        ui.complain(format_args!("{}ERROR: failed to solve: {error}", excerpt.unwrap_or_default()));
        return Err(CommandError::Said { code: 1 });
    }
    match (call.method, &examined.dockerfile) {
        (Method::Build | Method::Check, _) | (_, None) => {
            let text = if call.json {
                check_json(&source, &examined.warnings, error)
            } else {
                check_text(&source, &examined.warnings, error)
            };
            ui.text(&text)?;
            ui.flush()?;
            if !call.ignores_status && (error.is_some() || !examined.warnings.is_empty()) {
                ui.complain("");
                return Err(CommandError::Said { code: 1 });
            }
            Ok(())
        }
        (Method::Outline, Some(file)) => {
            let found = outline(file, settings.options());
            ui.text(&if call.json { found.json() } else { found.text() })
        }
        (Method::Targets, Some(file)) => {
            let found = targets(file, settings.options());
            ui.text(&if call.json { found.json() } else { found.text() })
        }
    }
}
