//! The program in the demo's image: it says hello and what it can see of its file system. With
//! `write PATH` it writes a file instead, with `wait` it stays.

use std::{fs, thread, time::Duration};

fn main() -> std::io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, path] = &words[..]
        && verb == "write"
    {
        return fs::write(path, "written in a container\n");
    }
    println!("Hello from an image that varve made.");
    let mut names: Vec<String> = fs::read_dir("/")?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    println!("In / there is: {}", names.join(" "));
    while words.first().is_some_and(|verb| verb == "wait") {
        thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}
