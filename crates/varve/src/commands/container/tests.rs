//! What the flags of `run` ask for, and what is wrong with them in docker's words.

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

use std::path::Path;

use expect_test::{Expect, expect};
use varve_types::Environment;

use super::{options::Options, request};

/// The flags alone, as clap reads them.
#[derive(Debug, clap::Parser)]
#[command(disable_help_flag = true)]
struct Line {
    #[command(flatten)]
    options: Options,
}

fn read(line: &str) -> Result<varve_types::container::CreateRequest, String> {
    let words = std::iter::once("run").chain(line.split_whitespace());
    let line = <Line as clap::Parser>::try_parse_from(words).map_err(|error| error.to_string())?;
    let variables = [("B".to_owned(), "fromhost".to_owned())];
    let environment = Environment::new(variables);
    let world = request::World { environment: &environment, directory: Path::new("/home/dev/run") };
    request::read(&line.options, "busybox:1.36.0", &["sh".to_owned()], world).map_err(|refused| {
        refused.with_help("run").text().unwrap_or_default().lines().next().unwrap().to_owned()
    })
}

/// Shows what differs from a container that asks for nothing.
#[track_caller]
fn check(line: &str, expected: Expect) {
    let shown = match read(line) {
        Err(error) => error,
        Ok(asked) => {
            let plain = read("").unwrap();
            let json = |request: &varve_types::container::CreateRequest| {
                serde_json::json!({
                    "Config": request.config,
                    "HostConfig": request.host_config,
                    "Networks": request.networks,
                })
            };
            let (asked, plain) = (json(&asked), json(&plain));
            let mut lines = Vec::new();
            for part in ["Config", "HostConfig", "Networks"] {
                for (name, value) in asked[part].as_object().unwrap() {
                    if plain[part].get(name) != Some(value) {
                        lines.push(format!("{part}.{name} = {value}"));
                    }
                }
            }
            lines.join("\n")
        }
    };
    expected.assert_eq(&shown);
}

#[test]
fn the_recorded_flags_ask_for_what_was_recorded() {
    let text = include_str!("../../../../varve-types/tests/golden/inspect-container-options.json");
    let recorded: serde_json::Value = serde_json::from_str(text).unwrap();
    let asked = read(
        "-v /home/dev/run/hostd:/d:ro -v named:/n -p 18081:80 --restart on-failure:3 \
         --annotation an=1 --cap-add CAP_NET_BIND_SERVICE --cap-drop ALL --add-host foo:1.2.3.4 \
         --group-add 100 --oom-score-adj 10 --read-only --security-opt no-new-privileges \
         --tmpfs /t --shm-size 32m --sysctl net.ipv4.ip_forward=1 --cpu-shares 512 -m 64m \
         --cpus 0.5 --cpuset-cpus 0 --device /dev/null:/dev/xnull --memory-reservation 32m \
         --memory-swap 128m --pids-limit 20 --ulimit nofile=10:20 \
         --mount type=tmpfs,dst=/mt,tmpfs-size=1m --init --cgroupns host",
    )
    .unwrap();
    let host = serde_json::to_value(&asked.host_config).unwrap();
    assert_eq!(
        serde_json::to_string_pretty(&host).unwrap(),
        serde_json::to_string_pretty(&recorded[0]["HostConfig"]).unwrap()
    );
}

#[test]
fn flags_become_settings() {
    check(
        "-it -h hh -u 1:1 -w /tmp -e A=1 -e B -e C -l l=1",
        expect![[r#"
        Config.Hostname = "hh"
        Config.User = "1:1"
        Config.AttachStdin = true
        Config.Tty = true
        Config.OpenStdin = true
        Config.StdinOnce = true
        Config.Env = ["A=1","B=fromhost","C"]
        Config.WorkingDir = "/tmp"
        Config.Labels = {"l":"1"}"#]],
    );
    check("--entrypoint=", expect![[r#"Config.Entrypoint = [""]"#]]);
    check(
        "-a stdin -a stdout",
        expect![[r#"
        Config.AttachStdin = true
        Config.AttachStderr = false"#]],
    );
    check(
        "--health-cmd true --health-interval 1s --stop-timeout 1",
        expect![[r#"
        Config.Healthcheck = {"Test":["CMD-SHELL","true"],"Interval":1000000000}
        Config.StopTimeout = 1"#]],
    );
    check(
        "-p 8000-8001:80-81 --expose 90/udp -P",
        expect![[r#"
        Config.ExposedPorts = {"80/tcp":{},"81/tcp":{},"90/udp":{}}
        HostConfig.PortBindings = {"80/tcp":[{"HostIp":"","HostPort":"8000"}],"81/tcp":[{"HostIp":"","HostPort":"8001"}]}
        HostConfig.PublishAllPorts = true"#]],
    );
    check(
        "-v ./a/../b:/d -v /anon --mount type=bind,src=.,dst=/x",
        expect![[r#"
        Config.Volumes = {"/anon":{}}
        HostConfig.Binds = ["/home/dev/run/b:/d"]
        HostConfig.Mounts = [{"Type":"bind","Source":"/home/dev/run","Target":"/x"}]"#]],
    );
    check(
        "--network name=back,alias=db --ip 10.0.0.5",
        expect![[r#"
        HostConfig.NetworkMode = "back"
        Networks.back = {"aliases":["db"],"ipv4Address":"10.0.0.5"}"#]],
    );
    check(
        "--network host --privileged",
        expect![[r#"
        HostConfig.NetworkMode = "host"
        HostConfig.Privileged = true
        HostConfig.MaskedPaths = null
        HostConfig.ReadonlyPaths = null"#]],
    );
    check(
        "-p published=8080,target=80,protocol=udp --log-driver none",
        expect![[r#"
        Config.ExposedPorts = {"80/udp":{}}
        HostConfig.LogConfig = {"Type":"none","Config":{}}
        HostConfig.PortBindings = {"80/udp":[{"HostIp":"","HostPort":"8080"}]}"#]],
    );
}

#[test]
fn nonsense_is_refused_in_dockers_words() {
    check("--mac-address x", expect!["varve: x is not a valid mac address"]);
    check(
        "--memory-swappiness 101",
        expect!["varve: invalid value: 101. Valid memory swappiness range is 0-100"],
    );
    check("-v :/d", expect!["varve: invalid spec: :/d: empty section between colons"]);
    check("-p 80:80:80:80", expect!["varve: invalid IP address: 80:80"]);
    check("--expose 80:90", expect!["varve: invalid port format for --expose: 80:90"]);
    check("--device /dev/null:x", expect!["varve: x is not an absolute path"]);
    check("--env-file nofile", expect!["varve: open nofile: no such file or directory"]);
    check("--pid x", expect!["varve: --pid: invalid PID mode"]);
    check(
        "--log-driver none --log-opt a=b",
        expect!["varve: invalid logging opts for driver none"],
    );
    check("--security-opt bogus", expect![[r#"varve: Invalid --security-opt: "bogus""#]]);
    check(
        "--security-opt seccomp=nofile",
        expect![
            "varve: opening seccomp profile (nofile) failed: open nofile: no such file or directory"
        ],
    );
    check(
        "--no-healthcheck --health-cmd true",
        expect!["varve: --no-healthcheck conflicts with --health-* options"],
    );
    check("--health-retries=-1", expect!["varve: --health-retries cannot be negative"]);
    check(
        "--restart bogus --rm",
        expect!["varve: conflicting options: cannot specify both --restart and --rm"],
    );
    check(
        "--restart bogus",
        expect![
            "varve: Error response from daemon: invalid restart policy: unknown policy 'bogus'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        ],
    );
    check(
        "--network a --network a",
        expect![[r#"varve: network "a" is specified multiple times"#]],
    );
    check(
        "--network a --network bridge",
        expect![
            "varve: conflicting options: cannot attach both user-defined and non-user-defined network-modes"
        ],
    );
    check(
        "--network name=a,ip=1.2.3.4 --ip 1.2.3.5",
        expect![
            "varve: conflicting options: cannot specify both --ip and per-network IPv4 address"
        ],
    );
    check("--storage-opt size", expect!["varve: invalid storage option"]);
}
