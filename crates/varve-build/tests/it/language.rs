//! Lines and instructions: what is read, where it is, and what is refused.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use varve_build::{
    Dockerfile, Lint, Source,
    instruction::Command,
    parse::{Arguments, Node, parse},
};

#[track_caller]
fn check(text: impl AsRef<[u8]>, expected: Expect) {
    let mut shown = String::new();
    match parse(text.as_ref()) {
        Ok(nodes) => {
            for node in &nodes.nodes {
                show(node, &mut shown);
            }
        }
        Err(error) => {
            let at = error.at.first().map_or(0, |lines| lines.first);
            let _ = writeln!(shown, "{at}: error: {error}");
        }
    }
    expected.assert_eq(&shown);
}

fn show(node: &Node, shown: &mut String) {
    let _ = write!(shown, "{}-{}: {}", node.lines.first, node.lines.last, node.name);
    if !node.flags.is_empty() {
        let _ = write!(shown, " {:?}", node.flags);
    }
    match &node.arguments {
        Arguments::List(words) if node.json => {
            let _ = write!(shown, " json {words:?}");
        }
        Arguments::List(words) => {
            let _ = write!(shown, " {words:?}");
        }
        Arguments::Pairs(pairs) => {
            for pair in pairs {
                let sign = if pair.delimited { "=" } else { " " };
                let _ = write!(shown, " [{}]{sign}[{}]", pair.key, pair.value);
            }
        }
        Arguments::Nested(nested) => {
            let _ = write!(shown, " > ");
            show(nested, shown);
            shown.pop();
        }
    }
    for heredoc in &node.heredocs {
        let _ = write!(shown, " <<{} {} {:?}", heredoc.name, heredoc.expand, heredoc.text());
    }
    shown.push('\n');
}

#[test]
fn lines_go_on_past_comments_and_empty_lines() {
    check(
        "FROM a\n\nRUN a \\\n  # comment\n\n  b \\  \n\tc\nRUN d \\\\\nRUN e\\",
        expect![[r#"
            1-1: FROM ["a"]
            3-7: RUN ["a   b \tc"]
            8-8: RUN ["d \\\\"]
            9-9: RUN ["e"]
        "#]],
    );
}

#[test]
fn marks_of_bytes_and_carriage_returns_do_not_count() {
    check(
        b"\xef\xbb\xbf# escape=`\r\nFROM a\r\nRUN b `\r\n c\r\n",
        expect![[r#"
            2-2: FROM ["a"]
            3-4: RUN ["b  c"]
        "#]],
    );
}

#[test]
fn directives_stand_first_and_once() {
    let of = |text: &str| parse(text.as_bytes()).unwrap().directives;
    let found =
        of("#syntax=docker/dockerfile:1\n# Check = skip=all;error=true\n# escape = `\nFROM a\n");
    assert_eq!(found.syntax.unwrap().value, "docker/dockerfile:1");
    let check_directive = found.check.unwrap();
    assert_eq!(
        (check_directive.value.as_str(), check_directive.lines.first),
        ("skip=all;error=true", 2)
    );
    assert_eq!(found.escape, Some('`'));
    assert_eq!(of("# text\n# escape=`\nFROM a\n").escape, None);
    assert_eq!(of("\n# escape=`\nFROM a\n").escape, None);
    assert_eq!(of("# other=x\n# escape=`\nFROM a\n").escape, None);
    assert!(of("#!/usr/bin/x\n# syntax=y\nFROM a\n").syntax.is_some());
    check(
        "# escape=`\n# escape=\\\nFROM a",
        expect!["2: error: only one escape parser directive can be used\n"],
    );
    check(
        "# escape=x\nFROM a",
        expect!["1: error: invalid escape token 'x' does not match ` or \\\n"],
    );
}

#[test]
fn here_documents_end_at_their_words() {
    check(
        "FROM a\nRUN <<A <<-\"B\" cat\n$x\n\tA\nA\n\tb\n\tB\nCOPY 3<<'f' /x\n # no comment \\\nf\nRUN [\"<<EOF\"]\nCMD <<EOF\n",
        expect![[r#"
            1-1: FROM ["a"]
            2-7: RUN ["<<A <<-\"B\" cat"] <<A true "$x\n\tA\n" <<B false "b\n"
            8-10: COPY ["3<<'f'", "/x"] <<f false " # no comment \\\n"
            11-11: RUN json ["<<EOF"]
            12-12: CMD ["<<EOF"]
        "#]],
    );
    check(
        "FROM a\nONBUILD RUN <<EOF\nx\nEOF\n",
        expect![[r#"
            1-1: FROM ["a"]
            2-4: ONBUILD > 2-2: RUN ["<<EOF"] <<EOF true "x\n"
        "#]],
    );
    check("FROM a\nRUN <<EOF\nx\n", expect!["2: error: unterminated heredoc\n"]);
    check(b"FROM a\nRUN <<E\n\xff\nE\n", expect!["2: error: heredoc is not UTF-8 text\n"]);
    check(
        "FROM a\nRUN cat <<<x\n",
        expect![[r#"
        1-1: FROM ["a"]
        2-2: RUN ["cat <<<x"]
    "#]],
    );
}

#[test]
fn flags_come_before_the_words() {
    check(
        "FROM --platform=\"a b\" x\nCOPY --from=a  --link -- --x y\nRUN --mount=type=bind,target=/a\\ b echo --no\n",
        expect![[r#"
            1-1: FROM ["--platform=a b"] ["x"]
            2-2: COPY ["--from=a", "--link"] ["--x", "y"]
            3-3: RUN ["--mount=type=bind,target=/a b"] ["echo --no"]
        "#]],
    );
}

#[test]
fn json_that_is_none_is_a_line_for_the_shell() {
    check(
        "CMD [\"a\",]\nCMD [ \"a\" , \"b\\u0041\" ]\nENTRYPOINT []\nVOLUME [\"a b\", \"c\"]\nVOLUME a b\nHEALTHCHECK CMD [\"x\"]\nHEALTHCHECK --retries=1 cmd x y\n",
        expect![[r#"
            1-1: CMD ["[\"a\",]"]
            2-2: CMD json ["a", "bA"]
            3-3: ENTRYPOINT json []
            4-4: VOLUME json ["a b", "c"]
            5-5: VOLUME ["a", "b"]
            6-6: HEALTHCHECK json ["CMD", "x"]
            7-7: HEALTHCHECK ["--retries=1"] ["cmd", "x y"]
        "#]],
    );
    check(
        "CMD [\"a\", 1]",
        expect![
            "1: error: when using JSON array syntax, arrays must be comprised of strings only\n"
        ],
    );
}

#[test]
fn pairs_keep_their_quotes_until_they_are_expanded() {
    check(
        "ENV a=1 b=\"x y\" c='=' d=\\ e\nENV f  g h=i\nLABEL \"k k\"=v\nARG a b=\"c d\"\n",
        expect![[r#"
            1-1: ENV [a]=[1] [b]=["x y"] [c]=['='] [d]=[\ e]
            2-2: ENV [f] [g h=i]
            3-3: LABEL ["k k"]=[v]
            4-4: ARG ["a", "b=\"c d\""]
        "#]],
    );
    check(
        "ENV a=b c",
        expect![[r#"
            1: error: Syntax error - can't find = in "c". Must be of the form: name=value
        "#]],
    );
}

#[track_caller]
fn check_error(text: &str, message: &str) {
    let error = Dockerfile::parse(Source::new("D", text), &mut Lint::new()).unwrap_err();
    assert_eq!(error.to_string(), format!("dockerfile parse error on line 2: {message}"), "{text}");
}

#[test]
fn instructions_that_make_no_sense_are_refused_in_dockers_words() {
    for (line, message) in [
        (
            "from a as 1x",
            "invalid name for build stage: \"1x\", name can't start with a number or contain symbols",
        ),
        ("FROM a AS b c", "FROM requires either one or three arguments"),
        ("copi a b", "unknown instruction: copi (did you mean copy?)"),
        ("WORKDR /x", "unknown instruction: WORKDR (did you mean WORKDIR?)"),
        ("BLAHBLAH", "unknown instruction: BLAHBLAH"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD MAINTAINER x", "MAINTAINER isn't allowed as an ONBUILD trigger"),
        ("COPY --from a b", "missing a value on flag: from"),
        ("COPY --link=maybe a b", "expecting boolean value for flag link, not: maybe"),
        ("COPY --link --link a b", "duplicate flag specified: link"),
        ("COPY --chwon=1 a b", "unknown flag: chwon (did you mean chown?)"),
        ("ADD --from=x a b", "unknown flag: from"),
        ("USER --x y", "unknown flag: x"),
        ("ENV =x", "ENV names can not be blank"),
        ("ARG =x", "ARG names can not be blank"),
        ("USER", "USER requires exactly one argument"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK --interval=5 CMD x", "time: missing unit in duration \"5\""),
        ("HEALTHCHECK --timeout=x CMD x", "time: invalid duration \"x\""),
        (
            "HEALTHCHECK --start-period=1us CMD x",
            "Interval \"start-period\" cannot be less than 1ms",
        ),
        ("HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)"),
        ("HEALTHCHECK --retries=x CMD x", "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("RUN --network=x y", "invalid network mode \"x\""),
        ("RUN --security=x y", "security \"x\" is not valid"),
        (
            "RUN --mount=from=$x,target=/a y",
            "'from' doesn't support variable expansion, define alias stage instead",
        ),
        ("RUN --mount=a\\\"b y", "failed to parse csv mounts: bare \" in non-quoted-field"),
        ("SHELL []", "SHELL requires at least one argument"),
        ("VOLUME [\" \"]", "VOLUME specified can not be an empty string"),
        (
            "COPY a",
            "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
    ] {
        check_error(&format!("FROM a\n{line}\n"), message);
    }
}

#[test]
fn comments_describe_stages_and_arguments() {
    let text =
        "# BASE which base to take\nARG BASE=a\n# syntax\n# web the web server\nFROM a AS web\n";
    let file = Dockerfile::parse(Source::new("D", text), &mut Lint::new()).unwrap();
    assert_eq!(file.arguments[0].0.description.as_deref(), Some("which base to take"));
    assert_eq!(file.stages[0].from.description.as_deref(), Some("the web server"));
}

#[test]
fn a_trigger_keeps_its_text() {
    let text = "FROM a\nonbuild  RUN <<E\nx\nE\n";
    let file = Dockerfile::parse(Source::new("D", text), &mut Lint::new()).unwrap();
    let Command::OnBuild(text) = &file.stages[0].instructions[0].command else { panic!() };
    assert_eq!(text, "RUN <<E\nx\nE");
}

#[test]
fn limits_are_named() {
    let long = format!("FROM a\nRUN {}\n", "x".repeat(70_000));
    check(long, expect!["2: error: dockerfile line greater than max allowed size of 65535\n"]);
    check(
        "RUN a\n".repeat(10_001),
        expect!["10001: error: dockerfile has more than the limit of 10000 instructions\n"],
    );
}
