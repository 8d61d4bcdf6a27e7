//! Credentials in files and helpers, found, kept and erased.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use varve_types::Environment;

use super::{Credential, Credentials, CredentialsError, Kept, helper::Helper};

/// `user:pass` as base64.
const AUTH: &str = "dXNlcjpwYXNz";

fn environment(home: &Path, more: &[(&str, &str)]) -> Environment {
    let path = format!("{}:/usr/bin:/bin", home.display());
    let fixed = [("HOME", home.to_str().unwrap()), ("PATH", &path)];
    let all = fixed.iter().chain(more);
    Environment::new(all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// A home directory with this `config.json`.
fn home(config: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".docker")).unwrap();
    fs::write(home.path().join(".docker/config.json"), config).unwrap();
    home
}

fn load(home: &Path) -> Credentials {
    Credentials::load(&environment(home, &[]), None).0
}

fn program(home: &Path, name: &str, script: &str) {
    let path = home.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[track_caller]
fn check(credentials: &Credentials, registry: &str, path: &str, expected: &str) {
    let shown = match credentials.find(registry, path) {
        Ok(None) => "nobody".to_owned(),
        Ok(Some(Credential::Password { username, password })) => format!("{username}:{password}"),
        Ok(Some(Credential::IdentityToken { username, token })) => {
            format!("{username} by token {token}")
        }
        Err(error) => error.to_string(),
    };
    assert_eq!(shown, expected);
}

#[test]
fn entries_are_found_by_key_however_the_key_was_written() {
    let home = home(&format!(
        r#"{{"auths": {{
            "https://index.docker.io/v1/": {{"auth": "{AUTH}"}},
            "https://a.example/v2/": {{"username": "u", "password": "p"}},
            "b.example:5000": {{"auth": "dXNlcjo=", "identitytoken": "t"}},
            "c.example": {{}},
            "d.example": {{"auth": "dTpw"}}
        }}}}"#
    ));
    let credentials = load(home.path());
    check(&credentials, "docker.io", "library/a", "user:pass");
    check(&credentials, "a.example", "x", "u:p");
    check(&credentials, "b.example:5000", "x", "user by token t");
    check(&credentials, "b.example", "x", "nobody");
    check(&credentials, "c.example", "x", "nobody");
    check(&credentials, "d.example", "", "u:p");
}

#[test]
fn a_broken_file_is_a_warning_and_is_not_overwritten() {
    let home = home("{bad");
    let folder = home.path().join(".docker");
    let (mut credentials, warning) =
        Credentials::load(&environment(Path::new("/nowhere"), &[]), Some(&folder));
    assert_eq!(
        warning.unwrap().to_string(),
        format!(
            "Error parsing config file ({}/config.json): invalid character 'b' looking for beginning of object key string",
            folder.display()
        )
    );
    check(&credentials, "docker.io", "", "nobody");
    let kept = credentials.store("r", &password());
    assert!(matches!(kept, Err(CredentialsError::Broken { .. })));
    assert_eq!(fs::read_to_string(folder.join("config.json")).unwrap(), "{bad");
}

fn password() -> Credential {
    Credential::Password { username: "alice".into(), password: "secret".into() }
}

#[test]
fn a_login_is_written_as_docker_writes_it() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(".docker/config.json");
    let mut credentials = load(home.path());
    assert_eq!(credentials.store("docker.io", &password()).unwrap(), Kept::File(path.clone()));
    credentials.store("127.0.0.1:5000", &password()).unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "{\n\t\"auths\": {\n\t\t\"127.0.0.1:5000\": {\n\t\t\t\"auth\": \"YWxpY2U6c2VjcmV0\"\n\t\t},\n\t\t\"https://index.docker.io/v1/\": {\n\t\t\t\"auth\": \"YWxpY2U6c2VjcmV0\"\n\t\t}\n\t}\n}"
    );
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(credentials.store("docker.io", &password()).unwrap(), Kept::Unchanged);
    check(&load(home.path()), "docker.io", "", "alice:secret");

    credentials.erase("docker.io").unwrap();
    credentials.erase("127.0.0.1:5000").unwrap();
    credentials.erase("nobody.example").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\n\t\"auths\": {}\n}");
}

#[test]
fn members_that_we_do_not_know_survive_a_login() {
    let home = home(r#"{"psFormat": "x", "auths": {"z": {"auth": "dTpw", "email": "e"}}}"#);
    load(home.path()).store("a", &password()).unwrap();
    let text = fs::read_to_string(home.path().join(".docker/config.json")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["psFormat"], "x");
    assert_eq!(value["auths"]["z"]["email"], "e");
}

#[test]
fn a_configuration_behind_a_link_stays_behind_it() {
    let home = home("{}");
    let path = home.path().join(".docker/config.json");
    let real = home.path().join("real.json");
    fs::rename(&path, &real).unwrap();
    std::os::unix::fs::symlink(&real, &path).unwrap();
    load(home.path()).store("a", &password()).unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().contains("auths"));
}

#[test]
fn containers_file_is_asked_first_and_knows_single_repositories() {
    let home = home(&format!(r#"{{"auths": {{"r.example": {{"auth": "{AUTH}"}}}}}}"#));
    let file = home.path().join("auth.json");
    fs::write(
        &file,
        r#"{"auths": {"q.example/team/app": {"auth": "YTox"}, "q.example/team": {"auth": "YjoyCg=="},
            "q.example": {"auth": "Yzoz"}, "docker.io": {"auth": "ZDo0"}}}"#,
    )
    .unwrap();
    let more = [("REGISTRY_AUTH_FILE", file.to_str().unwrap())];
    let credentials = Credentials::load(&environment(home.path(), &more), None).0;
    check(&credentials, "q.example", "team/app", "a:1");
    check(&credentials, "q.example", "team/app2", "b:2\n");
    check(&credentials, "q.example", "other", "c:3");
    check(&credentials, "docker.io", "library/a", "d:4");
    check(&credentials, "r.example", "a", "user:pass");
}

#[test]
fn helpers_keep_give_and_forget() {
    let home = home(r#"{"credsStore": "box", "credHelpers": {"r.example": "other"}}"#);
    let kept = home.path().join("kept");
    let script = format!(
        "case $1 in store) cat > {0};; erase) rm -f {0};; get) cat > /dev/null; test -e {0} || {{ echo credentials not found in native keychain; exit 1; }}; cat {0};; esac",
        kept.display()
    );
    program(home.path(), "docker-credential-box", &script);
    program(
        home.path(),
        "docker-credential-other",
        r#"read server; echo "{\"ServerURL\":\"$server\",\"Username\":\"<token>\",\"Secret\":\"t-$server\"}""#,
    );
    let mut credentials = load(home.path());
    check(&credentials, "docker.io", "", "nobody");
    let stored = credentials.store("docker.io", &password()).unwrap();
    assert_eq!(stored, Kept::Helper("box".into()));
    assert!(fs::read_to_string(&kept).unwrap().contains("\"https://index.docker.io/v1/\""));
    check(&credentials, "docker.io", "", "alice:secret");
    let file = fs::read_to_string(home.path().join(".docker/config.json")).unwrap();
    assert!(file.contains("\"https://index.docker.io/v1/\": {}"), "{file}");
    assert!(!file.contains("secret"));
    check(&credentials, "r.example", "", " by token t-r.example");
    credentials.erase("docker.io").unwrap();
    check(&credentials, "docker.io", "", "nobody");
}

#[test]
fn helpers_that_are_missing_or_fail_are_named_as_docker_does() {
    let broken = home(r#"{"credsStore": "nosuch"}"#);
    check(
        &load(broken.path()),
        "r",
        "",
        "error getting credentials - err: exec: \"docker-credential-nosuch\": executable file not found in $PATH, out: ``",
    );
    let failing = home(r#"{"credsStore": "bad"}"#);
    program(failing.path(), "docker-credential-bad", "echo locked; exit 3");
    check(
        &load(failing.path()),
        "r",
        "",
        "error getting credentials - err: exit status 3, out: `locked`",
    );
    let escaping = home(r#"{"credsStore": "../evil"}"#);
    check(&load(escaping.path()), "r", "", "invalid name of a credential helper: \"../evil\"");
}

#[test]
fn a_helper_that_hangs_is_killed() {
    let home = home("{}");
    program(home.path(), "docker-credential-slow", "exec sleep 60");
    let environment = environment(home.path(), &[]);
    let helper = Helper::new("slow", &environment).unwrap();
    let begun = Instant::now();
    let error = helper.with_patience(Duration::from_millis(100)).get("r").unwrap_err();
    assert!(matches!(error, CredentialsError::HelperSilent { .. }));
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn secrets_are_not_shown() {
    assert!(!format!("{:?}", password()).contains("secret"));
}
