//! What containers have besides their image.

use varve_store::{RootOwner, Store};
use varve_types::DiffId;

use crate::{
    made::{Layer, TempStore},
    namespace::alone,
};

fn base(store: &Store, layers: &[DiffId]) -> (Option<Vec<String>>, RootOwner) {
    let base = store.base(&store.lease().unwrap(), layers).unwrap();
    let names = base.layer.map(|layer| {
        let tree = store.open_layer_index(&layer).unwrap().tree().unwrap();
        let mut walk = tree.walk();
        let mut names = Vec::new();
        while let Some((path, _)) = walk.next() {
            names.push(String::from_utf8(path.to_vec()).unwrap());
        }
        names
    });
    (names, base.root)
}

#[test]
fn what_an_image_lacks_of_what_every_container_has_is_one_more_layer() {
    // How layers are shown is asked of the kernel, and nothing can be for who may not mount.
    let name = "base::what_an_image_lacks_of_what_every_container_has_is_one_more_layer";
    alone(name, || {
        let made = TempStore::new();
        let store = made.again();
        let lease = store.lease().unwrap();
        let layer = Layer::plain(b"content").store(&store, &lease).record.summary.diff_id;
        let (names, root) = base(&store, &[layer]);
        let names = names.unwrap();
        for name in ["dev/console", "etc/hosts", "etc/mtab", "proc", ".dockerenv"] {
            assert!(names.iter().any(|it| it == name), "{name} of {names:?}");
        }
        assert_eq!(root, RootOwner { mode: 0o755, uid: 0, gid: 0 });
        // It is the same for every image that lacks the same, and on top of it nothing is missing.
        let of_none = store.base(&lease, &[]).unwrap();
        assert_eq!(of_none.layer, store.base(&lease, &[layer]).unwrap().layer);
        let (none, _) = base(&store, &[layer, of_none.layer.unwrap()]);
        assert_eq!(none, None);
    });
}
