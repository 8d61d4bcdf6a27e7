//! What `rm` and `prune` take, and what they leave.

use varve_engine::{Prune, Remove, Removed};
use varve_types::Ctx;

use crate::images::Bench;

fn remove(bench: &Bench, image: &str, force: bool) -> Result<Vec<String>, String> {
    let request = Remove { image, force, keep_parents: false, platforms: &[] };
    let removed = bench.engine.remove(&request).map_err(|error| error.to_string())?;
    Ok(shown(&removed))
}

fn shown(removed: &[Removed]) -> Vec<String> {
    let show = |removed: &Removed| match removed {
        Removed::Untagged(name) => format!("untagged {}", name.familiar()),
        Removed::Image(_) => "image".to_owned(),
        Removed::Layer(_, size_bytes) => format!("layer of {size_bytes}"),
    };
    removed.iter().map(show).collect()
}

#[test]
fn the_last_name_takes_the_image_and_its_layers_along() {
    let bench = Bench::new();
    bench.import("content", Some("app:1"), &[]);
    bench.tag("app:1", "app:2");
    assert_eq!(remove(&bench, "app:1", false).unwrap(), ["untagged app:1"]);
    assert_eq!(remove(&bench, "app:2", false).unwrap(), ["untagged app:2", "image", "layer of 7"]);
    assert_eq!(bench.files("blobs/sha256"), 0);
    assert_eq!(bench.files("varve/layers"), 0);
    bench.check();
}

#[test]
fn an_image_of_several_names_goes_by_id_only_by_force() {
    let bench = Bench::new();
    let id = bench.import("content", Some("app:1"), &[]).0.short();
    bench.tag("app:1", "other:1");
    assert_eq!(
        remove(&bench, &id, false).unwrap_err(),
        format!(
            "conflict: unable to delete {id} (must be forced) - image is referenced in multiple repositories"
        )
    );
    assert_eq!(
        remove(&bench, &id, true).unwrap(),
        ["untagged app:1", "untagged other:1", "image", "layer of 7"]
    );
    assert_eq!(remove(&bench, &id, true).unwrap_err(), format!("No such image: {id}:latest"));
}

#[test]
fn a_layer_that_another_image_has_stays() {
    let bench = Bench::new();
    bench.import("shared", Some("one"), &[]);
    bench.import("shared", Some("two"), &["CMD x"]);
    assert_eq!(remove(&bench, "one", false).unwrap(), ["untagged one:latest", "image"]);
    assert_eq!(bench.files("varve/layers"), 1);
    bench.check();
}

#[test]
fn prune_takes_what_has_no_name_and_all_takes_the_rest() {
    let bench = Bench::new();
    bench.import("one", None, &["LABEL keep=yes"]);
    bench.import("three", None, &[]);
    bench.import("five5", Some("app"), &[]);
    let prune = |all, filters: &[(&str, &str)]| {
        let mut request = Prune { all, ..Prune::default() };
        for (name, value) in filters {
            request.filters.add(name, value);
        }
        let pruned = bench.engine.prune(&Ctx::for_test(), &request).unwrap();
        (shown(&pruned.removed), pruned.reclaimed_bytes)
    };
    assert_eq!(prune(false, &[("label!", "keep")]), (vec!["image".into(), "layer of 5".into()], 5));
    assert_eq!(bench.names(), ["<none>", "app:latest"]);
    let (removed, reclaimed_bytes) = prune(true, &[]);
    assert_eq!((removed.len(), reclaimed_bytes), (5, 8));
    assert_eq!(bench.names(), Vec::<String>::new());
    bench.check();
}
