//! What is shown of builds, event by event.

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

use std::time::Duration;

use expect_test::{Expect, expect};
use jiff::Timestamp;
use varve_engine::build::{BuildEvent, Step, StepId, Stream};

use super::{Colours, Form, Picture};

/// Something that happens, at a millisecond.
enum Act {
    Start(u64, &'static str),
    Status(u64, &'static str, Option<u64>, Option<u64>, bool),
    Log(u64, &'static [u8]),
    Warn(u64, &'static str),
    Done(u64, bool),
    Fail(u64, &'static str),
    Cancel(u64),
    /// What is shown is brought up to date.
    Tick,
}

use Act::{Cancel, Done, Fail, Log, Start, Status, Tick, Warn};

fn shown(form: &Form, size: (usize, usize), acts: &[(u64, Act)]) -> String {
    let mut out = Vec::new();
    let mut picture = Picture::new(form, Timestamp::UNIX_EPOCH, &mut out);
    let mut last = Duration::ZERO;
    for (at, act) in acts {
        let now = Duration::from_millis(*at);
        last = now;
        let step;
        let event = match act {
            Start(id, name) => {
                step = Step { id: StepId(*id), name: (*name).to_owned() };
                BuildEvent::Started(&step)
            }
            Status(id, name, current_bytes, total_bytes, done) => BuildEvent::Status {
                id: StepId(*id),
                name,
                current_bytes: *current_bytes,
                total_bytes: *total_bytes,
                done: *done,
            },
            Log(id, bytes) => BuildEvent::Log { id: StepId(*id), stream: Stream::Output, bytes },
            Warn(id, text) => BuildEvent::Warning { id: StepId(*id), text },
            Done(id, cached) => BuildEvent::Done { id: StepId(*id), cached: *cached },
            Fail(id, text) => BuildEvent::Failed { id: StepId(*id), text },
            Cancel(id) => BuildEvent::Canceled { id: StepId(*id) },
            Tick => {
                picture.refresh(now, size, &mut out);
                continue;
            }
        };
        picture.take(&event, now, &mut out);
    }
    picture.finish(last, size, &mut out);
    String::from_utf8_lossy(&out).replace('\u{1b}', "␛").replace('\r', "␍")
}

#[track_caller]
fn plain(acts: &[(u64, Act)], expected: Expect) {
    expected.assert_eq(&shown(&Form::Plain, (80, 24), acts));
}

#[test]
fn plain_steps_are_numbered_as_they_appear_and_tell_of_their_parts() {
    plain(
        &[
            (0, Start(7, "[internal] load build definition from Dockerfile")),
            (1, Status(7, "transferring dockerfile:", Some(875), None, true)),
            (2, Warn(7, "StageNameCasing: Stage name 'B' should be lowercase (line 1)")),
            (3, Done(7, false)),
            (4, Start(9, "[internal] load metadata for docker.io/library/busybox:1.36.0")),
            (40, Done(9, false)),
            (50, Start(3, "[internal] load build context")),
            (51, Status(3, "transferring context:", Some(1_240_000), None, false)),
            (100, Tick),
            (151, Status(3, "transferring context:", Some(3_580_000), None, true)),
            (152, Done(3, false)),
            (160, Start(4, "[1/2] WORKDIR /app")),
            (161, Done(4, true)),
        ],
        expect![[r#"
            #0 building with "default" instance using varve driver

            #1 [internal] load build definition from Dockerfile
            #1 transferring dockerfile: 875B done
            #1 WARN: StageNameCasing: Stage name 'B' should be lowercase (line 1)
            #1 DONE 0.0s

            #2 [internal] load metadata for docker.io/library/busybox:1.36.0
            #2 DONE 0.0s

            #3 [internal] load build context
            #3 transferring context: 1.24MB 0.0s
            #3 transferring context: 3.58MB 0.1s done
            #3 DONE 0.1s

            #4 [1/2] WORKDIR /app
            #4 CACHED
        "#]],
    );
}

#[test]
fn plain_output_is_split_at_lines_and_passed_on_as_it_is() {
    plain(
        &[
            (0, Start(1, "[2/2] RUN make")),
            (248, Log(1, b"one\ntw")),
            (300, Tick),
            (400, Log(1, b"o\n\xff\x1b[31mred\x1b[0m\n")),
            (12_340, Log(1, b"late\n")),
            (123_400, Log(1, b"no end")),
            (123_500, Done(1, false)),
        ],
        expect![[r#"
            #0 building with "default" instance using varve driver

            #1 [2/2] RUN make
            #1 0.248 one
            #1 0.248 two
            #1 0.400 �␛[31mred␛[0m
            #1 12.34 late
            #1 123.4 no end
            #1 DONE 123.5s
        "#]],
    );
}

#[test]
fn plain_steps_that_interleave_get_their_headers_again() {
    plain(
        &[
            (0, Start(1, "[a 1/1] RUN a")),
            (10, Log(1, b"a1\n")),
            (100, Tick),
            (110, Start(2, "[b 1/1] RUN b")),
            (120, Log(2, b"b1\n")),
            (200, Tick),
            (300, Done(2, false)),
            (310, Tick),
            (6000, Log(1, b"a2\n")),
            (6100, Done(1, false)),
        ],
        expect![[r#"
            #0 building with "default" instance using varve driver

            #1 [a 1/1] RUN a
            #1 0.010 a1
            #1 ...

            #2 [b 1/1] RUN b
            #2 0.010 b1
            #2 DONE 0.2s

            #1 [a 1/1] RUN a
            #1 6.000 a2
            #1 DONE 6.1s
        "#]],
    );
}

#[test]
fn plain_failures_are_shown_again_at_the_end_with_their_last_lines() {
    plain(
        &[
            (0, Start(1, "[2/3] RUN x")),
            (0, Start(2, "[other 2/2] RUN y")),
            (231, Log(1, b"1\n2\n3\n4\n5\n6\n7\n8\n9\n10\nbefore\n")),
            (233, Log(1, b"err\n")),
            (240, Fail(1, "process \"x\" did not complete successfully: exit code: 7")),
            (241, Cancel(2)),
        ],
        expect![[r#"
            #0 building with "default" instance using varve driver

            #1 [2/3] RUN x
            #1 0.231 1
            #1 0.231 2
            #1 0.231 3
            #1 0.231 4
            #1 0.231 5
            #1 0.231 6
            #1 0.231 7
            #1 0.231 8
            #1 0.231 9
            #1 0.231 10
            #1 0.231 before
            #1 0.233 err
            #1 ERROR: process "x" did not complete successfully: exit code: 7

            #2 [other 2/2] RUN y
            #2 CANCELED
            ------
             > [2/3] RUN x:
            0.231 3
            0.231 4
            0.231 5
            0.231 6
            0.231 7
            0.231 8
            0.231 9
            0.231 10
            0.231 before
            0.233 err
            ------
        "#]],
    );
}

#[test]
fn names_of_steps_cannot_move_the_cursor() {
    plain(
        &[(0, Start(1, "RUN echo \u{1b}[2J")), (1, Done(1, false))],
        expect![[r#"
            #0 building with "default" instance using varve driver

            #1 RUN echo \x1b[2J
            #1 DONE 0.0s
        "#]],
    );
}

#[test]
fn a_tree_is_drawn_in_place_as_wide_as_the_terminal() {
    let form = Form::Tty(Colours::new(None, false));
    let acts = [
        (0, Tick),
        (20, Start(1, "[internal] load build definition from Dockerfile")),
        (30, Status(1, "transferring dockerfile:", Some(875), None, true)),
        (31, Done(1, false)),
        (40, Start(2, "[2/2] RUN make")),
        (50, Log(2, b"\x1b[1mcompiling\x1b[0m\rcompiled\n\nlinking\n")),
        (100, Tick),
        (1500, Done(2, false)),
    ];
    let expected = expect![[r#"
        ␛[1A␛[1B␛[0G␛[?25l[+] Building 0.0s (0/0)                                           varve:default
        ␛[?25h␛[1A␛[0G␛[?25l[+] Building 0.1s (1/2)                                           varve:default
        ␛[34m => [internal] load build definition from Dockerfile                       0.0s
        ␛[0m␛[34m => => transferring dockerfile: 875B                                       0.0s
        ␛[0m => [2/2] RUN make                                                         0.1s
        ␛[2m => => # compiled
        ␛[0m␛[2m => => # linking
        ␛[0m␛[?25h␛[1A␛[1A␛[1A␛[1A␛[1A␛[1A␛[0G␛[?25l[+] Building 1.5s (2/2) FINISHED                                  varve:default
        ␛[34m => [internal] load build definition from Dockerfile                       0.0s
        ␛[0m␛[34m => => transferring dockerfile: 875B                                       0.0s
        ␛[0m␛[34m => [2/2] RUN make                                                         1.5s
        ␛[0m                                                                                
                                                                                        
        ␛[1A␛[1A␛[0G␛[?25h"#]];
    expected.assert_eq(&shown(&form, (80, 24), &acts));
}

#[test]
fn a_small_terminal_shows_what_runs() {
    let form = Form::Tty(Colours::new(None, true));
    let mut acts = vec![(0, Start(0, "runs"))];
    for id in 1..9 {
        acts.push((id, Start(id, "ends")));
        acts.push((id, Done(id, true)));
    }
    acts.push((10, Tick));
    let text = shown(&form, (40, 6), &acts);
    let first = text.split("␛[?25h").next().unwrap();
    assert_eq!(first.matches(" => ").count(), 4, "{first}");
    assert!(first.contains(" => runs "), "{first}");
}

#[test]
fn colours_are_the_users() {
    let form = Form::Tty(Colours::new(Some("run=green:error=1,2,3:bogus"), false));
    let acts =
        [(0, Start(1, "a long name")), (1, Fail(1, "x")), (1, Start(2, "b")), (2, Done(2, false))];
    let text = shown(&form, (60, 24), &acts);
    assert!(text.contains("␛[38;2;1;2;3m => ERROR a long name"), "{text}");
    assert!(text.contains("␛[32m => b"), "{text}");
}

#[test]
fn machines_get_one_object_a_line() {
    let acts = [
        (0, Start(1, "[1/1] RUN x")),
        (5, Status(1, "extracting", Some(5), Some(10), false)),
        (1500, Log(1, b"hello\n")),
        (1501, Log(1, b"\xff")),
        (1502, Warn(1, "careful")),
        (1503, Done(1, true)),
        (1504, Cancel(1)),
        (1505, Fail(1, "no")),
    ];
    let expected = expect![[r#"
        {"event":"started","step":1,"seconds":0.0,"name":"[1/1] RUN x"}
        {"event":"status","step":1,"seconds":0.005,"name":"extracting","current_bytes":5,"total_bytes":10,"done":false}
        {"event":"log","step":1,"seconds":1.5,"stream":"stdout","text":"hello\n"}
        {"event":"log","step":1,"seconds":1.501,"stream":"stdout","base64":"/w=="}
        {"event":"warning","step":1,"seconds":1.502,"text":"careful"}
        {"event":"done","step":1,"seconds":1.503,"cached":true}
        {"event":"canceled","step":1,"seconds":1.504}
        {"event":"failed","step":1,"seconds":1.505,"text":"no"}
    "#]];
    expected.assert_eq(&shown(&Form::Json, (80, 24), &acts));
}

#[test]
fn raw_documents_have_the_shape_of_dockers_builder() {
    let acts = [
        (0, Start(1, "x")),
        (5, Status(1, "part", Some(5), None, true)),
        (6, Log(1, b"hi")),
        (7, Done(1, true)),
    ];
    let text = shown(&Form::RawJson, (80, 24), &acts);
    let mut documents = serde_json::Deserializer::from_str(&text).into_iter::<serde_json::Value>();
    let mut next = || documents.next().unwrap().unwrap();
    let started = next();
    let vertex = &started["vertexes"][0];
    assert_eq!(vertex["name"], "x");
    assert_eq!(vertex["started"], "1970-01-01T00:00:00Z");
    let status = next();
    assert_eq!(status["statuses"][0]["id"], "part");
    assert_eq!(status["statuses"][0]["vertex"], vertex["digest"]);
    assert_eq!(status["statuses"][0]["completed"], "1970-01-01T00:00:00.005Z");
    assert_eq!(next()["logs"][0]["data"], "aGk=");
    assert_eq!(next()["vertexes"][0]["cached"], true);
}

#[test]
fn quiet_builds_show_nothing() {
    assert_eq!(shown(&Form::Quiet, (80, 24), &[(0, Start(1, "x")), (1, Fail(1, "y"))]), "");
}
