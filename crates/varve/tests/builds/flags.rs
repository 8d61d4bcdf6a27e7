//! What a build is given: secrets, an agent, limits, hosts, contexts, bases, and where it goes.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use varve_testkit::{
    Registry, guard,
    namespace::{alone, alone_with_network},
};

use crate::world::{World, said};

/// All bytes of a store, searched by grep.
fn is_stored(world: &World, text: &str) -> bool {
    let found = Command::new("grep").args(["-rqs", text]).arg(world.path("store")).status();
    found.expect("grep starts").success()
}

#[test]
fn secrets_are_seen_by_programs_and_stored_nowhere() {
    alone("flags::secrets_are_seen_by_programs_and_stored_nowhere", || {
        let Some(world) = World::new() else { return };
        let text = "FROM base:1\nRUN --mount=type=secret,id=file \
                    --mount=type=secret,id=word,target=/etc/word,mode=0440,uid=7 \
                    --mount=type=secret,id=word,env=WORD \
                    wc -c < /run/secrets/file > /count && stat -c '%a %u' /etc/word > /mode && \
                    [ \"$WORD\" = \"$(cat /etc/word)\" ] && ! touch /etc/word\n\
                    RUN --mount=type=secret,id=absent [ ! -e /run/secrets/absent ] && [ ! -e /run ] && [ ! -e /etc/word ]\n";
        world.write("Dockerfile", text);
        fs::write(world.path("key"), "hush-hush-in-a-file\n").expect("a file");
        let key = format!("--secret=id=file,src={}", world.path("key").display());
        let flags = ["-t=app:1", &key, "--secret=id=word,env=THE_WORD"];
        let output = world.build(&flags).env("THE_WORD", "hush-hush-in-a-word").output();
        let output = output.expect("varve ends");
        assert!(output.status.success(), "{}", said(&output));
        let seen = world.run("app:1", &["cat", "/count", "/mode"]);
        assert_eq!(seen, "20\n440 7");
        assert!(is_stored(&world, "440 7") && !is_stored(&world, "hush-hush"));
        let text =
            "FROM base:1\nRUN --mount=type=secret,id=must,required=true cat /run/secrets/must\n";
        world.write("Dockerfile", text);
        let (told, code) = world.fails(&[]);
        assert!(told.contains("secret must: not found"), "{told}");
        assert_eq!(code, Some(1));
        world.assert_clean();
    });
}

#[test]
fn an_agent_is_reached_by_the_programs_that_ask_for_it() {
    alone("flags::an_agent_is_reached_by_the_programs_that_ask_for_it", || {
        let (Some(_), Some(_)) = (guard::tool("ssh-agent"), guard::tool("ssh-add")) else { return };
        let Some(world) = World::new() else { return };
        // ssh-add of this machine, with the libraries that it needs, is a context.
        let script = "mkdir $1 && for f in $(command -v ssh-add) $(ldd $(command -v ssh-add) | \
                      grep -o '/[^ ]*'); do cp --parents -L $f $1; done";
        let tools = world.path("ssh");
        let copied = Command::new("sh").args(["-ec", script, "sh"]).arg(&tools).status();
        assert!(copied.expect("sh starts").success());
        let socket = world.path("agent");
        let mut agent = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .expect("ssh-agent starts");
        while !socket.exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let key = world.path("key");
        let mut made = Command::new("ssh-keygen");
        made.args(["-q", "-t", "ed25519", "-N", "", "-C", "tester", "-f"]).arg(&key);
        assert!(made.status().expect("ssh-keygen starts").success());
        let mut add = Command::new("ssh-add");
        add.arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket).stderr(Stdio::null());
        assert!(add.status().expect("ssh-add starts").success());
        let text = "FROM base:1\nCOPY --from=ssh . /\n\
                    RUN --mount=type=ssh ssh-add -l > /keys && ! ssh-add -D\n\
                    RUN [ -z \"$SSH_AUTH_SOCK\" ]\n";
        world.write("Dockerfile", text);
        let context = format!("--build-context=ssh={}", tools.display());
        let mut build = world.build(&["-t=app:1", "--ssh=default", &context]);
        let output = build.env("SSH_AUTH_SOCK", &socket).output().expect("varve ends");
        assert!(output.status.success(), "{}", said(&output));
        let keys = world.run("app:1", &["cat", "/keys"]);
        assert!(keys.contains("tester (ED25519)"), "{keys}");
        agent.kill().expect("a process");
        agent.wait().expect("ssh-agent ends");
        let (told, _) =
            world.fails(&["--no-cache", &context, &format!("--ssh=other={}", socket.display())]);
        assert!(told.contains("ERROR"), "{told}");
        world.assert_clean();
    });
}

#[test]
fn limits_hosts_and_networks_are_what_was_asked_for() {
    alone("flags::limits_hosts_and_networks_are_what_was_asked_for", || {
        let Some(world) = World::new() else { return };
        let text = "FROM base:1\nRUN ulimit -n > /seen; df -k /dev/shm | tail -n 1 | sed 's/  */ /g' | \
                    cut -d' ' -f2 >> /seen; grep build.example /etc/hosts >> /seen; \
                    tail -n +3 /proc/net/dev | cut -d: -f1 >> /seen; hostname >> /seen\n";
        world.write("Dockerfile", text);
        let flags =
            ["--ulimit=nofile=123:456", "--shm-size=3m", "--add-host=build.example:192.0.2.7"];
        world.built(&[&flags[..], &["-t=app:1"]].concat());
        let seen = world.run("app:1", &["cat", "/seen"]);
        let words: Vec<&str> = seen.split_whitespace().collect();
        let expected = ["123", "3072", "192.0.2.7", "build.example", "lo", "buildkitsandbox"];
        assert_eq!(words, expected);
        // The network of the machine is to be allowed.
        world.write("Dockerfile", "FROM base:1\nRUN --network=host true\n");
        let (told, code) = world.fails(&[]);
        assert!(told.contains("network.host"), "{told}");
        assert_eq!(code, Some(1));
        world.built(&["--allow=network.host"]);
        world.assert_clean();
    });
}

#[test]
fn contexts_are_directories_archives_images_and_layouts() {
    alone("flags::contexts_are_directories_archives_images_and_layouts", || {
        let Some(world) = World::new() else { return };
        let project = world.path("project");
        world.write("more/sub/file", "of a directory\n");
        let text = "FROM one\nCOPY --from=two sub/file /file\nRUN cat /file\n";
        world.write("Dockerfile", text);
        let two = format!("--build-context=two={}", project.join("more").display());
        world.built(&["-t=app:1", "--build-context=one=docker-image://base:1", &two]);
        assert_eq!(world.run("app:1", &["cat", "/file"]), "of a directory");

        let layout = world.path("layout").display().to_string();
        world.built(&[
            "-o",
            &format!("type=oci,tar=false,dest={layout}"),
            "-t=app:1",
            two.as_str(),
            "--build-context=one=docker-image://base:1",
        ]);
        world.write("Dockerfile", "FROM scratch\nCOPY --from=two /file /\n");
        let context = format!("--build-context=two=oci-layout://{layout}:1");
        world.built(&["-t=app:2", &context]);
        assert!(world.ok(&["image", "tree", "app:2"]).contains("file"));

        // On standard input: an archive, and a Dockerfile.
        let output = world.path("archive");
        let mut packed = Command::new("tar");
        packed.arg("-C").arg(&project).arg("-czf").arg(&output).arg(".");
        world.write("Dockerfile", "FROM base:1\nCOPY more/sub /sub\nRUN cat /sub/file\n");
        assert!(packed.status().expect("tar starts").success());
        let line = ["build", "--network=none", "-t=app:3", "-"];
        let input = fs::File::open(&output).expect("a file");
        let built = world.command(&line).stdin(input).output().expect("varve ends");
        assert!(built.status.success(), "{}", said(&built));
        world.built(&["-t=app:4"]);
        assert_eq!(world.id("app:3"), world.id("app:4"));
        let line = ["build", "--network=none", "-t=app:5", "-f", "-", "."];
        let mut child = world.command(&line).stdin(Stdio::piped()).spawn().expect("varve starts");
        let text = fs::read(project.join("Dockerfile")).expect("a file");
        child.stdin.take().expect("an input").write_all(&text).expect("a pipe");
        let built = child.wait_with_output().expect("varve ends");
        assert!(built.status.success(), "{}", said(&built));
        assert_eq!(world.id("app:5"), world.id("app:4"));
        world.assert_clean();
    });
}

#[test]
fn a_base_is_fetched_from_a_registry() {
    alone_with_network("flags::a_base_is_fetched_from_a_registry", || {
        let Some(world) = World::new() else { return };
        let registry = Registry::start();
        let name = format!("{}/team/base:1", registry.address());
        world.ok(&["tag", "base:1", &name]);
        world.ok(&["push", "-q", &name]);
        world.ok(&["rmi", &name, "base:1"]);
        world.write("Dockerfile", &format!("FROM {name}\nRUN echo made > /made\n"));
        world.built(&["-t=app:1"]);
        assert_eq!(world.run("app:1", &["cat", "/made"]), "made");
        assert_eq!(world.names(), ["app:1"]);
        world.assert_clean();
    });
}

/// What GNU tar says is in an archive, sorted.
fn listed(archive: &Path) -> Vec<String> {
    let output = Command::new("tar").arg("-tf").arg(archive).output().expect("tar starts");
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut names: Vec<String> = text.lines().map(|it| it.trim_matches('/').to_owned()).collect();
    names.sort();
    names
}

#[test]
fn outputs_are_what_their_kinds_say() {
    alone("flags::outputs_are_what_their_kinds_say", || {
        let Some(world) = World::new() else { return };
        let text = "FROM --platform=$BUILDPLATFORM base:1 AS make\nRUN mkdir /o && echo made > /o/made && touch -d @86400 /o/old\n\
                    FROM scratch AS files\nCOPY --from=make /o /\n\
                    FROM base:1\nCOPY --from=make /o /o\nRUN false\n";
        world.write("Dockerfile", text);
        // The last stage fails, and is not wanted.
        let out = |name: &str| world.path(name).display().to_string();
        let target = "--target=files";
        world.built(&[target, "-o", &out("local")]);
        assert_eq!(fs::read_to_string(world.path("local/made")).expect("a file"), "made\n");
        world.built(&[target, "-o", &format!("type=tar,dest={}", out("files.tar"))]);
        assert_eq!(listed(&world.path("files.tar")), ["made", "old"]);
        assert_eq!(world.names(), ["base:1"]);
        for kind in ["oci", "docker"] {
            let archive = out(kind);
            world.built(&[target, "-t=files:1", "-o", &format!("type={kind},dest={archive}")]);
            assert_eq!(world.names(), ["base:1"], "{kind}");
            let Some(skopeo) = guard::tool("skopeo") else { continue };
            let output = Command::new(skopeo)
                .args(["inspect", "--raw", &format!("{kind}-archive:{archive}")])
                .output()
                .expect("skopeo starts");
            assert!(output.status.success(), "{}", said(&output));
            assert!(said(&output).contains("\"layers\""), "{}", said(&output));
        }
        world.ok(&["load", "-q", "-i", &out("docker")]);
        assert_eq!(world.names(), ["base:1", "files:1"]);
        let first = world.id("files:1");
        world.built(&[target, "-t=files:2", "--platform=linux/arm64"]);
        let shown = world.ok(&["inspect", "--format={{.Os}}/{{.Architecture}}", "files:2"]);
        assert_eq!(shown, "linux/arm64");
        assert_ne!(world.id("files:2"), first);
        world.assert_clean();
    });
}
