//! What pulls and pushes report, and in what order.

use varve_testkit::{Image, Registry};
use varve_types::{Event, LayerState};

use crate::bench::Bench;

/// Events as docker words them; bytes on their way are left out.
fn told(bench: &Bench, registry: &Registry) -> Vec<String> {
    let shown = |event: Event| {
        Some(match event {
            Event::Pulling { tag, path } => format!("{tag}: Pulling from {path}"),
            Event::PushingTo { repository } => {
                format!("The push refers to repository [{repository}]")
            }
            Event::Layer { id, state } => format!("{id}: {}", layer_state(&state)?),
            Event::Resolved { digest } => format!("Digest: {digest}"),
            Event::Pushed { tag, digest, size } => format!("{tag}: digest: {digest} size: {size}"),
            Event::PullStatus { name, newer } => format!("Status: {name} {newer}"),
            other => format!("{other:?}"),
        })
    };
    bench
        .heard
        .take()
        .into_iter()
        .filter_map(shown)
        .map(|line| line.replace(&registry.host(), "REGISTRY"))
        .collect()
}

fn layer_state(state: &LayerState) -> Option<String> {
    Some(match state {
        LayerState::PullingFsLayer => "Pulling fs layer".into(),
        LayerState::Waiting => "Waiting".into(),
        LayerState::VerifyingChecksum => "Verifying Checksum".into(),
        LayerState::DownloadComplete => "Download complete".into(),
        LayerState::PullComplete => "Pull complete".into(),
        LayerState::AlreadyExists => "Already exists".into(),
        LayerState::Preparing => "Preparing".into(),
        LayerState::Pushed => "Pushed".into(),
        LayerState::LayerAlreadyExists => "Layer already exists".into(),
        LayerState::MountedFrom { repository } => format!("Mounted from {repository}"),
        LayerState::Downloading { .. }
        | LayerState::Extracting { .. }
        | LayerState::Pushing { .. } => return None,
        other => format!("{other:?}"),
    })
}

#[test]
fn a_pull_reports_as_docker_does() {
    let (registry, bench, built) = (Registry::start(), Bench::new(), Image::seeded(1).build());
    registry.push("app:1", &built);
    bench.pulls(&registry, "app:1");
    let (id, digest) = (built.images[0].layers[0].digest.short(), built.digest());
    assert_eq!(
        told(&bench, &registry),
        [
            "1: Pulling from app".to_owned(),
            format!("{id}: Pulling fs layer"),
            format!("{id}: Verifying Checksum"),
            format!("{id}: Download complete"),
            format!("{id}: Pull complete"),
            format!("Digest: {digest}"),
            "Status: REGISTRY/app:1 true".to_owned(),
        ]
    );
    bench.pulls(&registry, "app:1");
    assert_eq!(
        told(&bench, &registry),
        [
            "1: Pulling from app".to_owned(),
            format!("Digest: {digest}"),
            "Status: REGISTRY/app:1 false".to_owned(),
        ]
    );
    bench.pulls(&registry, &format!("app@{digest}"));
    assert_eq!(
        told(&bench, &registry),
        [
            format!("REGISTRY/app@{digest}: Pulling from app"),
            format!("Digest: {digest}"),
            format!("Status: REGISTRY/app@{digest} false"),
        ]
    );
}

#[test]
fn each_layer_goes_through_its_states_once_and_the_fourth_waits() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let (small, large) = (Image::seeded(1).build(), Image::seeded(1).layers(6).build());
    registry.push("app:small", &small);
    registry.push("app:large", &large);
    bench.pulls(&registry, "app:small");
    bench.heard.take();
    bench.pulls(&registry, "app:large");
    let told = told(&bench, &registry);
    for (at, layer) in large.images[0].layers.iter().enumerate() {
        let id = format!("{}: ", layer.digest.short());
        let states: Vec<&str> = told.iter().filter_map(|line| line.strip_prefix(&id)).collect();
        let mut expected = vec!["Pulling fs layer"];
        if at > 3 {
            expected.push("Waiting");
        }
        expected.extend(["Verifying Checksum", "Download complete", "Pull complete"]);
        if at == 0 {
            expected = vec!["Already exists"];
        }
        assert_eq!(states, expected, "layer {at}");
    }
}

#[test]
fn bytes_on_their_way_are_counted_to_the_end() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let built = Image::seeded(1).layer_size_bytes(900 << 10).build();
    registry.push("app:1", &built);
    bench.pulls(&registry, "app:1");
    let size = built.images[0].layers[0].size;
    let mut last = 0;
    for event in bench.heard.take() {
        if let Event::Layer { state: LayerState::Downloading { done_bytes, total_bytes }, .. } =
            event
        {
            assert!(done_bytes > last && total_bytes == size, "{done_bytes} of {total_bytes}");
            last = done_bytes;
        }
    }
    assert_eq!(last, size);
}

#[test]
fn a_push_reports_as_docker_does() {
    let (registry, bench, built) = (Registry::start(), Bench::new(), Image::seeded(1).build());
    registry.push("app:1", &built);
    bench.pulls(&registry, "app:1");
    let name = registry.reference("app:1").to_string();
    let target = registry.reference("other:2").to_string();
    bench.engine.tag(&bench.ctx(), &name, &target).unwrap();
    bench.heard.take();
    bench.pushes(&registry, "app:1");
    let (id, digest) = (built.images[0].diff_ids[0].0.short(), built.digest());
    let size = built.root.size;
    assert_eq!(
        told(&bench, &registry),
        [
            "The push refers to repository [REGISTRY/app]".to_owned(),
            format!("{id}: Preparing"),
            format!("{id}: Layer already exists"),
            format!("1: digest: {digest} size: {size}"),
        ]
    );
    bench.pushes(&registry, "other:2");
    assert_eq!(
        told(&bench, &registry),
        [
            "The push refers to repository [REGISTRY/other]".to_owned(),
            format!("{id}: Preparing"),
            format!("{id}: Mounted from app"),
            format!("2: digest: {digest} size: {size}"),
        ]
    );
    let elsewhere = Registry::start();
    bench.engine.tag(&bench.ctx(), &name, &elsewhere.reference("app:1").to_string()).unwrap();
    bench.pushes(&elsewhere, "app:1");
    assert_eq!(
        told(&bench, &elsewhere)[1..],
        [
            format!("{id}: Preparing"),
            format!("{id}: Pushed"),
            format!("1: digest: {digest} size: {size}"),
        ]
    );
}

/// A pull that fails before anything is known reports nothing.
#[test]
fn a_pull_of_nothing_reports_nothing() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let error = bench.pull(&registry.reference("nosuch:1")).unwrap_err();
    let text = "manifest for REGISTRY/nosuch:1 not found: ";
    assert!(
        crate::bench::told(&error, &registry).starts_with(text),
        "{}",
        crate::bench::told(&error, &registry)
    );
    assert_eq!(told(&bench, &registry), Vec::<String>::new());
}
