//! Containers and volumes in the store.

use std::fs;

use varve_store::{Named, Store};
use varve_types::container::{Container, ContainerId, ContainerName, Volume, VolumeName};

use crate::made::{self, Layer};

/// A store in which there is one image of two layers.
fn store_with_image() -> (made::TempStore, Store) {
    let made = made::TempStore::new();
    let store = made.again();
    made::add(&store, "busybox", &[Layer::gzipped(b"one"), Layer::plain(b"two")]);
    (made, store)
}

/// A container of an image that is in the store.
fn container(store: &Store, number: u8, name: &str) -> Container {
    let row = store.names().unwrap().rows[0].clone();
    let config = store.config(&row.image).unwrap();
    serde_json::from_value(serde_json::json!({
        "id": ContainerId::from_random([number; 32]),
        "name": name.parse::<ContainerName>().unwrap(),
        "created": "2026-01-02T03:04:05Z",
        "imageId": row.image,
        "manifest": row.target.digest,
        "image": "busybox",
        "platform": {"os": "linux", "architecture": "amd64"},
        "path": "true",
        "args": [],
        "config": {},
        "hostConfig": {},
        "layers": config.diff_ids(),
    }))
    .unwrap()
}

fn create(store: &Store, container: &Container) -> Named {
    store.lock_containers().unwrap().create(container, false, |_| Ok(())).unwrap()
}

#[test]
fn a_name_has_one_container_until_that_is_removed_or_called_otherwise() {
    let (_directory, store) = store_with_image();
    let mut one = container(&store, 1, "web");
    let two = container(&store, 2, "web");
    assert_eq!(create(&store, &one), Named::Done);
    assert_eq!(create(&store, &two), Named::Taken(one.id));
    assert!(!store.container_path(&two.id).exists());
    let containers = store.lock_containers().unwrap();
    assert_eq!(containers.rename(&mut one, "old".parse().unwrap()).unwrap(), Named::Done);
    assert_eq!(containers.create(&two, true, |_| Ok(())).unwrap(), Named::Done);
    assert_eq!(containers.rename(&mut one, "web".parse().unwrap()).unwrap(), Named::Taken(two.id));
    drop(containers);
    assert_eq!(store.container_named(&"web".parse().unwrap()).unwrap(), Some(two.id));
    assert_eq!(store.container_named(&"old".parse().unwrap()).unwrap(), Some(one.id));
    assert_eq!(store.containers().unwrap().0.len(), 2);
    store.lock_containers().unwrap().remove(&two).unwrap();
    assert_eq!(store.container_named(&"web".parse().unwrap()).unwrap(), None);
    assert_eq!(store.container(&two.id).unwrap(), None);
}

#[test]
fn what_a_process_left_that_died_while_it_made_a_container_stands_in_nobodys_way() {
    let (_directory, store) = store_with_image();
    let one = container(&store, 1, "web");
    // Its directory and its name, and no record.
    drop(store.lock_containers().unwrap());
    fs::create_dir_all(store.container_path(&one.id).join("upper/deep")).unwrap();
    let names = store.root().join("varve/names");
    fs::write(names.join("web"), format!("{}\n", one.id)).unwrap();
    assert_eq!(store.container_ids().unwrap(), []);
    let two = container(&store, 2, "web");
    assert_eq!(create(&store, &two), Named::Done);
    store.lock_containers().unwrap().tidy().unwrap();
    assert!(!store.container_path(&one.id).exists());
    assert_eq!(fs::read_dir(names).unwrap().count(), 1);
    assert_eq!(store.container_named(&"web".parse().unwrap()).unwrap(), Some(two.id));
}

#[test]
fn an_image_without_a_name_is_kept_for_its_container_and_goes_with_it() {
    let (_directory, store) = store_with_image();
    let one = container(&store, 1, "web");
    assert_eq!(create(&store, &one), Named::Done);
    store
        .update_names(|names| {
            names.rows.clear();
            Ok::<_, varve_store::Error>(())
        })
        .unwrap();
    let swept = store.sweep().unwrap();
    assert_eq!((swept.blobs.len(), swept.layers.len()), (0, 0));
    assert_eq!(store.check().unwrap(), []);
    assert!(store.manifest(&one.manifest).is_ok());
    assert!(store.layer(&one.layers[0]).unwrap().is_some());
    store.lock_containers().unwrap().remove(&one).unwrap();
    let swept = store.sweep().unwrap();
    assert!(swept.blobs.len() >= 2 && swept.layers.len() == one.layers.len());
    let two = Container { id: ContainerId::from_random([2; 32]), ..one };
    assert_eq!(create(&store, &two), Named::NoImage(two.manifest));
    assert!(!store.container_path(&two.id).exists());
}

#[test]
fn a_record_that_cannot_be_read_stops_the_sweep_and_is_told_of() {
    let (_directory, store) = store_with_image();
    let one = container(&store, 1, "web");
    assert_eq!(create(&store, &one), Named::Done);
    fs::write(store.container_path(&one.id).join("container.json"), "{").unwrap();
    store
        .update_names(|names| {
            names.rows.clear();
            Ok::<_, varve_store::Error>(())
        })
        .unwrap();
    assert_eq!(store.sweep().unwrap().blobs, []);
    let findings = store.check().unwrap();
    let record = format!("varve/containers/{}/container.json", one.id);
    assert_eq!(findings.iter().map(|it| it.path.to_str().unwrap()).collect::<Vec<_>>(), [record]);
    let (containers, errors) = store.containers().unwrap();
    assert!(containers.is_empty() && errors.len() == 1);
    assert!(errors[0].to_string().contains("container.json"), "{}", errors[0]);
}

/// Nothing of a container that is removed with its end is synced, so a power loss may leave anything.
#[test]
fn a_fleeting_record_that_cannot_be_read_is_no_container() {
    let (_directory, store) = store_with_image();
    let one = container(&store, 1, "web");
    let made = store.lock_containers().unwrap().create(&one, true, |_| Ok(())).unwrap();
    assert_eq!(made, Named::Done);
    assert_eq!(store.container(&one.id).unwrap(), Some(one.clone()));
    assert_eq!(store.container_ids().unwrap(), [one.id]);
    assert!(store.is_container(&one.id.to_string()), "what it uses is not another's to take away");
    store.tidy_containers().unwrap();
    assert!(store.container_path(&one.id).exists());
    for left in ["", "{", "\0\0\0\0"] {
        fs::write(store.container_path(&one.id).join("fleeting.json"), left).unwrap();
        assert_eq!(store.container_ids().unwrap(), []);
        assert_eq!(store.check().unwrap(), []);
    }
    let two = container(&store, 2, "web");
    assert_eq!(create(&store, &two), Named::Done);
    store.tidy_containers().unwrap();
    assert!(!store.container_path(&one.id).exists());
    assert!(!store.is_container(&one.id.to_string()));
}

#[test]
fn a_volume_is_made_once_and_goes_with_its_files() {
    let (_directory, store) = store_with_image();
    let name: VolumeName = "data".parse().unwrap();
    let volume = Volume {
        name: name.clone(),
        driver: "local".to_owned(),
        created: "2026-01-02T03:04:05Z".parse().unwrap(),
        labels: None,
        options: None,
        anonymous: false,
    };
    let containers = store.lock_containers().unwrap();
    assert_eq!(containers.create_volume(&volume).unwrap(), volume);
    let later = Volume { created: "2027-01-02T03:04:05Z".parse().unwrap(), ..volume.clone() };
    assert_eq!(containers.create_volume(&later).unwrap(), volume);
    fs::write(store.volume_data(&name).join("file"), "x").unwrap();
    assert_eq!(store.volumes().unwrap(), [volume]);
    assert!(containers.remove_volume(&name).unwrap());
    assert!(!containers.remove_volume(&name).unwrap());
    assert_eq!(store.volumes().unwrap(), []);
    assert!(!store.volume_data(&name).exists());
    assert_eq!(fs::read_dir(store.root().join("varve/trash")).unwrap().count(), 0);
}
