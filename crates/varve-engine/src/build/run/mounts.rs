//! What `--mount` shows to a program.

use varve_build::plan::{RunMount, RunStep};
use varve_runtime::spec::BuildMount;

use super::error::RunError;

/// What is shown to a program, for as long as this is kept.
pub(super) struct Shown {
    pub(super) mounts: Vec<BuildMount>,
    /// Variables that hold secrets or places.
    pub(super) environment: Vec<String>,
}

/// Makes ready what a step mounts.
pub(super) fn show(step: &RunStep) -> Result<Shown, RunError> {
    let mut shown = Shown { mounts: Vec::new(), environment: Vec::new() };
    for mount in &step.mounts {
        let RunMount::Tmpfs { target, size_bytes } = mount else {
            return Err(RunError::MountKind);
        };
        let (target, size_bytes) = (target.clone(), *size_bytes);
        shown.mounts.push(BuildMount::Tmpfs { target, size_bytes });
    }
    Ok(shown)
}
