//! A source is changed, brought back, touched: the program that runs is always that of the source.

use std::time::{Duration, SystemTime};

use varve_testkit::namespace::alone;

use crate::{
    tools::tools,
    world::{World, set_time},
};

/// Compiles as cargo and make do: only what is newer than what was made of it.
const COMPILE: &str = "for s in /src/*.src; do o=$1/$(echo ${s##*/} | cut -d. -f1).o; \
                       [ $o -nt $s ] || { echo compile ${s##*/}; cp $s $o; }; done; \
                       cat $1/*.o > $1/program";

/// Files that are written now are newer than all that was made before: a tick of the kernel's clock
/// lies between.
fn tick() {
    std::thread::sleep(Duration::from_millis(20));
}

/// Writes a source now.
fn source(world: &World, name: &str, text: &str) {
    tick();
    world.write(name, text);
    tick();
}

/// Long ago, in seconds.
fn years_ago(years: u64) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("now");
    now.as_secs() - years * 365 * 86400
}

/// Builds and tells which sources were compiled.
#[track_caller]
fn compiled(world: &World, flags: &[&str]) -> Vec<String> {
    let told = world.built(&[&["-t=app:1"], flags].concat());
    let mut names: Vec<String> = told
        .lines()
        .filter_map(|line| line.split_once(" compile ").filter(|it| it.0.starts_with('#')))
        .filter(|(before, _)| before.split(' ').count() == 2)
        .map(|(_, name)| name.to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn what_a_cache_mount_has_of_a_changed_source_is_made_anew() {
    alone("changes::what_a_cache_mount_has_of_a_changed_source_is_made_anew", || {
        let Some(world) = World::new() else { return };
        world.write("compile", COMPILE);
        let text = "FROM base:1\nARG V\nCOPY *.src compile /src/\nRUN --mount=type=cache,\
                    target=/target sh /src/compile /target && cp /target/program /program\n";
        world.write("Dockerfile", text);
        // A checkout's times say nothing about when a program was made of it.
        set_time(&world.write("main.src", "one "), years_ago(1));
        set_time(&world.write("other.src", "other"), years_ago(30));
        let program = || world.run("app:1", &["cat", "/program"]);
        assert_eq!(compiled(&world, &[]), ["main.src", "other.src"]);
        assert_eq!(program(), "one other");

        source(&world, "main.src", "two ");
        assert_eq!(compiled(&world, &[]), ["main.src"]);
        assert_eq!(program(), "two other");

        // Brought back: the cache has program and all.
        source(&world, "main.src", "one ");
        assert_eq!(compiled(&world, &[]), [""; 0]);
        assert_eq!(program(), "one other");

        // Brought back, and something else is new: the copy is the cache's, the mount has "two".
        assert_eq!(compiled(&world, &["--build-arg=V=1"]), ["main.src"]);
        assert_eq!(program(), "one other");

        // Only older by its times, and nothing is compiled.
        set_time(&world.path("project/main.src"), years_ago(2));
        assert_eq!(compiled(&world, &["--build-arg=V=2"]), [""; 0]);
        assert_eq!(program(), "one other");

        // The base was made anew, and so is every step; with a change and without one.
        std::thread::sleep(Duration::from_millis(1100));
        world.write("../rootfs/etc/passwd", "root:x:0:0:ROOT:/:/bin/sh\n");
        world.import("base:1");
        assert_eq!(compiled(&world, &[]), [""; 0]);
        assert_eq!(program(), "one other");
        source(&world, "other.src", "changed");
        world.import("base:1");
        assert_eq!(compiled(&world, &["--no-cache"]), ["other.src"]);
        assert_eq!(program(), "one changed");
        world.assert_clean();
    });
}

#[test]
fn what_an_earlier_layer_has_of_a_changed_source_is_made_anew() {
    alone("changes::what_an_earlier_layer_has_of_a_changed_source_is_made_anew", || {
        let Some(world) = World::new() else { return };
        world.write("compile", COMPILE);
        let text = "FROM base:1\nCOPY *.src compile /src/\nRUN sh /src/compile /tmp\n\
                    ARG V\nCOPY new/ /src/\nRUN sh /src/compile /tmp && cp /tmp/program /\n";
        world.write("Dockerfile", text);
        for name in ["main.src", "new/main.src"] {
            set_time(&world.write(name, "one "), years_ago(1));
        }
        set_time(&world.write("other.src", "other"), years_ago(1));
        let program = || world.run("app:1", &["cat", "/program"]);
        assert_eq!(compiled(&world, &[]), ["main.src", "other.src"]);
        assert_eq!(program(), "one other");

        source(&world, "new/main.src", "two ");
        assert_eq!(compiled(&world, &[]), ["main.src"]);
        assert_eq!(program(), "two other");
        // The copy is the cache's, with the times of the files that are there now.
        source(&world, "new/main.src", "one ");
        source(&world, "new/main.src", "two ");
        assert_eq!(compiled(&world, &["--build-arg=V=1"]), ["main.src"]);
        assert_eq!(program(), "two other");
        source(&world, "new/main.src", "one ");
        assert_eq!(compiled(&world, &["--build-arg=V=2"]), ["main.src"]);
        assert_eq!(program(), "one other");
        set_time(&world.path("project/new/main.src"), years_ago(3));
        assert_eq!(compiled(&world, &["--build-arg=V=3"]), [""; 0]);
        assert_eq!(program(), "one other");
        world.assert_clean();
    });
}

/// The same with the real programs.
#[test]
fn make_compiles_what_was_changed_and_nothing_else() {
    alone("changes::make_compiles_what_was_changed_and_nothing_else", || {
        let Some(world) = World::new() else { return };
        let Some(()) = tools(&world) else { return };
        let text = "FROM tools:1 AS build\nWORKDIR /src\nCOPY Makefile *.h *.c ./\nRUN make\n\
                    ARG V\nCOPY new/ ./\nRUN make\n\
                    FROM scratch\nCOPY --from=build /src/app /\nCMD [\"/app\"]\n";
        world.write("Dockerfile", text);
        let rule = "%.o: %.c word.h\n\t@echo compile $<\n\t@gcc -c $<\n";
        let text = format!("app: main.o word.o\n\t@gcc -static -o $@ $^\n{rule}");
        world.write("Makefile", &text);
        let main = "#include <stdio.h>\n#include \"word.h\"\nint main(void) { return puts(word()) < 0; }\n";
        world.write("main.c", main);
        world.write("word.h", "const char *word(void);\n");
        let word = |text: &str| format!("const char *word(void) {{ return \"{text}\"; }}\n");
        world.write("word.c", &word("one"));
        set_time(&world.write("new/word.c", &word("one")), years_ago(1));
        assert_eq!(compiled(&world, &[]), ["main.c", "word.c"]);
        assert_eq!(world.run("app:1", &[]), "one");

        source(&world, "new/word.c", &word("two"));
        assert_eq!(compiled(&world, &[]), ["word.c"]);
        assert_eq!(world.run("app:1", &[]), "two");
        source(&world, "new/word.c", &word("one"));
        assert_eq!(compiled(&world, &["--build-arg=V=1"]), ["word.c"]);
        assert_eq!(world.run("app:1", &[]), "one");
        source(&world, "new/word.h", "const char *word(void); // changed\n");
        assert_eq!(compiled(&world, &[]), ["main.c", "word.c"]);
        assert_eq!(world.run("app:1", &[]), "one");
        world.assert_clean();
    });
}
