//! Progress against recorded terminals.

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

use expect_test::{Expect, expect};
use varve_types::{Digest, Event, LayerState};

use super::{json, line, pace::Pace, terminal::Screen};

fn layer(state: LayerState) -> Event {
    Event::Layer { id: "1984b13ae96f".to_owned(), state }
}

fn events() -> Vec<Event> {
    vec![
        Event::PushingTo { repository: "127.0.0.1:5000/hw".to_owned() },
        layer(LayerState::Preparing),
        layer(LayerState::Pushing { done_bytes: 36_450, total_bytes: 3_001_000 }),
        layer(LayerState::Pushing { done_bytes: 36_451, total_bytes: 3_001_000 }),
        layer(LayerState::Pushing { done_bytes: 3_001_000, total_bytes: 3_001_000 }),
        layer(LayerState::MountedFrom { repository: "library/x\u{1b}[1m".to_owned() }),
        Event::Pushed { tag: "1".to_owned(), digest: Digest::of(b""), size: 526 },
        layer(LayerState::Retrying { seconds: 1 }),
    ]
}

#[track_caller]
fn on_terminal(width: usize, expected: Expect) {
    let mut screen = Screen::default();
    let shown: String = events().iter().filter_map(|event| screen.show(event, width)).collect();
    expected.assert_eq(&shown.replace('\u{1b}', "␛").replace('\r', "␍"));
}

#[test]
fn lines_are_redrawn_in_place() {
    on_terminal(
        80,
        expect![[r#"
            The push refers to repository [127.0.0.1:5000/hw]

            ␛[1A␛[2K␍1984b13ae96f: Preparing ␍␛[1B␛[1A␛[2K␍1984b13ae96f: Pushing  36.45kB/3.001MB␍␛[1B␛[1A␛[2K␍1984b13ae96f: Pushing  3.001MB/3.001MB␍␛[1B␛[1A␛[2K␍1984b13ae96f: Mounted from library/x\x1b[1m ␍␛[1B1: digest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 size: 526

            ␛[1A␛[2K␍1984b13ae96f: Retrying in 1 second ␍␛[1B"#]],
    );
}

#[test]
fn a_wide_terminal_has_a_bar() {
    on_terminal(
        120,
        expect![[r#"
            The push refers to repository [127.0.0.1:5000/hw]

            ␛[1A␛[2K␍1984b13ae96f: Preparing ␍␛[1B␛[1A␛[2K␍1984b13ae96f: Pushing [>                                                  ]  36.45kB/3.001MB␍␛[1B␛[1A␛[2K␍1984b13ae96f: Pushing [==================================================>]  3.001MB/3.001MB␍␛[1B␛[1A␛[2K␍1984b13ae96f: Mounted from library/x\x1b[1m ␍␛[1B1: digest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 size: 526

            ␛[1A␛[2K␍1984b13ae96f: Retrying in 1 second ␍␛[1B"#]],
    );
}

#[test]
fn a_narrow_terminal_cuts_lines() {
    on_terminal(
        20,
        expect![[r#"
            The push refers to repository [127.0.0.1:5000/hw]

            ␛[1A␛[2K␍1984b13ae96f: Prepa␍␛[1B␛[1A␛[2K␍1984b13ae96f: Pushi␍␛[1B␛[1A␛[2K␍1984b13ae96f: Pushi␍␛[1B␛[1A␛[2K␍1984b13ae96f: Mount␍␛[1B1: digest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 size: 526

            ␛[1A␛[2K␍1984b13ae96f: Retry␍␛[1B"#]],
    );
}

#[test]
fn plain_lines_are_dockers() {
    let lines: Vec<String> = events().iter().map(line::text).collect();
    expect![[r#"
        The push refers to repository [127.0.0.1:5000/hw]
        1984b13ae96f: Preparing
        1984b13ae96f: Pushing
        1984b13ae96f: Pushing
        1984b13ae96f: Pushing
        1984b13ae96f: Mounted from library/x\x1b[1m
        1: digest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 size: 526
        1984b13ae96f: Retrying in 1 second"#]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn json_is_one_object_a_line() {
    let lines: Vec<String> = events().iter().map(json::line).collect();
    expect![[r#"
        {"event":"pushing","repository":"127.0.0.1:5000/hw"}
        {"event":"layer","id":"1984b13ae96f","state":"Preparing"}
        {"event":"layer","id":"1984b13ae96f","state":"Pushing","done_bytes":36450,"total_bytes":3001000}
        {"event":"layer","id":"1984b13ae96f","state":"Pushing","done_bytes":36451,"total_bytes":3001000}
        {"event":"layer","id":"1984b13ae96f","state":"Pushing","done_bytes":3001000,"total_bytes":3001000}
        {"event":"layer","id":"1984b13ae96f","state":"Mounted","from":"library/x\u001b[1m"}
        {"event":"pushed","tag":"1","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size_bytes":526}
        {"event":"layer","id":"1984b13ae96f","state":"Retrying","seconds":1}"#]].assert_eq(&lines.join("\n"));
}

/// A layer of a gigabyte comes in eight thousand chunks; who reads JSON wants ten lines a second.
#[test]
fn counts_are_told_first_last_and_now_and_then() {
    let mut pace = Pace::default();
    let told = (1..=8000).filter(|done| pace.is_due("a", Some((*done, 8000)))).count();
    assert!((2..100).contains(&told), "{told}");
    assert!(pace.is_due("b", Some((1, 8000))), "another layer has its own pace");
    assert!(!pace.is_due("b", Some((2, 8000))));
    assert!(pace.is_due("b", None) && pace.is_due("b", Some((3, 8000))), "a new state begins anew");
}
