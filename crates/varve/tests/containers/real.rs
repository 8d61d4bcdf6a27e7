//! A server that is published and keeps its data in a volume, and an image made of a container.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use varve_testkit::{
    guard,
    namespace::{alone, alone_with_network},
};

use crate::world::World;

/// How long a server may take until it answers.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// What a server says to `GET /`, once it answers. Before it listens, the published port takes the
/// connection and drops it.
#[track_caller]
fn page(address: &str) -> String {
    let until = Instant::now() + ANSWER_TIME_MAX;
    while Instant::now() < until {
        if let Some((_, body)) = get(address).unwrap_or_default().split_once("\r\n\r\n") {
            return body.to_owned();
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("nobody answers at {address}");
}

fn get(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_published_server_answers_and_its_volume_outlives_it() {
    alone_with_network("real::a_published_server_answers_and_its_volume_outlives_it", || {
        let Some(world) = World::new() else { return };
        let serve = |name: &str| {
            let name = format!("--name={name}");
            let line = ["run", "-d", &name, "-p=127.0.0.1::80", "-v=site:/srv", "base:1"];
            world.ok(&[&line[..], &["httpd", "-f", "-p", "80", "-h", "/srv"]].concat());
        };

        serve("first");
        let address = world.ok(&["port", "first", "80/tcp"]);
        assert_eq!(page(&address), "from the image\n");
        let rows = world.ok(&["ps", "--format={{.Names}} {{.Ports}}"]);
        assert_eq!(rows, format!("first {address}->80/tcp"));
        world.ok(&["exec", "first", "sh", "-c", "echo changed > /srv/index.html"]);
        assert_eq!(page(&address), "changed\n");
        world.ok(&["rm", "-f", "first"]);
        assert!(TcpStream::connect(&address).is_err(), "the port is still served");
        assert_eq!(world.ok(&["volume", "ls", "-q"]), "site");

        serve("second");
        assert_eq!(page(&world.ok(&["port", "second", "80/tcp"])), "changed\n");
        world.ok(&["stop", "-t=0", "second"]);
        world.ok(&["start", "second"]);
        assert_eq!(page(&world.ok(&["port", "second", "80/tcp"])), "changed\n");
        world.ok(&["rm", "-f", "second"]);
        world.ok(&["volume", "rm", "site"]);

        world.assert_nothing_mounted();
        let links = Command::new("ip").args(["-oneline", "link"]).output().expect("ip starts");
        let links = String::from_utf8(links.stdout).expect("UTF-8");
        assert!(!links.contains("varve") && !links.contains("veth"), "{links}");
        world.ok(&["system", "check"]);
    });
}

#[test]
fn a_commit_has_only_what_the_container_changed() {
    alone("real::a_commit_has_only_what_the_container_changed", || {
        let Some(world) = World::new() else { return };
        let script = "echo new > /etc/new; rm /etc/old; echo page > /srv/index.html";
        let line = ["run", "--name=changed", "--network=none", "base:1", "sh", "-c", script];
        world.ok(&line);
        assert_eq!(
            world.ok(&["diff", "changed"]).lines().collect::<std::collections::BTreeSet<_>>(),
            ["C /etc", "A /etc/new", "D /etc/old", "C /srv", "C /srv/index.html"].into()
        );
        world.ok(&["commit", "-m=as wanted", "-c=ENV KIND=made", "changed", "made:1"]);

        let (base, made) = (world.layers("base:1"), world.layers("made:1"));
        assert_eq!(made[..made.len() - 1], base[..]);
        let names = world.names_in(&made[made.len() - 1]);
        assert_eq!(names, ["etc/", "etc/.wh.old", "etc/new", "srv/", "srv/index.html"]);
        let rows =
            world.ok(&["history", "--no-trunc", "--format={{.CreatedBy}}|{{.Comment}}", "made:1"]);
        assert_eq!(rows.lines().next(), Some(format!("sh -c {script}|as wanted").as_str()));
        assert_eq!(world.ok(&["inspect", "-f={{json .Config.Env}}", "made:1"]), r#"["KIND=made"]"#);

        let look = "cat /etc/new /srv/index.html; [ -e /etc/old ] || echo gone; echo $KIND";
        let line = ["run", "--rm", "--network=none", "made:1", "sh", "-c", look];
        assert_eq!(world.ok(&line), "new\npage\ngone\nmade");
        world.ok(&["rm", "changed"]);
        world.assert_nothing_mounted();
        world.ok(&["system", "check"]);
    });
}

/// What is in the image, what is said and how it ends does not depend on who executes it.
#[test]
fn installed_runtimes_run_what_ours_runs() {
    alone("real::installed_runtimes_run_what_ours_runs", || {
        let Some(world) = World::new() else { return };
        let script = "cat /srv/index.html; echo $0 >&2; exit 7";
        for name in ["varve", "runc", "crun"] {
            let path = match name {
                "varve" => name.to_owned(),
                name => match guard::tool(name) {
                    Some(path) => path.display().to_string(),
                    None => continue,
                },
            };
            let runtime = format!("--runtime={path}");
            let line = ["run", "--rm", "--network=none", &runtime, "base:1", "sh", "-c", script];
            let output = world.run(&line);
            let said =
                [output.stdout, output.stderr].map(|it| String::from_utf8(it).expect("UTF-8"));
            assert_eq!(said, ["from the image\n", "sh\n"], "{name}");
            assert_eq!(output.status.code(), Some(7), "{name}");
        }
        world.assert_nothing_mounted();
    });
}

/// Who watches a container works elsewhere than who started it.
#[test]
fn a_store_may_be_named_by_a_relative_path() {
    alone("real::a_store_may_be_named_by_a_relative_path", || {
        let Some(world) = World::new() else { return };
        let line = ["run", "--network=none", "base:1", "cat", "/etc/old"];
        let mut command = world.command(&line);
        command.current_dir(world.path("")).env("VARVE_ROOT", "store").env("VARVE_RUN", "run");
        let output = command.output().expect("varve ends");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "old\n", "{output:?}");
        assert_eq!(world.ok(&["ps", "-a", "-q"]).lines().count(), 1, "from elsewhere it is there");
    });
}
