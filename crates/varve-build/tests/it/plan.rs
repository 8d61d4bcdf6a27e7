//! Plans: stages, what they take from each other, and what comes of it.

use expect_test::{Expect, expect};
use varve_build::{
    Lint, Options, Plan,
    git::GitRef,
    plan::{BuildContext, CopySource, Mode, NoCache, Op, RunMount, RunStep},
};
use varve_types::Reference;

use crate::{busybox, history, names, options, plan, plan_with, step};

#[track_caller]
fn check_names(text: &str, options: &Options, expected: Expect) {
    expected.assert_eq(&match plan(text, options) {
        Ok(plan) => names(&plan).join("\n"),
        Err(error) => format!("error: {error} {:?}", error.at),
    });
}

#[track_caller]
fn check_history(text: &str, expected: Expect) {
    expected.assert_eq(&match plan(text, &options()) {
        Ok(plan) => history(&plan).join("\n"),
        Err(error) => format!("error: {error} {:?}", error.at),
    });
}

fn run_step<'a>(plan: &'a Plan, end: &str) -> &'a RunStep {
    match &step(plan, end).op {
        Op::Run(run) => run,
        other => panic!("{other:?}"),
    }
}

const STAGES: &str =
    "FROM busybox AS a\nRUN a\nFROM alpine AS b\nRUN b\nFROM scratch\nCOPY --from=a /x /x\n";

#[test]
fn stages_that_are_not_used_are_left_out() {
    check_names(
        STAGES,
        &options(),
        expect![[r#"
            [a 1/2] FROM docker.io/library/busybox:latest
            [a 2/2] RUN a
            [stage-2 1/1] COPY --from=a /x /x"#]],
    );
    let mut options = options();
    for target in ["b", "B", "1"] {
        options.target = Some(target.to_owned());
        check_names(
            STAGES,
            &options,
            expect![[r#"
                [b 1/2] FROM docker.io/library/alpine:latest
                [b 2/2] RUN b"#]],
        );
    }
}

#[test]
fn copies_name_stages_by_number_too_and_images() {
    check_names(
        "FROM busybox\nRUN x\nFROM scratch\nCOPY --from=0 /a /a\nCOPY --from=alpine /b /b\n",
        &options(),
        expect![[r#"
            [stage-0 1/2] FROM docker.io/library/busybox:latest
            [stage-0 2/2] RUN x
            [stage-1 1/2] COPY --from=0 /a /a
            FROM docker.io/library/alpine:latest
            [stage-1 2/2] COPY --from=alpine /b /b"#]],
    );
    check_names(
        "FROM scratch\nCOPY --from=1 /a /a\n",
        &options(),
        expect!["error: invalid stage index 1 [Lines { first: 2, last: 2 }]"],
    );
    check_names(
        "FROM scratch\nARG A=b\nCOPY --from=$A /a /a\n",
        &options(),
        expect![
            "error: variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround [Lines { first: 3, last: 3 }]"
        ],
    );
}

#[test]
fn stages_that_need_each_other_are_refused_and_later_ones_too() {
    check_names(
        "FROM scratch AS a\nCOPY --from=b /x /\nFROM scratch AS b\nCOPY --from=a /x /\n",
        &options(),
        expect![
            "error: circular dependency detected on stage: a [Lines { first: 2, last: 2 }, Lines { first: 4, last: 4 }]"
        ],
    );
    check_names(
        "FROM scratch AS a\nCOPY --from=a /x /\n",
        &options(),
        expect!["error: circular dependency detected on stage: a [Lines { first: 2, last: 2 }]"],
    );
    check_names(
        "FROM scratch\nRUN --mount=from=b,target=/b x\nFROM scratch AS b\nFROM scratch\nCOPY --from=0 / /\n",
        &options(),
        expect![[
            r#"error: cannot mount from stage "b" to "/b", stage needs to be defined before current command [Lines { first: 2, last: 2 }]"#
        ]],
    );
    let mut options = options();
    options.target = Some("a".to_owned());
    check_names(
        "FROM scratch AS a\nCOPY --from=b /x /\nFROM scratch AS b\n",
        &options,
        expect![[
            r#"error: cannot copy from stage "b", it needs to be defined before current stage "a" [Lines { first: 2, last: 2 }]"#
        ]],
    );
}

#[test]
fn a_stage_on_a_stage_has_its_files_environment_and_history() {
    let text = "FROM busybox AS base\nARG V=1\nENV E=$V\nWORKDIR /w\nUSER u\nRUN one\nFROM base\nRUN two\n";
    check_history(
        text,
        expect![[r#"
            ARG V=1
            ENV E=1
            WORKDIR /w
            USER u
            RUN |1 V=1 /bin/sh -c one # buildkit
            RUN |1 V=1 /bin/sh -c two # buildkit"#]],
    );
    let plan = plan(text, &options()).unwrap();
    let run = run_step(&plan, "RUN two");
    assert_eq!((run.directory.as_str(), run.user.as_str()), ("/w", "u"));
    let names: Vec<&str> = run.environment.names().collect();
    assert_eq!(names, ["PATH", "V", "E"]);
    assert_eq!(run.base, Some(step_id(&plan, "RUN one")));
}

fn step_id(plan: &Plan, end: &str) -> varve_build::plan::VertexId {
    let at = plan.vertices.iter().position(|vertex| vertex.name.ends_with(end)).unwrap();
    varve_build::plan::VertexId(at)
}

#[test]
fn arguments_are_global_only_until_a_stage_declares_them() {
    let mut options = options();
    options.build_args.insert("GIVEN".into(), "g".into());
    options.build_args.insert("http_proxy".into(), "http://p".into());
    let text = "ARG BASE=busybox\nARG V=1\nFROM ${BASE} AS x\nRUN echo ${V:-none}\nARG V\nARG W=w$V\nARG GIVEN=default\nARG TARGETARCH TARGETSTAGE\nRUN echo $V $W\n";
    let plan = plan(text, &options).unwrap();
    expect![[r#"
        RUN /bin/sh -c echo ${V:-none} # buildkit
        ARG V=1
        ARG W=w1
        ARG GIVEN=g
        ARG TARGETARCH=amd64 TARGETSTAGE=x
        RUN |5 V=1 W=w1 GIVEN=g TARGETARCH=amd64 TARGETSTAGE=x /bin/sh -c echo $V $W # buildkit"#]]
    .assert_eq(&history(&plan).join("\n"));
    let run = run_step(&plan, "RUN echo 1 w1");
    let proxies: Vec<&str> = run.proxies.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(proxies, ["HTTP_PROXY", "http_proxy"]);
    assert!(run.environment.names().all(|name| name != "http_proxy"));
}

#[test]
fn an_environment_uses_what_was_set_before_the_instruction() {
    check_history(
        "FROM scratch\nENV a=1 b=$a\nENV b=$a c=\"x y\" d='$a' e=\\$a\nENV f ${a}  $b\n",
        expect![[r#"
            ENV a=1 b=
            ENV b=1 c=x y d=$a e=$a
            ENV f=1  1"#]],
    );
}

#[test]
fn triggers_of_a_base_image_come_first() {
    let mut image = busybox();
    image.config.on_build =
        Some(vec!["RUN echo onbuild ran".to_owned(), "COPY --from=alpine /x /ob".to_owned()]);
    let plan = plan_with("FROM onb\nRUN cat /ob\n", &options(), &mut Lint::new(), |need| {
        if need.reference.to_string().contains("onb") { image.clone() } else { busybox() }
    });
    expect![[r#"
        [1/2] FROM docker.io/library/onb:latest
        [2/2] RUN echo onbuild ran
        FROM docker.io/library/alpine:latest
        [3/2] COPY --from=alpine /x /ob
        [4/2] RUN cat /ob"#]]
    .assert_eq(&names(&plan.unwrap()).join("\n"));
}

#[test]
fn triggers_of_a_stage_run_in_stages_on_it() {
    let text = "FROM busybox AS a\nONBUILD RUN triggered\nFROM a AS b\nRUN b\nFROM b\nRUN c\n";
    check_history(
        text,
        expect![[r#"
            RUN /bin/sh -c triggered # buildkit
            RUN /bin/sh -c b # buildkit
            RUN /bin/sh -c c # buildkit"#]],
    );
    assert_eq!(plan(text, &options()).unwrap().image.config.config.on_build, None);
}

#[test]
fn triggers_that_cannot_be_are_refused() {
    for (trigger, message) in [
        ("FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD RUN x", "ONBUILD isn't allowed as an ONBUILD trigger"),
        ("RUN a\nRUN b", "onbuild trigger should be a single expression"),
        ("NOPE", "unknown instruction: NOPE (did you mean COPY?)"),
    ] {
        let mut image = busybox();
        image.config.on_build = Some(vec![trigger.to_owned()]);
        let result = plan_with("FROM x\n", &options(), &mut Lint::new(), |_| image.clone());
        let error = result.unwrap_err();
        assert_eq!(error.at.len(), 1, "{trigger}");
        assert_eq!(error.to_string().split(" (").next(), message.split(" (").next(), "{trigger}");
    }
}

#[test]
fn contexts_stand_for_stages_and_images() {
    let mut options = options();
    let image: Reference = "docker.io/library/debian:12".parse().unwrap();
    let contexts = [
        ("base", BuildContext::Image(image)),
        ("alpine", BuildContext::Local("dir".to_owned())),
        ("src", BuildContext::Git(GitRef { remote: "git://h/r".to_owned(), ..GitRef::default() })),
    ];
    options.contexts = contexts.map(|(name, context)| (name.to_owned(), context)).into();
    check_names(
        "FROM busybox AS base\nRUN never\nFROM base\nCOPY --from=alpine:latest /a /a\nCOPY --from=src /b /b\n",
        &options,
        expect![[r#"
            [context base] docker.io/library/debian:12
            [context alpine] load from client
            [stage-1 1/2] COPY --from=alpine:latest /a /a
            [context src] git://h/r
            [stage-1 2/2] COPY --from=src /b /b"#]],
    );
}

#[test]
fn an_image_is_needed_once_for_each_platform() {
    let mut options = options();
    options.platform = Some("linux/arm64".parse().unwrap());
    let text = "FROM --platform=$BUILDPLATFORM busybox AS a\nFROM busybox AS b\nFROM busybox\nCOPY --from=a /a /\nCOPY --from=b /b /\n";
    let seen = std::cell::RefCell::new(Vec::new());
    let plan = plan_with(text, &options, &mut Lint::new(), |need| {
        seen.borrow_mut().push(format!("{} {}", need.step_name, need.platform));
        busybox()
    });
    assert_eq!(
        seen.into_inner(),
        [
            "[internal] load metadata for docker.io/library/busybox:latest linux/amd64",
            "[internal] load metadata for docker.io/library/busybox:latest linux/arm64",
        ]
    );
    assert_eq!(plan.unwrap().image.config.architecture, "arm64");
}

#[test]
fn equal_steps_are_one() {
    check_names(
        "FROM busybox AS a\nRUN x\nFROM busybox AS b\nRUN x\nRUN y\nFROM scratch\nCOPY --from=a / /\nCOPY --from=b / /\n",
        &options(),
        expect![[r#"
            [a 1/2] FROM docker.io/library/busybox:latest
            [a 2/2] RUN x
            [b 3/3] RUN y
            [stage-2 1/2] COPY --from=a / /
            [stage-2 2/2] COPY --from=b / /"#]],
    );
}

#[test]
fn a_linked_copy_is_made_alone_and_merged() {
    let plan = plan("FROM busybox\nCOPY --link a /a\n", &options()).unwrap();
    let [_, local, copy, merge] = plan.vertices.as_slice() else { panic!("{:?}", names(&plan)) };
    assert_eq!(local.name, "[internal] load build context");
    assert!(matches!(&copy.op, Op::Copy(copy) if copy.base.is_none()));
    assert!(matches!(&merge.op, Op::Merge { base: Some(_), .. }));
    assert_eq!((copy.name.as_str(), &merge.name), ("[2/2] COPY --link a /a", &copy.name));
    assert_eq!(plan.root, Some(varve_build::plan::VertexId(3)));
    assert_eq!(plan.image.layers, [varve_build::plan::VertexId(2)]);
}

#[test]
fn paths_taken_from_the_context_are_known() {
    let text = "FROM scratch\nCOPY b a/../c /x/\nADD http://h/f.tar /y\nCOPY *.txt /z\n";
    let plan = plan(text, &options()).unwrap();
    let Op::Local(local) = &step(&plan, "load build context").op else { panic!() };
    let paths = ["*.txt", "b", "c"].map(str::to_owned).to_vec();
    assert_eq!(local.paths, Some(paths));
    let plan = crate::plan("FROM scratch\nCOPY b /x\nCOPY . /x/\n", &options()).unwrap();
    let Op::Local(local) = &step(&plan, "load build context").op else { panic!() };
    assert_eq!(local.paths, None);
}

#[test]
fn destinations_are_seen_from_the_working_directory() {
    for (directory, written, path, is_directory) in [
        ("/w", "x", "/w/x", false),
        ("/w", "x/", "/w/x", true),
        ("/w", ".", "/w", true),
        ("/w", "../..", "/", true),
        ("/w", "/a/./b/.", "/a/b", true),
        ("/", "x", "/x", false),
    ] {
        let text = format!("FROM scratch\nWORKDIR {directory}\nCOPY a {written}\n");
        let plan = plan(&text, &options()).unwrap();
        let Op::Copy(copy) = &plan.vertices.last().unwrap().op else { panic!() };
        let found = (copy.destination.path.as_str(), copy.destination.directory);
        assert_eq!(found, (path, is_directory), "{written}");
    }
}

#[test]
fn copy_flags_arrive() {
    let text = "FROM scratch\nARG O=1:2\nCOPY --chown=$O --chmod=0755 --parents --exclude=*.md src/./**/*.c a/b /d/\nADD --unpack=false --chmod=u+x a.tar /\n";
    let plan = plan(text, &options()).unwrap();
    let Op::Copy(copy) = &step(&plan, "a/b /d/").op else { panic!() };
    assert_eq!((copy.owner.as_str(), &copy.mode), ("1:2", &Some(Mode::Bits(0o755))));
    assert_eq!(copy.exclude, ["*.md"]);
    let parents = |directory: &str, pattern: &str, required| CopySource::Parents {
        directory: directory.to_owned(),
        pattern: pattern.to_owned(),
        required,
    };
    assert_eq!(copy.actions[0].source, parents("/src", "**/*.c", false));
    assert_eq!(copy.actions[1].source, parents("/", "a/b", true));
    let Op::Copy(add) = &plan.vertices.last().unwrap().op else { panic!() };
    assert_eq!(add.mode, Some(Mode::Symbols("u+x".to_owned())));
    assert!(!add.actions[0].unpack);
    assert_eq!(
        history(&plan)[1..],
        [
            "COPY --parents --chown=1:2 --chmod=0755 src/./**/*.c a/b /d/ # buildkit",
            "ADD --chmod=u+x a.tar / # buildkit"
        ]
    );
}

#[test]
fn copies_that_make_no_sense_are_refused() {
    for (line, message) in [
        (
            "COPY --chmod=9 a /",
            "invalid chmod parameter: '9'. it should be octal string and between 0 and 07777",
        ),
        (
            "COPY --chmod=77777 a /",
            "invalid chmod parameter: '77777'. it should be octal string and between 0 and 07777",
        ),
        ("COPY --chmod=abc a /", "invalid syntax"),
        ("COPY http://h/x /", "source can't be a URL for COPY"),
        ("COPY git@h:r.git /", "source can't be a git ref for COPY"),
        ("ADD --checksum=sha256:00 a /", "checksum requires HTTP(S) or Git sources"),
        ("ADD --checksum=sha256:00 a b /", "checksum can't be specified for multiple sources"),
        ("ADD --checksum=sha256:00 http://h/x /", "invalid checksum digest format"),
        ("ADD --checksum=md5:00 http://h/x /", "unsupported digest algorithm"),
        ("ADD --checksum=a https://h/x.git?checksum=b /", "checksum mismatch \"a\" != \"b\""),
        (
            "ADD --keep-git-dir https://h/x.git?keep-git-dir=0 /",
            "inconsistent keep-git-dir configuration",
        ),
        (
            "COPY a <<EOF\nEOF",
            "dockerfile parse error on line 2: COPY cannot accept a heredoc as a destination",
        ),
    ] {
        let error = plan(&format!("FROM scratch\n{line}\n"), &options()).unwrap_err();
        assert_eq!(error.to_string(), message, "{line}");
        assert_eq!(error.at[0].first, 2);
    }
}

#[test]
fn sources_from_elsewhere_become_steps() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let text = format!(
        "FROM scratch\nADD --checksum={digest} https://h/d/a%20b.tgz?x=1 /a\nADD --keep-git-dir https://h/r.git#v1:sub /b\n"
    );
    let plan = plan(&text, &options()).unwrap();
    let Op::Http(http) = &plan.vertices[0].op else { panic!() };
    assert_eq!((http.file.as_str(), http.checksum.is_some()), ("a b.tgz", true));
    let Op::Git(git) = &plan.vertices[2].op else { panic!() };
    assert_eq!(
        (git.remote.as_str(), git.reference.as_str(), git.subdirectory.as_str(), git.keep_git_dir),
        ("https://h/r.git", "v1", "sub", true)
    );
}

#[test]
fn mounts_arrive_with_their_defaults() {
    let text = "FROM busybox AS a\nWORKDIR /w\nARG T=/t\nRUN --mount=type=cache,target=c --mount=target=/src --mount=type=tmpfs,dst=$T,size=1m --mount=type=secret,id=s,required --mount=type=secret,id=e,env=E --mount=type=ssh --mount=from=b,source=x,target=/y,rw --network=none --security=insecure true\nFROM a\n";
    let mut options = options();
    options.contexts.insert("b".to_owned(), BuildContext::Local("d".to_owned()));
    let plan = plan(text, &options).unwrap();
    let run = run_step(&plan, "true");
    let text: Vec<String> = run.mounts.iter().map(|mount| format!("{mount:?}")).collect();
    expect![[r#"
        Cache { id: "/w/c", from: None, source: "/", target: "/w/c", sharing: Shared, read_only: false, owner: (0, 0, 493) }
        Bind { from: Some(VertexId(2)), source: "/", target: "/src", read_only: true }
        Tmpfs { target: "/t", size_bytes: Some(1048576) }
        Secret { id: "s", target: Some("/run/secrets/s"), env: None, required: true, owner: (0, 0, 256) }
        Secret { id: "e", target: None, env: Some("E"), required: false, owner: (0, 0, 256) }
        Ssh { id: "default", target: None, required: false, owner: (0, 0, 384) }
        Bind { from: Some(VertexId(3)), source: "/x", target: "/y", read_only: false }"#]]
    .assert_eq(&text.join("\n"));
    assert_eq!((run.network.as_str(), format!("{:?}", run.security)), ("none", "Insecure".into()));
    assert!(history(&plan).last().unwrap().ends_with("RUN |1 T=/t /bin/sh -c true # buildkit"));
}

#[test]
fn mounts_that_make_no_sense_are_refused() {
    for (mount, message) in [
        ("type=chache,target=/c", "unsupported mount type \"chache\" (did you mean cache?)"),
        (
            "type=cache,target=/c,sharing=looked",
            "unsupported sharing value \"looked\" (did you mean locked?)",
        ),
        ("type=bind", "invalid mount target \"/\""),
        ("typ=bind", "unexpected key 'typ' in 'typ=bind' (did you mean type?)"),
        ("bind", "invalid field 'bind' must be a key=value pair"),
        ("type=bind,target=/a,required", "unexpected key 'required' for mount type 'bind'"),
        ("type=bind,target=/a,uid=1", "uid not allowed for \"bind\" type mounts"),
        ("type=cache,target=/a,uid=x", "invalid value x for uid"),
        ("type=secret", "invalid secret mount. one of source, target required"),
        ("type=bind,target=/a,sharing=locked", "invalid cache sharing set for bind mount"),
        ("type=tmpfs,target=/a,size=x", "invalid value for size: x"),
        ("type=bind,target=/a,ro=maybe", "invalid value for ro: maybe"),
    ] {
        let error =
            plan(&format!("FROM scratch\nRUN --mount={mount} true\n"), &options()).unwrap_err();
        assert_eq!(error.to_string(), message, "{mount}");
    }
}

#[test]
fn here_documents_run_as_lines_scripts_or_by_the_shell() {
    let text = "FROM busybox\nRUN <<EOF\necho one\necho two\nEOF\nRUN <<A\n#!/bin/sh\nx\nA\nRUN <<X sh -x\necho $0\nX\nCOPY <<f <<\"g\" /hd/\nval $PATH\nf\nraw $PATH\ng\n";
    let plan = plan(text, &options()).unwrap();
    expect![[r#"
        [1/5] FROM docker.io/library/busybox:latest
        [2/5] RUN <<EOF (echo one...)
        [internal] preparing inline document
        [3/5] RUN <<A (#!/bin/sh...)
        [4/5] RUN <<X sh -x
        [internal] preparing inline document
        [internal] preparing inline document
        [5/5] COPY <<f <<g /hd/"#]]
    .assert_eq(&names(&plan).join("\n"));
    expect![[r#"
        RUN /bin/sh -c echo one
        echo two
         # buildkit
        RUN /bin/sh -c /dev/pipes/A # buildkit
        RUN /bin/sh -c <<X sh -x
        echo $0
        X # buildkit
        COPY <<f <<g /hd/ # buildkit"#]]
    .assert_eq(&history(&plan).join("\n"));
    let documents: Vec<&str> = plan
        .vertices
        .iter()
        .filter_map(|vertex| match &vertex.op {
            Op::Document(document) => Some(document.text.as_str()),
            _ => None,
        })
        .collect();
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(documents, ["#!/bin/sh\nx\n", &format!("val {path}\n"), "raw $PATH\n"]);
    let run = run_step(&plan, "(#!/bin/sh...)");
    assert!(matches!(&run.mounts[0], RunMount::Bind { target, .. } if target == "/dev/pipes"));
}

#[test]
fn the_config_of_nothing_has_a_path_and_a_directory() {
    let mut options = options();
    options.labels = vec![("b".into(), String::new()), ("a".into(), "1".into())];
    let plan = plan("FROM scratch\nENTRYPOINT [\"/x\"]\n", &options).unwrap();
    let json = serde_json::to_string(&plan.image.config).unwrap();
    expect![[r#"{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/","Entrypoint":["/x"],"Labels":{"a":"1","b":""}},"rootfs":{"type":"layers","diff_ids":[]},"history":[{"created_by":"ENTRYPOINT [\"/x\"]","comment":"buildkit.dockerfile.v0","empty_layer":true}]}"#]]
    .assert_eq(&json);
    assert_eq!(plan.root, None);
}

#[test]
fn an_entrypoint_drops_the_commands_of_the_base() {
    let config = |text: &str| plan(text, &options()).unwrap().image.config.config;
    assert_eq!(config("FROM busybox\nENTRYPOINT x\n").cmd, None);
    let both = config("FROM busybox\nCMD [\"a\"]\nENTRYPOINT [\"x\"]\n");
    assert_eq!(both.cmd, Some(vec!["a".to_owned()]));
    assert_eq!(config("FROM busybox\nUSER u\n").cmd, Some(vec!["sh".to_owned()]));
}

#[test]
fn steps_without_cache_are_those_of_the_stages_named() {
    let ignoring = |no_cache: NoCache| {
        let mut options = options();
        options.no_cache = no_cache;
        let plan = plan(STAGES, &options).unwrap();
        let ignoring = plan.vertices.iter().filter(|vertex| vertex.ignore_cache);
        ignoring.map(|vertex| vertex.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ignoring(NoCache::All).len(), 2);
    assert_eq!(ignoring(NoCache::Stages(vec!["A".to_owned()])), ["[a 2/2] RUN a"]);
    assert!(ignoring(NoCache::Never).is_empty());
}

#[test]
fn keys_hold_what_decides_and_nothing_else() {
    let key = |text: &str, options: &Options| {
        let plan = plan(text, options).unwrap();
        *plan.keys(|_| Vec::new()).last().unwrap()
    };
    let same = key("FROM busybox\nENV A=1\nRUN x\n", &options());
    // Names of stages, places, comments, labels, proxies and stages beside do not count.
    let mut proxied = options();
    proxied.build_args.insert("HTTP_PROXY".into(), "p".into());
    let moved = "FROM scratch AS other\n# text\nFROM busybox AS b\nLABEL a=b\nENV A=1\n\nRUN x\n";
    assert_eq!(same, key(moved, &proxied));
    for other in [
        "FROM busybox\nENV A=2\nRUN x\n",
        "FROM busybox\nENV A=1\nRUN y\n",
        "FROM busybox\nENV A=1\nRUN [\"x\"]\n",
        "FROM alpine\nENV A=1\nRUN x\n",
        "FROM busybox\nENV A=1\nRUN z\nRUN x\n",
        "FROM busybox\nENV A=1\nUSER u\nRUN x\n",
        "FROM busybox\nENV A=1\nRUN --network=none x\n",
        "FROM busybox\nENV A=1\nRUN --mount=type=secret,id=s x\n",
    ] {
        assert_ne!(same, key(other, &options()), "{other}");
    }
}

#[test]
fn contents_change_the_keys_of_what_takes_them_and_what_follows() {
    let plan = plan("FROM busybox\nRUN a\nCOPY f /f\nRUN b\n", &options()).unwrap();
    let keys = |text: &[u8]| {
        let digest = varve_types::Digest::of(text);
        plan.keys(|vertex| match vertex.op {
            Op::Copy(_) => vec![digest],
            _ => Vec::new(),
        })
    };
    let (one, other) = (keys(b"1"), keys(b"2"));
    let changed: Vec<bool> = one.iter().zip(&other).map(|(a, b)| a != b).collect();
    assert_eq!(changed, [false, false, false, true, true]);
}

#[test]
fn limits_are_named() {
    for (text, message) in [
        ("FROM a\n".repeat(501), "dockerfile has more than the limit of 500 stages"),
        (
            format!("FROM a\nEXPOSE {}\n", "0-65535 ".repeat(5)),
            "EXPOSE lists more than the limit of 200000 ports",
        ),
        (
            format!("FROM a\n{}", format!("ENV A={}\n", "x".repeat(60_000)).repeat(150)),
            "history of the image is larger than the limit of 8388608 bytes",
        ),
        (
            format!(
                "FROM a\nENV A={}\nENV B=$A$A$A$A C=$A$A$A$A D=$A$A$A$A E=$A$A$A$A F=$A$A$A\n",
                "x".repeat(60_000)
            ),
            "ENV and ARG make an environment larger than the limit of 1048576 bytes",
        ),
    ] {
        let error = plan(&text, &options()).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!((error.kind(), error.at.len()), (varve_types::Kind::Exhausted, 1));
    }
}
