//! Who we are: challenges, tokens, realms, redirects, and registries that ask for patience.

use std::time::Duration;

use varve_testkit::{Fault, On, Registry};
use varve_types::Kind;

use super::{AWAY, Table, answer, header};
use crate::stage::{End, Poison, Stage, Verb};

const NOBODY: &[Kind] = &[Kind::Unauthorized, Kind::Denied];
const ODD: &[Kind] = &[
    Kind::Unauthorized,
    Kind::Denied,
    Kind::Invalid,
    Kind::Unavailable,
    Kind::Corrupt,
    Kind::Unsupported,
    Kind::Exhausted,
];

fn challenge(text: &str) -> Fault {
    answer(401, "WWW-Authenticate", text, b"")
}

/// Something that needs the addresses of the stage.
fn staged(make: impl Fn(&Stage) -> (On, Fault) + 'static) -> Poison {
    Box::new(move |stage| {
        let (on, fault) = make(stage);
        stage.registry.fail_always(on, fault);
    })
}

fn own_realm(stage: &Stage) -> Fault {
    challenge(&format!("Bearer realm=\"{}/token\",service=\"x\"", stage.registry.origin()))
}

/// Where a registry sends us, and how that ends.
fn sent(
    table: &mut Table,
    name: &str,
    on: On,
    to: impl Fn(&Registry) -> String + 'static,
    end: End,
) {
    table.add(
        name,
        Verb::Pull,
        staged(move |stage| (on.clone(), answer(307, "Location", &to(&stage.foreign), b""))),
        end,
    );
}

pub(super) fn add(table: &mut Table) {
    table.add(
        "every token is refused",
        Verb::Pull,
        staged(|stage| (On::Manifest, own_realm(stage))),
        End::Refused(NOBODY, String::new()),
    );
    table.add(
        "every token for a layer is refused",
        Verb::Pull,
        staged(|stage| (On::Blob, own_realm(stage))),
        End::Refused(NOBODY, String::new()),
    );
    table.pull(
        "basic is wanted again and again",
        On::Manifest,
        challenge("Basic realm=\"x\""),
        NOBODY,
        "",
    );
    for (name, text) in [
        ("a challenge of a scheme that nobody knows", "Negotiate"),
        ("a challenge without a realm", "Bearer service=\"x\""),
        ("a challenge of nothing", ""),
        ("a challenge whose quotes do not end", "Bearer realm=\"http://x"),
        ("a realm that is no URL", "Bearer realm=\"::::\""),
        ("a realm that is a file", "Bearer realm=\"file:///etc/passwd\""),
        ("a realm that drives terminals", "Bearer realm=\"http://\u{9b}2J/\""),
        ("a realm that is a relative path", "Bearer realm=\"/token\""),
    ] {
        table.pull(name, On::Manifest, challenge(text), ODD, "");
    }
    let long = format!("Bearer realm=\"http://127.0.0.1/{}\"", "a".repeat(60_000));
    table.pull("a challenge of 60,000 characters", On::Manifest, challenge(&long), ODD, "");
    table.add(
        "a realm on a foreign host",
        Verb::Pull,
        staged(|stage| {
            (
                On::Manifest,
                challenge(&format!(
                    "Bearer realm=\"{}/token\",service=\"x\"",
                    stage.foreign.origin()
                )),
            )
        }),
        End::Refused(ODD, String::new()),
    );
    for (name, fault) in [
        ("tokens that are no JSON", Fault::Respond(200, Vec::new(), b"<html>".to_vec())),
        ("tokens that are empty", Fault::Respond(200, Vec::new(), br#"{"token":""}"#.to_vec())),
        (
            "tokens with a line feed",
            Fault::Respond(200, Vec::new(), br#"{"token":"a\r\nX-Evil: 1"}"#.to_vec()),
        ),
        ("tokens without end", Fault::Endless),
        ("tokens that never come", Fault::Delay(Duration::from_secs(20))),
        (
            "tokens refused by a page",
            answer(403, "Content-Type", "text/html", &vec![b'x'; 2 << 20]),
        ),
        ("tokens from a broken server", Fault::status(500)),
    ] {
        table.pull(name, On::Token, fault, ODD, "");
    }
    table.add(
        "tokens from a foreign host",
        Verb::Pull,
        staged(|stage| {
            (On::Token, answer(307, "Location", &format!("{}/token", stage.foreign.origin()), b""))
        }),
        End::Refused(
            &[
                Kind::Unauthorized,
                Kind::Denied,
                Kind::Invalid,
                Kind::Unavailable,
                Kind::NotFound,
                Kind::Corrupt,
            ],
            String::new(),
        ),
    );
    redirects(table);
    patience(table);
}

fn redirects(table: &mut Table) {
    let odd = || {
        End::Refused(
            &[
                Kind::Invalid,
                Kind::Unavailable,
                Kind::Denied,
                Kind::NotFound,
                Kind::Unsupported,
                Kind::Unauthorized,
            ],
            String::new(),
        )
    };
    table.add(
        "content on a foreign host",
        Verb::Pull,
        Box::new(|stage| {
            stage.foreign.push("app:1", stage.built.clone());
            stage
                .registry
                .fail_always(On::Blob, Fault::Redirect(stage.foreign.origin().to_owned()));
        }),
        End::Done,
    );
    table.add(
        "a foreign host that wants to know who we are",
        Verb::Pull,
        Box::new(|stage| {
            stage.foreign.fail_always(On::Any, challenge("Basic realm=\"tell me\""));
            stage
                .registry
                .fail_always(On::Blob, Fault::Redirect(stage.foreign.origin().to_owned()));
        }),
        odd(),
    );
    table.add(
        "a foreign host that sends us back",
        Verb::Pull,
        Box::new(|stage| {
            stage.foreign.fail_always(On::Any, Fault::Redirect(stage.registry.origin().to_owned()));
            stage
                .registry
                .fail_always(On::Manifest, Fault::Redirect(stage.foreign.origin().to_owned()));
        }),
        odd(),
    );
    table.add(
        "redirects in a circle",
        Verb::Pull,
        super::always(On::Manifest, Fault::RedirectLoop),
        odd(),
    );
    table.pull(
        "a redirect to nowhere",
        On::Manifest,
        Fault::status(307),
        &[Kind::Invalid, Kind::Unavailable, Kind::Corrupt],
        "",
    );
    let on = || On::Manifest;
    sent(table, "a redirect into a file", on(), |_| "file:///etc/passwd".to_owned(), odd());
    sent(
        table,
        "a redirect to another protocol",
        on(),
        |_| "gopher://127.0.0.1/".to_owned(),
        odd(),
    );
    sent(
        table,
        "a redirect with a password in it",
        on(),
        |foreign| format!("http://alice:secret@{}/v2/", foreign.host()),
        odd(),
    );
    sent(table, "a redirect that drives terminals", on(), |_| "http://\u{9b}2J/".to_owned(), odd());
    sent(
        table,
        "a redirect of 60,000 characters",
        on(),
        |foreign| format!("{}/{}", foreign.origin(), "a".repeat(60_000)),
        odd(),
    );
    sent(
        table,
        "a redirect to a port that is none",
        on(),
        |_| "http://127.0.0.1:99999/".to_owned(),
        odd(),
    );
    sent(
        table,
        "a redirect to a port where nobody is",
        On::Blob,
        |_| "http://127.0.0.1:1/".to_owned(),
        odd(),
    );
}

fn patience(table: &mut Table) {
    for value in [
        "",
        "0",
        "-5",
        "1000000000000",
        "99999999999999999999999",
        "soon",
        "Sun, 01 Jan 2100 00:00:00 GMT",
        "1e9",
        "\u{9b}2J",
    ] {
        let fault = Fault::Respond(429, vec![header("Retry-After", value)], Vec::new());
        table.pull(
            &format!("429, and to come back after {value:?}"),
            On::Manifest,
            fault,
            AWAY,
            "",
        );
    }
    table.pull("429 for each layer", On::Blob, Fault::too_many_requests(3_600), AWAY, "");
    table.pull("503 for ever", On::Any, Fault::status(503), AWAY, "");
}
