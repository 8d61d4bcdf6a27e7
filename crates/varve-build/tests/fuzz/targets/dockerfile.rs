//! Any bytes as a Dockerfile, a `.dockerignore` and patterns: planned or refused, every place in the
//! file, every step after those it needs, the same again.

use varve_build::{
    Dockerfile, Ignore, Lint, Options, Plan, Planner, Source,
    lint::{check_json, check_text, summary},
    plan::{Op, ResolvedImage, image_json},
    select::{EntryKind, Listing},
};
use varve_types::{Digest, ImageConfig, Platform};

/// The target.
pub(crate) fn run(data: &[u8]) {
    let source = Source::new("D", data);
    let (first, lint) = plan(&source);
    let (second, _) = plan(&source);
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
    for warning in lint.warnings() {
        assert!(source.excerpt(&[warning.lines]).is_some(), "{warning:?}");
    }
    summary(lint.warnings());
    let error = first.as_ref().err();
    check_text(&source, lint.warnings(), error);
    check_json(&source, lint.warnings(), error);
    match &first {
        Ok(plan) => check(plan),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(error.at.iter().all(|lines| source.excerpt(&[*lines]).is_some()), "{error:?}");
        }
    }
    if let Ok(ignore) = Ignore::parse(data) {
        let left = tree().without(&ignore);
        for (path, _) in left.iter() {
            let parent = path.rsplit_once('/').map(|(parent, _)| parent);
            let has = |wanted: &str| left.iter().any(|(path, _)| path == wanted);
            assert!(parent.is_none_or(has), "{path} without its directory");
        }
    }
}

fn plan(source: &Source) -> (Result<Plan, varve_build::DockerfileError>, Lint) {
    let mut lint = Lint::new();
    let plan = (|| {
        let file = Dockerfile::parse(source.clone(), &mut lint)?;
        let options = Options::new(Platform::new("linux", "amd64", ""));
        let mut planner = Planner::new(&file, &options, &mut lint)?;
        loop {
            let needs = planner.needs()?;
            if needs.is_empty() {
                return planner.finish();
            }
            for need in needs {
                let id = Digest::of(need.reference.to_string().as_bytes());
                let config = base(&need.name);
                planner.supply(need.id, ResolvedImage { config, id, digest: Some(id) });
            }
        }
    })();
    (plan, lint)
}

/// An image of one layer; those whose names begin with `o` have a trigger that needs another.
fn base(name: &str) -> ImageConfig {
    let mut config = ImageConfig::default();
    let zeros = Digest::of(b"");
    config.rootfs.diff_ids.push(zeros.to_string().parse().expect("a digest"));
    if name.starts_with('o') {
        config.config.on_build = Some(vec![format!("COPY --from={name}x /a /b")]);
    }
    config
}

fn check(plan: &Plan) {
    for (index, vertex) in plan.vertices.iter().enumerate() {
        assert!(vertex.inputs().iter().all(|input| input.0 < index));
        if let Op::Copy(copy) = &vertex.op {
            for action in &copy.actions {
                let _ = tree().select(&action.source, &copy.exclude);
            }
        }
    }
    assert_eq!(plan.keys(|_| Vec::new()).len(), plan.vertices.len());
    let made = plan.image.config.history[plan.image.base_history..].iter();
    assert_eq!(made.filter(|entry| !entry.empty_layer).count(), plan.image.layers.len());
    let json = image_json(&plan.image.config);
    assert!(ImageConfig::parse(json).is_ok());
}

fn tree() -> Listing {
    let file = |path: &str| (path.to_owned(), EntryKind::File);
    let directory = |path: &str| (path.to_owned(), EntryKind::Directory);
    let link = |path: &str, to: &str| (path.to_owned(), EntryKind::Symlink(to.to_owned()));
    [
        directory("a"),
        file("a/b"),
        directory("a/c"),
        file("a/c/d.txt"),
        file("x"),
        link("l", "a/c"),
        link("m", "../m"),
    ]
    .into_iter()
    .collect()
}
