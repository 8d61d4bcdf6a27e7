//! The project's own commands: `cargo xtask help` lists them.
//!
//! Everything a person or a machine does to this repository is a command here, so that there is
//! one place to look and nothing to install first: standard library, `anyhow` and `serde_json`.

mod bench;
mod demo;
mod fuzz;
mod ordinary;
mod packages;
mod run;
mod suite;
mod summary;
mod tar;
mod torture;

use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask COMMAND

Commands:
  test [--no-install]   Install what the tests need (Debian packages, where that is allowed),
                        then check formatting and lints and run every test; as root, those that
                        privileges matter to once more as an ordinary user
  tidy                  Only the tests about the code itself: floors, names, sizes, licences, links
  demo                  Build varve and show it at work: an image is made, pushed, pulled, saved and
                        loaded, without a network
  bench [--quick] [--save]
                        Measure pulls, pushes, loads, saves and removals beside other programs and
                        what the machine can do, a store of 10,000 images, the start of containers,
                        memory, indexing and builds; tell what got slower than the baseline.
                        --quick: images alone, in some minutes; --save: make this the baseline
  fuzz [TARGET…] [--seconds N | --minimise]
                        Fuzz the readers of tars and indexes and the merging of trees, or keep the
                        least of the inputs found that covers as much (docs/fuzzing.md)
  torture [SUITE…] [--seed N] [--minutes M] | --report
                        The long form of the tests that kill, fill the disk and feed poison, or the
                        table of what came of them (docs/testing.md)
  help                  This text

`cargo demo` is `cargo xtask demo`.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test", options @ ..] => suite::test(options),
        ["tidy"] => suite::tidy(),
        ["demo"] => demo::demo(),
        ["bench", options @ ..] => bench::bench(options),
        ["fuzz", options @ ..] => fuzz::fuzz(options),
        ["torture", options @ ..] => torture::torture(options),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(true)
        }
        other => {
            eprint!("xtask: no command `{}`\n\n{HELP}", other.join(" "));
            Ok(false)
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
