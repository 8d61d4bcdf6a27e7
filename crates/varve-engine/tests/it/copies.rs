//! Files copied into containers and out of them, exported, and counted. GNU tar is the oracle.

use std::{
    fs,
    io::Cursor,
    os::unix::fs::{MetadataExt as _, symlink},
    path::Path,
    process::Command,
};

use varve_engine::{
    CopyIn, CopyOut, CreateContainer, Import, ImportSource, ListContainers, RemoveContainer,
};
use varve_fs::tar::{NewEntry, Writer};
use varve_testkit::guard;
use varve_types::{
    Ctx,
    container::{ContainerConfig, HostConfig},
};

use crate::images::Bench;

/// A store with an image full of links that lead out, and a container of it called `ctr`.
fn bench(binds: &[&str]) -> Bench {
    let bench = Bench::new();
    let mut tar = Writer::new(Vec::new());
    let mut put = |entry: NewEntry<'_>, mut data: &[u8]| tar.append(&entry, &mut data).unwrap();
    put(NewEntry::directory(b"etc"), b"");
    put(NewEntry::file(b"etc/passwd", 5), b"inner");
    put(NewEntry::directory(b"tmp"), b"");
    put(NewEntry::symlink(b"up", b"../../../../../../../../../../../tmp"), b"");
    put(NewEntry::symlink(b"absolute", b"/tmp"), b"");
    put(NewEntry::symlink(b"magic", b"/proc/self/root/tmp"), b"");
    put(NewEntry::symlink(b"link", b"etc/passwd"), b"");
    let mut tar = Cursor::new(tar.finish().unwrap());
    let source = ImportSource::Stream(&mut tar);
    let reference = "app:1".parse().unwrap();
    let import =
        Import { source, reference: Some(&reference), changes: &[], message: None, platform: None };
    bench.engine.import(&Ctx::for_test(), import).unwrap();
    let binds = Some(binds.iter().map(ToString::to_string).collect());
    let host_config = HostConfig { binds, ..HostConfig::default() };
    let request = CreateContainer {
        image: "app:1",
        name: Some("ctr"),
        platform: None,
        config: ContainerConfig { cmd: Some(vec!["true".into()]), ..ContainerConfig::default() },
        host_config,
        networks: [].into(),
    };
    bench.engine.create_container(&Ctx::for_test(), &request).unwrap();
    bench
}

fn may_mount() -> bool {
    guard::root() && guard::mounts()
}

fn put(bench: &Bench, from: &Path, path: &str) -> Result<(), String> {
    let request = CopyIn { container: "ctr", path };
    let copied = bench.engine.copy_in(&Ctx::for_test(), from.to_str().unwrap(), false, request);
    copied.map(drop).map_err(|error| error.to_string())
}

fn get(bench: &Bench, path: &str, to: &Path) -> Result<(), String> {
    let request = CopyOut { container: "ctr", path, follow_link: false };
    let copied = bench.engine.copy_out(&Ctx::for_test(), request, to.to_str().unwrap(), false);
    copied.map(drop).map_err(|error| error.to_string())
}

fn changes(bench: &Bench) -> Vec<String> {
    let changes = bench.engine.container_changes("ctr").unwrap();
    changes.into_iter().map(|change| change.path).collect()
}

#[test]
fn what_is_copied_is_called_as_docker_calls_it() {
    if !may_mount() {
        return;
    }
    let bench = bench(&[]);
    let here = tempfile::tempdir().unwrap();
    let at = |name: &str| here.path().join(name);
    fs::create_dir_all(at("hd/sub")).unwrap();
    fs::write(at("hf"), "host").unwrap();
    fs::write(at("hd/sub/n"), "n").unwrap();
    put(&bench, &at("hf"), "/tmp/").unwrap();
    put(&bench, &at("hd"), "/tmp/new").unwrap();
    put(&bench, &at("hd/."), "/tmp").unwrap();
    assert_eq!(
        changes(&bench),
        ["/tmp", "/tmp/hf", "/tmp/new", "/tmp/new/sub", "/tmp/new/sub/n", "/tmp/sub", "/tmp/sub/n"]
    );
    get(&bench, "/etc/passwd", &at("out")).unwrap();
    get(&bench, "/tmp/new", &at("hd")).unwrap();
    get(&bench, "tmp/new/.", &at("whole")).unwrap();
    assert_eq!(fs::read_to_string(at("out")).unwrap(), "inner");
    assert_eq!(fs::read_to_string(at("hd/new/sub/n")).unwrap(), "n");
    assert_eq!(fs::read_to_string(at("whole/sub/n")).unwrap(), "n");
    get(&bench, "/link", &at("link")).unwrap();
    assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("etc/passwd"));
    for (path, error) in [
        ("/nodir/", "no such directory"),
        ("/nodir/x", "Could not find the file /nodir in container ctr"),
        ("/etc/passwd/x", "extraction point is not a directory"),
    ] {
        assert_eq!(put(&bench, &at("hf"), path).unwrap_err(), error);
    }
    assert_eq!(put(&bench, &at("hd"), "/etc/passwd").unwrap_err(), "cannot copy directory");
    let missing = "Could not find the file /nosuch in container ctr";
    assert_eq!(get(&bench, "/nosuch", &at("x")).unwrap_err(), missing);
    bench.check();
}

/// Links in the image, and links that the tar brings with it, lead nowhere but into the container.
#[test]
fn no_link_leads_out_of_a_container_or_out_of_a_destination() {
    if !may_mount() {
        return;
    }
    let bench = bench(&[]);
    let here = tempfile::tempdir().unwrap();
    let at = |name: &str| here.path().join(name);
    let name = format!("escaped-{}", std::process::id());
    fs::write(at("hf"), "host").unwrap();
    for link in ["up", "absolute"] {
        put(&bench, &at("hf"), &format!("/{link}/{name}")).unwrap();
    }
    put(&bench, &at("hf"), &format!("/magic/{name}")).unwrap_err();
    put(&bench, &at("hf"), &format!("/../../../{name}")).unwrap();
    assert_eq!(changes(&bench), [format!("/{name}"), "/tmp".into(), format!("/tmp/{name}")]);
    for outside in ["/", "/tmp"] {
        assert!(!Path::new(outside).join(&name).exists());
    }
    get(&bench, "/up/../../../../etc/passwd", &at("passwd")).unwrap();
    assert_eq!(fs::read_to_string(at("passwd")).unwrap(), "inner");
    // A tar that makes a link and goes through it.
    let mut tar = Writer::new(Vec::new());
    let outside = at("outside");
    fs::create_dir(&outside).unwrap();
    let target = outside.to_str().unwrap().as_bytes().to_vec();
    tar.append_bytes(&NewEntry::symlink(b"out", &target), b"").unwrap();
    tar.append_bytes(&NewEntry::file(b"out/file", 1), b"x").unwrap();
    let mut tar = Cursor::new(tar.finish().unwrap());
    let request = CopyIn { container: "ctr", path: "/tmp" };
    bench.engine.copy_in_tar(&Ctx::for_test(), &mut tar, request).unwrap_err();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    // One that is on the host already is replaced, not written through.
    fs::write(at("victim"), "safe").unwrap();
    fs::create_dir(at("to")).unwrap();
    symlink(at("victim"), at("to/passwd")).unwrap();
    get(&bench, "/etc/passwd", &at("to")).unwrap();
    assert_eq!(fs::read_to_string(at("victim")).unwrap(), "safe");
    assert_eq!(fs::read_to_string(at("to/passwd")).unwrap(), "inner");
    bench.check();
}

#[test]
fn volumes_and_binds_are_where_the_container_has_them() {
    if !may_mount() {
        return;
    }
    let here = tempfile::tempdir().unwrap();
    let host = here.path().join("host");
    fs::create_dir(&host).unwrap();
    fs::write(here.path().join("hf"), "host").unwrap();
    let bench = bench(&["vol:/data", &format!("{}:/fixed:ro", host.display())]);
    put(&bench, &here.path().join("hf"), "/data/x").unwrap();
    let volume = bench.root.path().join("varve/volumes/vol/_data/x");
    assert_eq!(fs::read_to_string(volume).unwrap(), "host");
    let refused = put(&bench, &here.path().join("hf"), "/fixed/x").unwrap_err();
    assert_eq!(refused, "mounted volume is marked read-only");
    assert_eq!(fs::read_dir(&host).unwrap().count(), 0);
    get(&bench, "/data/x", &here.path().join("back")).unwrap();
    assert_eq!(fs::read_to_string(here.path().join("back")).unwrap(), "host");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(bench.root.path().to_str().unwrap()), "something stayed mounted");
}

/// What GNU tar writes comes in as it is, and what comes out is what GNU tar reads.
#[test]
fn tars_are_gnu_tars_in_both_directions() {
    let Some(tar) = guard::tool("tar").filter(|_| may_mount()) else { return };
    let bench = bench(&[]);
    let here = tempfile::tempdir().unwrap();
    let at = |name: &str| here.path().join(name);
    fs::create_dir_all(at("hd/deep")).unwrap();
    fs::write(at("hd/deep/one"), "one").unwrap();
    fs::hard_link(at("hd/deep/one"), at("hd/two")).unwrap();
    symlink("deep/one", at("hd/three")).unwrap();
    let made = Command::new(&tar).arg("-C").arg(here.path()).args(["-c", "hd"]).output().unwrap();
    let request = CopyIn { container: "ctr", path: "/tmp" };
    let mut input = Cursor::new(made.stdout);
    bench.engine.copy_in_tar(&Ctx::for_test(), &mut input, request).unwrap();
    let mut output = Vec::new();
    let request = CopyOut { container: "ctr", path: "/tmp/hd", follow_link: false };
    bench.engine.copy_out_as_tar(&Ctx::for_test(), request, &mut output).unwrap();
    fs::write(at("out.tar"), &output).unwrap();
    fs::create_dir(at("out")).unwrap();
    let read = Command::new(&tar).arg("-C").arg(at("out")).arg("-xf").arg(at("out.tar")).status();
    assert!(read.unwrap().success());
    let differences = Command::new("diff").arg("-r").arg(at("hd")).arg(at("out/hd")).output();
    assert_eq!(String::from_utf8_lossy(&differences.unwrap().stdout), "");
    let inode = |name: &str| fs::metadata(at(name)).unwrap().ino();
    assert_eq!(inode("out/hd/deep/one"), inode("out/hd/two"));

    let container = bench.engine.prepare_container_export("ctr").unwrap();
    let mut whole = Vec::new();
    bench.engine.export_container(&Ctx::for_test(), &container, &mut whole).unwrap();
    fs::write(at("whole.tar"), &whole).unwrap();
    let listed = Command::new(&tar).arg("-tf").arg(at("whole.tar")).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let names: Vec<&str> = listed.lines().collect();
    for name in [".dockerenv", "etc/hosts", "etc/passwd", "proc/", "tmp/hd/three", "up"] {
        assert!(names.contains(&name), "{name}: {listed}");
    }
    assert!(names.is_sorted(), "{listed}");
}

#[test]
fn containers_are_listed_by_filters_counted_and_removed() {
    if !guard::root() {
        return;
    }
    let bench = bench(&["vol:/data"]);
    let list = |filters: &[(&str, &str)]| {
        let mut request = ListContainers { all: true, size: true, ..ListContainers::default() };
        for (name, value) in filters {
            request.filters.add(name, value);
        }
        let listed = bench.engine.list_containers(&request);
        listed.map(|it| it.len()).map_err(|error| error.to_string())
    };
    for (name, value) in [
        ("name", "^ct.$"),
        ("status", "created"),
        ("ancestor", "app:1"),
        ("volume", "vol"),
        ("volume", "/data"),
        ("network", "bridge"),
        ("health", "none"),
        ("is-task", "false"),
    ] {
        assert_eq!(list(&[(name, value)]), Ok(1), "{name}={value}");
    }
    for (name, value) in [
        ("name", "^x"),
        ("status", "running"),
        ("ancestor", "nosuch"),
        ("label", "a"),
        ("exited", "0"),
        ("publish", "80"),
        ("since", "ctr"),
        ("is-task", "true"),
    ] {
        assert_eq!(list(&[(name, value)]), Ok(0), "{name}={value}");
    }
    assert_eq!(list(&[("status", "foo")]), Err("invalid filter 'status=foo'".into()));
    assert_eq!(list(&[("nope", "1")]), Err("invalid filter 'nope'".into()));
    assert_eq!(list(&[("before", "x")]), Err("No such container: x".into()));
    let usage = bench.engine.disk_usage().unwrap();
    assert_eq!((usage.images[0].containers, usage.containers.len()), (1, 1));
    assert_eq!(usage.volumes[0].usage.unwrap().links, 1);
    let request =
        varve_engine::Remove { image: "app:1", force: false, keep_parents: false, platforms: &[] };
    let refused = bench.engine.remove(&request).unwrap_err().to_string();
    let expected =
        "conflict: unable to remove repository reference \"app:1\" (must force) - container ";
    assert!(refused.starts_with(expected), "{refused}");
    let forced = varve_engine::Remove { force: true, ..request };
    assert_eq!(bench.engine.remove(&forced).unwrap().len(), 2, "its layers stay");
    bench.check();
    bench.engine.remove_container(&Ctx::for_test(), "ctr", RemoveContainer::default()).unwrap();
    assert_eq!(list(&[]), Ok(0));
    bench.check();
}
