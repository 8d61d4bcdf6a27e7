//! How the program is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // It starts itself for each container: a program that can lie anywhere in memory has 29,000
    // places to put right each time, on pages that each process then has for itself.
    let set = |name| std::env::var(name).unwrap_or_default();
    if (set("CARGO_CFG_TARGET_OS").as_str(), set("CARGO_CFG_TARGET_ENV").as_str())
        == ("linux", "gnu")
    {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
