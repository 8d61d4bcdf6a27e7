//! Awkward archives are the same tree, whichever backend shows them.

use std::path::PathBuf;

use varve_fs::{
    extract::{Marks, Source},
    stack::Stack,
};

use crate::{
    corpus, extract, kernel,
    made::{self, Layer},
    merge,
};

/// Larger ones would be read again and again.
const CONTENT_SIZE_BYTES_MAX: u64 = 16 << 20;

fn cases() -> Vec<(corpus::Case, Layer)> {
    let cases = corpus::cases().into_iter().map(|case| {
        let layer = Layer::of(&case.tar);
        (case, layer)
    });
    cases.filter(|(_, layer)| layer.summary.content_size_bytes < CONTENT_SIZE_BYTES_MAX).collect()
}

#[test]
fn awkward_archives_are_extracted_as_by_gnu_tar() {
    for (case, _) in cases().iter().filter(|(case, _)| case.is_for_gnu_tar) {
        extract::compare_named(case.name, &case.tar);
    }
}

#[test]
fn awkward_archives_are_the_same_extracted_mounted_and_exported() {
    if !kernel::is_root() || !kernel::may_mount_overlays() {
        return;
    }
    let mut compared = 0;
    for (case, layer) in cases() {
        let layers = [layer];
        let Ok(stack) = Stack::merge(&[&layers[0].tree]) else { continue };
        let tars = [layers[0].tar.try_clone().unwrap()];
        let dir = tempfile::tempdir().unwrap();
        let facts = made::facts_of_stack(&stack, &[&tars[0]]);
        // The device acts as a whiteout, as in Docker. Of a list's mask the mode makes the group's
        // bits where files are made, as with GNU tar; an index keeps it as it is.
        let is_other = |fact: &String| fact.starts_with("char 0,0 ") || fact.contains("posix_acl");
        // No file system keeps attributes without a namespace, or with too long a name.
        let refused = kernel::extract_to(
            Source::Stack(&stack, &tars),
            &dir.path().join("tried"),
            Marks::Trusted,
        );
        if facts.values().any(is_other) || refused.xattrs_refused > 0 {
            continue;
        }
        merge::check_export(&stack, &[&tars[0]], &facts);
        let lowers = merge::extracted(&layers, &stack, &tars, dir.path());
        if lowers.is_empty() {
            continue;
        }
        compare(case.name, "extracted", &lowers, &facts);
        let mounted: Option<Vec<kernel::Mounted>> =
            merge::mounted(&layers, &stack, &tars, dir.path());
        if let Some(mounted) = mounted {
            let lowers: Vec<PathBuf> = mounted.iter().map(|mounted| mounted.0.clone()).collect();
            compare(case.name, "mounted", &lowers, &facts);
        }
        compared += 1;
    }
    assert!(compared > 50, "{compared}");
}

#[track_caller]
fn compare(name: &str, how: &str, lowers: &[PathBuf], expected: &made::Facts) {
    let seen = kernel::facts_of_overlay(lowers, "", "");
    for (path, fact) in expected {
        assert_eq!(seen.get(path), Some(fact), "{path} of {name}, {how}");
    }
    assert_eq!(seen.len(), expected.len(), "{name}, {how}");
}
