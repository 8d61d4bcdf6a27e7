//! Wrong sizes, digests and ranges; bodies that end too early, too late or never.

use std::time::Duration;

use varve_testkit::{Fault, On};
use varve_types::Kind;

use super::{AWAY, BROKEN, Table, WRONG, always, answer};
use crate::stage::{End, Poison, Verb};

/// Lasts longer than anybody is patient here.
const LONG: Duration = Duration::from_secs(20);

/// Only the layers, which come after the config.
fn layers(fault: &Fault) -> Poison {
    let fault = fault.clone();
    Box::new(move |stage| {
        for layer in &stage.built.images[0].layers {
            let on = On::Path("GET", format!("/blobs/{}", layer.digest));
            stage.registry.fail_always(on, fault.clone());
        }
    })
}

/// A layer that is cut once, and what its continuation meets.
fn continued(fault: &Fault) -> Poison {
    let fault = fault.clone();
    Box::new(move |stage| {
        let layer = stage.built.images[0].layers[0].digest;
        let on = || On::Path("GET", format!("/blobs/{layer}"));
        stage.registry.fail(on(), Fault::CutBody(10_000));
        stage.registry.fail_always_after(1, on(), fault.clone());
    })
}

pub(super) fn add(table: &mut Table) {
    for (name, fault, kinds, words) in [
        ("a layer with a wrong byte", Fault::Corrupt, WRONG, "verification failed"),
        ("a layer that is shorter", Fault::Shorten(9), WRONG, "blob"),
        ("a layer that is empty", Fault::Shorten(0), WRONG, "blob"),
        ("a layer that is longer", Fault::Lengthen(vec![1; 700]), WRONG, "blob"),
        ("a layer cut each time", Fault::CutBody(0), BROKEN, ""),
        ("a layer without end", Fault::Endless, WRONG, "blob"),
        ("a layer that stops", Fault::Stall(100, LONG), AWAY, ""),
        ("a layer that never begins", Fault::Delay(LONG), AWAY, ""),
        ("a layer that promises less", Fault::Header("Content-Length", "5".into()), WRONG, "blob"),
        (
            "a layer that promises more",
            Fault::Header("Content-Length", "99999999".into()),
            WRONG,
            "blob",
        ),
        ("a layer of negative length", Fault::Header("Content-Length", "-5".into()), BROKEN, ""),
        (
            "a layer of a length that is no number",
            Fault::Header("Content-Length", "many".into()),
            BROKEN,
            "",
        ),
        (
            "a layer of more bytes than there are numbers",
            Fault::Header("Content-Length", "99999999999999999999999".into()),
            BROKEN,
            "",
        ),
        (
            "a layer that is a web page",
            answer(200, "Content-Type", "text/html", b"<h1>log in</h1>"),
            WRONG,
            "blob",
        ),
        ("a layer that is not there", Fault::status(404), &[Kind::NotFound], "404"),
        (
            "a layer that is gone",
            Fault::status(410),
            &[Kind::Invalid, Kind::Unavailable, Kind::NotFound],
            "",
        ),
        (
            "a layer that needs payment",
            Fault::status(402),
            &[Kind::Invalid, Kind::Unavailable, Kind::Denied],
            "",
        ),
        (
            "a layer of which a part comes unasked",
            answer(206, "Content-Range", "bytes 0-8/9", b"012345678"),
            BROKEN,
            "",
        ),
        ("a layer with nothing to say", Fault::status(204), BROKEN, ""),
        ("a layer that has not changed", Fault::status(304), BROKEN, ""),
        ("a layer and a broken server", Fault::status(500), AWAY, ""),
        ("a layer and a broken gateway", Fault::status(502), AWAY, ""),
        ("a layer and nobody there", Fault::Hangup, AWAY, ""),
        ("a layer whose range cannot be had", Fault::status(416), BROKEN, ""),
    ] {
        let end = End::Refused(kinds, words.to_owned());
        table.add(name, Verb::Pull, layers(&fault), end);
    }
    let name = "200 to the continuation of a layer";
    table.add(name, Verb::Pull, continued(&Fault::IgnoreRange), End::Done);
    // The bytes themselves tell whether they are right.
    let coding = Fault::Header("Content-Encoding", "gzip".into());
    table.add("a layer in another coding", Verb::Pull, layers(&coding), End::Done);
    for (name, fault, kinds) in [
        ("a continuation that begins too early", Fault::WrongRange(100), BROKEN),
        ("a continuation of another blob", Fault::Corrupt, WRONG),
        (
            "a continuation that says another range",
            Fault::Header("Content-Range", "bytes 7-8/9".into()),
            BROKEN,
        ),
        ("a continuation without a range", answer(206, "X-None", "", b"abc"), BROKEN),
        (
            "a continuation of a range that makes no sense",
            answer(206, "Content-Range", "lines 9-1/\u{9b}", b"abc"),
            BROKEN,
        ),
        ("a continuation that stops", Fault::Stall(10, LONG), AWAY),
        ("a continuation without end", Fault::Endless, BROKEN),
        ("a continuation that is refused", Fault::status(416), BROKEN),
    ] {
        table.add(name, Verb::Pull, continued(&fault), End::Refused(kinds, String::new()));
    }
    // Of the config first.
    for (name, fault, kinds) in [
        ("a config with a wrong byte", Fault::Corrupt, WRONG),
        ("a config that is shorter", Fault::Shorten(9), WRONG),
        ("a config without end", Fault::Endless, WRONG),
        ("a config that stops", Fault::Stall(10, LONG), AWAY),
    ] {
        table.add(name, Verb::Pull, always(On::Blob, fault), End::Refused(kinds, String::new()));
    }
}
