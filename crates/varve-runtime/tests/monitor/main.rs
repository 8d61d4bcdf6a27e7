//! A monitor over plain processes: `Machine` stands for runtime and host, the shell for containers.

mod attaching;
mod beside;
mod crashes;
mod following;
mod lives;
mod machine;
mod world;

/// Not a test: the monitor that the other tests start by executing this binary again.
#[test]
fn role_of_the_monitor() {
    if std::env::var_os("VARVE_TEST_ROLE").is_some() {
        machine::play_the_monitor();
    }
}
