//! Choosing one manifest of an index.

use varve_types::{Descriptor, Index, Platform};

/// The child of `index` that suits `platform` best; among equals the first.
///
/// `exact` takes only that platform (a variant left out takes any), as `--platform` asks;
/// otherwise also what the platform can run besides.
pub(super) fn select<'a>(
    index: &'a Index,
    platform: &Platform,
    exact: bool,
) -> Option<&'a Descriptor> {
    let mut best: Option<(u32, &Descriptor)> = None;
    for child in index.manifests.iter().filter(|child| !child.is_attestation()) {
        let Some(theirs) = &child.platform else { continue };
        let rank = if exact {
            let same = platform.matches(theirs);
            same.then(|| platform.rank(theirs).unwrap_or(1))
        } else {
            platform.rank(theirs)
        };
        if let Some(rank) = rank
            && best.is_none_or(|(least, _)| rank < least)
        {
            best = Some((rank, child));
        }
    }
    // Indexes of one manifest that names no platform are common in hand-made layouts.
    match (best, index.manifests.as_slice()) {
        (Some((_, child)), _) => Some(child),
        (None, [only]) if only.platform.is_none() => Some(only),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use varve_types::{Digest, media_type};

    fn index(platforms: &[&str]) -> Index {
        let manifests = platforms.iter().map(|text| {
            let mut child = Descriptor::of(media_type::OCI_MANIFEST, text.as_bytes());
            child.platform = text.parse().ok();
            child
        });
        Index {
            schema_version: 2,
            media_type: None,
            artifact_type: None,
            manifests: manifests.collect(),
            subject: None,
            annotations: std::collections::BTreeMap::default(),
        }
    }

    #[track_caller]
    fn check(host: &str, exact: bool, platforms: &[&str], expected: Option<&str>) {
        let index = index(platforms);
        let found = select(&index, &host.parse().unwrap(), exact).map(|child| child.digest);
        assert_eq!(found, expected.map(|text| Digest::of(text.as_bytes())));
    }

    #[test]
    fn the_hosts_own_platform_wins() {
        check("linux/amd64", false, &["linux/386", "linux/amd64"], Some("linux/amd64"));
        check("linux/arm/v7", false, &["linux/arm/v5", "linux/arm/v6"], Some("linux/arm/v6"));
    }

    #[test]
    fn what_the_host_can_also_run_is_taken_unless_asked_for_exactly() {
        check("linux/amd64", false, &["linux/386"], Some("linux/386"));
        check("linux/amd64", true, &["linux/386"], None);
        check("linux/s390x", false, &["linux/386", "linux/amd64"], None);
    }
}
