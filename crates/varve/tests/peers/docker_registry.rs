//! Debian's `docker-registry`: open, with a password, with TLS, with both.

use std::path::Path;

use varve_testkit::Image;

use crate::{
    home::Home,
    peer::Peer,
    server::{Locks, Server},
};

/// A home with an image `app:1`, imported there; returns its ID too.
fn home_with_image() -> (Home, String) {
    let home = Home::new();
    let tar = home.write("root.tar", &Image::seeded(11).files(20).build().images[0].tars[0]);
    let id = home.ok(&["import", &tar.display().to_string(), "app:1"]);
    (home, id)
}

/// Pushes two tags, pulls them elsewhere in every way, pushes again.
fn push_and_pull(home: &Home, other: &Home, server: &Server, id: &str) {
    for tag in ["1", "2"] {
        let name = server.name(&format!("team/app:{tag}"));
        home.ok(&["tag", "app:1", &name]);
    }
    home.ok(&["push", "-a", &server.name("team/app")]);
    let uploads = || server.log().matches("http.request.method=PATCH").count();
    let before = uploads();
    assert!(before > 0, "the log shows uploads:\n{}", server.log());
    home.ok(&["push", &server.name("team/app:1")]);
    assert_eq!(uploads(), before, "the second push sends nothing");

    let digests = home.repo_digests("app:1");
    assert_eq!(digests.len(), 1, "{digests:?}");
    other.ok(&["pull", "-a", &server.name("team/app")]);
    for tag in ["1", "2"] {
        let name = server.name(&format!("team/app:{tag}"));
        assert_eq!(other.id(&name), id);
        assert_eq!(other.repo_digests(&name), digests);
    }
    other.ok(&["rmi", "-f", id]);
    assert_eq!(other.ok(&["pull", "-q", &digests[0]]), digests[0]);
    assert_eq!(other.id(&digests[0]), id);
    other.check();
    home.check();
}

#[test]
fn an_open_docker_registry_is_pushed_to_and_pulled_from() {
    let Some(server) = Server::docker(Locks::default()) else { return };
    let (home, id) = home_with_image();
    push_and_pull(&home, &Home::new(), &server, &id);
    let name = server.name("team/app:1");
    if let Some(skopeo) = Peer::skopeo() {
        skopeo.ok(&home, &["delete", "--tls-verify=false", &format!("docker://{name}")]);
        let said = Home::new().fails(&["pull", &name]);
        assert!(said.contains("manifest unknown"), "{said}");
        // What went there is sent again, and is the same.
        let digests = home.repo_digests("app:1");
        home.ok(&["push", &name]);
        assert_eq!(home.repo_digests("app:1"), digests);
        assert_eq!(Home::new().ok(&["pull", "-q", &name]), name);
    }
}

#[test]
fn a_docker_registry_with_a_password_wants_a_login() {
    let Some(server) = Server::docker(Locks { password: true, ..Locks::default() }) else { return };
    let ((home, id), other) = (home_with_image(), Home::new());
    let name = server.name("team/app:1");
    home.ok(&["tag", "app:1", &name]);
    let said = home.fails(&["push", &name]);
    assert!(said.contains("no basic auth credentials"), "{said}");
    home.fails(&["login", "-u", Server::USER, "-p", "wrong", &server.host()]);
    assert!(!home.path(".docker/config.json").exists(), "a wrong password is not kept");
    for home in [&home, &other] {
        log_in(home, &server);
    }
    push_and_pull(&home, &other, &server, &id);
    home.ok(&["logout", &server.host()]);
    home.fails(&["push", &name]);
    other.ok(&["logout", &server.host()]);
    other.fails(&["pull", &name]);
}

#[test]
fn the_authority_of_a_docker_registry_comes_from_certs_d() {
    let Some(server) = Server::docker(Locks { tls: true, password: true }) else { return };
    let ((home, id), other) = (home_with_image(), Home::new());
    let said = home.fails(&["pull", &server.name("team/app:1")]);
    assert!(said.contains("certificate"), "{said}");
    for home in [&home, &other] {
        // The user's own folder, as docker without root and skopeo have it.
        home.write(
            &format!(".config/containers/certs.d/{}/ca.crt", server.host()),
            server.authority().as_bytes(),
        );
        log_in(home, &server);
    }
    push_and_pull(&home, &other, &server, &id);
}

#[test]
fn the_authority_of_a_docker_registry_comes_from_ssl_cert_file() {
    let Some(server) = Server::docker(Locks { tls: true, ..Locks::default() }) else { return };
    let (home, id) = home_with_image();
    let bundle = home.write("bundle.pem", server.authority().as_bytes());
    let home = home.with_environment("SSL_CERT_FILE", &bundle);
    let other = Home::new().with_environment("SSL_CERT_FILE", &bundle);
    push_and_pull(&home, &other, &server, &id);
    let distrustful = Home::new().with_environment("SSL_CERT_FILE", Path::new("/dev/null"));
    distrustful.fails(&["pull", &server.name("team/app:1")]);
}

#[track_caller]
pub(crate) fn log_in(home: &Home, server: &Server) {
    let arguments = ["login", "-u", Server::USER, "--password-stdin", &server.host()];
    let ran = home.run_with_input(&arguments, Server::PASSWORD.as_bytes());
    assert_eq!((ran.code, ran.stdout.trim_end()), (0, "Login Succeeded"), "{}", ran.stderr);
}
