//! Making, finding and naming containers; volumes.

use std::fs;

use varve_engine::{CreateContainer, CreateVolume, RemoveVolume};
use varve_testkit::guard;
use varve_types::{
    Ctx, Platform,
    container::{Container, ContainerConfig, HostConfig, MountKind, parse},
};

use crate::images::Bench;

#[allow(clippy::unnecessary_wraps, reason = "as the members are that it is for")]
fn words(text: &str) -> Option<Vec<String>> {
    Some(text.split(' ').map(str::to_owned).collect())
}

fn request<'a>(image: &'a str, name: &'a str) -> CreateContainer<'a> {
    CreateContainer {
        image,
        name: (!name.is_empty()).then_some(name),
        platform: None,
        config: ContainerConfig { cmd: words("sleep 1"), ..ContainerConfig::default() },
        host_config: HostConfig::default(),
        networks: [].into(),
    }
}

fn create(bench: &Bench, request: &CreateContainer<'_>) -> Result<Container, String> {
    let created = bench.engine.create_container(&Ctx::for_test(), request);
    created.map(|created| created.container).map_err(|error| error.to_string())
}

#[test]
fn a_container_is_found_by_name_by_id_and_by_what_only_its_id_begins_with() {
    if !guard::root() {
        return;
    }
    let bench = Bench::new();
    bench.import("content", Some("app:1"), &["ENV A=image", "ENV B=image"]);
    let mut wanted = request("app:1", "web");
    wanted.config.env = words("A=mine");
    let one = create(&bench, &wanted).unwrap();
    let two = create(&bench, &request("app:1", "")).unwrap();
    assert_eq!(one.config.env, words("A=mine B=image"));
    assert_eq!((one.path.as_str(), one.args.as_slice()), ("sleep", &["1".to_owned()][..]));
    assert_eq!(one.config.hostname, one.id.short());
    let find = |text: &str| bench.engine.container(text).map(|it| it.id).map_err(|e| e.to_string());
    assert_eq!(find("web"), Ok(one.id));
    assert_eq!(find("/web"), Ok(one.id));
    assert_eq!(find(two.name.as_str()), Ok(two.id));
    assert_eq!(find(&one.id.to_string()), Ok(one.id));
    assert_eq!(find(&two.id.short()), Ok(two.id));
    assert_eq!(find("we"), Err("No such container: we".to_owned()));
    assert_eq!(find(""), Err("No such container: ".to_owned()));
    assert_eq!(find("x\u{1b}[m"), Err("No such container: x\\x1b[m".to_owned()));
    bench.check();
}

#[test]
fn a_prefix_of_several_ids_finds_none() {
    if !guard::root() {
        return;
    }
    let bench = Bench::new();
    bench.import("content", Some("app:1"), &[]);
    // Of seventeen IDs two begin with the same digit.
    let ids: Vec<String> =
        (0..17).map(|_| create(&bench, &request("app:1", "")).unwrap().id.to_string()).collect();
    let twice = ids.iter().find(|id| ids.iter().filter(|it| it[..1] == id[..1]).count() > 1);
    let prefix = &twice.unwrap()[..1];
    assert_eq!(
        bench.engine.container(prefix).unwrap_err().to_string(),
        format!("Multiple IDs found with provided prefix: {prefix}")
    );
}

#[test]
fn what_makes_no_container_is_refused_in_dockers_words_and_leaves_nothing() {
    if !guard::root() {
        return;
    }
    let bench = Bench::new();
    bench.import("content", Some("app:1"), &[]);
    let error = |change: &dyn Fn(&mut CreateContainer<'_>)| {
        let mut request = request("app:1", "web");
        change(&mut request);
        create(&bench, &request).unwrap_err()
    };
    assert_eq!(error(&|it| it.image = "nosuch"), "No such image: nosuch:latest");
    assert_eq!(
        error(&|it| it.name = Some("bad name")),
        "Invalid container name (bad name), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    );
    assert_eq!(error(&|it| it.config.cmd = None), "no command specified");
    assert_eq!(
        error(&|it| it.config.working_dir = "rel".to_owned()),
        "the working directory 'rel' is invalid, it needs to be an absolute path"
    );
    assert_eq!(error(&|it| it.host_config.memory = 1 << 20), "Minimum memory limit allowed is 6MB");
    assert_eq!(
        error(&|it| it.host_config.binds = words("/a:b")),
        "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount path: 'b' mount path must be absolute"
    );
    assert_eq!(
        error(&|it| it.host_config.volumes_from = words("nosuch")),
        "No such container: nosuch"
    );
    assert_eq!(
        error(&|it| it.host_config.binds = words("one:/d two:/d/")),
        "Duplicate mount point: /d"
    );
    let at_root = |path: &str| {
        [(path.to_owned(), varve_types::config::Empty::default())].into_iter().collect()
    };
    assert_eq!(
        error(&|it| it.config.volumes = Some(at_root("/./"))),
        "invalid volume specification: '/./': invalid mount config for type \"volume\": invalid specification: destination can't be '/'"
    );
    let other: Platform = "linux/s390x".parse().unwrap();
    let mut elsewhere = request("app:1", "web");
    elsewhere.platform = Some(&other);
    assert!(create(&bench, &elsewhere).unwrap_err().starts_with(
        "image with reference app:1 was found but does not match the specified platform: wanted linux/s390x, actual: linux/"
    ));
    assert_eq!(bench.engine.store().container_ids().unwrap(), []);
    assert_eq!(bench.files("varve/containers"), 0);
}

#[test]
fn a_name_in_use_is_told_with_who_has_it() {
    if !guard::root() {
        return;
    }
    let bench = Bench::new();
    bench.import("content", Some("app:1"), &[]);
    let one = create(&bench, &request("app:1", "web")).unwrap();
    let taken = format!(
        "Conflict. The container name \"/web\" is already in use by container \"{}\". You have to remove (or rename) that container to be able to reuse that name.",
        one.id
    );
    assert_eq!(create(&bench, &request("app:1", "web")).unwrap_err(), taken);
    let two = create(&bench, &request("app:1", "other")).unwrap();
    let rename = |from: &str, to: &str| {
        bench.engine.rename_container(from, to).map_err(|error| error.to_string())
    };
    assert_eq!(rename("other", "web"), Err(format!("Error when allocating new name: {taken}")));
    assert_eq!(
        rename("other", "bad name"),
        Err("Error when allocating new name: Invalid container name (/bad name), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed".to_owned())
    );
    let same = "Renaming a container with the same name as its current name".to_owned();
    assert_eq!(rename("other", "other"), Err(same));
    assert_eq!(rename("other", "third"), Ok(()));
    assert_eq!(bench.engine.container("third").unwrap().id, two.id);
    assert!(bench.engine.container("other").is_err());
}

#[test]
fn what_is_mounted_is_settled_when_the_container_is_made() {
    if !guard::root() {
        return;
    }
    let bench = Bench::new();
    bench.import("content", Some("app:1"), &["VOLUME /vol", "VOLUME /data"]);
    let host = bench.root.path().join("made/by/bind");
    let mut wanted = request("app:1", "web");
    wanted.host_config.binds =
        Some(vec![format!("{}:/host:ro", host.display()), "named:/data//".to_owned()]);
    let web = create(&bench, &wanted).unwrap();
    assert!(host.is_dir());
    let shown: Vec<_> = web
        .mounts
        .iter()
        .map(|it| (it.kind, it.destination.as_str(), it.rw, it.anonymous, it.copy_image_content))
        .collect();
    assert_eq!(
        shown,
        [
            (MountKind::Bind, "/host", false, false, false),
            (MountKind::Volume, "/data", true, false, true),
            (MountKind::Volume, "/vol", true, true, true),
        ]
    );
    assert!(web.mounts.iter().skip(1).all(|it| fs::metadata(&it.source).unwrap().is_dir()));
    let mut heir = request("app:1", "heir");
    heir.host_config.volumes_from = words("web:ro");
    heir.host_config.binds = words("other:/vol");
    let heir = create(&bench, &heir).unwrap();
    let shown: Vec<_> =
        heir.mounts.iter().map(|it| (it.destination.as_str(), it.name.as_str(), it.rw)).collect();
    assert_eq!(shown, [("/vol", "other", true), ("/host", "", false), ("/data", "named", false)]);
}

#[test]
fn volumes_of_a_container_have_the_labels_and_the_driver_that_were_asked_for() {
    if !guard::root() {
        return;
    }
    let bench = Bench::new();
    bench.import("content", Some("app:1"), &[]);
    let mut wanted = request("app:1", "labelled");
    let mount = parse::mount::mount("type=volume,src=data,dst=/data,volume-label=a=b");
    wanted.host_config.mounts = vec![mount.unwrap()];
    create(&bench, &wanted).unwrap();
    let labels = bench.engine.volume("data").unwrap().labels.unwrap();
    assert_eq!(labels["a"], "b");

    let mut wanted = request("app:1", "driven");
    wanted.host_config.volume_driver = "foo".to_owned();
    wanted.host_config.binds = words("other:/d");
    assert_eq!(
        create(&bench, &wanted).unwrap_err(),
        "create other: error looking up volume plugin foo: plugin \"foo\" not found"
    );
    assert!(bench.engine.volume("other").is_err());
    wanted.host_config.volume_driver = "local".to_owned();
    create(&bench, &wanted).unwrap();
}

#[test]
fn a_volume_goes_when_no_container_uses_it() {
    if !guard::root() {
        return;
    }
    let bench = Bench::new();
    bench.import("content", Some("app:1"), &[]);
    let ctx = Ctx::for_test();
    let make = |name: &'static str| {
        let request = CreateVolume { name: Some(name), ..CreateVolume::default() };
        bench.engine.create_volume(&ctx, &request).map_err(|error| error.to_string())
    };
    assert_eq!(make("data").unwrap().name.as_str(), "data");
    assert_eq!(
        make("x").unwrap_err(),
        "create x: volume name is too short, names should be at least two alphanumeric characters"
    );
    let mut wanted = request("app:1", "web");
    wanted.host_config.binds = words("data:/d");
    let web = create(&bench, &wanted).unwrap();
    let remove = |name: &'static str, force| {
        let removed = bench.engine.remove_volume(RemoveVolume { name, force });
        removed.map_err(|error| error.to_string())
    };
    assert_eq!(remove("data", false), Err(format!("remove data: volume is in use - [{}]", web.id)));
    assert_eq!(remove("nosuch", false), Err("get nosuch: no such volume".to_owned()));
    assert_eq!(remove("nosuch", true), Ok(false));
    bench.engine.store().lock_containers().unwrap().remove(&web).unwrap();
    assert_eq!(remove("data", false), Ok(true));
    assert!(bench.engine.volumes().unwrap().is_empty());
}
