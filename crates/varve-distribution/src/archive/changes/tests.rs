//! What `--change` instructions come out as.

use super::*;

#[track_caller]
fn check(changes: &[&str], expected: &str) {
    check_on(&RunConfig::default(), changes, expected);
}

#[track_caller]
fn check_on(config: &RunConfig, changes: &[&str], expected: &str) {
    let changes: Vec<String> = changes.iter().map(|&change| change.to_owned()).collect();
    let shown = match apply(config, &changes) {
        Ok(config) => serde_json::to_string(&config).unwrap(),
        Err(error) => format!("error: {error}"),
    };
    assert_eq!(shown, expected, "{changes:?}");
}

/// As recorded of Docker 26.1.5.
#[test]
fn what_docker_refuses_is_refused_in_its_words() {
    for command in
        ["RUN x", "FROM x", "COPY a b", "FOO bar", "MAINTAINER me", "SHELL [\"x\"]", "ARG a"]
    {
        let name = command.split(' ').next().unwrap();
        check(&[command], &format!("error: {name} is not a valid change command"));
    }
    check(&["ENV"], "error: ENV requires at least one argument");
    check(&["EXPOSE foo"], "error: Invalid containerPort: foo");
    check(&["USER"], "error: USER requires exactly one argument");
    check(&["LABEL a"], "error: LABEL must have two arguments");
    check(&[""], "error: file with no instructions");
    check(&["# nothing", " "], "error: file with no instructions");
}

/// As recorded of Docker 26.1.5, where all of these came in one import.
#[test]
fn every_instruction_reaches_its_member() {
    check(
        &[
            r#"CMD ["sh","-c","echo hi"]"#,
            "ENV A=1 B=2",
            "EXPOSE 80 443/udp",
            "LABEL x=y z=\"q r\"",
            "USER nobody",
            "WORKDIR /tmp",
            "VOLUME /data /v2",
            r#"ENTRYPOINT ["/bin/env"]"#,
            "STOPSIGNAL SIGINT",
            "HEALTHCHECK --interval=5s CMD true",
            "ONBUILD RUN echo x",
        ],
        concat!(
            r#"{"User":"nobody","ExposedPorts":{"443/udp":{},"80/tcp":{}},"Env":["A=1","B=2"],"#,
            r#""Cmd":["sh","-c","echo hi"],"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":5000000000},"#,
            r#""Volumes":{"/data":{},"/v2":{}},"WorkingDir":"/tmp","Entrypoint":["/bin/env"],"#,
            r#""OnBuild":["RUN echo x"],"Labels":{"x":"y","z":"q r"},"StopSignal":"SIGINT"}"#
        ),
    );
}

#[test]
fn shell_form_is_given_to_the_shell_whole() {
    check(&["cmd echo \"$HOME\" | cat"], r#"{"Cmd":["/bin/sh","-c","echo \"$HOME\" | cat"]}"#);
    check(&["ENTRYPOINT a b"], r#"{"Entrypoint":["/bin/sh","-c","a b"]}"#);
    check(&["CMD ['a']"], r#"{"Cmd":["/bin/sh","-c","['a']"]}"#);
    check(
        &["CMD [1]"],
        "error: when using JSON array syntax, arrays must be comprised of strings only",
    );
    check(&["CMD"], "{}");
}

#[test]
fn an_entry_point_drops_the_old_command_unless_a_new_one_came_first() {
    let old = RunConfig { cmd: Some(vec!["old".to_owned()]), ..RunConfig::default() };
    check_on(&old, &["ENTRYPOINT [\"e\"]"], r#"{"Entrypoint":["e"]}"#);
    check_on(
        &old,
        &["CMD [\"new\"]", "ENTRYPOINT [\"e\"]"],
        r#"{"Cmd":["new"],"Entrypoint":["e"]}"#,
    );
}

#[test]
fn variables_quotes_and_old_forms_are_understood() {
    let old =
        RunConfig { env: Some(vec!["A=1".to_owned(), "P=/p".to_owned()]), ..RunConfig::default() };
    check_on(&old, &["ENV A=\"x $P\" B='$P'"], r#"{"Env":["A=x /p","P=/p","B=$P"]}"#);
    check_on(&old, &["ENV C a  b"], r#"{"Env":["A=1","P=/p","C=a  b"]}"#);
    check_on(
        &old,
        &["WORKDIR ${P}/x", "WORKDIR ../y"],
        r#"{"Env":["A=1","P=/p"],"WorkingDir":"/p/y"}"#,
    );
    check(&["USER ${U:-me}"], r#"{"User":"me"}"#);
    check(&["USER ${U:?who}"], "error: U: who");
    check(
        &["USER 'x"],
        "error: unexpected end of statement while looking for matching single-quote",
    );
    check(
        &["ENV a=b c"],
        "error: Syntax error - can't find = in \"c\". Must be of the form: name=value",
    );
    check(&["ENV =b"], "error: ENV names can not be blank");
    check(&["LABEL a\\ b=c"], r#"{"Labels":{"a b":"c"}}"#);
    check(&["ENV A=1 \\", "B=2"], r#"{"Env":["A=1","B=2"]}"#);
}

#[test]
fn ports_may_be_ranges_with_protocols() {
    check(
        &["EXPOSE 8000-8002/UDP 1.2.3.4:80:90"],
        r#"{"ExposedPorts":{"8000/udp":{},"8001/udp":{},"8002/udp":{},"90/tcp":{}}}"#,
    );
    check(&["EXPOSE 80/xyz"], "error: Invalid proto: xyz");
    check(&["EXPOSE 99999"], "error: Invalid containerPort: 99999");
    check(&["EXPOSE"], "error: EXPOSE requires at least one argument");
}

#[test]
fn health_checks_are_typed() {
    check(&["HEALTHCHECK NONE"], r#"{"Healthcheck":{"Test":["NONE"]}}"#);
    check(
        &["HEALTHCHECK --timeout=1m30s --retries=3 CMD [\"a\",\"b\"]"],
        r#"{"Healthcheck":{"Test":["CMD","a","b"],"Timeout":90000000000,"Retries":3}}"#,
    );
    check(&["HEALTHCHECK FOO"], "error: Unknown type \"FOO\" in HEALTHCHECK (try CMD)");
    check(&["HEALTHCHECK CMD"], "error: Missing command after HEALTHCHECK CMD");
    check(&["HEALTHCHECK"], "error: HEALTHCHECK requires at least one argument");
    check(&["HEALTHCHECK --interval=5 CMD x"], "error: time: missing unit in duration \"5\"");
    check(
        &["HEALTHCHECK --interval=1us CMD x"],
        "error: Interval \"interval\" cannot be less than 1ms",
    );
    check(&["HEALTHCHECK --nope=1 CMD x"], "error: unknown flag: nope");
}

#[test]
fn triggers_and_signals_are_checked() {
    check(&["ONBUILD FROM x"], "error: FROM isn't allowed as an ONBUILD trigger");
    check(
        &["ONBUILD onbuild RUN x"],
        "error: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
    );
    check(&["STOPSIGNAL RTMIN+3"], r#"{"StopSignal":"RTMIN+3"}"#);
    check(&["STOPSIGNAL 9"], r#"{"StopSignal":"9"}"#);
    check(&["STOPSIGNAL FOO"], "error: invalid signal: FOO");
    check(&["VOLUME [\"/a b\"]"], r#"{"Volumes":{"/a b":{}}}"#);
    check(&["VOLUME [\"\"]"], "error: VOLUME specified can not be an empty string");
}

/// Nothing of what another wrote reaches a terminal as it is.
#[test]
fn escapes_in_instructions_are_shown_not_sent() {
    check(&["\u{1b}[31mRUN x"], "error: \\x1b[31mRUN is not a valid change command");
}
