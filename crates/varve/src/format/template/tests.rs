//! Templates against what Go and Docker print.

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

use std::rc::Rc;

use expect_test::{Expect, expect};

use super::{Escape, Field, Row, Template, Value};

#[derive(Debug)]
struct Image;

impl Row for Image {
    fn go_type(&self) -> &'static str {
        "*formatter.imageContext"
    }

    fn names(&self) -> &'static [&'static str] {
        &["Digest", "ID", "Repository", "Tag"]
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Digest" => Some(Value::text("<none>")),
            "ID" => Some(Value::text("fbe3b1ec3e5c")),
            "Repository" => Some(Value::foreign("127.0.0.1:5000/library/debian")),
            "Tag" => Some(Value::foreign("book\u{1b}[31m\nworm")),
            _ => None,
        }
    }
}

fn config() -> Value {
    let texts = |texts: &[&str]| Value::list(texts.iter().map(|&t| Value::foreign(t)).collect());
    Value::structure(
        "image.InspectResponse",
        vec![
            Field::new("ID", "Id", Value::text("sha256:2b5c865de752")),
            Field::plain("Cmd", texts(&["sh", "-c"])),
            Field::plain("Env", Value::list_or_nil(None)),
            Field::plain("Labels", Value::map_or_nil(None, Value::text(""))),
            Field::omit_empty("Author", "Author", Value::text("")),
            Field::plain("Size", Value::Int(42)),
            Field::plain(
                "Deep",
                Value::structure("x.Y", vec![Field::plain("On", Value::Bool(true))]),
            ),
        ],
    )
}

#[track_caller]
fn check_on(dot: &Value, source: &str, expected: Expect) {
    let shown = Template::parse(source).and_then(|template| template.run(dot, Escape::Lines));
    expected.assert_eq(&shown.unwrap_or_else(|error| format!("error: {error}")));
}

#[track_caller]
fn row(source: &str, expected: Expect) {
    check_on(&Value::Row(Rc::new(Image)), source, expected);
}

#[track_caller]
fn value(source: &str, expected: Expect) {
    check_on(&config(), source, expected);
}

#[test]
fn dockers_functions_are_there() {
    row(
        "{{upper .Repository}} {{lower .ID}} {{title .ID}}",
        expect!["127.0.0.1:5000/LIBRARY/DEBIAN fbe3b1ec3e5c Fbe3b1ec3e5c"],
    );
    row(r#"{{join (split .Repository "/") "+"}}"#, expect!["127.0.0.1:5000+library+debian"]);
    row("{{truncate .ID 6}}|{{pad .ID 1 2}}|", expect!["fbe3b1| fbe3b1ec3e5c  |"]);
    row(
        r#"{{range $k := split .Repository "/"}}[{{$k}}]{{end}}"#,
        expect!["[127.0.0.1:5000][library][debian]"],
    );
    row(r#"{{index (split .Repository "/") 0}}"#, expect!["127.0.0.1:5000"]);
    row(
        "{{json .Digest}} {{json .}}",
        expect![[
            r#""<none>" {"Digest":"\u003cnone\u003e","ID":"fbe3b1ec3e5c","Repository":"127.0.0.1:5000/library/debian","Tag":"book\u001b[31m\nworm"}"#
        ]],
    );
    row(
        "{{println .ID}}",
        expect![[r#"
        fbe3b1ec3e5c
    "#]],
    );
    row(
        r#"{{printf "%-15s|%.3s|%q|%5d|%05d|%x|%v" .ID .ID .ID 42 -42 "hi" true}}"#,
        expect![[r#"fbe3b1ec3e5c   |fbe|"fbe3b1ec3e5c"|   42|-0042|6869|true"#]],
    );
    row(
        r#"{{printf "%d %s" "x"}} {{printf "a" 1}}"#,
        expect!["%!d(string=x) %!s(MISSING) a%!(EXTRA int=1)"],
    );
}

#[test]
fn gos_functions_are_there() {
    row(r#"{{if eq .Digest "a" "<none>"}}yes{{else}}no{{end}}"#, expect!["yes"]);
    row("{{and 1 0 2}} {{or 0 3}} {{not 1}} {{len .ID}}", expect!["0 3 false 12"]);
    row(
        r#"{{slice .ID 2 4}} {{html "<a&b>"}} {{urlquery "a b&c"}} {{js "a'b"}}"#,
        expect![[r#"e3 &lt;a&amp;b&gt; a+b%26c a\'b"#]],
    );
    row(
        r#"{{print 1 2 "a" 3 4.5}} {{lt 1 2}} {{ge "b" "a"}} {{ne 1 1}}"#,
        expect!["1 2a3 4.5 true true false"],
    );
    row(
        "{{.ID | truncate 3}}",
        expect![[
            r#"error: template: :1:8: executing "" at <truncate>: wrong type for value; expected int; got string"#
        ]],
    );
    row(r#"{{"x" | printf "%s-%s" "y"}}"#, expect!["y-x"]);
}

#[test]
fn blocks_variables_and_trimming_work() {
    row("a {{- /* note */ -}} b {{- .ID -}} c", expect!["abfbe3b1ec3e5cc"]);
    row(r#"{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}"#, expect!["2"]);
    row(
        r#"{{define "t"}}<{{.}}>{{end}}{{template "t" .ID}}{{block "b" .}}{{.ID}}{{end}}"#,
        expect!["<fbe3b1ec3e5c>fbe3b1ec3e5c"],
    );
    row(
        "{{with .Nothing}}{{end}}",
        expect![[
            r#"error: template: :1:7: executing "" at <.Nothing>: can't evaluate field Nothing in type *formatter.imageContext"#
        ]],
    );
    row("{{with $y := .ID}}{{$y}}{{else}}-{{end}}", expect!["fbe3b1ec3e5c"]);
    row(
        r#"{{range $i, $e := split "a,b,c" ","}}{{if eq $i 1}}{{continue}}{{end}}{{$i}}{{$e}}{{end}}"#,
        expect!["0a2c"],
    );
    row(r#"{{range split "a,b" "," }}{{.}}{{break}}{{end}}"#, expect!["a"]);
    row("{{if false}}1{{else if true}}2{{else}}3{{end}}", expect!["2"]);
    row(
        "{{(index (split .Repository \":\") 1) | upper}} {{$.ID}}",
        expect!["5000/LIBRARY/DEBIAN fbe3b1ec3e5c"],
    );
}

#[test]
fn values_print_as_in_go() {
    value(
        "{{.Cmd}} {{.Env}} {{.Labels}} {{.Deep}} {{.Size}}",
        expect!["[sh -c] [] map[] {true} 42"],
    );
    value(
        "{{json .}}",
        expect![[
            r#"{"Id":"sha256:2b5c865de752","Cmd":["sh","-c"],"Env":null,"Labels":null,"Size":42,"Deep":{"On":true}}"#
        ]],
    );
    value("{{.Labels.foo}} {{index .Labels \"foo\"}}.", expect!["<no value> ."]);
    value("{{.Deep.On}} {{len .Env}} {{range .Env}}x{{else}}none{{end}}", expect!["true 0 none"]);
}

#[test]
fn wrong_templates_are_refused_in_gos_words() {
    row("{{.Repository", expect!["error: template: :1: unclosed action"]);
    row("{{nosuch .ID}}", expect![[r#"error: template: :1: function "nosuch" not defined"#]]);
    row("{{if}}", expect!["error: template: :1: missing value for if"]);
    row("{{if true}}", expect!["error: template: :1: unexpected EOF"]);
    row("{{end}}", expect!["error: template: :1: unexpected {{end}}"]);
    row("{{$x}}", expect![[r#"error: template: :1: undefined variable "$x""#]]);
    row("{{\"abc}}", expect!["error: template: :1: unterminated quoted string"]);
    row("{{.ID | 5}}", expect!["error: template: :1: non executable command in pipeline stage 2"]);
    row("{{(.ID}}", expect!["error: template: :1: unclosed left paren"]);
    row("{{.ID)}}", expect!["error: template: :1: unexpected right paren"]);
    row("{{}}", expect!["error: template: :1: missing value for command"]);
    row("{{#}}", expect!["error: template: :1: unrecognized character in action: U+0023 '#'"]);
    row("{{range .ID}}", expect!["error: template: :1: unexpected EOF"]);
    row("x\n{{else}}", expect!["error: template: :2: unexpected {{else}}"]);
    row("{{break}}", expect!["error: template: :1: {{break}} outside {{range}}"]);
    row("{{.ID}", expect!["error: template: :1: bad character U+007D '}'"]);
}

#[test]
fn failing_templates_fail_in_gos_words() {
    row(
        "{{.Nope}}",
        expect![[
            r#"error: template: :1:2: executing "" at <.Nope>: can't evaluate field Nope in type *formatter.imageContext"#
        ]],
    );
    row(
        "a\n  {{.ID}} {{.Nope.More}}",
        expect![[
            r#"error: template: :2:17: executing "" at <.Nope.More>: can't evaluate field Nope in type *formatter.imageContext"#
        ]],
    );
    value(
        "{{index .Cmd 5}}",
        expect![[
            r#"error: template: :1:2: executing "" at <index .Cmd 5>: error calling index: index out of range: 5"#
        ]],
    );
    value(
        "{{.Deep.Nope}}",
        expect![[
            r#"error: template: :1:7: executing "" at <.Deep.Nope>: can't evaluate field Nope in type x.Y"#
        ]],
    );
    value(
        "{{upper .Size}}",
        expect![[
            r#"error: template: :1:2: executing "" at <upper>: wrong type for value; expected string; got int"#
        ]],
    );
    value(
        "{{upper}}",
        expect![[
            r#"error: template: :1:2: executing "" at <upper>: wrong number of args for upper: want 1 got 0"#
        ]],
    );
    value(
        "{{eq .Size \"a\"}}",
        expect![[
            r#"error: template: :1:2: executing "" at <eq .Size "a">: error calling eq: incompatible types for comparison"#
        ]],
    );
    value(
        "{{template \"t\"}}",
        expect![[
            r#"error: template: :1:2: executing "" at <{{template "t"}}>: template "t" not defined"#
        ]],
    );
    value(
        "{{range .Size}}{{.Nope}}{{end}}",
        expect![[
            r#"error: template: :1:17: executing "" at <.Nope>: can't evaluate field Nope in type int"#
        ]],
    );
    value(
        "{{.ID 5}}",
        expect![[
            r#"error: template: :1:2: executing "" at <.ID>: ID has arguments but cannot be invoked as function"#
        ]],
    );
    value(
        "{{define \"t\"}}{{template \"t\"}}{{end}}{{template \"t\"}}",
        expect![[
            r#"error: template: :1:16: executing "t" at <{{template "t"}}>: exceeded maximum template depth (500)"#
        ]],
    );
}

#[test]
fn raw_json_has_no_missing_keys() {
    let map =
        [("Config".to_owned(), Value::any_map([].into())), ("Null".to_owned(), Value::Missing)];
    let raw = Value::any_map(map.into());
    let shown = |source: &str| {
        let result = Template::parse(source).and_then(|t| t.run_raw(&raw, Escape::Lines));
        result.unwrap_or_else(|error| format!("error: {error}"))
    };
    assert_eq!(
        shown("{{.Config.nope}}"),
        "error: template: :1:9: executing \"\" at <.Config.nope>: map has no entry for key \"nope\""
    );
    assert_eq!(
        shown("{{.Nope}}"),
        "error: template: :1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\""
    );
    assert_eq!(shown("{{.Null}}"), "<no value>");
}

#[test]
fn foreign_texts_cannot_drive_the_terminal() {
    row(
        "{{.Tag}} {{json .Tag}} {{upper .Tag}} {{\"\x1b[1m\"}}",
        expect![[r#"
        book\x1b[31m
        worm "book\u001b[31m\nworm" BOOK\x1b[31M
        WORM [1m"#]],
    );
    let cell = Template::parse("{{.Tag}}").unwrap();
    assert_eq!(
        cell.run(&Value::Row(Rc::new(Image)), Escape::Cell).unwrap(),
        "book\\x1b[31m\\nworm"
    );
}
