//! Limits: what is asked for, what follows, what the machine refuses.

use serde_json::json;
use varve_runtime::spec::{Cgroups, Controls, Paths, ResourceLimit, settle_limits};
use varve_types::container::HostConfig;

use crate::made::{container, machine, made, with};

#[track_caller]
fn settled(change: impl FnOnce(&mut HostConfig)) -> Result<HostConfig, String> {
    let mut host = HostConfig::default();
    change(&mut host);
    settle_limits(&mut host, &machine()).map_err(|error| error.to_string())?;
    Ok(host)
}

#[track_caller]
fn refused(expected: &str, change: impl FnOnce(&mut HostConfig)) {
    assert_eq!(settled(change).unwrap_err(), expected);
}

#[test]
fn limits_that_make_no_sense_are_refused_in_dockers_words() {
    refused("Minimum memory limit allowed is 6MB", |h| h.memory = 1 << 20);
    refused("Minimum memoryswap limit should be larger than memory limit, see usage", |h| {
        (h.memory, h.memory_swap) = (64 << 20, 32 << 20);
    });
    refused("You should always set the Memory limit when using Memoryswap limit, see usage", |h| {
        h.memory_swap = 32 << 20;
    });
    refused("Minimum memory limit can not be less than memory reservation limit, see usage", |h| {
        (h.memory, h.memory_reservation) = (32 << 20, 64 << 20);
    });
    refused("Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available", |h| {
        h.nano_cpus = 100_000_000_000;
    });
    refused("Requested CPUs are not available - requested 99, available: 0-1", |h| {
        h.cpuset_cpus = "99".to_owned();
    });
    refused("Invalid value x for cpuset cpus", |h| h.cpuset_cpus = "x".to_owned());
    refused("Invalid value 0-99999999 for cpuset cpus", |h| {
        h.cpuset_cpus = "0-99999999".to_owned();
    });
    refused("Conflicting options: Nano CPUs and CPU Period cannot both be set", |h| {
        (h.nano_cpus, h.cpu_period) = (1_000_000_000, 100_000);
    });
}

#[test]
fn memory_nodes_and_weights_are_checked_as_processors_are() {
    refused("Requested memory nodes are not available - requested 7, available: 0", |h| {
        h.cpuset_mems = "7".to_owned();
    });
    refused("Invalid value y for cpuset mems", |h| h.cpuset_mems = "y".to_owned());
    refused("Range of blkio weight is from 10 to 1000", |h| h.blkio_weight = 5);
    refused("Invalid value: 200, valid memory swappiness range is 0-100", |h| {
        h.memory_swappiness = Some(200);
    });
    assert_eq!(settled(|h| h.memory_swappiness = Some(-1)).unwrap().memory_swappiness, None);
}

#[test]
fn what_a_machine_cannot_limit_is_left_out_with_dockers_warning() {
    let mut bare = machine();
    bare.controls = Controls::default();
    let mut host = HostConfig {
        memory: 64 << 20,
        memory_reservation: 32 << 20,
        oom_kill_disable: Some(true),
        pids_limit: Some(5),
        cpu_shares: 512,
        cpu_quota: 5_000,
        cpuset_cpus: "99".to_owned(),
        blkio_weight: 5,
        ..HostConfig::default()
    };
    let warnings = settle_limits(&mut host, &bare).unwrap();
    assert_eq!(
        warnings,
        [
            "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
            "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.",
            "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
            "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
            "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.",
            "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.",
            "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.",
            "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
        ]
    );
    assert_eq!((host.memory, host.memory_swap, host.oom_kill_disable), (0, -1, None));
    assert_eq!((host.pids_limit, host.cpu_shares, host.blkio_weight), (None, 0, 0));
    host.nano_cpus = 1;
    assert!(settle_limits(&mut host, &bare).unwrap_err().to_string().starts_with("NanoCPUs can"));
}

#[test]
fn swap_is_twice_the_memory_unless_somebody_says() {
    assert_eq!(settled(|h| h.memory = 64 << 20).unwrap().memory_swap, 128 << 20);
    let unlimited = settled(|h| (h.memory, h.memory_swap) = (64 << 20, -1)).unwrap();
    assert_eq!(unlimited.memory_swap, -1);
    assert_eq!(settled(|h| h.shm_size = 0).unwrap().shm_size, 64 << 20);
    assert!(settled(|h| h.cpuset_cpus = "0-1,1".to_owned()).is_ok());
}

#[test]
fn limits_become_the_runtimes() {
    let spec = with(|c| {
        c.host_config.nano_cpus = 1_500_000_000;
        c.host_config.pids_limit = Some(-1);
        c.host_config.cpuset_mems = "0".to_owned();
        c.host_config.blkio_weight = 300;
    })
    .unwrap();
    let resources = &spec["linux"]["resources"];
    assert_eq!(resources["cpu"], json!({"quota": 150_000, "period": 100_000, "mems": "0"}));
    assert_eq!(resources["pids"]["limit"], -1);
    assert_eq!(resources["blockIO"]["weight"], 300);
    let spec = with(|c| c.host_config.pids_limit = Some(0)).unwrap();
    assert_eq!(spec["linux"]["resources"].get("pids"), None);
}

#[test]
fn what_version_2_has_no_switch_for_is_not_asked_of_it() {
    let mut container = container();
    container.host_config.memory_swappiness = Some(10);
    let mut machine = machine();
    machine.cgroups = Cgroups::V2;
    let spec = made(&container, &machine, &Paths::default()).unwrap();
    assert_eq!(spec["linux"]["resources"]["memory"], json!({}));
    machine.cgroups = Cgroups::V1;
    let spec = made(&container, &machine, &Paths::default()).unwrap();
    assert_eq!(spec["linux"]["resources"]["memory"]["swappiness"], 10);
}

#[test]
fn a_limit_that_the_machine_refuses_is_lowered() {
    let mut container = container();
    container.host_config.ulimits =
        ["nofile=2000:4000", "core=-1", "nproc=5"].map(|text| text.parse().unwrap()).to_vec();
    let mut machine = machine();
    let ours = ResourceLimit { soft: 100, hard: 1000 };
    machine.limits = [("nofile".to_owned(), ours), ("core".to_owned(), ours)].into_iter().collect();
    machine.may_raise_limits = false;
    let spec = made(&container, &machine, &Paths::default()).unwrap();
    assert_eq!(
        spec["process"]["rlimits"],
        json!([
            {"type": "RLIMIT_NOFILE", "hard": 1000, "soft": 1000},
            {"type": "RLIMIT_CORE", "hard": 1000, "soft": 1000},
            {"type": "RLIMIT_NPROC", "hard": 5, "soft": 5},
        ])
    );
    machine.may_raise_limits = true;
    let spec = made(&container, &machine, &Paths::default()).unwrap();
    assert_eq!(spec["process"]["rlimits"][0]["hard"], 4000);
    assert_eq!(spec["process"]["rlimits"][1]["hard"], u64::MAX);
}

#[test]
fn device_rules_are_read_as_docker_reads_them() {
    let rules = |rule: &str| {
        let rule = Some(vec![rule.to_owned()]);
        with(|c| c.host_config.device_cgroup_rules = rule)
            .map(|spec| spec["linux"]["resources"]["devices"][8].clone())
    };
    assert_eq!(
        rules("c 10:* rm").unwrap(),
        json!({"allow": true, "type": "c", "major": 10, "access": "rm"})
    );
    for rule in ["", "c 10 rwm", "x 1:1 r", "c 1:1 q", "c 1:1 rwmr", "c +1:1 r", "c 1:1  r"] {
        let error = rules(rule).unwrap_err();
        assert_eq!(error, format!("invalid device cgroup rule format: '{rule}'"));
    }
}
