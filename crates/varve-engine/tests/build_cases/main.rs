//! Dockerfiles with their contexts and what docker makes of them, each built over every storage
//! backend.
//!
//! A case is a file `data/TOPIC/NAME.case` of sections ([`case`] has the format). What is expected
//! comes from docker: recordings, BuildKit's rules, and peers that agree with it; never from what
//! was printed here. `VARVE_CASES=copy/link` runs those whose names contain that.

mod case;
mod compare;
mod shown;
mod tree;
mod workshop;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
};

use varve_fs::backend::BackendKind;
use varve_testkit::guard;
use varve_types::Digest;

use case::Case;
use workshop::Workshop;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/build_cases/data");
const CASES_MIN: usize = 120;

#[test]
fn copies_take_what_docker_takes() {
    every_case_of("copy");
}

#[test]
fn additions_unpack_and_check_as_docker_does() {
    every_case_of("add");
}

#[test]
fn programs_leave_what_docker_keeps() {
    every_case_of("run");
}

#[test]
fn arguments_and_variables_have_dockers_values() {
    every_case_of("variables");
}

#[test]
fn stages_are_found_and_left_out_as_by_docker() {
    every_case_of("stages");
}

#[test]
fn instructions_about_the_image_give_dockers_config() {
    every_case_of("config");
}

#[test]
fn directives_lines_and_documents_are_read_as_by_docker() {
    every_case_of("syntax");
}

#[test]
fn ignored_files_are_dockers() {
    every_case_of("ignore");
}

#[test]
fn bad_input_gets_dockers_words_and_place() {
    every_case_of("bad");
}

#[test]
fn every_case_belongs_to_a_test_and_there_are_enough() {
    let text = include_str!("main.rs");
    let topics: Vec<String> = names_in(Path::new(DATA));
    for topic in &topics {
        assert!(text.contains(&format!("every_case_of(\"{topic}\")")), "no test builds {topic}");
    }
    let cases: usize = topics.iter().map(|topic| cases_of(topic).len()).sum();
    assert!(cases >= CASES_MIN, "{cases} cases");
}

fn names_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn cases_of(topic: &str) -> Vec<PathBuf> {
    let directory = Path::new(DATA).join(topic);
    names_in(&directory).iter().map(|name| directory.join(name)).collect()
}

/// Digest of each case's image and the backend that made it first.
type Images = Mutex<BTreeMap<String, (Digest, BackendKind)>>;

/// Builds all cases of a topic over every backend, these at the same time.
#[track_caller]
fn every_case_of(topic: &str) {
    if !guard::root() {
        return;
    }
    let Some(busybox) = guard::tool("busybox") else { return };
    let chosen = env::var("VARVE_CASES").unwrap_or_default();
    let cases: Vec<Case> = cases_of(topic)
        .iter()
        .map(|path| Case::read(topic, path))
        .filter(|case| case.name.contains(&chosen))
        .collect();
    let (images, failures) = (Images::default(), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for backend in BackendKind::ALL {
            let (cases, images, failures, busybox) = (&cases, &images, &failures, &busybox);
            scope.spawn(move || {
                let Some(workshop) = Workshop::open(backend, busybox) else { return };
                for case in cases {
                    let result = workshop.try_case(case).and_then(|image| match image {
                        Some(image) => is_the_same(images, &case.name, image, backend),
                        None => Ok(()),
                    });
                    if let Err(why) = result {
                        let text = format!("── {} over {backend}\n{why}", case.name);
                        failures.lock().unwrap().push(text);
                    }
                }
                workshop.close();
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// Whether an image is the one that the other backends made.
fn is_the_same(
    images: &Images,
    case: &str,
    image: Digest,
    backend: BackendKind,
) -> Result<(), String> {
    let mut images = images.lock().unwrap();
    let (first, maker) = *images.entry(case.to_owned()).or_insert((image, backend));
    if first == image {
        Ok(())
    } else {
        Err(format!("the image is {image}, but {first} over {maker}"))
    }
}
