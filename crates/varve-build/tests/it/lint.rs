//! The build checks: what they find, and how it is shown.

use expect_test::{Expect, expect};
use varve_build::{
    Dockerfile, Ignore, Lint, Options, Source,
    lint::{check_json, check_text, progress_lines, summary},
};

use crate::{busybox, options, plan_with};

/// Findings as lines of progress, and the error when there is one.
#[track_caller]
fn check_with(text: &str, options: &Options, expected: Expect) {
    let mut lint = Lint::new();
    let result = plan_with(text, options, &mut lint, |_| busybox());
    let mut shown = progress_lines(lint.warnings()).join("\n");
    if let Err(error) = result {
        shown = format!("{shown}\nerror: {error}");
    }
    expected.assert_eq(&shown);
}

#[track_caller]
fn check(text: &str, expected: Expect) {
    check_with(text, &options(), expected);
}

/// The recorded Dockerfile with something for most rules.
const MANY: &str = "from busybox:1.36.0 as Builder\nMAINTAINER x\nENV a b\nENV SECRET_KEY=abc\nARG PASSWORD\nRUN echo $UNDEF\nWORKDIR rel\nCMD echo hi\nENTRYPOINT echo x\ncmd [\"z\"]\nEXPOSE 80/TCP\nCOPY file.txt /\n\nRUN echo \\\n\n  foo\nFROM --platform=linux/amd64 busybox:1.36.0 AS builder2\nFROM --platform=$TARGETPLATFORM busybox:1.36.0 AS scratch\nFROM busybox:1.36.0 AS Builder\nARG BASE2\nCOPY file.txt /\n#comment\nADD file.txt /q\nLABEL a b\nRUN <<EOF\nEOF\n";

#[test]
fn a_build_finds_what_docker_found_in_the_target() {
    check(
        MANY,
        expect![[r#"
            NoEmptyContinuation: Empty continuation line (line 16)
            StageNameCasing: Stage name 'Builder' should be lowercase (line 1)
            MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label (line 2)
            StageNameCasing: Stage name 'Builder' should be lowercase (line 19)
            ReservedStageName: Stage name should not use the same name as reserved stage "scratch" (line 18)
            DuplicateStageName: Duplicate stage name "builder", stage names should be unique (line 19)
            ConsistentInstructionCasing: Command 'from' should match the case of the command majority (uppercase) (line 1)
            ConsistentInstructionCasing: Command 'cmd' should match the case of the command majority (uppercase) (line 10)
            FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value "linux/amd64" (line 17)
            RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior (line 18)
            LegacyKeyValueFormat: "LABEL key=value" should be used instead of legacy "LABEL key value" format (line 24)"#]],
    );
}

#[test]
fn a_check_looks_at_all_stages_and_finds_nineteen() {
    let mut options = options();
    options.all_stages = true;
    let mut lint = Lint::new();
    plan_with(MANY, &options, &mut lint, |_| busybox()).unwrap();
    let source = Source::new("ctx/D", MANY);
    let text = check_text(&source, lint.warnings(), None);
    let head: String = text.split_inclusive('\n').take(18).collect();
    expect![[r#"
        Check complete, 19 warnings have been found!

        WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/
        Stage name 'Builder' should be lowercase
        ctx/D:1
        --------------------
           1 | >>> from busybox:1.36.0 as Builder
           2 |     MAINTAINER x
           3 |     ENV a b
        --------------------

        WARNING: ConsistentInstructionCasing - https://docs.docker.com/go/dockerfile/rule/consistent-instruction-casing/
        Command 'from' should match the case of the command majority (uppercase)
        ctx/D:1
        --------------------
           1 | >>> from busybox:1.36.0 as Builder
           2 |     MAINTAINER x
           3 |     ENV a b
    "#]]
    .assert_eq(&head);
    let tail: Vec<&str> = text.lines().rev().take(10).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    expect![[r#"
        WARNING: LegacyKeyValueFormat - https://docs.docker.com/go/dockerfile/rule/legacy-key-value-format/
        "LABEL key=value" should be used instead of legacy "LABEL key value" format
        ctx/D:24
        --------------------
          22 |     #comment
          23 |     ADD file.txt /q
          24 | >>> LABEL a b
          25 |     RUN <<EOF
          26 |     EOF
        --------------------"#]]
    .assert_eq(&tail.join("\n"));
}

#[test]
fn the_summary_is_yellow_and_counts() {
    let mut lint = Lint::new();
    plan_with("FROM busybox:1.36.0 as x\nCMD foo\n", &options(), &mut lint, |_| busybox()).unwrap();
    assert_eq!(
        summary(lint.warnings()).unwrap(),
        "\n \u{1b}[33m2 warnings found (use docker --debug to expand):\n\u{1b}[0m - FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)\n - JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 2)\n"
    );
    assert_eq!(summary(&[]), None);
}

#[test]
fn a_directive_skips_rules_or_makes_findings_an_error() {
    check(
        "# check=skip=JSONArgsRecommended\nFROM busybox as x\nCMD foo\n",
        expect!["FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 2)"],
    );
    check("# check=skip=all\nFROM busybox as x\nCMD foo\n", expect![""]);
    check(
        "# check=error=true\nFROM busybox as x\nCMD foo\n",
        expect![[r#"
            FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 2)
            JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 3)
            error: lint violation found for rules: FromAsCasing, JSONArgsRecommended"#]],
    );
    check("# check=skip=FromAsCasing;error=true\nFROM busybox as x\n", expect![""]);
    check(
        "# check=nonsense\nFROM busybox\n",
        expect![[r#"

            error: failed to parse check options: invalid check option "nonsense""#]],
    );
}

#[test]
fn options_from_outside_stand_above_the_directive() {
    let mut lint = Lint::with_options("skip=all").unwrap();
    let text = "# check=error=true\nFROM busybox as x\n";
    Dockerfile::parse(Source::new("D", text), &mut lint).unwrap();
    assert!(lint.warnings().is_empty());
}

#[test]
fn variables_that_nobody_set_are_named_with_what_may_be_meant() {
    check(
        "ARG VERSION=1\nFROM busybox:${VERSOIN}1\nARG TAG\nENV HOME=/root\nLABEL a=$HOEM b=${NONE:-x} c=$TAG\nCOPY $nothing /x\n",
        expect![[r#"
            UndefinedArgInFrom: FROM argument 'VERSOIN' is not declared (did you mean VERSION?) (line 2)
            UndefinedVar: Usage of undefined variable '$HOEM' (did you mean $HOME?) (line 5)
            UndefinedVar: Usage of undefined variable '$nothing' (line 6)"#]],
    );
}

#[test]
fn a_default_that_makes_no_name_is_found_though_an_argument_is_given() {
    let mut options = options();
    options.build_args.insert("TAG".into(), "1".into());
    check_with(
        "ARG TAG\nFROM busybox:${TAG}\n",
        &options,
        expect![
            "InvalidDefaultArgInFrom: Default value for ARG busybox:${TAG} results in empty or invalid base image name (line 2)"
        ],
    );
}

#[test]
fn secrets_are_told_by_their_words() {
    check(
        "FROM scratch\nARG github_token\nENV API_KEY_FILE=/k PUBLIC_KEY=1 AWS_SECRET=2 KEYBOARD=us\n",
        expect![[r#"
            SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG "github_token") (line 2)
            SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV "AWS_SECRET") (line 3)"#]],
    );
}

#[test]
fn only_the_first_relative_workdir_counts_and_only_the_last_command() {
    check(
        "FROM busybox\nWORKDIR a\nWORKDIR b\nENTRYPOINT [\"a\"]\nENTRYPOINT [\"b\"]\nHEALTHCHECK CMD a\nHEALTHCHECK NONE\n",
        expect![[r#"
            WorkdirRelativePath: Relative workdir "a" can have unexpected results if the base image changes (line 2)
            MultipleInstructionsDisallowed: Multiple ENTRYPOINT instructions should not be used in the same stage because only the last one will be used (line 4)
            MultipleInstructionsDisallowed: Multiple HEALTHCHECK instructions should not be used in the same stage because only the last one will be used (line 6)"#]],
    );
    check("FROM busybox\nWORKDIR /a\nWORKDIR b\nSHELL [\"/bin/sh\"]\nCMD a\n", expect![""]);
}

#[test]
fn ports_of_the_host_and_upper_case_protocols_are_found() {
    check(
        "FROM busybox\nEXPOSE 127.0.0.1:80:80 81/UDP\n",
        expect![[r#"
            ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80' (line 2)
            ExposeProtoCasing: Defined protocol '81/UDP' in EXPOSE instruction should be lowercase (line 2)"#]],
    );
}

#[test]
fn experimental_rules_speak_when_asked() {
    let mut options = options();
    options.ignore = Some(Ignore::parse(b"*.log\n").unwrap());
    let text = "# the first stage\nFROM busybox AS a\n# other words\nARG X\n\n# text\n\nARG Y\nCOPY a.log ./ok /\n";
    check_with(text, &options, expect![""]);
    check_with(
        &format!("# check=experimental=all\n{text}"),
        &options,
        expect![[r#"
            InvalidDefinitionDescription: Comment for FROM should follow the format: `# a <description>` (line 3)
            InvalidDefinitionDescription: Comment for ARG should follow the format: `# X <description>` (line 5)
            CopyIgnoredFile: Attempting to Copy file "a.log" that is excluded by .dockerignore (line 10)"#]],
    );
}

#[test]
fn a_base_for_another_platform_is_found() {
    let mut options = options();
    options.platform = Some("linux/arm64".parse().unwrap());
    check_with(
        "FROM busybox\n",
        &options,
        expect![[
            r#"InvalidBaseImagePlatform: Base image busybox was pulled with platform "linux/amd64", expected "linux/arm64" for current build (line 1)"#
        ]],
    );
}

#[test]
fn json_has_rules_places_and_the_file() {
    let text = "FROM busybox as x\n";
    let mut lint = Lint::new();
    let file = Dockerfile::parse(Source::new("Dockerfile", text), &mut lint).unwrap();
    expect![[r#"
        {
          "warnings": [
            {
              "ruleName": "FromAsCasing",
              "description": "The 'as' keyword should match the case of the 'from' keyword",
              "url": "https://docs.docker.com/go/dockerfile/rule/from-as-casing/",
              "detail": "'as' and 'FROM' keywords' casing do not match",
              "location": {
                "ranges": [
                  {
                    "start": {
                      "line": 1
                    },
                    "end": {
                      "line": 1
                    }
                  }
                ]
              }
            }
          ],
          "sources": [
            {
              "filename": "Dockerfile",
              "data": "RlJPTSBidXN5Ym94IGFzIHgK",
              "language": "Dockerfile"
            }
          ]
        }
    "#]]
    .assert_eq(&check_json(&file.source, lint.warnings(), None));
}

#[test]
fn a_check_that_ends_in_an_error_says_it_last() {
    let text = "FROM a as b\nFOO\n";
    let mut lint = Lint::new();
    let source = Source::new("D", text);
    let error = Dockerfile::parse(source.clone(), &mut lint).unwrap_err();
    let shown = check_text(&source, &[], Some(&error));
    expect![[r#"

        dockerfile parse error on line 2: unknown instruction: FOO (did you mean FROM?)
        D:2
        --------------------
           1 |     FROM a as b
           2 | >>> FOO
           3 |     
        --------------------
    "#]]
    .assert_eq(&shown);
    assert!(check_json(&source, &[], Some(&error)).contains("\"buildError\": {"));
    assert_eq!(check_text(&source, &[], None), "Check complete, no warnings found.\n");
}
