//! Reports as text.
#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

use expect_test::expect;
use jiff::{Timestamp, tz::TimeZone};
use varve_engine::{
    DiskUsage, HistoryEntry, ImageSummary, ImageUsage, Pruned, Removed, registries::Found,
};
use varve_types::{Digest, ImageId, Reference};

use super::{df, history, images, removal, search, tree};

const NOW: Timestamp = Timestamp::constant(1_767_225_600, 0);

fn names(texts: &[&str]) -> Vec<Reference> {
    texts.iter().map(|text| text.parse().expect("a reference")).collect()
}

fn image(tags: &[&str], digests: &[&str], age_seconds: i64, size_bytes: u64) -> ImageSummary {
    let digest = |name: &&str| format!("{name}@{}", Digest::of(b"manifest"));
    let digests: Vec<String> = digests.iter().map(digest).collect();
    let digests: Vec<&str> = digests.iter().map(String::as_str).collect();
    ImageSummary {
        id: ImageId(Digest::of(&size_bytes.to_le_bytes())),
        tags: names(tags),
        digests: names(&digests),
        created: Timestamp::from_second(NOW.as_second() - age_seconds).ok(),
        size_bytes,
        parent: None,
        platform: None,
    }
}

fn some() -> Vec<ImageSummary> {
    vec![
        image(&["127.0.0.1:5000/library/debian:bookworm"], &[], 30, 164_000_000),
        image(&["busybox:1.36.0", "busybox:latest", "alpine:3.12"], &["busybox"], 2_520, 1_984_299),
        image(&[], &["hello-world"], 2_530, 682_660),
        image(&[], &[], 100_000_000, 0),
    ]
}

fn listed(format: &str, quiet: bool, digests: bool, whole: bool) -> String {
    let layout = images::Layout { format, quiet, digests, whole };
    images::list(&some(), layout, NOW, &TimeZone::UTC).expect("a listing")
}

#[test]
fn images_are_a_row_for_each_name() {
    expect![[r#"
        REPOSITORY                      TAG        IMAGE ID       CREATED          SIZE
        127.0.0.1:5000/library/debian   bookworm   fec3f8c31b45   30 seconds ago   164MB
        alpine                          3.12       8e9457e5657a   42 minutes ago   1.98MB
        busybox                         1.36.0     8e9457e5657a   42 minutes ago   1.98MB
        busybox                         latest     8e9457e5657a   42 minutes ago   1.98MB
        hello-world                     <none>     e276817291fc   42 minutes ago   683kB
        <none>                          <none>     af5570f5a181   3 years ago      0B
    "#]]
    .assert_eq(&listed("", false, false, false));
    expect![[r#"
        sha256:fec3f8c31b45403b20cb6b0f44fca80cda3d8b17e5a96cd70bac043a47925638
        sha256:8e9457e5657a85040aed2cd5d6ab1325ff43acf773adacb264436b4cbfbafbbc
        sha256:8e9457e5657a85040aed2cd5d6ab1325ff43acf773adacb264436b4cbfbafbbc
        sha256:8e9457e5657a85040aed2cd5d6ab1325ff43acf773adacb264436b4cbfbafbbc
        sha256:e276817291fc4a6f0556d0348fa646351a6773f4a0b3d6372abc21d98ab14fff
        sha256:af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc
    "#]]
    .assert_eq(&listed("", true, false, true));
}

#[test]
fn digests_are_a_column_of_their_own() {
    expect![[r#"
        REPOSITORY                      TAG        DIGEST                                                                    IMAGE ID       CREATED          SIZE
        127.0.0.1:5000/library/debian   bookworm   <none>                                                                    fec3f8c31b45   30 seconds ago   164MB
        alpine                          3.12       <none>                                                                    8e9457e5657a   42 minutes ago   1.98MB
        busybox                         1.36.0     sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f   8e9457e5657a   42 minutes ago   1.98MB
        busybox                         latest     sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f   8e9457e5657a   42 minutes ago   1.98MB
        hello-world                     <none>     sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f   e276817291fc   42 minutes ago   683kB
        <none>                          <none>     <none>                                                                    af5570f5a181   3 years ago      0B
    "#]].assert_eq(&listed("", false, true, false));
    expect![[r#"
        TAG        DIGEST
        bookworm   <none>
        3.12       <none>
        1.36.0     sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f
        latest     sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f
        <none>     sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f
        <none>     <none>
    "#]]
    .assert_eq(&listed("table {{.Tag}}", false, true, false));
}

#[test]
fn other_formats_win_over_quiet() {
    expect![[r#"
        bookworm
        3.12
        1.36.0
        latest
        <none>
        <none>
    "#]]
    .assert_eq(&listed("{{.Tag}}", true, false, false));
    expect![[r#"
        {"Containers":"N/A","CreatedAt":"2025-12-31 23:59:30 +0000 UTC","CreatedSince":"30 seconds ago","Digest":"\u003cnone\u003e","ID":"fec3f8c31b45","Repository":"127.0.0.1:5000/library/debian","SharedSize":"N/A","Size":"164MB","Tag":"bookworm","UniqueSize":"N/A","VirtualSize":"164MB"}
        {"Containers":"N/A","CreatedAt":"2025-12-31 23:18:00 +0000 UTC","CreatedSince":"42 minutes ago","Digest":"\u003cnone\u003e","ID":"8e9457e5657a","Repository":"alpine","SharedSize":"N/A","Size":"1.98MB","Tag":"3.12","UniqueSize":"N/A","VirtualSize":"1.984MB"}
        {"Containers":"N/A","CreatedAt":"2025-12-31 23:18:00 +0000 UTC","CreatedSince":"42 minutes ago","Digest":"\u003cnone\u003e","ID":"8e9457e5657a","Repository":"busybox","SharedSize":"N/A","Size":"1.98MB","Tag":"1.36.0","UniqueSize":"N/A","VirtualSize":"1.984MB"}
        {"Containers":"N/A","CreatedAt":"2025-12-31 23:18:00 +0000 UTC","CreatedSince":"42 minutes ago","Digest":"\u003cnone\u003e","ID":"8e9457e5657a","Repository":"busybox","SharedSize":"N/A","Size":"1.98MB","Tag":"latest","UniqueSize":"N/A","VirtualSize":"1.984MB"}
        {"Containers":"N/A","CreatedAt":"2025-12-31 23:17:50 +0000 UTC","CreatedSince":"42 minutes ago","Digest":"","ID":"e276817291fc","Repository":"hello-world","SharedSize":"N/A","Size":"683kB","Tag":"\u003cnone\u003e","UniqueSize":"N/A","VirtualSize":"682.7kB"}
        {"Containers":"N/A","CreatedAt":"2022-10-31 14:13:20 +0000 UTC","CreatedSince":"3 years ago","Digest":"\u003cnone\u003e","ID":"af5570f5a181","Repository":"\u003cnone\u003e","SharedSize":"N/A","Size":"0B","Tag":"\u003cnone\u003e","UniqueSize":"N/A","VirtualSize":"0B"}
    "#]].assert_eq(&listed("json", false, false, false));
    expect![[r#"
        repository: 127.0.0.1:5000/library/debian
        tag: bookworm
        image_id: fec3f8c31b45
        created_at: 2025-12-31 23:59:30 +0000 UTC
        virtual_size: 164MB

        repository: alpine
        tag: 3.12
        image_id: 8e9457e5657a
        created_at: 2025-12-31 23:18:00 +0000 UTC
        virtual_size: 1.98MB

        repository: busybox
        tag: 1.36.0
        image_id: 8e9457e5657a
        created_at: 2025-12-31 23:18:00 +0000 UTC
        virtual_size: 1.98MB

        repository: busybox
        tag: latest
        image_id: 8e9457e5657a
        created_at: 2025-12-31 23:18:00 +0000 UTC
        virtual_size: 1.98MB

        repository: hello-world
        tag: <none>
        image_id: e276817291fc
        created_at: 2025-12-31 23:17:50 +0000 UTC
        virtual_size: 683kB

        repository: <none>
        tag: <none>
        image_id: af5570f5a181
        created_at: 2022-10-31 14:13:20 +0000 UTC
        virtual_size: 0B

    "#]]
    .assert_eq(&listed("raw", false, false, false));
    expect![[r#"
        REPOSITORY                      CREATED AT                      SIZE
        127.0.0.1:5000/LIBRARY/DEBIAN   2025-12-31 23:59:30 +0000 UTC   164MB
        ALPINE                          2025-12-31 23:18:00 +0000 UTC   1.984MB
        BUSYBOX                         2025-12-31 23:18:00 +0000 UTC   1.984MB
        BUSYBOX                         2025-12-31 23:18:00 +0000 UTC   1.984MB
        HELLO-WORLD                     2025-12-31 23:17:50 +0000 UTC   682.7kB
        <NONE>                          2022-10-31 14:13:20 +0000 UTC   0B
    "#]]
    .assert_eq(&listed(
        "table {{upper .Repository}}\\t{{.CreatedAt}}\\t{{.VirtualSize}}",
        false,
        false,
        false,
    ));
}

#[test]
fn history_shortens_what_made_a_layer() {
    let entry = |id, created_by: &str, size_bytes, created| HistoryEntry {
        id,
        created,
        created_by: created_by.to_owned(),
        size_bytes,
        comment: "buildkit.dockerfile.v0".to_owned(),
        tags: Vec::new(),
    };
    let entries = [
        entry(Some(ImageId(Digest::of(b""))), "CMD [\"sh\"]", 0, Some(NOW)),
        entry(None, &format!("RUN\t{} # buildkit", "x".repeat(60)), 1_984_299, None),
    ];
    let list = |human, whole| {
        let layout = history::Layout { format: "", quiet: false, human, whole };
        history::list(&entries, layout, NOW, &TimeZone::UTC).expect("a listing")
    };
    expect![[r#"
        IMAGE          CREATED                  CREATED BY                                      SIZE      COMMENT
        e3b0c44298fc   Less than a second ago   CMD ["sh"]                                      0B        buildkit.dockerfile.v0
        <missing>      N/A                      RUN xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…   1.98MB    buildkit.dockerfile.v0
    "#]].assert_eq(&list(true, false));
    expect![[r#"
        IMAGE                                                                     CREATED AT             CREATED BY                                                                    SIZE      COMMENT
        sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855   2026-01-01T00:00:00Z   CMD ["sh"]                                                                    0         buildkit.dockerfile.v0
        <missing>                                                                 N/A                    RUN xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx # buildkit   1984299   buildkit.dockerfile.v0
    "#]].assert_eq(&list(false, true));
}

#[test]
fn disk_usage_counts_shared_layers_once() {
    let usage =
        ImageUsage { summary: some().remove(1), shared_size_bytes: 1_000_000, containers: 1 };
    let unused = ImageUsage { summary: some().remove(2), shared_size_bytes: 0, containers: 0 };
    let usage = DiskUsage {
        layers_size_bytes: 2_666_959,
        images: vec![unused, usage],
        containers: Vec::new(),
        volumes: Vec::new(),
        build_cache: Vec::new(),
    };
    expect![[r#"
        TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE
        Images          2         1         2.667MB   1.683MB (63%)
        Containers      0         0         0B        0B
        Local Volumes   0         0         0B        0B
        Build Cache     0         0         0B        0B
    "#]]
    .assert_eq(&df::summary(&usage, "").expect("a report"));
    expect![[r#"
        {"Active":"1","Reclaimable":"1.683MB (63%)","Size":"2.667MB","TotalCount":"2","Type":"Images"}
        {"Active":"0","Reclaimable":"0B","Size":"0B","TotalCount":"0","Type":"Containers"}
        {"Active":"0","Reclaimable":"0B","Size":"0B","TotalCount":"0","Type":"Local Volumes"}
        {"Active":"0","Reclaimable":"0B","Size":"0B","TotalCount":"0","Type":"Build Cache"}
    "#]].assert_eq(&df::summary(&usage, "json").expect("a report"));
    expect![[r#"
        Images space usage:

        REPOSITORY   TAG       IMAGE ID       CREATED          SIZE      SHARED SIZE   UNIQUE SIZE   CONTAINERS
        <none>       <none>    e276817291fc   42 minutes ago   683kB     0B            682.7kB       0
        busybox      1.36.0    8e9457e5657a   42 minutes ago   1.98MB    1MB           984.3kB       1

        Containers space usage:

        CONTAINER ID   IMAGE     COMMAND   LOCAL VOLUMES   SIZE      CREATED   STATUS    NAMES

        Local Volumes space usage:

        VOLUME NAME   LINKS     SIZE

        Build cache usage: 0B

        CACHE ID   CACHE TYPE   SIZE      CREATED   LAST USED   USAGE     SHARED
    "#]].assert_eq(&df::details(&usage, "", NOW, &TimeZone::UTC).expect("a report"));
}

#[test]
fn removals_name_what_went() {
    let removed = vec![
        Removed::Untagged("busybox:latest".parse().expect("a reference")),
        Removed::Image(ImageId(Digest::of(b""))),
    ];
    expect![[r#"
        Untagged: busybox:latest
        Deleted: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    "#]]
    .assert_eq(&removal::removed(&removed));
    expect![[r#"
        Deleted Images:
        untagged: busybox:latest
        deleted: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

        Total reclaimed space: 682.7kB
    "#]]
    .assert_eq(&removal::pruned(&Pruned { removed, reclaimed_bytes: 682_660 }));
}

#[test]
fn a_search_marks_official_images() {
    let found = |name: &str, description: &str, is_official| Found {
        name: name.to_owned(),
        description: description.to_owned(),
        stars: 57,
        is_official,
        is_automated: false,
    };
    let found = [
        found("busybox", "Busybox base image.", true),
        found(
            "radial/busyboxplus",
            "Full-chain, Internet enabled, busybox made from scratch.",
            false,
        ),
    ];
    let list =
        |format, whole| search::list(&found, search::Layout { format, whole }).expect("rows");
    expect![[r#"
        NAME                 DESCRIPTION                                     STARS     OFFICIAL
        busybox              Busybox base image.                             57        [OK]
        radial/busyboxplus   Full-chain, Internet enabled, busybox made f…   57        
    "#]]
    .assert_eq(&list("", false));
    expect![[r#"
        {"Description":"Busybox base image.","IsOfficial":"true","Name":"busybox","StarCount":"57"}
        {"Description":"Full-chain, Internet enabled, busybox made from scratch.","IsOfficial":"false","Name":"radial/busyboxplus","StarCount":"57"}
    "#]].assert_eq(&list("json", true));
}

#[test]
fn a_tree_has_a_branch_for_each_platform() {
    let line = |size_bytes, in_use| tree::Line {
        id: Digest::of(b"").to_string(),
        size_bytes,
        content_size_bytes: size_bytes / 3,
        in_use,
    };
    let platforms =
        ["linux/amd64", "linux/arm64"].map(|name| (name.to_owned(), line(3_110_000, false)));
    let trees = [
        tree::Tree {
            names: vec!["hello-world:latest".to_owned()],
            line: line(1_000_000, false),
            platforms: platforms[..1].to_vec(),
        },
        tree::Tree {
            names: vec!["busybox:1.36.0".to_owned()],
            line: line(6_210_000, true),
            platforms: platforms.to_vec(),
        },
    ];
    expect![[r#"
        WARNING: This is an experimental feature. The output may change and shouldn't be depended on.
                                                                      Info ->  U In Use 

        IMAGE                ID             DISK USAGE   CONTENT SIZE   EXTRA
        hello-world:latest   e3b0c44298fc          1MB          333kB        
        └─ linux/amd64       e3b0c44298fc       3.11MB         1.04MB        

        busybox:1.36.0       e3b0c44298fc       6.21MB         2.07MB   U    
        ├─ linux/amd64       e3b0c44298fc       3.11MB         1.04MB        
        └─ linux/arm64       e3b0c44298fc       3.11MB         1.04MB        
    "#]].assert_eq(&tree::draw(&trees, 80, false));
}
