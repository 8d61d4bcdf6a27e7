//! `RUN` without mounts.

use crate::world::{World, shell, step, step_with};

#[test]
fn what_a_program_writes_is_told_and_what_it_leaves_is_the_layer() {
    let Some(world) = World::new() else { return };
    let outcome = world.run(&shell("echo out; echo err >&2; echo kept > /home/kept; rm -r /tmp"));
    assert_eq!(
        world.entries(&outcome),
        ["home Directory 755 0!", "home/kept File 644 0!", ".wh.tmp File 600 0"]
    );
    assert_eq!((outcome.output.as_str(), outcome.error.as_str()), ("out\n", "err\n"));
    world.check();
}

#[test]
fn a_program_that_leaves_nothing_makes_dockers_empty_layer() {
    let Some(world) = World::new() else { return };
    let outcome = world.run(&shell("true"));
    assert_eq!(
        outcome.made().diff_id.to_string(),
        "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
    );
    world.check();
}

#[test]
fn a_program_sees_dockers_sandbox() {
    let Some(world) = World::new() else { return };
    let line = "cat /etc/hosts; hostname; id -u; pwd; env | sort; grep CapEff /proc/self/status; \
         mount | grep -c ' /etc/resolv.conf '; df /dev/shm | tail -n 1 | head -c 3; \
         ulimit -n; cat | wc -c; echo $$";
    let text = format!("FROM scratch\nENV A=1 B=\"two words\"\nRUN {line}\n");
    let outcome = world.run(&step_with(&text, |options| {
        options.extra_hosts = vec![("foo".to_owned(), "1.2.3.4".to_owned())];
        options.ulimits = vec!["nofile=100".parse().unwrap()];
        options.build_args.insert("HTTP_PROXY".to_owned(), "http://proxy:1".to_owned());
    }));
    outcome.made();
    expect_test::expect![[r"
        127.0.0.1	localhost buildkitsandbox
        ::1	localhost ip6-localhost ip6-loopback
        1.2.3.4	foo
        buildkitsandbox
        0
        /
        A=1
        B=two words
        HOME=/root
        HTTP_PROXY=http://proxy:1
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
        PWD=/
        SHLVL=1
        SOURCE_DATE_EPOCH=1577836800
        http_proxy=http://proxy:1
        CapEff:	00000000a80425fb
        1
        shm100
        0
        1
    "]]
    .assert_eq(&outcome.output);
    world.check();
}

#[test]
fn a_failing_program_is_told_in_dockers_words() {
    let Some(world) = World::new() else { return };
    let failed = |text: &str| {
        let outcome = world.run(&step(&format!("FROM scratch\n{text}\n")));
        format!("{}{}", outcome.error, outcome.failed())
    };
    assert_eq!(
        failed("RUN echo \"err\" >&2 && exit 7"),
        "err\nprocess \"/bin/sh -c echo \\\"err\\\" >&2 && exit 7\" did not complete successfully: exit code: 7"
    );
    assert_eq!(
        failed("RUN [\"nosuchcmd\"]"),
        "runc run failed: unable to start container process: exec: \"nosuchcmd\": executable file not found in $PATH\nprocess \"nosuchcmd\" did not complete successfully: exit code: 1"
    );
    assert_eq!(
        failed("RUN sh -c 'kill -KILL $$'; exit $?"),
        "Killed\nprocess \"/bin/sh -c sh -c 'kill -KILL $$'; exit $?\" did not complete successfully: exit code: 137"
    );
    assert_eq!(
        failed("USER nosuch\nRUN id"),
        "process \"/bin/sh -c id\" did not complete successfully: unable to find user nosuch: no matching entries in passwd file"
    );
    assert_eq!(
        failed("RUN --security=insecure true"),
        "failed to load LLB: security.insecure is not allowed"
    );
    world.check();
}

#[test]
fn a_program_runs_as_its_user_in_its_directory() {
    let Some(world) = World::new() else { return };
    let text = "FROM scratch\nUSER user\nRUN id; pwd; echo $HOME; touch /tmp/mine; touch /not 2>&1; grep CapEff /proc/self/status; echo ok > /dev/stdout\n";
    let mut wanted = step(text);
    wanted.directory = "/made/for/it".to_owned();
    let outcome = world.run(&wanted);
    assert_eq!(
        outcome.output,
        "uid=1000(user) gid=1000(user) groups=1000(user),2000(others)\n/made/for/it\n/home/user\ntouch: /not: Permission denied\nCapEff:\t0000000000000000\nok\n"
    );
    assert_eq!(
        world.entries(&outcome),
        [
            "made Directory 755 (1000, 1000) 0!",
            "made/for Directory 755 (1000, 1000) 0!",
            "made/for/it Directory 755 (1000, 1000) 0!",
            "tmp Directory 1777 0!",
            "tmp/mine File 644 (1000, 1000) 0!",
        ]
    );
    world.check();
}

#[test]
fn directories_that_replace_others_hide_them_and_the_roots_mode_stays() {
    let Some(world) = World::new() else { return };
    let outcome = world.run(&shell("rm -r /home; mkdir /home; touch /home/new; stat -c %a /"));
    assert_eq!(outcome.output, "755\n");
    assert_eq!(
        world.entries(&outcome),
        ["home Directory 755 0!", "home/.wh..wh..opq File 755 -1577836800", "home/new File 644 0!"]
    );
    // A directory of which only the time changed is in it, as overlayfs says.
    let outcome = world.run(&shell("touch /home"));
    assert_eq!(world.entries(&outcome), ["home Directory 755 0!"]);
    world.check();
}

#[test]
fn a_trusted_program_may_do_everything_when_that_was_allowed() {
    let Some(mut world) = World::new() else { return };
    world.allow_insecure = true;
    let line = "mount -t tmpfs none /tmp && echo mounted; grep Seccomp: /proc/self/status";
    let outcome = world.run(&step(&format!("FROM scratch\nRUN --security=insecure {line}\n")));
    assert_eq!(outcome.output, "mounted\nSeccomp:\t0\n");
    let outcome = world.run(&shell(&format!("{line}; true")));
    assert_eq!(outcome.output, "Seccomp:\t2\n");
    world.check();
}

#[test]
fn a_program_that_wants_too_much_memory_is_told_so() {
    let Some(mut world) = World::new() else { return };
    let machine = varve_runtime::cgroup::Machine::detect().unwrap();
    if !varve_testkit::guard::found("memory-cgroup", machine.controls().memory) {
        return;
    }
    world.limits.memory_bytes = 16 << 20;
    world.limits.memory_swap_bytes = 16 << 20;
    let line = "dd if=/dev/zero of=/dev/shm/x bs=1M count=48";
    let outcome = world.run(&shell(line));
    assert_eq!(
        outcome.failed(),
        format!(
            "process \"/bin/sh -c {line}\" did not complete successfully: cannot allocate memory"
        )
    );
    world.check();
}
