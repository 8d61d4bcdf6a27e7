//! The table of containers, against recorded ones.

use varve_types::{
    Digest, ImageId,
    container::{Health, MountKind, MountPoint, listing::ContainerSize},
};

use super::*;

const NOW: &str = "2026-11-20T13:41:32Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn ago(seconds: i64) -> Timestamp {
    now() - jiff::SignedDuration::from_secs(seconds)
}

fn container(id: &str, name: &str, command: &[&str], state: State) -> Summary {
    Summary {
        id: format!("{id}61fbd867037c070141eb7d125a2bc7ddc8ab3b7aa825fbbb731d").parse().unwrap(),
        names: vec![name.to_owned()],
        image: "busybox:1.36.0".to_owned(),
        image_id: ImageId(Digest::of(b"config")),
        command: command.iter().map(|&word| word.to_owned()).collect(),
        created: ago(2),
        state,
        labels: BTreeMap::new(),
        mounts: Vec::new(),
        networks: vec!["bridge".to_owned()],
        ports: Vec::new(),
        size: None,
    }
}

fn running(started: Timestamp) -> State {
    State { status: Status::Running, started_at: Some(started), ..State::default() }
}

fn shown(containers: &[Summary], format: &str) -> String {
    let layout = Layout { format, quiet: false, size: false, whole: false };
    list(containers, layout, now(), &TimeZone::UTC).unwrap()
}

#[test]
fn the_table_is_as_recorded() {
    let script = "echo started; trap 'echo term; exit 7' TERM";
    let containers = [
        container("0aa4c0c79680", "ctr", &["sh", "-c", script], State::default()),
        container("366236456000", "web", &["sleep", "300"], running(ago(0))),
    ];
    let rows = [
        "CONTAINER ID   IMAGE            COMMAND                  CREATED         STATUS                  PORTS     NAMES\n",
        "0aa4c0c79680   busybox:1.36.0   \"sh -c 'echo started…\"   2 seconds ago   Created                           ctr\n",
        "366236456000   busybox:1.36.0   \"sleep 300\"              2 seconds ago   Up Less than a second             web\n",
    ];
    assert_eq!(shown(&containers, ""), rows.concat());
}

#[test]
fn all_placeholders_have_values() {
    let mut web = container("366236456000", "web", &["sleep", "300"], running(ago(1)));
    web.labels.insert("a".to_owned(), "b".to_owned());
    web.names.push("ctr/db".to_owned());
    web.mounts.push(MountPoint {
        kind: MountKind::Volume,
        name: "a-volume-with-a-long-name".to_owned(),
        source: "/x".to_owned(),
        destination: "/data".to_owned(),
        driver: "local".to_owned(),
        mode: "z".to_owned(),
        rw: true,
        propagation: None,
        tmpfs_options: String::new(),
        non_recursive: false,
        read_only_non_recursive: false,
        read_only_force_recursive: false,
        anonymous: false,
        subpath: String::new(),
        copy_image_content: true,
    });
    let containers = std::slice::from_ref(&web);
    assert_eq!(
        shown(containers, "json"),
        "{\"Command\":\"\\\"sleep 300\\\"\",\"CreatedAt\":\"2026-11-20 13:41:30 +0000 UTC\",\
         \"ID\":\"366236456000\",\"Image\":\"busybox:1.36.0\",\"Labels\":\"a=b\",\
         \"LocalVolumes\":\"1\",\"Mounts\":\"a-volume-with-…\",\"Names\":\"web\",\
         \"Networks\":\"bridge\",\"Platform\":null,\"Ports\":\"\",\
         \"RunningFor\":\"2 seconds ago\",\"Size\":\"0B\",\"State\":\"running\",\
         \"Status\":\"Up 1 second\"}\n"
    );
    assert_eq!(shown(containers, "{{.Label \"a\"}}|{{.Label \"x\"}}"), "b|\n");
    assert_eq!(shown(containers, "table {{.Label \"com.example.some-name\"}}"), "some name\n\n");
    web.size = Some(ContainerSize { writable_bytes: 0, root_bytes: 1_984_299 });
    assert_eq!(shown(&[web], "{{.Size}}"), "0B (virtual 1.98MB)\n");
}

#[test]
fn images_lose_what_is_too_long_for_a_cell() {
    let named = |image: &str| {
        let mut web = container("366236456000", "web", &["sh"], State::default());
        image.clone_into(&mut web.image);
        shown(&[web], "{{.Image}}")
    };
    let id = ImageId(Digest::of(b"config")).to_string();
    assert_eq!(named(&id), format!("{}\n", units::short_id(&id)));
    assert_eq!(named(&format!("busybox@{}", Digest::of(b"manifest"))), "busybox\n");
    assert_eq!(named("busybox"), "busybox\n");
    assert_eq!(named(""), "<no image>\n");
}

#[track_caller]
fn check_status(state: State, expected: &str) {
    assert_eq!(status(&state, now()), expected);
}

#[test]
fn what_became_of_a_container_is_said_in_dockers_words() {
    let ended = |status, exit_code| State {
        status,
        exit_code,
        started_at: Some(ago(9000)),
        finished_at: Some(ago(7200)),
        ..State::default()
    };
    let with_health = |status| State {
        health: Some(Health { status, ..Health::default() }),
        ..running(ago(180))
    };
    check_status(State::default(), "Created");
    check_status(running(ago(180)), "Up 3 minutes");
    check_status(with_health(HealthStatus::Healthy), "Up 3 minutes (healthy)");
    check_status(with_health(HealthStatus::Unhealthy), "Up 3 minutes (unhealthy)");
    check_status(with_health(HealthStatus::Starting), "Up 3 minutes (health: starting)");
    check_status(State { status: Status::Paused, ..running(ago(6)) }, "Up 6 seconds (Paused)");
    check_status(ended(Status::Exited, 137), "Exited (137) 2 hours ago");
    check_status(ended(Status::Restarting, 1), "Restarting (1) 2 hours ago");
    check_status(ended(Status::Removing, 0), "Removal In Progress");
    check_status(ended(Status::Dead, 0), "Dead");
}
