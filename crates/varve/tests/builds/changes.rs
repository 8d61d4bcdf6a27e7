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
        // Busybox compares whole seconds; what is compiled later must be later for it.
        std::thread::sleep(Duration::from_millis(1100));
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

/// What a stage's program makes is brought back from the cache, older than what was made of something
/// else meanwhile: copied, mounted, and as the root itself.
#[test]
fn what_comes_back_from_a_stage_is_compiled_again() {
    alone("changes::what_comes_back_from_a_stage_is_compiled_again", || {
        let Some(world) = World::new() else { return };
        world.write("compile", COMPILE);
        set_time(&world.write("other.src", "other"), years_ago(30));
        let of_stage =
            "FROM base:1 AS made\nARG WORD\nRUN mkdir /out && echo $WORD > /out/main.src\n";
        let run = "RUN --mount=type=cache,target=/target";
        let line = "sh /src/compile /target && cp /target/program /program\n";
        let files = [
            format!(
                "{of_stage}FROM base:1\nCOPY other.src compile /src/\nCOPY --from=made /out/ /src/\n\
                 ARG V\n{run},id=copied {line}"
            ),
            format!(
                "{of_stage}FROM base:1\nCOPY other.src compile /src/\nARG V\n{run},id=bound \
                 --mount=type=bind,from=made,source=/out/main.src,target=/src/main.src {line}"
            ),
            format!(
                "FROM base:1\nCOPY other.src compile /src/\nARG WORD\n\
                 RUN echo $WORD > /src/main.src\nARG V\n{run},id=root {line}"
            ),
        ];
        for text in files {
            world.write("Dockerfile", &text);
            let build = |word: &str, v: &str| {
                tick();
                compiled(&world, &["--build-arg", &format!("WORD={word}"), "--build-arg", v])
            };
            let program = || world.run("app:1", &["cat", "/program"]);
            assert_eq!(build("one", "V=0"), ["main.src", "other.src"], "{text}");
            assert_eq!(build("two", "V=0"), ["main.src"], "{text}");
            assert_eq!(program(), "two\nother", "{text}");
            assert_eq!(build("one", "V=1"), ["main.src"], "{text}");
            assert_eq!(program(), "one\nother", "{text}");
        }
        world.assert_clean();
    });
}

/// Objects of a layer below were made of the context's file; a stage's older one comes in its place.
#[test]
fn what_a_copy_replaces_above_objects_is_compiled_again() {
    alone("changes::what_a_copy_replaces_above_objects_is_compiled_again", || {
        let Some(world) = World::new() else { return };
        world.write("compile", COMPILE);
        world.write("main.src", "zero");
        world.write("other.src", "other");
        // The stage is at its end long before the objects are made.
        let text = "FROM base:1 AS made\nARG WORD\nRUN mkdir /out && echo $WORD > /out/main.src\n\
                    FROM base:1\nCOPY *.src compile /src/\nCOPY --from=made /out/main.src /tmp/late\n\
                    RUN sleep 0.1; sh /src/compile /tmp\nCOPY --from=made /out/ /src/\nARG V\n\
                    RUN sh /src/compile /tmp && cp /tmp/program /program\n";
        world.write("Dockerfile", text);
        for (word, v) in [("one", "V=0"), ("two", "V=0"), ("one", "V=1"), ("zero", "V=1")] {
            let told =
                compiled(&world, &["--build-arg", &format!("WORD={word}"), "--build-arg", v]);
            assert!(!told.is_empty(), "{word} {v}");
            let program = world.run("app:1", &["cat", "/program"]);
            assert_eq!(program, format!("{word}\nother"), "{v}");
        }
        world.assert_clean();
    });
}

/// A checkout that sets times as they were when files were written, and files that take the place of
/// others.
#[test]
fn sources_that_come_back_with_their_old_times_are_compiled_again() {
    alone("changes::sources_that_come_back_with_their_old_times_are_compiled_again", || {
        let Some(world) = World::new() else { return };
        world.write("compile", COMPILE);
        let run = "RUN --mount=type=cache,target=/target";
        let line = "sh /src/compile /target && cp /target/program /program\n";
        let copied =
            format!("FROM base:1\nCOPY *.src compile /src/\nARG V\n{run},id=copied {line}");
        let bound =
            format!("FROM base:1\nARG V\n{run},id=bound --mount=type=bind,target=/src {line}");
        for text in [copied, bound] {
            world.write("Dockerfile", &text);
            let checkout = |word: &str, years: u64| {
                set_time(&world.write("main.src", word), years_ago(years));
                tick();
            };
            let program = || world.run("app:1", &["cat", "/program"]);
            set_time(&world.write("other.src", " other"), years_ago(9));
            set_time(&world.write("late.src", "late "), years_ago(1));
            checkout("one", 3);
            assert_eq!(compiled(&world, &["--build-arg=V=0"]).len(), 3, "{text}");
            checkout("two", 2);
            assert!(compiled(&world, &["--build-arg=V=0"]).contains(&"main.src".to_owned()));
            assert_eq!(program(), "late two other", "{text}");
            checkout("one", 3);
            let told = compiled(&world, &["--build-arg=V=1"]);
            assert!(told.contains(&"main.src".to_owned()), "{told:?} {text}");
            assert!(!told.contains(&"other.src".to_owned()), "{told:?} {text}");
            assert_eq!(program(), "late one other", "{text}");
        }
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
        let rule = "%.o: %.c word.h\n\t@echo compile $(notdir $<)\n\t@gcc $(CFLAGS) -c $<\n";
        let makefile = format!("app: main.o word.o\n\t@gcc -static -o $@ $^\n{rule}");
        world.write("Makefile", &makefile);
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

        // From a stage, with a cache mount for the objects.
        let text = "FROM tools:1 AS made\nARG WORD\n\
                    RUN echo \"const char *word(void) { return \\\"$WORD\\\"; }\" > /word.c\n\
                    FROM tools:1 AS build\nWORKDIR /src\nCOPY Makefile *.h main.c ./\n\
                    COPY --from=made /word.c ./\nARG V\n\
                    RUN --mount=type=cache,target=/objects \
                    make -C /objects -f /src/Makefile VPATH=/src && cp /objects/app /src\n\
                    FROM scratch\nCOPY --from=build /src/app /\nCMD [\"/app\"]\n";
        world.write("Dockerfile", text);
        world.write("Makefile", &format!("{makefile}CFLAGS = -I/src\n"));
        let of = |word: &str, v: &str| {
            tick();
            let args = ["--build-arg", &format!("WORD={word}"), "--build-arg", v];
            (compiled(&world, &args).join(" "), world.run("app:1", &[]))
        };
        let told = |names: &str, said: &str| (names.to_owned(), said.to_owned());
        assert_eq!(of("one", "V=0"), told("main.c word.c", "one"));
        assert_eq!(of("two", "V=0"), told("word.c", "two"));
        assert_eq!(of("one", "V=1"), told("word.c", "one"));
        assert_eq!(of("one", "V=2"), told("", "one"));
        assert_eq!(of("two", "V=2"), told("word.c", "two"));
        world.assert_clean();
    });
}
