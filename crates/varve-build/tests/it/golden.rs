//! Recorded builds: errors with their excerpts, the reference Dockerfile's history and steps.

use expect_test::expect;
use serde_json::Value;
use varve_build::Source;

use crate::{history, names, options, plan};

/// Where varve takes what docker 26.1 refused: flags that came later.
const ACCEPTED: &[&str] = &["security insecure", "copy semantics"];

#[test]
fn recorded_errors_come_out_with_their_excerpts() {
    let records: Vec<Value> = serde_json::from_str(include_str!("errors.json")).unwrap();
    assert!(records.len() > 20);
    for record in &records {
        let text = record["Dockerfile"].as_str().unwrap();
        let id = record["id"].as_str().unwrap();
        let result = plan(text, &options());
        if ACCEPTED.contains(&id) {
            assert!(result.is_ok(), "{id}");
            continue;
        }
        let error = result.expect_err(id);
        let excerpt = Source::new("D", text).excerpt(&error.at);
        let excerpt = excerpt.map(|excerpt| excerpt.to_string()).unwrap_or_default();
        let shown = format!("{excerpt}ERROR: failed to solve: {error}\n");
        assert_eq!(shown, record["stderr"].as_str().unwrap(), "{id}");
    }
}

#[test]
fn an_empty_file_and_an_unknown_target_have_no_lines() {
    let check = |text: &str, target: Option<&str>, message: &str| {
        let mut options = options();
        options.target = target.map(str::to_owned);
        let error = plan(text, &options).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.at.len()), (message, 0));
    };
    check("", None, "the Dockerfile cannot be empty");
    check("FROM a", Some("nosuch"), "target stage \"nosuch\" could not be found");
    check(
        "FROM a AS build",
        Some("biuld"),
        "target stage \"biuld\" could not be found (did you mean build?)",
    );
}

pub(crate) const REFERENCE: &str = r#"# syntax-free reference Dockerfile
ARG BASE=busybox:1.36.0
FROM ${BASE} AS builder
ARG VERSION=1.0
ENV APP_HOME=/app APP_VERSION=$VERSION
WORKDIR $APP_HOME
COPY file.txt ./
RUN echo "built $VERSION" > built.txt && \
    cat file.txt
FROM busybox:1.36.0
LABEL org.example.name="demo" org.example.multi="line one"
MAINTAINER Jane <jane@example.com>
ENV A=1
ENV B="two words" C=$A-x
ARG TOKEN
COPY --from=builder /app/built.txt /out/built.txt
COPY --chown=1000:1000 --chmod=755 dir/ /data/dir/
ADD file.txt /added/
RUN ["/bin/sh","-c","echo exec form"]
RUN true
USER 1000:1000
WORKDIR /home
WORKDIR rel
VOLUME ["/vol1", "/vol2"]
EXPOSE 8080 53/udp
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=30s --timeout=3s --retries=2 CMD wget -q localhost || exit 1
SHELL ["/bin/sh","-ec"]
ONBUILD COPY . /src
ENTRYPOINT ["/bin/sh","-c"]
CMD ["echo hi"]
"#;

#[test]
fn the_reference_history_is_dockers() {
    let plan = plan(REFERENCE, &options()).unwrap();
    expect![[r#"
        LABEL org.example.name=demo org.example.multi=line one
        MAINTAINER Jane <jane@example.com>
        ENV A=1
        ENV B=two words C=1-x
        ARG TOKEN
        COPY /app/built.txt /out/built.txt # buildkit
        COPY --chown=1000:1000 --chmod=755 dir/ /data/dir/ # buildkit
        ADD file.txt /added/ # buildkit
        RUN |1 TOKEN= /bin/sh -c echo exec form # buildkit
        RUN |1 TOKEN= /bin/sh -c true # buildkit
        USER 1000:1000
        WORKDIR /home
        WORKDIR /home/rel
        VOLUME [/vol1 /vol2]
        EXPOSE map[53/udp:{} 8080/tcp:{}]
        STOPSIGNAL SIGQUIT
        HEALTHCHECK &{["CMD-SHELL" "wget -q localhost || exit 1"] "30s" "3s" "0s" "0s" '\x02'}
        SHELL [/bin/sh -ec]
        ENTRYPOINT ["/bin/sh" "-c"]
        CMD ["echo hi"]"#]]
    .assert_eq(&history(&plan).join("\n"));
    let entries = &plan.image.config.history[plan.image.base_history..];
    let layers = entries.iter().filter(|entry| !entry.empty_layer).count();
    assert_eq!((layers, plan.image.layers.len()), (7, 7));
}

#[test]
fn the_reference_steps_are_named_as_docker_names_them() {
    let mut options = options();
    options.build_args.insert("VERSION".into(), "2.5".into());
    options.build_args.insert("TOKEN".into(), "x".into());
    let plan = plan(REFERENCE, &options).unwrap();
    expect![[r#"
        [builder 1/4] FROM docker.io/library/busybox:1.36.0
        [builder 2/4] WORKDIR /app
        [internal] load build context
        [builder 3/4] COPY file.txt ./
        [builder 4/4] RUN echo "built 2.5" > built.txt &&     cat file.txt
        [stage-1 2/8] COPY --from=builder /app/built.txt /out/built.txt
        [stage-1 3/8] COPY --chown=1000:1000 --chmod=755 dir/ /data/dir/
        [stage-1 4/8] ADD file.txt /added/
        [stage-1 5/8] RUN ["/bin/sh","-c","echo exec form"]
        [stage-1 6/8] RUN true
        [stage-1 7/8] WORKDIR /home
        [stage-1 8/8] WORKDIR rel"#]]
    .assert_eq(&names(&plan).join("\n"));
}

#[test]
fn the_reference_config_is_dockers() {
    let plan = plan(REFERENCE, &options()).unwrap();
    let config: Value = serde_json::to_value(&plan.image.config.config).unwrap();
    let expected: Value = serde_json::from_str(r#"{"User":"1000:1000","ExposedPorts":{"53/udp":{},"8080/tcp":{}},"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","A=1","B=two words","C=1-x"],"Entrypoint":["/bin/sh","-c"],"Cmd":["echo hi"],"Volumes":{"/vol1":{},"/vol2":{}},"WorkingDir":"/home/rel","Labels":{"org.example.multi":"line one","org.example.name":"demo"},"StopSignal":"SIGQUIT","ArgsEscaped":true,"Healthcheck":{"Test":["CMD-SHELL","wget -q localhost || exit 1"],"Interval":30000000000,"Timeout":3000000000,"Retries":2},"OnBuild":["COPY . /src"],"Shell":["/bin/sh","-ec"]}"#).unwrap();
    assert_eq!(config, expected);
    assert_eq!(plan.image.config.author, "Jane <jane@example.com>");
}

#[test]
fn a_recorded_config_is_written_again_to_the_byte() {
    let recorded = include_str!("reference-config.json").trim_end();
    let config: varve_types::ImageConfig = serde_json::from_str(recorded).unwrap();
    let written = varve_build::plan::image_json(&config);
    assert_eq!(String::from_utf8(written).unwrap(), recorded);
}

/// All of the recorded config but times and layers comes out of its Dockerfile.
#[test]
fn the_reference_build_plans_the_recorded_config() {
    let recorded = include_str!("reference-config.json");
    let recorded: varve_types::ImageConfig = serde_json::from_str(recorded).unwrap();
    let mut config = plan(REFERENCE, &options()).unwrap().image.config;
    config.created = recorded.created;
    config.rootfs.clone_from(&recorded.rootfs);
    assert_eq!(config.history.len(), recorded.history.len());
    for (planned, recorded) in config.history.iter_mut().zip(&recorded.history) {
        planned.created = recorded.created;
    }
    assert_eq!(config, recorded);
}
