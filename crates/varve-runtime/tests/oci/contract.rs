//! What a process finds in its container.

use std::fs;

use serde_json::json;

use crate::world::{Kind, for_each_runtime, pipes};

for_each_runtime! {
    fn the_exit_code_comes_back(world) {
        for (line, code) in [("true", 0), ("false", 1), ("exit 42", 42)] {
            assert_eq!(world.shell(line).code, Some(code), "{line}");
        }
    }

    fn death_by_a_signal_comes_back(world) {
        // The first process of a namespace takes no signal from inside; its child does.
        world.start(&["/bin/sleep", "1000"]);
        let pid = world.state().pid.unwrap();
        let signal = rustix::process::Signal::KILL;
        world.runtime.kill(&world.id, signal, varve_runtime::oci::Reach::Init).unwrap();
        assert_eq!(crate::world::wait(pid), (None, Some(9)));
    }

    fn streams_are_the_given_ones(world) {
        world.configure(|config| {
            config["process"]["args"] = json!(["/bin/sh", "-c", "cat; echo oops >&2"]);
        });
        let (stdio, streams) = pipes("from outside\n");
        let created = world.runtime.create(&world.id, &world.bundle, stdio).unwrap();
        world.runtime.start(&world.id).unwrap();
        let outcome = streams.outcome(created.pid);
        assert_eq!((outcome.output.as_str(), outcome.error.as_str()), ("from outside\n", "oops\n"));
    }

    fn environment_directory_and_user_are_set(world) {
        let line = "env | sort; pwd; id -u; id -g; id -G; umask; readlink /proc/self/fd/9";
        let outcome = world.shell_with(line, |config| {
            let process = &mut config["process"];
            process["cwd"] = json!("/home/user");
            process["user"] =
                json!({"uid": 1000, "gid": 1001, "additionalGids": [7, 8], "umask": 0o27});
        });
        assert_eq!(
            outcome.output,
            "GREETING=hello world\nHOME=/home/user\nPATH=/usr/bin:/bin\nPWD=/home/user\nSHLVL=1\n\
             /home/user\n1000\n1001\n1001 7 8\n0027\n",
        );
    }

    fn capabilities_are_those_asked_for(world) {
        let line = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status";
        let (none, docker) = ("0000000000000000", "00000000a80425fb");
        let outcome = world.shell(line);
        let expected = format!(
            "CapInh:\t{none}\nCapPrm:\t{docker}\nCapEff:\t{docker}\nCapBnd:\t{docker}\n\
             CapAmb:\t{none}\nNoNewPrivs:\t0\nSeccomp:\t0\n"
        );
        assert_eq!(outcome.output, expected);
        // A user who is not root has what is ambient.
        let outcome = world.shell_with(line, |config| {
            config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
            config["process"]["noNewPrivileges"] = json!(true);
        });
        let expected = format!(
            "CapInh:\t{none}\nCapPrm:\t{none}\nCapEff:\t{none}\nCapBnd:\t{docker}\n\
             CapAmb:\t{none}\nNoNewPrivs:\t1\nSeccomp:\t0\n"
        );
        assert_eq!(outcome.output, expected);
    }

    fn a_filter_is_installed_with_and_without_new_privileges(world) {
        for no_new_privileges in [false, true] {
            let line = "grep Seccomp: /proc/self/status; mkdir /tmp/x 2>/dev/null || echo refused";
            let outcome = world.shell_with(line, |config| {
                config["process"]["noNewPrivileges"] = json!(no_new_privileges);
                config["linux"]["seccomp"] = json!({
                    "defaultAction": "SCMP_ACT_ALLOW",
                    "architectures": ["SCMP_ARCH_X86_64"],
                    "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
                });
            });
            assert_eq!(outcome.output, "Seccomp:\t2\nrefused\n", "{no_new_privileges}");
        }
    }

    fn namespaces_are_its_own(world) {
        let line = "hostname; for n in mnt net uts pid ipc; do readlink /proc/self/ns/$n; done; \
                    echo $$; ip link | grep -c UP";
        let outcome = world.shell(line);
        let mut lines = outcome.output.lines();
        assert_eq!(lines.next(), Some("sediment"));
        for name in ["mnt", "net", "uts", "pid", "ipc"] {
            let ours = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
            assert_ne!(lines.next().unwrap(), ours.to_str().unwrap());
        }
        assert_eq!(lines.next(), Some("1"));
        assert_eq!(lines.next(), Some("1"), "only the loopback device, and it is up");
    }

    fn a_shared_namespace_is_entered(world) {
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        let outcome = world.shell_with("readlink /proc/self/ns/net", |config| {
            config["linux"]["namespaces"][1]["path"] =
                json!(format!("/proc/{}/ns/net", std::process::id()));
        });
        assert_eq!(outcome.output.trim(), own.to_str().unwrap());
    }

    fn masked_and_read_only_paths_are(world) {
        let line = "cat /proc/version | wc -c; ls /sys/firmware | wc -l; \
                    (echo 1 > /proc/sys/kernel/panic) 2>/dev/null || echo locked; \
                    (echo > /proc/sysrq-trigger) 2>/dev/null || echo locked";
        assert_eq!(world.shell(line).output, "0\n0\nlocked\nlocked\n");
    }

    fn mounts_are_made_with_their_options(world) {
        let host = world.directory.path().join("data");
        fs::create_dir(&host).unwrap();
        fs::write(host.join("file"), "of the host\n").unwrap();
        let line = "cat /data/file /one; (echo x > /data/new) 2>/dev/null || echo read-only; \
                    echo y > /mem/new && cat /mem/new; \
                    grep -E ' (/mem|/data) ' /proc/self/mountinfo | while read a b c d e f g; do echo $e $f; done";
        let outcome = world.shell_with(line, |config| {
            let mounts = config["mounts"].as_array_mut().unwrap();
            let bind = |destination: &str, source: String, options: &[&str]| {
                json!({"destination": destination, "type": "bind", "source": source,
                       "options": options})
            };
            let host = host.display();
            mounts.push(bind("/data", host.to_string(), &["rbind", "rprivate", "ro", "nosuid"]));
            mounts.push(bind("/one", format!("{host}/file"), &["rbind", "rprivate"]));
            mounts.push(json!({"destination": "/mem", "type": "tmpfs", "source": "tmpfs",
                               "options": ["noexec", "nodev", "size=64k"]}));
        });
        let expected = "of the host\nof the host\nread-only\ny\n/data ro,nosuid,relatime\n\
                        /mem rw,nodev,noexec,relatime\n";
        assert_eq!(outcome.output, expected);
        assert!(!host.join("new").exists());
    }

    fn a_read_only_root_is(world) {
        let line = "(touch /x) 2>/dev/null || echo read-only; touch /dev/shm/x && echo yes";
        let outcome = world.shell_with(line, |config| config["root"]["readonly"] = json!(true));
        assert_eq!(outcome.output, "read-only\nyes\n");
    }

    fn standard_devices_and_links_are_there(world) {
        let line = "for d in null zero full random urandom tty; do stat -c '%n %a %t,%T' /dev/$d; \
                    done; for l in fd stdin ptmx; do readlink /dev/$l; done; head -c 3 /dev/zero | wc -c; \
                    echo x > /dev/null; echo $?";
        let expected = "/dev/null 666 1,3\n/dev/zero 666 1,5\n/dev/full 666 1,7\n\
                        /dev/random 666 1,8\n/dev/urandom 666 1,9\n/dev/tty 666 5,0\n\
                        /proc/self/fd\n/proc/self/fd/0\npts/ptmx\n3\n0\n";
        assert_eq!(world.shell(line).output, expected);
    }

    fn devices_asked_for_are_made(world) {
        let outcome = world.shell_with("stat -c '%F %a %u %g %t,%T' /dev/sub/x", |config| {
            config["linux"]["devices"] = json!([{"path": "/dev/sub/x", "type": "c", "major": 10,
                "minor": 229, "fileMode": 0o640, "uid": 3, "gid": 4}]);
        });
        assert_eq!(outcome.output, "character special file 640 3 4 a,e5\n");
    }

    fn kernel_parameters_are_set(world) {
        let line = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax";
        let outcome = world.shell_with(line, |config| {
            config["linux"]["sysctl"] = json!({"net.ipv4.ip_unprivileged_port_start": "0",
                "kernel.msgmax": "9000"});
        });
        assert_eq!(outcome.output, "0\n9000\n");
    }

    fn a_user_namespace_has_its_maps(world) {
        let root = world.root();
        for path in [root.join("tmp"), root.clone()] {
            std::os::unix::fs::chown(path, Some(100_000), Some(100_000)).unwrap();
        }
        let line = "cat /proc/self/uid_map | tr -s ' '; id -u; touch /tmp/x; \
                    echo x > /dev/null && echo ok; grep -c . /proc/mounts > /dev/null";
        // A root of its own user may pass to the bundle only where all may.
        let world_readable = |path: &std::path::Path| {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        world_readable(world.directory.path());
        let outcome = world.shell_with(line, |config| {
            let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
            config["linux"]["uidMappings"] = map.clone();
            config["linux"]["gidMappings"] = map;
            config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        });
        assert_eq!(outcome.output, " 0 100000 65536\n0\nok\n", "{outcome:?}");
        let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(root.join("tmp/x")).unwrap());
        assert_eq!(owner, 100_000);
    }
}

/// The embedded runtime says in advance what it does not do.
#[test]
fn hooks_are_refused() {
    let Some(mut world) = crate::world::World::new(Kind::Embedded) else { return };
    let refused = world.run_with(&["/bin/true"], |config| {
        config["hooks"] = json!({"prestart": [{"path": "/bin/true"}]});
    });
    let error = refused.unwrap_err().to_string();
    assert_eq!(error, "the container's configuration is not usable: hooks are not supported");
    world.nothing_is_left();
}
