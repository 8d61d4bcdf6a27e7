//! C and Rust, from source to an image that runs.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use varve_testkit::{guard, namespace::alone};

use crate::{tools::tools, world::World};

#[test]
fn a_c_program_ends_alone_in_an_image_from_scratch() {
    alone("projects::a_c_program_ends_alone_in_an_image_from_scratch", || {
        let Some(world) = World::new() else { return };
        let Some(()) = tools(&world) else { return };
        let text = "FROM tools:1 AS build\nWORKDIR /src\nCOPY . .\n\
                    RUN make CFLAGS='-O2 -static' LDLIBS=-lm CC=gcc root\n\
                    FROM scratch\nCOPY --from=build /src/root /usr/bin/root\n\
                    USER 7:8\nENTRYPOINT [\"/usr/bin/root\"]\nCMD [\"2\"]\n";
        world.write("Dockerfile", text);
        world.write(".dockerignore", "*.md\n");
        world.write("README.md", "not for the image\n");
        let program = "#include <math.h>\n#include <stdio.h>\n#include <stdlib.h>\n\
                       #include <unistd.h>\nint main(int count, char **words) {\n\
                       printf(\"%.3f %d\\n\", sqrt(atof(words[count - 1])), getuid());\n}\n";
        world.write("root.c", program);
        world.built(&["-t=app:1"]);
        assert_eq!(world.run("app:1", &[]), "1.414 7");
        assert_eq!(world.run("app:1", &["9"]), "3.000 7");
        let layers = world.ok(&["inspect", "--format={{len .RootFS.Layers}}", "app:1"]);
        assert_eq!(layers, "1");
        let first = world.id("app:1");
        world.built(&["-t=app:1", "--no-cache"]);
        assert_eq!(world.id("app:1"), first, "compiled again, it is the same");
        world.assert_clean();
    });
}

/// A directory with what cargo and rustc need of the toolchain that made this test, its files those
/// of the toolchain.
#[track_caller]
fn toolchain(at: &Path) -> Option<PathBuf> {
    let rustc = guard::tool("rustc")?;
    let output = Command::new(rustc).args(["--print=sysroot"]).output().expect("rustc starts");
    let root = PathBuf::from(String::from_utf8(output.stdout).expect("UTF-8").trim_end());
    if !guard::found("cargo of the toolchain", root.join("bin/cargo").is_file()) {
        return None;
    }
    let copy = "cp -al \"$1\" \"$2\" 2>/dev/null || cp -a \"$1\" \"$2\"";
    std::fs::create_dir_all(at.join("bin")).expect("a directory");
    for name in ["bin/cargo", "bin/rustc", "lib"] {
        let paths = [root.join(name), at.join(name)];
        let status = Command::new("sh").args(["-c", copy, "sh"]).args(paths).status();
        assert!(status.expect("sh starts").success(), "{name}");
    }
    let libraries = std::fs::read_dir(at.join("lib/rustlib")).expect("a directory");
    for entry in libraries.map(|it| it.expect("an entry").path()) {
        if entry.is_dir() && !entry.join("lib").is_dir() {
            std::fs::remove_dir_all(entry).expect("what is not needed");
        }
    }
    Some(at.to_owned())
}

#[test]
fn cargo_with_its_target_in_a_cache_mount_compiles_what_was_changed() {
    alone("projects::cargo_with_its_target_in_a_cache_mount_compiles_what_was_changed", || {
        let Some(world) = World::new() else { return };
        let Some(()) = tools(&world) else { return };
        let Some(rust) = toolchain(&world.path("rust")) else { return };
        let text = "FROM tools:1 AS build\nWORKDIR /src\nARG V\nCOPY . .\n\
                    RUN --mount=type=bind,from=rust,target=/rust \
                    --mount=type=cache,target=/src/target \
                    PATH=/rust/bin:$PATH RUSTFLAGS='-C linker=gcc' cargo build --offline \
                    && cp target/debug/app /app\n\
                    FROM tools:1\nCOPY --from=build /app /usr/bin/app\nCMD [\"app\"]\n";
        world.write("Dockerfile", text);
        world.write("Cargo.toml", "[package]\nname = \"app\"\nedition = \"2021\"\n[workspace]\n");
        let program = |word: &str| format!("fn main() {{ println!(\"{word}\"); }}\n");
        let context = format!("--build-context=rust={}", rust.display());
        let build = |word: &str, argument: &str| {
            world.write("src/main.rs", &program(word));
            let told = world.built(&["-t=app:1", &context, argument]);
            assert_eq!(world.run("app:1", &[]), word);
            told.contains("Compiling app")
        };
        assert!(build("one", "--build-arg=V=1"));
        assert!(build("two", "--build-arg=V=1"));
        assert!(!build("one", "--build-arg=V=1"), "the cache has it");
        assert!(build("one", "--build-arg=V=2"));
        // The same bytes, written now: cargo looks, and the program stays right.
        build("one", "--build-arg=V=3");
        assert!(build("two", "--build-arg=V=3"));
        world.assert_clean();
    });
}
