//! A user without privileges, with a home, programs, and an image of a static busybox.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;
use varve_testkit::guard;

/// Nobody's number on any machine, and the first of the IDs that are its to give away.
pub(crate) const NUMBER: u32 = 54_321;
const FIRST_SUB_ID: u32 = 1_000_000_000;

/// Which IDs a user's containers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ids {
    /// The user's own: `newuidmap` is not there.
    One,
    /// 65,536 more.
    Ranges,
}

/// A user.
pub(crate) struct User {
    directory: TempDir,
    ids: Ids,
    is_root: bool,
}

/// Programs that scripts use, out of busybox.
const APPLETS: [&str; 21] = [
    "awk", "basename", "cat", "chmod", "cut", "find", "grep", "head", "id", "kill", "ls", "mkdir",
    "mount", "readlink", "rm", "sh", "sleep", "sort", "tar", "wc", "xargs",
];

impl User {
    /// `None` where the machine has no user namespaces, or no programs to map ranges with.
    #[track_caller]
    pub(crate) fn new(ids: Ids) -> Option<Self> {
        let busybox = guard::tool("busybox")?;
        if !guard::mounts() {
            return None;
        }
        if ids == Ids::Ranges && !(guard::root() && guard::tool("newuidmap").is_some()) {
            return None;
        }
        let is_root = fs::metadata("/proc/self")
            .is_ok_and(|it| std::os::unix::fs::MetadataExt::uid(&it) == 0);
        // Others cannot pass through the directories that tests usually have.
        let directory = TempDir::new_in("/var/tmp").expect("a directory");
        let user = Self { directory, ids, is_root };
        for name in ["bin", "home", "run", "rootfs/bin"] {
            fs::create_dir_all(user.path(name)).expect("a directory");
        }
        fs::copy(env!("CARGO_BIN_EXE_varve"), user.path("bin/varve")).expect("a copy");
        fs::copy(&busybox, user.path("bin/busybox")).expect("a copy");
        fs::copy(&busybox, user.path("rootfs/bin/busybox")).expect("a copy");
        for name in APPLETS {
            symlink("busybox", user.path("bin").join(name)).expect("a link");
        }
        for name in
            ["sh", "cat", "chmod", "chown", "echo", "id", "ls", "ln", "mkdir", "ps", "rm", "sleep"]
        {
            symlink("busybox", user.path("rootfs/bin").join(name)).expect("a link");
        }
        let packed = Command::new("tar")
            .args(["--owner=0", "--group=0", "-cf"])
            .args([&user.path("base.tar"), Path::new("-C"), &user.path("rootfs"), Path::new(".")])
            .status();
        assert!(packed.expect("tar starts").success());
        fs::set_permissions(user.directory.path(), fs::Permissions::from_mode(0o755))
            .expect("a mode");
        if is_root {
            for name in ["home", "run"] {
                chown(user.path(name), Some(NUMBER), Some(NUMBER)).expect("an owner");
            }
        }
        Some(user)
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    /// Runs a script in the user's home; returns what it wrote. It must end well.
    #[track_caller]
    pub(crate) fn ok(&self, script: &str) -> String {
        let (said, is_well) = self.run(script);
        assert!(is_well, "{script}\n{said}");
        said
    }

    /// Runs a script; both outputs, and whether it ended well.
    pub(crate) fn run(&self, script: &str) -> (String, bool) {
        let script = format!("exec 2>&1; cd {}; set -eu; {script}", self.path("home").display());
        let output = self.command(&script).output().expect("the script starts");
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (said.trim_end().to_owned(), output.status.success())
    }

    /// [`ok`](Self::ok) on a machine with a network of its own, beyond which a server at 198.51.100.2
    /// has a file `f`, and whose `/dev/net/tun` is for all. Root only.
    #[track_caller]
    pub(crate) fn ok_in_a_world(&self, script: &str) -> String {
        let prepare = r#"
            rm -f "$0/tun"; mknod -m 666 "$0/tun" c 10 200; mount --bind "$0/tun" /dev/net/tun
            mkdir -p "$0/served"; echo hello from the world > "$0/served/f"
            ip link set lo up
            unshare --net sh -c 'until ip link set w1 up 2>&-; do sleep 0.05; done
                ip addr add 198.51.100.2/24 dev w1; ip link set lo up
                exec "$0/bin/busybox" httpd -f -p 80 -h "$0/served"' "$0" &
            world=$!
            until [ "$(readlink /proc/$world/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.05; done
            ip link add w0 type veth peer name w1 netns $world
            ip addr add 198.51.100.1/24 dev w0; ip link set w0 up
            ip route add default via 198.51.100.2
            code=0; "$@" || code=$?
            kill $world; exit $code"#;
        let script = format!("exec 2>&1; cd {}; set -eu; {script}", self.path("home").display());
        let inner = self.command(&script);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "sh", "-euc", prepare]).arg(self.directory.path());
        command.arg(inner.get_program()).args(inner.get_args()).env_clear();
        for (name, value) in inner.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let output = command.stdin(Stdio::null()).output().expect("unshare starts");
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{said}");
        said.trim_end().to_owned()
    }

    fn command(&self, script: &str) -> Command {
        let own = self.path("bin").display().to_string();
        let path = match self.ids {
            Ids::One => own,
            Ids::Ranges => format!("{own}:/usr/bin:/bin"),
        };
        let script = format!("export PATH={path}; {script}");
        let sh = self.path("bin/sh");
        let mut command = if self.is_root {
            let lines = format!("{NUMBER}:{FIRST_SUB_ID}:65536\n");
            for name in ["subuid", "subgid"] {
                fs::write(self.path(name), &lines).expect("a file");
            }
            let known = fs::read_to_string("/etc/passwd").expect("a file");
            let passwd = format!("{known}varve-test:x:{NUMBER}:{NUMBER}::/:/bin/sh\n");
            fs::write(self.path("passwd"), passwd).expect("a file");
            // What this machine's users have is none of ours: it is laid over where nobody else looks.
            let prepare = "for name in subuid subgid passwd; do mount --bind $0/$name /etc/$name; done; \
                           exec setpriv --reuid=$1 --regid=$1 --clear-groups -- \"$2\" -c \"$3\"";
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-euc", prepare]).arg(self.directory.path());
            command.arg(NUMBER.to_string()).arg(sh).arg(script);
            command
        } else {
            let mut command = Command::new(sh);
            command.arg("-c").arg(script);
            command
        };
        // The programs that make the user are found here, the user's own by what the script says.
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        command.env("HOME", self.path("home")).env("XDG_RUNTIME_DIR", self.path("run"));
        command
    }

    /// Runs the program as whoever runs the tests, on a store of its own.
    #[track_caller]
    pub(crate) fn varve_of_root(&self, line: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_varve"))
            .args(line)
            .env_clear()
            .env("HOME", self.directory.path())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("VARVE_ROOT", self.path("roots-store"))
            .env("VARVE_RUN", self.path("roots-run"))
            .current_dir(self.path("home"))
            .output()
            .expect("varve starts");
        assert!(output.status.success(), "varve {}: {output:?}", line.join(" "));
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }
}
