//! The program in the demo's image: it says hello and what it can see of its file system.

fn main() {
    println!("Hello from an image that varve made.");
    let mut names: Vec<String> = std::fs::read_dir("/")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    println!("In / there is: {}", names.join(" "));
}
