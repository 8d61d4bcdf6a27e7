//! Registries that lie to those who push, and a tag that moves.

use std::time::Duration;

use varve_testkit::{Fault, On};
use varve_types::{Digest, Kind};

use super::{Table, answer};
use crate::stage::{End, Poison, Verb};

const ODD: &[Kind] = &[
    Kind::Invalid,
    Kind::Unavailable,
    Kind::Denied,
    Kind::NotFound,
    Kind::Corrupt,
    Kind::Unauthorized,
    Kind::Unsupported,
    Kind::Exhausted,
];

/// Uploads of the copy: nothing is mounted, and nothing is there.
fn nothing_there(stage: &crate::stage::Stage) {
    stage.registry.fail_always(On::BlobHead, Fault::status(404));
}

fn upload(on: On, fault: Fault) -> Poison {
    Box::new(move |stage| {
        nothing_there(stage);
        stage.registry.fail_always(on.clone(), fault.clone());
    })
}

fn refused() -> End {
    End::Refused(ODD, String::new())
}

pub(super) fn add(table: &mut Table) {
    for (name, location) in [
        ("an upload to nowhere", ""),
        ("an upload to a place that is no URL", "http://["),
        ("an upload into a file", "file:///tmp/x"),
        ("an upload to a place that drives terminals", "http://\u{9b}2J/"),
    ] {
        table.add(
            name,
            Verb::Push,
            upload(On::UploadStart, answer(202, "Location", location, b"")),
            refused(),
        );
    }
    table.add(
        "an upload to a foreign host",
        Verb::Push,
        Box::new(|stage| {
            nothing_there(stage);
            let location = format!("{}/v2/copy/blobs/uploads/x", stage.foreign.origin());
            stage.registry.fail_always(On::UploadStart, answer(202, "Location", &location, b""));
        }),
        refused(),
    );
    table.add(
        "an upload that goes on at a foreign host",
        Verb::Push,
        Box::new(|stage| {
            nothing_there(stage);
            let location = format!("{}/v2/copy/blobs/uploads/x", stage.foreign.origin());
            stage.registry.fail_always(On::UploadPatch, answer(202, "Location", &location, b""));
        }),
        refused(),
    );
    for (name, on, fault) in [
        ("an upload that hangs up", On::UploadData, Fault::Hangup),
        ("an upload that reads nothing more", On::UploadData, Fault::CutRequest(5)),
        ("an upload that never answers", On::UploadData, Fault::Delay(Duration::from_secs(20))),
        ("an upload to a broken server", On::UploadData, Fault::status(500)),
        ("an upload that is too large", On::UploadData, Fault::status(413)),
        ("an upload that is begun for ever", On::UploadStart, Fault::status(202)),
        ("an upload that was not wanted", On::UploadStart, Fault::status(403)),
        (
            "a page in place of an upload",
            On::UploadStart,
            answer(200, "Content-Type", "text/html", b"<html>"),
        ),
        (
            "a manifest stored under another digest",
            On::ManifestPut,
            answer(201, "Docker-Content-Digest", &Digest::of(b"x").to_string(), b""),
        ),
        ("a manifest that is refused", On::ManifestPut, Fault::status(400)),
        ("a manifest that is never taken", On::ManifestPut, Fault::Delay(Duration::from_secs(20))),
    ] {
        table.add(name, Verb::Push, upload(on, fault), refused());
    }
    table.push("a registry that only reads", On::UploadStart, Fault::status(405), ODD, "");
    table.add(
        "a tag that moves meanwhile",
        Verb::Pull,
        Box::new(|stage| {
            // What was resolved is pulled to the end, whatever the tag is by then.
            stage.registry.fail(
                On::Path("GET", "/manifests/1".to_owned()),
                Fault::Delay(Duration::from_millis(50)),
            );
            let other = varve_testkit::Image::seeded(8).build();
            stage.registry.push("app:1", other);
        }),
        End::Done,
    );
}
