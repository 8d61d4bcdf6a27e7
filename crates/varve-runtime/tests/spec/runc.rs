//! Specs given to runc, which reads them more strictly than we do, and what a container sees.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use varve_runtime::{
    cgroup, files, probe,
    spec::{Paths, Request, spec},
    users,
};
use varve_testkit::guard;

use crate::made::container;

const SCRIPT: &str = "id; env; hostname; cat /etc/hosts; ulimit -n; pwd; \
    grep -E 'CapEff|CapBnd|Seccomp:' /proc/self/status; echo x > /proc/sys/kernel/domainname";

/// A root file system of one program with many names.
fn root_with(busybox: &Path, root: &Path) {
    for directory in ["bin", "etc", "proc", "sys", "dev", "tmp"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::copy(busybox, root.join("bin/busybox")).unwrap();
    fs::set_permissions(root.join("bin/busybox"), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["sh", "id", "env", "hostname", "cat", "grep"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\napp:x:7:8::/home/app:\n")
        .unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nusers:x:100:app\n").unwrap();
}

#[test]
fn runc_takes_the_spec_and_the_container_is_as_docker_makes_it() {
    if !guard::root() {
        return;
    }
    let (Some(runc), Some(busybox)) = (guard::tool("runc"), guard::tool("busybox")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let bundle = directory.path();
    root_with(&busybox, &bundle.join("rootfs"));
    fs::write(bundle.join("hosts"), files::hosts(&["h:1.2.3.4".to_owned()], None, &[])).unwrap();

    let mut container = container();
    (container.path, container.args) = ("sh".to_owned(), ["-c", SCRIPT].map(str::to_owned).into());
    container.config.env = Some(vec!["PATH=/bin".to_owned(), "A=1".to_owned()]);
    container.config.working_dir = "/tmp".to_owned();
    container.host_config.ulimits = vec!["nofile=64:64".parse().unwrap()];
    let root = varve_fs::root::Root::open(&bundle.join("rootfs")).unwrap();
    let user = users::resolve(&root, "", &["users".to_owned()]).unwrap();
    let paths = Paths {
        rootfs: bundle.join("rootfs"),
        hosts: Some(bundle.join("hosts")),
        ..Paths::default()
    };
    let machine = probe::machine(cgroup::Machine::default(), false);
    let request = Request {
        container: &container,
        machine: &machine,
        user: &user,
        paths: &paths,
        devices: &[],
    };
    let config = serde_json::to_vec(&spec(&request).unwrap()).unwrap();
    fs::write(bundle.join("config.json"), config).unwrap();

    let id = format!("varve-test-{}", std::process::id());
    let mut command = Command::new(runc);
    command.arg("--root").arg(bundle.join("state")).args(["run", "--bundle"]).arg(bundle).arg(&id);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    for expected in [
        "uid=0(root) gid=0(root) groups=0(root),100(users)\n",
        "HOME=/root\n",
        "A=1\n",
        "1.2.3.4\th\n",
        "CapBnd:\t00000000a80425fb\n",
        "CapEff:\t00000000a80425fb\n",
        "Seccomp:\t2\n",
        "\n64\n",
        "/tmp\n",
    ] {
        assert!(said.contains(expected), "{expected:?} in {said}\n{complained}");
    }
    assert!(said.contains(&format!("\n{}\n", container.id.short())), "{said}");
    assert!(complained.contains("Read-only file system"), "{complained}");
}
