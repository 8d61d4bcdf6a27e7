//! Other programs, run in a user's home and judged.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use varve_testkit::guard;

use crate::home::{Home, Ran};

/// A program of somebody else.
#[derive(Debug)]
pub(crate) struct Peer {
    program: PathBuf,
    /// Options that stand before every command.
    options: Vec<String>,
}

impl Peer {
    /// `skopeo`, which must not ask a policy that the machine may lack.
    #[track_caller]
    pub(crate) fn skopeo() -> Option<Self> {
        let program = guard::tool("skopeo")?;
        Some(Self { program, options: vec!["--insecure-policy".to_owned()] })
    }

    #[track_caller]
    pub(crate) fn umoci() -> Option<Self> {
        Some(Self { program: guard::tool("umoci")?, options: Vec::new() })
    }

    /// `buildah` with a storage of its own in `home`.
    #[track_caller]
    pub(crate) fn buildah(home: &Home) -> Option<Self> {
        let program = guard::tool("buildah")?;
        let (root, run) = (home.text("buildah"), home.text("buildah-run"));
        let options = ["--storage-driver", "vfs", "--root", &root, "--runroot", &run];
        Some(Self { program, options: options.map(str::to_owned).to_vec() })
    }

    pub(crate) fn run(&self, home: &Home, arguments: &[&str]) -> Ran {
        let mut command = Command::new(&self.program);
        home.at_home(&mut command).args(&self.options).args(arguments);
        command.output().expect("the program starts").into()
    }

    /// Runs a command that must succeed; returns its standard output without the newline at its
    /// end.
    #[track_caller]
    pub(crate) fn ok(&self, home: &Home, arguments: &[&str]) -> String {
        let ran = self.run(home, arguments);
        let (program, line) = (self.program.display(), arguments.join(" "));
        assert_eq!(ran.code, 0, "{program} {line}\n{}{}", ran.stdout, ran.stderr);
        ran.stdout.trim_end().to_owned()
    }

    /// Runs a command that must succeed and prints JSON.
    #[track_caller]
    pub(crate) fn json(&self, home: &Home, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(home, arguments)).expect("JSON")
    }
}

/// Copies a directory with everything in it.
#[track_caller]
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp");
    assert!(status.success(), "cp {} {}", from.display(), to.display());
}

/// A real root file system: Debian's, where `cargo xtask test` made one with mmdebstrap; else the
/// files of some packages of this machine. `None` where there is neither.
#[track_caller]
pub(crate) fn debian_root() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (made, smaller) = (folder.join("debian-root.tar"), folder.join("package-root.tar"));
    if made.is_file() {
        return Some(made);
    }
    if smaller.is_file() {
        return Some(smaller);
    }
    guard::tool("dpkg-query")?;
    // Under a name of its own first: tests run side by side.
    let draft = folder.join(format!("package-root.{}", std::process::id()));
    let script = "dpkg-query -L dpkg coreutils bash libc6 libc-bin perl-base tzdata apt util-linux \
                  | grep '^/.' | sort -u | while read -r f; do [ -e \"$f\" ] && echo \".$f\"; done \
                  | tar -C / --no-recursion --numeric-owner -T - -cf \"$1\"";
    let made = Command::new("sh").args(["-c", script, "sh"]).arg(&draft).status().ok()?;
    assert!(made.success(), "tar failed");
    std::fs::rename(&draft, &smaller).expect("the same directory");
    Some(smaller)
}
