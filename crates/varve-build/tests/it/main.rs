//! The language and the plan of builds, seen from outside.

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

mod golden;
mod ignore;
mod language;
mod lint;
mod plan;
mod properties;
mod words;

use varve_build::{
    Dockerfile, DockerfileError, Lint, Options, Plan, Planner, Source,
    plan::{Need, ResolvedImage, Vertex},
};
use varve_types::{Digest, ImageConfig, Platform};

/// Options for a machine like the one that was recorded.
pub(crate) fn options() -> Options {
    Options::new(Platform::new("linux", "amd64", ""))
}

/// A config like that of the recorded base image.
pub(crate) fn busybox() -> ImageConfig {
    let json = r#"{"architecture":"amd64","os":"linux","created":"2026-11-20T13:17:23.892822042Z",
        "config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["sh"],"WorkingDir":"/"},
        "rootfs":{"type":"layers","diff_ids":["sha256:873ff068f77948ae935343806c502bc3de271a7b9a2df15307aa36f1ccc3ee12"]},
        "history":[{"created_by":"ADD bb.tar / # buildkit","comment":"buildkit.dockerfile.v0"},
                   {"created_by":"CMD [\"sh\"]","comment":"buildkit.dockerfile.v0","empty_layer":true}]}"#;
    serde_json::from_str(json).unwrap()
}

/// Plans with a busybox behind every name.
pub(crate) fn plan(text: &str, options: &Options) -> Result<Plan, DockerfileError> {
    plan_with(text, options, &mut Lint::new(), |_| busybox())
}

pub(crate) fn plan_with(
    text: &str,
    options: &Options,
    lint: &mut Lint,
    image: impl Fn(&Need) -> ImageConfig,
) -> Result<Plan, DockerfileError> {
    let file = Dockerfile::parse(Source::new("D", text), lint)?;
    let mut planner = Planner::new(&file, options, lint)?;
    loop {
        let needs = planner.needs()?;
        if needs.is_empty() {
            return planner.finish();
        }
        for need in needs {
            let id = Digest::of(need.reference.to_string().as_bytes());
            planner.supply(need.id, ResolvedImage { config: image(&need), id, digest: None });
        }
    }
}

pub(crate) fn history(plan: &Plan) -> Vec<String> {
    let entries = &plan.image.config.history[plan.image.base_history..];
    entries.iter().map(|entry| entry.created_by.clone()).collect()
}

pub(crate) fn names(plan: &Plan) -> Vec<&str> {
    plan.vertices.iter().map(|vertex| vertex.name.as_str()).collect()
}

/// The step whose name ends so.
pub(crate) fn step<'a>(plan: &'a Plan, end: &str) -> &'a Vertex {
    let found = plan.vertices.iter().find(|vertex| vertex.name.ends_with(end));
    found.unwrap_or_else(|| panic!("no step {end} in {:?}", names(plan)))
}
