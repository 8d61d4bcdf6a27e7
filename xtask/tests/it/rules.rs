//! Rules of thumb that a machine can check.

use std::collections::BTreeMap;

use crate::source::{Source, find_words, line_of, none, sources};

#[test]
fn system_calls_have_one_file_per_crate() {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources() {
        if find_words(&source.code, "unsafe").next().is_some() {
            let path = source.path.display().to_string();
            files.entry(source.package().to_owned()).or_default().push(path);
        }
    }
    let wrong: Vec<String> = files
        .values()
        .filter(|paths| paths.len() > 1 || !paths[0].ends_with("/sys.rs"))
        .flatten()
        .cloned()
        .collect();
    none("`unsafe` outside the crate's one sys.rs", &wrong);
}

#[test]
fn every_module_says_what_it_is() {
    let silent: Vec<String> = sources()
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path.display().to_string())
        .collect();
    none("files that do not start with a `//!` comment", &silent);
}

#[test]
fn nothing_is_left_for_later() {
    // Spelled apart, so that this file does not find itself.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let mut found = Vec::new();
    for source in sources() {
        for mark in marks {
            found.extend(
                find_words(&source.text, mark).map(|at| place(&source, &source.text, at, mark)),
            );
        }
        for call in ["dbg!", "todo!", "unimplemented!"] {
            found.extend(
                find_words(&source.code, call).map(|at| place(&source, &source.code, at, call)),
            );
        }
    }
    none("things left for later", &found);
}

#[test]
fn only_the_binary_prints() {
    let calls = ["println!", "print!", "eprintln!", "eprint!", "stdout()", "stderr()"];
    none("libraries that print", &shipped(Source::is_library, &calls));
}

#[test]
fn async_code_lives_in_serve_only() {
    let elsewhere = |source: &Source| source.package() != "varve-serve" && source.is_shipped();
    let words = ["async", ".await"];
    none("async code", &shipped(|source| elsewhere(source) && source.package() != "xtask", &words));
}

#[test]
fn time_and_environment_come_in_through_arguments() {
    // `Instant` only measures how long to wait; it tells no time.
    let calls = [
        "env::current_dir",
        "env::temp_dir",
        "env::home_dir",
        "env::current_exe",
        "env::set_var",
        "env::var",
        "env::vars",
        "env::args",
        "SystemTime::now",
        "Timestamp::now",
        "Zoned::now",
    ];
    none("libraries that ask the process", &shipped(Source::is_library, &calls));
}

/// Code of the store and of distribution that changes files does it through `varve_fs::durable`.
#[test]
fn files_are_written_through_durable_only() {
    let calls = [
        "File::create",
        "File::create_new",
        "OpenOptions",
        "fs::write",
        "fs::rename",
        "fs::copy",
        "fs::hard_link",
        "fs::remove_file",
        "fs::remove_dir_all",
        "fs::create_dir",
        "fs::create_dir_all",
    ];
    let writers = ["varve-store", "varve-distribution", "varve-engine", "varve-serve"];
    let in_writer = |source: &Source| writers.contains(&source.package()) && source.is_shipped();
    none("writes that may be lost", &shipped(in_writer, &calls));
}

/// Where shipped code that `chosen` accepts has one of the words.
fn shipped(chosen: impl Fn(&Source) -> bool, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| chosen(source)) {
        for word in words {
            found.extend(source.places(word).iter().map(|place| format!("{place}: {word}")));
        }
    }
    found
}

fn place(source: &Source, text: &str, at: usize, word: &str) -> String {
    format!("{}:{}: {word}", source.path.display(), line_of(text, at))
}
