//! What cannot be started, in docker's words, and with nothing left behind.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::json;
use varve_runtime::oci::{OciError, StartFailure};

use crate::world::{Kind, for_each_runtime};

fn create_failure(error: OciError) -> StartFailure {
    match error {
        OciError::Create(failure) => failure,
        other => panic!("{other:?}"),
    }
}

for_each_runtime! {
    fn a_program_that_cannot_run_is_named(world) {
        fs::write(world.root().join("etc/plain"), "text").unwrap();
        let cases = [
            ("nosuchcmd", StartFailure::NotInPath("nosuchcmd".to_owned()), 127),
            ("./nope", StartFailure::NoSuchFile("./nope".to_owned()), 127),
            ("/etc/plain", StartFailure::NotExecutable("/etc/plain".to_owned()), 126),
            ("/tmp", StartFailure::IsDirectory("/tmp".to_owned()), 126),
            ("", StartFailure::NotInPath(String::new()), 127),
        ];
        for (program, expected, code) in cases {
            let failure = create_failure(world.run_with(&[program], |_| {}).unwrap_err());
            let open_end = world.kind == Kind::Crun && program.is_empty();
            assert!(open_end || failure.exit_code() == code, "{program}: {failure}");
            // Older versions of the installed ones call a directory not executable, and crun tells
            // an empty name from a missing one by nothing but its own words.
            if world.kind == Kind::Embedded || !["/tmp", ""].contains(&program) {
                assert_eq!(failure, expected);
            }
            world.nothing_is_left();
        }
    }

    fn a_program_that_cannot_run_later_is_named(world) {
        world.start(&["/bin/sleep", "1000"]);
        let error = world.exec_with(&["nosuch"], |_| {}).unwrap_err();
        assert_eq!(error.exit_code(), 126);
        assert_eq!(error.docker_text(),
            "OCI runtime exec failed: exec failed: unable to start container process: exec: \
             \"nosuch\": executable file not found in $PATH: unknown");
        let error = world.exec_with(&["/bin/pwd"], |process| process["cwd"] = json!("/nosuch"));
        let OciError::Exec(StartFailure::Cwd { cwd, why }) = error.unwrap_err() else { panic!() };
        assert_eq!((cwd.as_str(), why.as_str()), ("/nosuch", "no such file or directory"));
    }

    fn a_mount_that_cannot_be_made_leaves_nothing(world) {
        let refused = world.run_with(&["/bin/true"], |config| {
            config["mounts"].as_array_mut().unwrap().push(json!({"destination": "/x",
                "type": "bind", "source": "/no/such/source", "options": ["rbind"]}));
        });
        let failure = create_failure(refused.unwrap_err());
        assert!(failure.to_string().contains("/no/such/source"), "{failure}");
        world.nothing_is_left();
    }

    fn a_program_of_no_format_says_so_on_standard_error(world) {
        let bad = world.root().join("bin/bad");
        fs::write(&bad, "neither a program nor a script").unwrap();
        fs::set_permissions(&bad, fs::Permissions::from_mode(0o755)).unwrap();
        // Where the program was executed on is up to the runtime: its standard error or its log.
        let outcome = world.run_with(&["/bin/bad"], |_| {}).unwrap();
        assert_eq!(outcome.code, Some(1));
        if world.kind != Kind::Crun {
            assert_eq!(outcome.error, "exec /bin/bad: exec format error\n");
        }
    }
}
