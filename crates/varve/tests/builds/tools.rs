//! An image with a C compiler and `make`, of files of packages of this machine.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use varve_testkit::guard;

use crate::world::World;

/// Adds the image `tools:1`; `None` where this machine lacks the packages.
#[track_caller]
pub(crate) fn tools(world: &World) -> Option<()> {
    let tar = tar()?;
    world.ok(&["import", "--change=CMD [\"sh\"]", &tar.display().to_string(), "tools:1"]);
    Some(())
}

/// The files of the packages and all that they need, as a root. Made once.
#[track_caller]
fn tar() -> Option<PathBuf> {
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tools-root.tar");
    if made.is_file() {
        return Some(made);
    }
    for tool in ["gcc", "make", "dpkg-query", "apt-cache"] {
        guard::tool(tool)?;
    }
    // Under a name of its own first: tests run side by side. Packages name what is in /bin and /lib
    // as if these were directories; where they are links, that is what they lead to.
    let draft = made.with_extension(std::process::id().to_string());
    let script = r#"
        cd /
        packages=$(apt-cache depends --recurse --installed --no-recommends --no-suggests \
            --no-conflicts --no-breaks --no-replaces --no-enhances \
            gcc libc6-dev make dash coreutils | grep '^[a-z0-9]')
        links=$(for at in bin sbin lib lib64; do if [ -L $at ]; then echo $at; fi; done)
        {
            echo "$links"
            dpkg-query -L $packages | grep '^/.' | grep -v '^/usr/share/' | cut -c2- |
                if [ "$links" ]; then sed -E 's#^((s?bin|lib(64)?)/)#usr/\1#'; else cat; fi
            if [ -L bin ]; then echo usr/bin/sh; else echo bin/sh; fi
        } | grep . | sort -u |
            while read -r f; do if [ -e "$f" ] || [ -L "$f" ]; then echo "$f"; fi; done |
            tar --no-recursion --owner=0 --group=0 -T - -cf "$1""#;
    let ran = Command::new("sh").args(["-ec", script, "sh"]).arg(&draft).output().ok()?;
    if !guard::found("packages of a C compiler", ran.status.success()) {
        return None;
    }
    std::fs::rename(&draft, &made).expect("the same directory");
    Some(made)
}
