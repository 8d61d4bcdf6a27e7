//! What was told of a build.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use varve_build::solve::{BuildEvent, StepId, Stream, Watch};

/// Keeps the names of steps and what their programs wrote.
#[derive(Default)]
pub(crate) struct Told(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    names: HashMap<StepId, String>,
    output: Vec<u8>,
    errors: Vec<u8>,
}

impl Told {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap()
    }

    /// The steps that come of the Dockerfile.
    pub(crate) fn steps(&self) -> Vec<String> {
        let mut names: Vec<String> = self.kept().names.values().cloned().collect();
        names.retain(|name| !name.starts_with("[internal]") && !name.starts_with("exporting"));
        names
    }

    /// The lines that programs wrote: those of standard output, then, after `! `, those of
    /// standard error. Between the two there is no order.
    pub(crate) fn log(&self) -> Vec<String> {
        let kept = self.kept();
        let lines = |bytes: &[u8], mark: &str| -> Vec<String> {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.lines().map(|line| format!("{mark}{line}")).collect()
        };
        [lines(&kept.output, ""), lines(&kept.errors, "! ")].concat()
    }
}

impl Watch for Told {
    fn event(&self, event: &BuildEvent<'_>) {
        let mut kept = self.kept();
        match event {
            BuildEvent::Started(step) => {
                kept.names.insert(step.id, step.name.clone());
            }
            BuildEvent::Log { stream: Stream::Output, bytes, .. } => {
                kept.output.extend_from_slice(bytes);
            }
            BuildEvent::Log { bytes, .. } => kept.errors.extend_from_slice(bytes),
            _ => {}
        }
    }
}
