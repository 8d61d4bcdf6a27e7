//! The user namespace that all of a user's commands and containers are in.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::user::{Ids, User};

fn with_base(ids: Ids) -> Option<User> {
    let user = User::new(ids)?;
    let base = user.path("base.tar").display().to_string();
    user.ok(&format!("varve import {base} base > imported"));
    Some(user)
}

#[test]
fn containers_that_start_at_once_are_in_one_namespace_and_can_share_theirs() {
    let Some(user) = with_base(Ids::One) else { return };
    let said = user.ok("\
        for i in 1 2 3 4; do varve run -d --name c$i --network none base sleep 1000 > id$i 2>&1 & done; wait
        varve unshare readlink /proc/self/ns/user > own
        for i in 1 2 3 4; do
            pid=$(varve inspect -f '{{.State.Pid}}' c$i)
            varve unshare readlink /proc/$pid/ns/user
        done | sort | cat - own | wc -l
        pid=$(varve inspect -f '{{.State.Pid}}' c1)
        varve unshare readlink /proc/$pid/ns/user | cat - own
        varve run --rm --network container:c1 --pid container:c2 base ps 2> warnings
        varve exec c3 echo inside
        varve rm -f c1 c2 c3 c4 > removed");
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some("5"));
    let (one, other) = (lines.next(), lines.next());
    assert!(one.is_some() && one == other, "{said}");
    assert!(said.contains("sleep 1000"), "{said}");
    assert!(said.ends_with("inside"), "{said}");
}

#[test]
fn the_namespace_ends_with_the_last_who_is_in_it_and_the_next_begins_anew() {
    let Some(user) = with_base(Ids::One) else { return };
    let said = user.ok("\
        varve run -d --name one --network none base sh -c 'echo kept > /file; sleep 1000' > id 2> warnings || cat warnings
        varve unshare readlink /proc/self/ns/mnt
        varve stop -t 0 one > stopped
        varve unshare sh -c 'grep -c \" $HOME/.local\\| $XDG_RUNTIME_DIR\" /proc/self/mountinfo || true'
        varve start one > started
        varve cp one:/file - | tar -xO
        varve rm -f one > removed
        ls -A $XDG_RUNTIME_DIR/varve/*/containers");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(&lines[1..], ["0", "kept"], "{said}");
}

#[test]
fn a_container_whose_monitor_was_killed_is_over_and_can_be_started_again() {
    let Some(user) = with_base(Ids::One) else { return };
    let said = user.ok("\
        varve run -d --name one --network none base sleep 1000 > id 2> warnings || cat warnings
        for file in $XDG_RUNTIME_DIR/varve/members/*; do
            process=$(basename $file)
            if grep -q varve-monitor /proc/$process/cmdline 2> none; then kill -9 $process; fi
        done
        sleep 0.2
        varve inspect -f '{{.State.Status}} {{.State.ExitCode}}' one
        varve start one > started
        varve exec one echo again
        varve rm -f one > removed");
    assert_eq!(said, "exited 137\nagain");
}

#[test]
fn unshare_shows_images_and_ends_with_its_commands_code() {
    let Some(user) = with_base(Ids::One) else { return };
    let said = user.ok("varve unshare sh -c 'ls $(varve image mount base); id -u'");
    assert_eq!(said, "bin\n0");
    let (said, is_well) =
        user.run("varve unshare sh -c 'exit 7' || echo $?; varve unshare nothing-like-it");
    assert!(!is_well);
    assert_eq!(said, "7\nError: exec nothing-like-it: no such file or directory");
}

#[test]
fn commands_on_images_as_data_enter_no_namespace() {
    let Some(user) = with_base(Ids::One) else { return };
    user.ok("\
        varve images; varve tag base other; varve history base; varve inspect base; varve save -o saved base
        varve rmi other; varve load -i saved; varve image tree base; varve image diff base base
        varve image cat base /bin/sh > sh");
    assert!(!user.path("run/varve/members").exists());
    user.ok("varve ps");
    assert!(user.path("run/varve/members").exists());
}

#[test]
fn a_run_directory_that_others_may_write_in_is_refused() {
    let Some(user) = with_base(Ids::One) else { return };
    fs::set_permissions(user.path("run"), fs::Permissions::from_mode(0o777)).expect("a mode");
    let (said, is_well) = user.run("VARVE_RUN=$XDG_RUNTIME_DIR varve ps");
    assert!(!is_well);
    assert!(said.contains("is not this user's alone"), "{said}");
    assert!(said.contains("hint: set XDG_RUNTIME_DIR"), "{said}");
}

#[test]
fn the_store_is_closed_to_others() {
    let Some(user) = with_base(Ids::One) else { return };
    let store = fs::metadata(user.path("home/.local/share/varve")).expect("a store");
    assert_eq!(store.permissions().mode() & 0o777, 0o700);
}
