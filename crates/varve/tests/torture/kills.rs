//! Processes killed at random moments.

use std::{thread, time::Duration};

use varve_testkit::{
    Seeded,
    namespace::{alone, alone_with_network},
    torture::{Plan, Tally},
};

use crate::world::{World, cut_off, end, kill, monitors, processes, said};

const ROUNDS: usize = 24;

fn wait_ms(random: &mut Seeded, bound: usize) {
    thread::sleep(Duration::from_millis(random.below(bound) as u64));
}

/// What is killed in a round. Returns its name.
fn torture(world: &World, random: &mut Seeded, network: &str) -> &'static str {
    let start = |line: &[&str], command: &[&str]| {
        world.container_in(network, line, command).spawn().expect("varve starts")
    };
    let sleeping = |line: &[&str]| {
        let output =
            world.container_in(network, line, &["sleep", "1000"]).output().expect("varve ends");
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    };
    match random.below(11) {
        0 => {
            let child = start(&["run", "--rm"], &["sleep", "1000"]);
            wait_ms(random, 250);
            cut_off(child);
            "the command of run --rm"
        }
        1 => {
            let child = start(&["run", "--detach"], &["true"]);
            wait_ms(random, 150);
            cut_off(child);
            "the command of run --detach"
        }
        2 => {
            let child = start(&["create"], &["true"]);
            wait_ms(random, 40);
            cut_off(child);
            "the command of create"
        }
        3 | 4 => {
            let child = start(&["run", "--rm"], &["sh", "-c", "sleep 1000 & sleep 1000"]);
            wait_ms(random, 200);
            let monitors = monitors();
            monitors.iter().copied().for_each(kill);
            if monitors.is_empty() {
                // There was none yet.
                cut_off(child);
            } else {
                // Who started it is told, and does not wait for ever.
                child.wait_with_output().expect("varve ends");
            }
            "the monitor that starts"
        }
        5 => {
            let id = sleeping(&["run", "--detach"]);
            monitors().into_iter().for_each(end);
            let gone =
                world.lines(&["ps", "--all", "--format", "{{.ID}} {{.State}}", "--no-trunc"]);
            assert_eq!(gone, [format!("{id} exited")]);
            "the monitor"
        }
        6 => {
            let id = sleeping(&["run", "--detach", "--restart", "on-failure:2"]);
            let init = processes().into_iter().find(|(_, line)| line == "sleep 1000 ");
            if let Some((pid, _)) = init {
                kill(pid);
            }
            wait_ms(random, 200);
            let states = world.lines(&["ps", "--all", "--format", "{{.ID}}", "--no-trunc"]);
            assert_eq!(states, [id], "{:?}", world.states());
            "the first process"
        }
        7 => {
            let id = sleeping(&["run", "--detach"]);
            let child = world.command(&["rm", "--force", &id]).spawn().expect("varve starts");
            wait_ms(random, 120);
            cut_off(child);
            "the command of rm --force"
        }
        8 => {
            let id = sleeping(&["run", "--detach", "--rm"]);
            let child =
                world.command(&["stop", "--timeout", "0", &id]).spawn().expect("varve starts");
            wait_ms(random, 60);
            monitors().into_iter().for_each(end);
            let _ = child.wait_with_output();
            "the monitor that stops"
        }
        9 => {
            let child = start(&["run", "--rm"], &["true"]);
            wait_ms(random, 400);
            // Before it started, while it ends, or behind its last answer.
            monitors().into_iter().for_each(end);
            let _ = child.wait_with_output();
            "the monitor that ends"
        }
        _ => {
            let id = sleeping(&["run", "--detach"]);
            monitors().into_iter().for_each(end);
            let child = world.command(&["start", &id]).spawn().expect("varve starts");
            wait_ms(random, 120);
            monitors().into_iter().for_each(end);
            let _ = child.wait_with_output();
            "the monitor, twice"
        }
    }
}

#[test]
fn whatever_is_killed_is_put_in_order_by_the_next_commands() {
    alone("kills::whatever_is_killed_is_put_in_order_by_the_next_commands", || {
        let Some(world) = World::new() else { return };
        let plan = Plan::of_the_environment();
        let (mut random, mut tally) = (plan.random(), Tally::of("kills of containers", &plan));
        while plan.has_time() || tally.tried() < ROUNDS {
            let round = tally.tried();
            let killed = torture(&world, &mut random, "none");
            world.remove_all();
            world.lines(&["system", "prune", "--force"]);
            world.assert_nothing_left(&format!("round {round}, killed: {killed}"));
            tally.count(killed, Ok(()));
        }
        world.assert_sound();
        tally.finish();
    });
}

/// The default bridge, whose interfaces go behind the answer, and one whose containers have names.
#[test]
fn whatever_is_killed_leaves_no_interface_and_no_rule() {
    alone_with_network("kills::whatever_is_killed_leaves_no_interface_and_no_rule", || {
        let Some(world) = World::new() else { return };
        let plan = Plan::of_the_environment();
        let mut tally = Tally::of("kills of containers in networks", &plan);
        let mut random = plan.random();
        while plan.has_time() || tally.tried() < ROUNDS / 2 {
            let round = tally.tried();
            let network = if round.is_multiple_of(2) { "bridge" } else { "back" };
            if network == "back" {
                world.lines(&["network", "create", "back"]);
            }
            let killed = torture(&world, &mut random, network);
            world.remove_all();
            let when = format!("round {round} in {network}, killed: {killed}");
            // The listing put in order what nobody is at; rules may wait for the next who uses networks.
            world.assert_nothing_left_of(World::interfaces_and_names, &when);
            world.lines(&["system", "prune", "--force"]);
            world.assert_nothing_left(&when);
            world.assert_nothing_left_of(World::network_leftovers, &when);
            tally.count(killed, Ok(()));
        }
        world.assert_sound();
        tally.finish();
    });
}

#[test]
fn a_container_does_not_outlive_its_monitor() {
    alone("kills::a_container_does_not_outlive_its_monitor", || {
        let Some(world) = World::new() else { return };
        for user in ["0", "1000"] {
            let line = ["run", "--detach", "--user", user];
            let mut run = world.container(&line, &["sh", "-c", "sleep 1000 & sleep 1000"]);
            assert!(run.status().expect("varve ends").success());
            monitors().into_iter().for_each(kill);
            // Without any further command.
            while processes().iter().any(|(_, line)| line.contains("sleep")) {
                thread::sleep(Duration::from_millis(5));
            }
            world.remove_all();
        }
        world.assert_nothing_left("after the monitors were killed");
    });
}

/// Starts and removals of one container at once, in any order.
#[test]
fn a_container_is_started_stopped_and_removed_by_several_commands_at_once() {
    alone("kills::a_container_is_started_stopped_and_removed_by_several_commands_at_once", || {
        let Some(world) = &World::new() else { return };
        for round in 0..4 {
            let created =
                world.container(&["create", "--name", "one"], &["sleep", "1000"]).output();
            assert!(created.expect("varve ends").status.success());
            let start: &[&str] = &["start", "one"];
            let verbs: &[&[&str]] = match round % 2 {
                0 => &[start; 4],
                _ => &[start, &["rm", "-f", "one"], start, &["stop", "-t0", "one"]],
            };
            let outputs: Vec<_> = thread::scope(|scope| {
                let ran = verbs.iter().map(|line| scope.spawn(move || (line, world.run(line))));
                let ran: Vec<_> = ran.collect();
                ran.into_iter().map(|one| one.join().expect("no panic")).collect()
            });
            for (line, output) in &outputs {
                let text = said(output);
                let missing = text.contains("No such container") && round % 2 == 1;
                assert!(output.status.success() || missing, "{line:?}: {text}");
            }
            if round % 2 == 0 {
                let states = world.lines(&["ps", "--format", "{{.Names}} {{.State}}"]);
                assert_eq!(states, ["one running"]);
                assert_eq!(monitors().len(), 1);
            }
            world.remove_all();
            world.assert_nothing_left("after starts and removals at once");
        }
    });
}
