//! Help and errors, against what was recorded with Docker 28.2.2 (the program's name apart).

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

use expect_test::{Expect, expect};

use super::{Asked, read};

fn answer(line: &[&str]) -> String {
    let line: Vec<String> = line.iter().map(|&word| word.to_owned()).collect();
    match read(&line, 80, "/home/dev/.docker") {
        Ok(Asked::Run(cli)) => format!("{:?}", cli.command.expect("a command")),
        Ok(Asked::Help { text, stray: false, .. }) => text,
        Ok(Asked::Help { text, stray: true, .. }) => format!("on standard error: {text}"),
        Err(wrong) => format!("{}\n[exit {}]", wrong.text, wrong.code),
    }
}

#[track_caller]
fn check(line: &str, expected: Expect) {
    expected.assert_eq(&answer(&line.split_whitespace().collect::<Vec<_>>()));
}

#[test]
fn help_pages_are_dockers_to_the_byte() {
    let pages = include_str!("help.txt").split("### varve ").skip(1);
    let mut count = 0;
    for page in pages {
        let (command, expected) = page.split_once(" --help\n").expect("a page");
        let mut line: Vec<&str> = command.split(' ').collect();
        line.push("--help");
        assert_eq!(answer(&line), expected, "varve {command}");
        count += 1;
    }
    assert_eq!(count, 19);
}

#[test]
fn pages_of_own_commands_have_the_same_layout() {
    check(
        "image diff --help",
        expect![[r#"
        Usage:  varve image diff [OPTIONS] IMAGE OTHER_IMAGE

        List the files in which two images differ

        Options:
              --format string     Format output using a custom template:
                                  'table':            Print output in table
                                  format with column headers (default)
                                  'table TEMPLATE':   Print output in table
                                  format using the given Go template
                                  'json':             Print in JSON format
                                  'TEMPLATE':         Print output using the
                                  given Go template.
                                  Refer to https://docs.docker.com/go/formatting/
                                  for more information about formatting output
                                  with templates
              --platform string   Compare the given platform's files. Formatted
                                  as "os[/arch[/variant]]" (e.g., "linux/amd64")
    "#]],
    );
    check(
        "image tree",
        expect![[r#"
        varve: 'varve image tree' requires at least 1 and at most 2 arguments

        Usage:  varve image tree [OPTIONS] IMAGE [PATH]

        Run 'varve image tree --help' for more information
        [exit 1]"#]],
    );
    check(
        "image cat app",
        expect![[r#"
        varve: 'varve image cat' requires 2 arguments

        Usage:  varve image cat [OPTIONS] IMAGE PATH

        Run 'varve image cat --help' for more information
        [exit 1]"#]],
    );
}

#[test]
fn group_help_lists_its_commands() {
    check(
        "image --help",
        expect![[r#"
            Usage:  varve image COMMAND

            Manage images

            Commands:
              build       Build an image from a Dockerfile
              cat         Print a file of an image
              diff        List the files in which two images differ
              export      Export an image's root filesystem as a tar archive (streamed to STDOUT by default)
              history     Show the history of an image
              import      Import the contents from a tarball to create a filesystem image
              inspect     Display detailed information on one or more images
              load        Load an image from a tar archive or STDIN
              ls          List images
              mount       Mount images read-only and print where
              prune       Remove unused images
              pull        Download an image from a registry
              push        Upload an image to a registry
              rm          Remove one or more images
              save        Save one or more images to a tar archive (streamed to STDOUT by default)
              tag         Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE
              tree        List the files of an image
              unmount     Unmount images that were mounted, and print their IDs

            Run 'varve image COMMAND --help' for more information on a command.
        "#]],
    );
    check(
        "registry",
        expect![[r#"
        on standard error: Usage:  varve registry COMMAND

        Manage registries of your own

        Commands:
          gc          Remove what no repository of a registry has any more
          serve       Serve a registry (OCI distribution specification 1.1)

        Run 'varve registry COMMAND --help' for more information on a command.
    "#]],
    );
}

#[test]
fn first_page_lists_common_commands_first() {
    check(
        "--help",
        expect![[r#"
            Usage:  varve [OPTIONS] COMMAND

            A self-sufficient image system without a daemon

            Common Commands:
              run         Create and run a new container from an image
              exec        Execute a command in a running container
              ps          List containers
              build       Build an image from a Dockerfile
              pull        Download an image from a registry
              push        Upload an image to a registry
              images      List images
              login       Authenticate to a registry
              logout      Log out from a registry
              search      Search Docker Hub for images
              version     Show the Docker version information
              info        Display system-wide information

            Management Commands:
              builder     Manage builds
              buildx      Build with more
              container   Manage containers
              image       Manage images
              network     Manage networks
              registry    Manage registries of your own
              system      Manage Varve
              volume      Manage volumes

            Commands:
              attach      Attach local standard input, output, and error streams to a running container
              commit      Create a new image from a container's changes
              cp          Copy files/folders between a container and the local filesystem
              create      Create a new container
              diff        Inspect changes to files or directories on a container's filesystem
              export      Export a container's filesystem as a tar archive
              history     Show the history of an image
              import      Import the contents from a tarball to create a filesystem image
              inspect     Return low-level information on Docker objects
              kill        Kill one or more running containers
              load        Load an image from a tar archive or STDIN
              logs        Fetch the logs of a container
              pause       Pause all processes within one or more containers
              port        List port mappings or a specific mapping for the container
              rename      Rename a container
              restart     Restart one or more containers
              rm          Remove one or more containers
              rmi         Remove one or more images
              save        Save one or more images to a tar archive (streamed to STDOUT by default)
              start       Start one or more stopped containers
              stats       Display a live stream of container(s) resource usage statistics
              stop        Stop one or more running containers
              tag         Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE
              top         Display the running processes of a container
              unpause     Unpause all processes within one or more containers
              unshare     Run a command in the user namespace of your containers
              update      Update configuration of one or more containers
              wait        Block until one or more containers stop, then print their exit codes

            Global Options:
                  --config string            Location of client config files (default
                                             "/home/dev/.docker")
              -c, --context string           Accepted for compatibility; only
                                             "default" is known, there is no daemon
                                             to connect to
              -D, --debug                    Enable debug mode
              -H, --host list                Accepted for compatibility; only the
                                             default is known, there is no daemon to
                                             connect to
              -l, --log-level string         Set the logging level ("debug", "info",
                                             "warn", "error", "fatal") (default "info")
                  --progress string          Set the form of progress output ("auto",
                                             "plain", "tty", "json", "quiet")
                                             (default "auto")
                  --root string              Directory of the store (overrides
                                             VARVE_ROOT; default "/var/lib/varve" for
                                             root, else "$XDG_DATA_HOME/varve")
                  --storage-backend string   Set how layers are shown to containers
                                             ("auto", "erofs", "erofs-loop",
                                             "directory") (overrides
                                             VARVE_STORAGE_BACKEND; default "auto")
              -v, --version                  Print version information and quit

            Run 'varve COMMAND --help' for more information on a command.
        "#]],
    );
}

#[test]
fn wrong_number_of_arguments_is_said_in_dockers_words() {
    check(
        "pull",
        expect![[r#"
        varve: 'varve pull' requires 1 argument

        Usage:  varve pull [OPTIONS] NAME[:TAG|@DIGEST]

        Run 'varve pull --help' for more information
        [exit 1]"#]],
    );
    check(
        "images a b",
        expect![[r#"
        varve: 'varve images' requires at most 1 argument

        Usage:  varve images [OPTIONS] [REPOSITORY[:TAG]]

        SRun 'varve images --help' for more information
        [exit 1]"#]],
    );
    check(
        "tag one",
        expect![[r#"
        varve: 'varve tag' requires 2 arguments

        Usage:  varve tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]

        Run 'varve tag --help' for more information
        [exit 1]"#]],
    );
    check(
        "rmi",
        expect![[r#"
        varve: 'varve rmi' requires at least 1 argument

        Usage:  varve rmi [OPTIONS] IMAGE [IMAGE...]

        See 'varve rmi --help' for more information
        [exit 1]"#]],
    );
    check(
        "load extra",
        expect![[r#"
        varve: 'varve load' accepts no arguments

        Usage:  varve load [OPTIONS]

        Run 'varve load --help' for more information
        [exit 1]"#]],
    );
    check(
        "import",
        expect![[r#"
        varve: 'varve import' requires at least 1 argument

        Usage:  varve import [OPTIONS] file|URL|- [REPOSITORY[:TAG]]

        See 'varve import --help' for more information
        [exit 1]"#]],
    );
}

#[test]
fn unknown_flags_and_commands_are_refused_by_name() {
    check(
        "pull --nope busybox",
        expect![[r#"
        unknown flag: --nope

        Usage:  varve pull [OPTIONS] NAME[:TAG|@DIGEST]

        Run 'varve pull --help' for more information
        [exit 125]"#]],
    );
    check(
        "image inspect -s busybox",
        expect![[r#"
        unknown shorthand flag: 's' in -s

        Usage:  varve image inspect [OPTIONS] IMAGE [IMAGE...]

        Run 'varve image inspect --help' for more information
        [exit 125]"#]],
    );
    check(
        "images -qxz",
        expect![[r#"
        unknown shorthand flag: 'x' in -xz

        Usage:  varve images [OPTIONS] [REPOSITORY[:TAG]]

        Run 'varve images --help' for more information
        [exit 125]"#]],
    );
    check(
        "--nope",
        expect![[r#"
        unknown flag: --nope

        Usage:  varve [OPTIONS] COMMAND [ARG...]

        Run 'varve --help' for more information
        [exit 125]"#]],
    );
    check(
        "image --nope",
        expect![[r#"
        unknown flag: --nope

        Usage:  varve image

        Run 'varve image --help' for more information
        [exit 125]"#]],
    );
    check(
        "nosuchcmd",
        expect![[r#"
        varve: unknown command: varve nosuchcmd

        Run 'varve --help' for more information
        [exit 1]"#]],
    );
    check(
        "image nosuch",
        expect![[r#"
        varve: unknown command: varve image nosuch

        Usage:  varve image

        Run 'varve image --help' for more information
        [exit 1]"#]],
    );
    check(
        "help nosuch",
        expect![[r#"
        unknown help topic: nosuch
        [exit 1]"#]],
    );
    check(
        "images --filter",
        expect![[r#"
        flag needs an argument: --filter

        Usage:  varve images [OPTIONS] [REPOSITORY[:TAG]]

        Run 'varve images --help' for more information
        [exit 125]"#]],
    );
    check(
        "images -f",
        expect![[r#"
        flag needs an argument: 'f' in -f

        Usage:  varve images [OPTIONS] [REPOSITORY[:TAG]]

        Run 'varve images --help' for more information
        [exit 125]"#]],
    );
    check(
        "images ---x",
        expect![[r#"
        bad flag syntax: ---x

        Usage:  varve images [OPTIONS] [REPOSITORY[:TAG]]

        Run 'varve images --help' for more information
        [exit 125]"#]],
    );
}

#[test]
fn wrong_values_are_refused_before_the_number_of_arguments() {
    check(
        "images --filter foo a b",
        expect![[r#"
        invalid argument "foo" for "-f, --filter" flag: bad format of filter (expected name=value)

        Usage:  varve images [OPTIONS] [REPOSITORY[:TAG]]

        Run 'varve images --help' for more information
        [exit 125]"#]],
    );
    check(
        "images -q=maybe",
        expect![[r#"
        invalid argument "maybe" for "-q, --quiet" flag: strconv.ParseBool: parsing "maybe": invalid syntax

        Usage:  varve images [OPTIONS] [REPOSITORY[:TAG]]

        Run 'varve images --help' for more information
        [exit 125]"#]],
    );
    check(
        "search --limit=abc x",
        expect![[r#"
        invalid argument "abc" for "--limit" flag: strconv.ParseInt: parsing "abc": invalid syntax

        Usage:  varve search [OPTIONS] TERM

        Run 'varve search --help' for more information
        [exit 125]"#]],
    );
    check(
        "--progress nice images",
        expect![[r#"
        invalid argument "nice" for "--progress" flag: must be one of auto, plain, tty, json, quiet

        Usage:  varve images [OPTIONS] [REPOSITORY[:TAG]]

        Run 'varve images --help' for more information
        [exit 125]"#]],
    );
}

#[test]
fn flags_mix_with_arguments_and_combine() {
    check(
        "images -aq busy* --no-trunc=false --digests",
        expect![[
            r#"Images(Args { all: true, digests: true, filters: [], format: "", no_trunc: false, quiet: true, tree: false, name: Some("busy*") })"#
        ]],
    );
    check(
        "images -q=false -q -fdangling=true --filter label=a=b --filter=Label!=c",
        expect![[
            r#"Images(Args { all: false, digests: false, filters: [Filter { name: "dangling", value: "true" }, Filter { name: "label", value: "a=b" }, Filter { name: "label!", value: "c" }], format: "", no_trunc: false, quiet: true, tree: false, name: None })"#
        ]],
    );
    check(
        "history -H=false x",
        expect![[
            r#"History(Args { format: "", human: false, no_trunc: false, platform: None, quiet: false, image: "x" })"#
        ]],
    );
    check(
        "history x",
        expect![[
            r#"History(Args { format: "", human: true, no_trunc: false, platform: None, quiet: false, image: "x" })"#
        ]],
    );
    check(
        "-D --root /a image ls",
        expect![[
            r#"Image(Ls(Args { all: false, digests: false, filters: [], format: "", no_trunc: false, quiet: false, tree: false, name: None }))"#
        ]],
    );
    check(
        "images -f -x=1 -- -q",
        expect![[
            r#"Images(Args { all: false, digests: false, filters: [Filter { name: "-x", value: "1" }], format: "", no_trunc: false, quiet: false, tree: false, name: Some("-q") })"#
        ]],
    );
    check(
        "import - a b c",
        expect![[
            r#"Import(Args { changes: [], message: "", platform: None, source: "-", names: ["a", "b", "c"] })"#
        ]],
    );
    check(
        "images --format= --format={{.ID}}",
        expect![[
            r#"Images(Args { all: false, digests: false, filters: [], format: "{{.ID}}", no_trunc: false, quiet: false, tree: false, name: None })"#
        ]],
    );
    check(
        "registry serve --root /r --read-only",
        expect![[
            r#"Registry(Serve(Args { htpasswd: None, listen: "127.0.0.1:5000", read_only: true, directory: Some("/r"), tls_cert: None, tls_key: None }))"#
        ]],
    );
    check(
        "image list --root /r",
        expect![[
            r#"Image(Ls(Args { all: false, digests: false, filters: [], format: "", no_trunc: false, quiet: false, tree: false, name: None }))"#
        ]],
    );
}

#[test]
fn flags_end_at_the_image_and_at_the_container_of_exec() {
    check(
        "exec -it web ls -la --color -- x",
        expect![[
            r#"Exec(Args { detach: false, detach_keys: "", env: [], env_files: [], interactive: true, privileged: false, tty: true, user: "", workdir: "", container: "web", command: ["ls", "-la", "--color", "--", "x"] })"#
        ]],
    );
    check("top web -o pid", expect![[r#"Top(Args { container: "web", options: ["-o", "pid"] })"#]]);
    check(
        "run",
        expect![[r#"
        varve: 'varve run' requires at least 1 argument

        Usage:  varve run [OPTIONS] IMAGE [COMMAND] [ARG...]

        See 'varve run --help' for more information
        [exit 1]"#]],
    );
    let words = ["run", "--rm", "-it", "busybox", "sh", "-c", "--rm"].map(str::to_owned);
    let Ok(Asked::Run(cli)) = read(&words, 80, "") else { panic!("a command") };
    let shown = format!("{:?}", cli.command);
    assert!(shown.contains(r#"image: "busybox", command: ["sh", "-c", "--rm"]"#), "{shown}");
}

#[test]
fn an_old_name_of_a_flag_is_told_of() {
    let words = ["stop", "--time", "1", "web"].map(str::to_owned);
    let Ok(Asked::Run(cli)) = read(&words, 80, "") else { panic!("a command") };
    assert_eq!(cli.notices, ["Flag --time has been deprecated, use --timeout instead"]);
    let words = ["run", "--net", "none", "--dns-opt=a", "busybox"].map(str::to_owned);
    let Ok(Asked::Run(cli)) = read(&words, 80, "") else { panic!("a command") };
    assert!(cli.notices.is_empty());
}

#[test]
fn a_command_declared_alone_is_the_same_as_among_all() {
    use clap::CommandFactory as _;
    let all = crate::commands::Cli::command();
    let mut alone = 0;
    for command in all.get_subcommands() {
        let Some(root) = crate::commands::Cli::command_with(command.get_name()) else { continue };
        let found = root.find_subcommand(command.get_name()).expect("the command");
        // Where it stands among the others, nobody sees.
        let shown = |command: &clap::Command| format!("{:?}", command.clone().display_order(0));
        assert_eq!(shown(found), shown(command));
        let globals = |root: &clap::Command| {
            root.get_arguments().map(|flag| format!("{flag:?}")).collect::<Vec<_>>()
        };
        assert_eq!(globals(&root), globals(&all));
        assert_eq!(root.is_args_override_self(), all.is_args_override_self());
        assert_eq!(root.is_subcommand_required_set(), all.is_subcommand_required_set());
        assert_eq!(root.is_disable_help_flag_set(), all.is_disable_help_flag_set());
        assert_eq!(root.get_name(), all.get_name());
        alone += 1;
    }
    assert_eq!(alone, 5);
}

#[test]
fn builds_have_the_words_of_dockers_plugin() {
    let usage = expect![[r#"
        ERROR: "varve buildx build" requires exactly 1 argument.
        See 'varve buildx build --help'.

        Usage:  varve buildx build [OPTIONS] PATH | URL | -

        Start a build
        [exit 1]"#]];
    for line in ["build", "image build", "builder build", "buildx build", "buildx b"] {
        usage.assert_eq(&answer(&line.split(' ').collect::<Vec<_>>()));
    }
    usage.assert_eq(&answer(&["build", "a", "b"]));
    check(
        "build --nope ctx",
        expect![[r#"
            unknown flag: --nope
            See 'varve buildx build --help'.
            [exit 125]"#]],
    );
    check(
        "build --shm-size x ctx",
        expect![[r#"
            invalid argument "x" for "--shm-size" flag: invalid size: 'x'
            See 'varve buildx build --help'.
            [exit 125]"#]],
    );
}

#[test]
fn help_of_builds_is_the_same_by_each_name() {
    let page = answer(&["build", "--help"]);
    for line in ["image build --help", "builder build --help", "buildx b --help"] {
        assert_eq!(answer(&line.split(' ').collect::<Vec<_>>()), page);
    }
    let head = page.split("Options:").next().unwrap();
    expect![[r#"
        Usage:  varve buildx build [OPTIONS] PATH | URL | -

        Start a build

        Aliases:
          varve build, varve builder build, varve image build, varve buildx b

    "#]]
    .assert_eq(head);
    assert!(page.contains("  -t, --tag stringArray"), "{page}");
    assert!(!page.contains("--squash"), "{page}");
    assert!(!page.contains("--memory"), "{page}");
}
