//! Naming, listing, inspecting, saving and loading.

use std::io::Cursor;

use varve_engine::{
    Engine, Import, ImportSource, List, Load, LoadSource, Registries, Save, StoreOptions,
};
use varve_fs::tar;
use varve_types::{Ctx, ImageId};

pub(crate) struct Bench {
    pub(crate) root: tempfile::TempDir,
    pub(crate) engine: Engine,
    _run: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let (root, run) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let options = StoreOptions { run: Some(run.path().to_owned()), ..StoreOptions::default() };
        let engine = Engine::open_with(root.path(), options, Registries::default()).unwrap();
        Self { root, engine, _run: run }
    }

    /// Imports a layer that holds one file with this content.
    pub(crate) fn import(&self, content: &str, name: Option<&str>, changes: &[&str]) -> ImageId {
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        let reference = name.map(|name| name.parse().unwrap());
        let mut tar = Cursor::new(tar_of("file", content.as_bytes()));
        self.engine
            .import(
                &Ctx::for_test(),
                Import {
                    source: ImportSource::Stream(&mut tar),
                    reference: reference.as_ref(),
                    changes: &changes,
                    message: None,
                    platform: None,
                },
            )
            .unwrap()
    }

    pub(crate) fn tag(&self, source: &str, target: &str) {
        self.engine.tag(&Ctx::for_test(), source, target).unwrap();
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.list(&[])
    }

    pub(crate) fn list(&self, filters: &[(&str, &str)]) -> Vec<String> {
        let mut request = List::default();
        for (name, value) in filters {
            request.filters.add(name, value);
        }
        let images = self.engine.list(&Ctx::for_test(), &request).unwrap();
        let mut names: Vec<String> = images
            .iter()
            .flat_map(|image| {
                let names: Vec<String> = image
                    .tags
                    .iter()
                    .chain(&image.digests)
                    .map(varve_types::Reference::familiar)
                    .collect();
                if names.is_empty() { vec!["<none>".to_owned()] } else { names }
            })
            .collect();
        names.sort();
        names
    }

    pub(crate) fn check(&self) {
        assert_eq!(self.engine.check().unwrap(), Vec::new());
    }

    pub(crate) fn files(&self, directory: &str) -> usize {
        std::fs::read_dir(self.root.path().join(directory)).unwrap().count()
    }
}

/// A tar of one regular file.
pub(crate) fn tar_of(name: &str, content: &[u8]) -> Vec<u8> {
    let mut writer = tar::Writer::new(Vec::new());
    let entry = tar::NewEntry::file(name.as_bytes(), content.len() as u64);
    writer.append(&entry, &mut &*content).unwrap();
    writer.finish().unwrap()
}

#[test]
fn the_same_tar_makes_the_same_layer_and_a_tag_moves_silently() {
    let bench = Bench::new();
    let first = bench.import("one", Some("app:1"), &[]);
    let second = bench.import("two", Some("app:2"), &["LABEL made=here"]);
    assert_ne!(first, second);
    assert_eq!(bench.names(), ["app:1", "app:2"]);
    bench.tag("app:2", "app:1");
    assert_eq!(bench.names(), ["<none>", "app:1", "app:2"]);
    assert_eq!(bench.list(&[("dangling", "true")]), ["<none>"]);
    assert_eq!(bench.list(&[("label", "made=here")]), ["app:1", "app:2"]);
    let history = bench.engine.history(&first.0.short(), None).unwrap();
    assert_eq!(history[0].comment, "Imported from -");
    assert_eq!(history[0].size_bytes, 3);
    bench.check();
}

#[test]
fn names_are_tried_before_prefixes_of_ids() {
    let bench = Bench::new();
    let one = bench.import("one", None, &[]);
    bench.tag(&one.to_string(), "by-id");
    bench.tag(&one.0.hex()[..7], "by-prefix");
    bench.tag(&format!("sha256:{}", &one.0.hex()[..5]), "by-sha256");
    assert_eq!(bench.names(), ["by-id:latest", "by-prefix:latest", "by-sha256:latest"]);
    let error = bench.engine.tag(&Ctx::for_test(), "nosuch", "x").unwrap_err();
    assert_eq!(error.to_string(), "No such image: nosuch:latest");
    let error = bench.engine.tag(&Ctx::for_test(), &"0".repeat(64), "x").unwrap_err();
    assert_eq!(error.to_string(), format!("No such image: sha256:{}", "0".repeat(64)));
}

/// The config and layers that leave in an archive are those that come back, bit for bit, and a
/// second archive of what came back is the first again.
#[test]
fn what_is_saved_and_loaded_elsewhere_is_saved_the_same_again() {
    let here = Bench::new();
    let image = here.import("one", Some("app:1"), &["CMD [\"sh\"]"]);
    here.tag("app:1", "other/app:2");
    let save = |bench: &Bench| {
        let images = ["app:1".to_owned(), "other/app:2".to_owned()];
        let saving = bench.engine.prepare_save(&Save { images: &images, platform: None }).unwrap();
        let mut archive = Vec::new();
        bench.engine.save(&saving, &mut archive).unwrap();
        archive
    };
    let archive = save(&here);
    let there = Bench::new();
    let source = LoadSource::Stream(&mut Cursor::new(archive.clone()));
    there.engine.load(&Ctx::for_test(), Load { source, platform: None }).unwrap();
    assert_eq!(there.names(), ["app:1", "other/app:2"]);
    assert_eq!(there.engine.inspect("app:1", None).unwrap().id, image);
    assert!(save(&there) == archive, "the second archive differs from the first");
    there.check();
}

/// An archive that ends early must leave no name, and the store sound.
#[test]
fn an_archive_cut_anywhere_names_nothing() {
    let here = Bench::new();
    here.import("one", Some("app:1"), &[]);
    let images = ["app:1".to_owned()];
    let saving = here.engine.prepare_save(&Save { images: &images, platform: None }).unwrap();
    let mut archive = Vec::new();
    here.engine.save(&saving, &mut archive).unwrap();
    let there = Bench::new();
    // The last two blocks are the end marker; without them everything is there.
    for end in (1..archive.len() - 1024).step_by(701) {
        let source = LoadSource::Stream(&mut Cursor::new(&archive[..end]));
        let loaded = there.engine.load(&Ctx::for_test(), Load { source, platform: None });
        assert!(loaded.is_err(), "an archive of {} bytes, cut at {end}, was loaded", archive.len());
    }
    assert_eq!(there.names(), Vec::<String>::new());
    there.check();
}

/// Layers are indexed when they arrive here. Those of an image that another tool copied into the
/// store are not, and are when their sizes are asked for.
#[test]
fn sizes_are_known_of_layers_that_were_never_indexed() {
    let bench = Bench::new();
    bench.import("hello, world", Some("app:1"), &[]);
    let forget = || {
        for layer in std::fs::read_dir(bench.root.path().join("varve/layers")).unwrap() {
            std::fs::remove_dir_all(layer.unwrap().path()).unwrap();
        }
    };
    forget();
    assert_eq!(bench.engine.history("app:1", None).unwrap()[0].size_bytes, 12);
    forget();
    assert_eq!(bench.engine.inspect("app:1", None).unwrap().size_bytes, 12);
    forget();
    assert_eq!(bench.engine.disk_usage().unwrap().layers_size_bytes, 12);
}
