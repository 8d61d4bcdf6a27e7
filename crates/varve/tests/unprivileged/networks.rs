//! Networks of a user without privileges, with and without a program that connects them.

use varve_testkit::guard;

use crate::user::{Ids, NUMBER, User};

/// A server in a container, and how others ask it.
const SCRIPTS: &str = r#"
serve() { echo "mkdir /w; echo hello from $1 > /w/f; exec /bin/busybox httpd -f -p 80 -h /w"; }
fetch() {
    tries=0
    # Some versions of pasta lose the answer to who has said all and closes that side.
    until (printf 'GET /f HTTP/1.0\r\n\r\n'; sleep 1) | "$@" 2> none | grep -a hello; do
        tries=$((tries + 1)); [ $tries -lt 60 ]; sleep 1
    done
}
"#;

fn with_base(ids: Ids) -> Option<User> {
    let user = User::new(ids)?;
    let base = user.path("base.tar").display().to_string();
    user.ok(&format!("varve import {base} base > imported"));
    Some(user)
}

#[test]
fn ports_neighbours_and_names_work_without_a_program_and_nothing_stays() {
    let Some(user) = with_base(Ids::One) else { return };
    let said = user.ok(&format!(
        "{SCRIPTS}
        varve run -d --name web -p 127.0.0.1::80 base sh -c \"$(serve port)\" > id 2> warnings
        grep -o 'cannot reach other machines: neither pasta' warnings
        place=$(varve port web 80)
        fetch busybox nc ${{place%:*}} ${{place#*:}}
        varve network create back > made
        varve run -d --name srv --network back base sh -c \"$(serve neighbour)\" > id 2> warnings
        address=$(varve inspect -f '{{{{.NetworkSettings.Networks.back.IPAddress}}}}' srv)
        fetch varve run --rm -i --network back base /bin/busybox nc $address 80
        varve run --rm --network back base /bin/busybox nslookup srv 2> none | grep -c \"$address\"
        varve rm -f web srv > removed
        varve network rm back > removed
        ls $XDG_RUNTIME_DIR/varve/*/networks/*"
    ));
    let expected =
        "cannot reach other machines: neither pasta\nhello from port\nhello from neighbour\n1\n";
    assert!(said.starts_with(expected), "{said}");
    let left: Vec<&str> = said.lines().skip(4).collect();
    assert!(left.iter().all(|line| !line.contains("ground") && !line.contains("uplink")), "{said}");
}

#[track_caller]
fn is_connected_by(program: &str) {
    if !guard::root() || !guard::network_namespace() || guard::tool(program).is_none() {
        return;
    }
    let Some(user) = with_base(Ids::Ranges) else { return };
    // The other one is not found.
    for name in [program, "newuidmap", "newgidmap"] {
        let Some(path) = guard::tool(name) else { return };
        std::os::unix::fs::symlink(path, user.path("bin").join(name)).expect("a link");
    }
    let said = user.ok_in_a_world(&format!(
        "PATH={own}; {SCRIPTS}
        count() {{ for it in /proc/[0-9]*; do
            if grep -aq \"^$1\" $it/cmdline 2> none && grep -q \"^Uid:.*{NUMBER}\" $it/status 2> none; then echo $it; fi
        done | wc -l; }}
        varve run -d --name one base sleep 1000 > id 2> warnings; cat warnings | grep reach || true
        fetch varve exec -i one /bin/busybox nc 198.51.100.2 80
        count {program}
        varve rm -f one > removed
        count {program}",
        own = user.path("bin").display()
    ));
    assert_eq!(said, "hello from the world\n1\n0", "{program}");
}

#[test]
fn pasta_connects_containers_with_the_world_and_goes_with_the_last() {
    is_connected_by("pasta");
}

#[test]
fn slirp4netns_connects_containers_with_the_world_and_goes_with_the_last() {
    is_connected_by("slirp4netns");
}
