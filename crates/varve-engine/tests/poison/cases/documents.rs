//! Manifests, indexes, configs and lists that are not what they should be.

use serde_json::{Value, json};
use varve_testkit::{Fault, Image, On, image::Built};
use varve_types::{Descriptor, Digest, Kind, Platform, media_type};

use super::{AWAY, Table, WRONG, answer, header};
use crate::stage::{End, Poison, Verb};

const EVIL: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\r\u{8}\u{202e}\u{9b}";

/// The tag is this document.
fn document(media_type: &str, body: impl Into<Vec<u8>>) -> Fault {
    answer(200, "Content-Type", media_type, &body.into())
}

/// The tag is this image.
fn image(make: impl Fn() -> Built + 'static) -> Poison {
    Box::new(move |stage| drop(stage.registry.push("app:1", make())))
}

fn good() -> Built {
    Image::seeded(31).layers(2).build()
}

fn changed(change: impl Fn(&mut Value) + 'static) -> Poison {
    image(move || good().change_manifest(&change))
}

fn configured(change: impl Fn(&mut Value) + 'static) -> Poison {
    image(move || good().change_config(&change))
}

fn indexed(change: impl Fn(&mut Value) + 'static) -> Poison {
    image(move || {
        let one = Image::seeded(9).platform(&Platform::host().to_string()).build();
        wrapped(one).change_manifest(&change)
    })
}

pub(super) fn add(table: &mut Table) {
    answers(table);
    texts(table);
    manifests(table);
    configs(table);
    indexes(table);
    nested(table);
    lists(table);
}

const ODD: &[Kind] = &[Kind::Corrupt, Kind::Invalid, Kind::Unsupported];

/// What is wrong with the answer itself.
fn answers(table: &mut Table) {
    let mut tag = |name: &str, fault, kinds, words: &str| {
        table.pull(name, On::Manifest, fault, kinds, words);
    };
    let digest = Fault::Header("Docker-Content-Digest", Digest::of(b"x").to_string());
    let stops = Fault::Stall(10, std::time::Duration::from_secs(20));
    let error = json!({"errors": [{"code": EVIL, "message": EVIL, "detail": EVIL}]}).to_string();
    let evil = Fault::Respond(403, Vec::new(), error.into_bytes());
    let json = vec![header("Content-Type", "application/json")];
    let long = Fault::Respond(404, json, vec![b'{'; 3 << 20]);
    tag("a manifest with a wrong byte", Fault::Corrupt, WRONG, "");
    tag("a manifest that is shorter", Fault::Shorten(50), WRONG, "");
    tag("a manifest with a false digest", digest, WRONG, "");
    tag("a manifest without end", Fault::Endless, &[Kind::Exhausted], "larger than the limit");
    tag("a manifest that stops", stops, AWAY, "");
    tag("an error that drives terminals", evil, &[Kind::Denied, Kind::Unauthorized], "");
    tag("an error without end", long, &[Kind::NotFound], "");
}

/// Documents that are no manifests.
fn texts(table: &mut Table) {
    let oci = media_type::OCI_MANIFEST;
    let mut tag = |name: &str, kind: &str, body: Vec<u8>, kinds| {
        table.pull(name, On::Manifest, document(kind, body), kinds, "");
    };
    let members = "{\"a\":".repeat(100_000).into_bytes();
    let bytes = b"{\"schemaVersion\":2,\"a\":\"\xff\xfe\"}".to_vec();
    let first = media_type::DOCKER_SCHEMA1;
    tag("a manifest of 5 MB", oci, vec![b' '; 5 << 20], &[Kind::Exhausted]);
    tag("a manifest of nothing", oci, Vec::new(), WRONG);
    tag("a manifest that is a list", oci, b"[]".to_vec(), WRONG);
    tag("a manifest that is null", oci, b"null".to_vec(), WRONG);
    tag("a manifest nested without end", oci, vec![b'['; 1 << 20], WRONG);
    tag("a manifest with members nested without end", oci, members, WRONG);
    tag("a manifest that is not UTF-8", oci, bytes, ODD);
    tag("a manifest that is a web page", "text/html", b"<html>".to_vec(), ODD);
    tag("a manifest of a kind that drives terminals", "text/x\u{9b}2J", b"{}".to_vec(), ODD);
    tag("a manifest of the first schema", first, b"{\"schemaVersion\":1}".to_vec(), ODD);
}

/// Manifests that say what cannot be.
fn manifests(table: &mut Table) {
    let mut bad = |name: &str, poison, kinds, words: &str| {
        table.add(name, Verb::Pull, poison, End::Refused(kinds, words.to_owned()));
    };
    let size = |size: Value| changed(move |it| it["layers"][0]["size"] = size.clone());
    let digest = |text: &'static str| changed(move |it| it["layers"][0]["digest"] = json!(text));
    let config = |size: u64| changed(move |it| it["config"]["size"] = json!(size));
    let layers = |count: usize| {
        changed(move |it| it["layers"] = json!(vec![it["layers"][0].clone(); count]))
    };
    let evil = changed(|it| it["config"]["digest"] = json!(format!("sha256:{EVIL}")));
    let kind = changed(|it| it["layers"][0]["mediaType"] = json!(EVIL));
    let both = changed(|it| it["manifests"] = json!([]));
    let most = &[Kind::Exhausted, Kind::Corrupt, Kind::Invalid];
    bad("a config of 100 MB", config(100_000_000), &[Kind::Exhausted], "larger than the limit");
    bad("a config of another size", config(3), WRONG, "");
    bad("a negative size", size(json!(-1)), WRONG, "");
    bad("the largest size", size(json!(u64::MAX)), most, "");
    bad("a size that is no integer", size(json!(1.5)), WRONG, "");
    bad("a layer of another size than it is", size(json!(17)), WRONG, "");
    bad("a digest that is a path", digest("sha256:../../../../etc/passwd"), WRONG, "");
    bad("a digest of another algorithm", digest("md5:d41d8cd98f00b204e9800998ecf8427e"), ODD, "");
    bad("a digest that drives terminals", evil, WRONG, "");
    bad("a kind of layer that drives terminals", kind, ODD, "unsupported media type");
    bad("10,000 layers", layers(10_000), &[Kind::Exhausted], "limit");
    bad("more layers than the config knows", layers(3), WRONG, "layers");
    bad("no layers where the config knows some", layers(0), WRONG, "layers");
    bad("a manifest that is an index too", both, ODD, "");
}

/// Configs that say what cannot be.
fn configs(table: &mut Table) {
    let mut bad = |name: &str, poison| {
        table.add(name, Verb::Pull, poison, End::Refused(WRONG, String::new()));
    };
    let first = |text: String| configured(move |it| it["rootfs"]["diff_ids"][0] = json!(text));
    bad("a config that is no object", configured(|it| *it = json!([1])));
    bad("a config without layers", configured(|it| it["rootfs"] = json!(null)));
    bad("diff IDs that are paths", first("sha256:../../x".to_owned()));
    bad("diff IDs of other layers", first(Digest::of(b"x").to_string()));
    let texts = configured(|it| {
        it["author"] = json!(EVIL);
        it["created"] = json!(EVIL);
        it["config"]["Labels"] = json!({EVIL: EVIL});
        it["history"][0]["created_by"] = json!(EVIL);
    });
    table.add("texts of a config that drive terminals", Verb::Pull, texts, End::Done);
}

/// Indexes that lead nowhere, or to too much.
fn indexes(table: &mut Table) {
    let mut bad = |name: &str, poison, kinds, words: &str| {
        table.add(name, Verb::Pull, poison, End::Refused(kinds, words.to_owned()));
    };
    let platform =
        |platform: Value| indexed(move |it| it["manifests"][0]["platform"] = platform.clone());
    let many = indexed(|it| it["manifests"] = json!(vec![it["manifests"][0].clone(); 10_000]));
    let none = indexed(|it| it["manifests"] = json!([]));
    let size = indexed(|it| it["manifests"][0]["size"] = json!(1));
    let nowhere = indexed(|it| it["manifests"][0]["digest"] = json!(Digest::of(b"nowhere")));
    let plan9 = platform(json!({"os": "plan9", "architecture": "mips"}));
    let evil = platform(json!({"os": EVIL, "architecture": EVIL}));
    let missing = &[Kind::NotFound];
    let odd = &[Kind::NotFound, Kind::Invalid, Kind::Corrupt];
    bad("an index of 10,000 manifests", many, &[Kind::Exhausted], "more than the limit");
    bad("an index of nothing", none, missing, "no matching manifest");
    bad("an index for nobody here", plan9, missing, "no matching manifest");
    bad("an index with another size of its manifest", size, WRONG, "");
    bad("an index whose manifest is nowhere", nowhere, missing, "");
    bad("an index of platforms that drive terminals", evil, odd, "");
}

/// An index of one image or index, for this machine.
fn wrapped(inner: Built) -> Built {
    let child = Descriptor { platform: Some(Platform::host()), ..inner.root.clone() };
    Built::index_of(vec![(child, inner)])
}

fn nested(table: &mut Table) {
    for verb in [Verb::Pull, Verb::PullAll] {
        let deep = image(|| (0..9).fold(good(), |inner, _| wrapped(inner)));
        let end = End::Refused(&[Kind::Exhausted], "nested".to_owned());
        table.add(&format!("indexes nine deep, {verb:?}"), verb, deep, end);
        // It cannot hold itself, since nobody knows its digest before; but it can be all there is.
        let same: Poison = Box::new(|stage| {
            let index = wrapped(good());
            let bytes = index.manifests.last().expect("an index").1.clone();
            stage.registry.fail_always(On::Manifest, document(media_type::OCI_INDEX, bytes));
        });
        let end = End::Refused(WRONG, "verification failed".to_owned());
        table.add(&format!("an index that answers for all, {verb:?}"), verb, same, end);
    }
}

fn lists(table: &mut Table) {
    let on = || On::Path("GET", "/tags/list".to_owned());
    let page = |link: &str| {
        Fault::Respond(
            200,
            vec![header("Link", link), header("Content-Type", "application/json")],
            br#"{"name":"app","tags":["1"]}"#.to_vec(),
        )
    };
    for (name, fault, kinds) in [
        (
            "pages of tags in a circle",
            page("</v2/app/tags/list>; rel=\"next\""),
            &[Kind::Invalid, Kind::Exhausted, Kind::Corrupt][..],
        ),
        (
            "a list of tags without end",
            Fault::Endless,
            &[Kind::Exhausted, Kind::Corrupt, Kind::Invalid],
        ),
        (
            "a list of tags that is none",
            Fault::Respond(200, Vec::new(), b"<html>".to_vec()),
            &[Kind::Corrupt, Kind::Invalid],
        ),
        (
            "the next page of tags in a file",
            page("<file:///etc/passwd>; rel=\"next\""),
            &[Kind::Invalid, Kind::Corrupt, Kind::Unsupported],
        ),
    ] {
        table.add(
            name,
            Verb::PullTags,
            super::always(on(), fault),
            End::Refused(kinds, String::new()),
        );
    }
    let foreign: Poison = Box::new(move |stage| {
        let link = format!("<{}/v2/app/tags/list>; rel=\"next\"", stage.foreign.origin());
        stage.registry.fail_always(on(), page(&link));
        stage.foreign.push("app:1", stage.built.clone());
    });
    table.add("the next page of tags on a foreign host", Verb::PullTags, foreign, End::Done);
    let odd = json!({"name": "app", "tags": ["1", "../../x", EVIL, "", "a b", "1"]}).to_string();
    let odd = Fault::Respond(200, Vec::new(), odd.into_bytes());
    table.add(
        "tags that are none",
        Verb::PullTags,
        super::always(On::Path("GET", "/tags/list".to_owned()), odd),
        End::Done,
    );
}
