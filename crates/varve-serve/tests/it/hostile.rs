//! Clients that mean no good, one family: who may ask, what a path may say, which bytes a digest may
//! name, how much may be begun, and how slow one may be.

use std::{fs, path::Path, time::Duration};

use varve_serve::registry::Options;
use varve_testkit::torture::{Plan, Tally};
use varve_types::{Digest, limits};

use crate::client::{Connection, Served};

fn sha256(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// Every kind of request there is, for a repository.
fn requests(name: &str) -> Vec<String> {
    let (digest, id) = (sha256("x"), "0123abcd-0123-abcd-0123-0123456789ab");
    let mut requests =
        vec!["GET /v2".to_owned(), "GET /v2/".to_owned(), "GET /v2/_catalog".to_owned()];
    for (methods, path) in [
        ("GET HEAD PUT DELETE", format!("manifests/{digest}")),
        ("GET HEAD PUT DELETE", "manifests/tag".to_owned()),
        ("GET HEAD DELETE", format!("blobs/{digest}")),
        ("POST", "blobs/uploads/".to_owned()),
        ("POST", format!("blobs/uploads/?digest={digest}")),
        ("POST", format!("blobs/uploads/?mount={digest}&from=other")),
        ("GET PATCH DELETE", format!("blobs/uploads/{id}")),
        ("PUT", format!("blobs/uploads/{id}?digest={digest}")),
        ("GET", "tags/list".to_owned()),
        ("GET", format!("referrers/{digest}")),
    ] {
        requests.extend(methods.split(' ').map(|method| format!("{method} /v2/{name}/{path}")));
    }
    requests
}

/// All files below a directory.
fn files(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                files.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    files.sort();
    files
}

fn expect(is_so: bool, what: impl std::fmt::Debug) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(format!("{what:?}")) }
}

#[test]
fn whoever_means_no_good_gets_nowhere() {
    let plan = Plan::of_the_environment();
    let mut tally = Tally::of("registry server", &plan);
    strangers(&mut tally);
    paths(&mut tally);
    digests(&mut tally);
    bodies(&mut tally);
    tally.finish();
}

/// Authentication comes before anything else, on every route there is.
fn strangers(tally: &mut Tally) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("htpasswd");
    fs::write(&file, format!("alice:{}\n", bcrypt::hash("secret", 4).unwrap())).unwrap();
    let served = Served::with(|options: &mut Options| options.htpasswd = Some(file));
    let before = files(&served.root());
    let wrong = [
        "",
        "\nAuthorization: Basic YWxpY2U6d3Jvbmc=",
        "\nAuthorization: Bearer YWxpY2U6c2VjcmV0",
        "\nAuthorization: Basic ====",
        "\nAuthorization: Basic Og==",
    ];
    for request in requests("app").iter().chain(&requests("../../etc")) {
        for header in wrong {
            let answer = served.connect().ask(&format!("{request}{header}"), b"");
            let is_refused = answer.status == 401 && files(&served.root()) == before;
            tally.count(&format!("{request}{header}"), expect(is_refused, answer));
        }
    }
}

/// Names that would lead elsewhere, and the registry's own places.
fn paths(tally: &mut Tally) {
    let served = Served::start();
    fs::write(served.directory.path().join("secret"), "secret").unwrap();
    let before = files(served.directory.path());
    for name in [
        "..",
        "../..",
        "a/..",
        "a/../../b",
        "%2e%2e/%2e%2e",
        "a%2f..%2f..",
        "..%5c..",
        "/etc",
        "//etc",
        "a//b",
        "a/./b",
        "./a",
        "_varve",
        "_varve/uploads",
        "a/_varve",
        "a/_lock",
        "%00",
        "a%00b",
        "A",
        "a b",
        "a%0d%0aX:1",
        "-a",
        "a-",
        "a..b",
        "\u{9b}",
        "%ff",
        "con%3a",
    ] {
        for path in ["manifests/tag", "tags/list", "blobs/uploads/"] {
            let method = if path.ends_with('/') { "POST" } else { "GET" };
            let answer = served.connect().ask(&format!("{method} /v2/{name}/{path}"), b"");
            let is_refused = (400..500).contains(&answer.status);
            let is_same = files(served.directory.path()) == before;
            tally.count(&format!("{method} {name} {path}"), expect(is_refused && is_same, answer));
        }
    }
    for last in
        ["..", "../../secret", "%2e%2e%2f%2e%2e%2fsecret", "sha256:..", "sha256:%2e%2e", "tag%00"]
    {
        for kind in ["manifests", "blobs", "referrers", "blobs/uploads"] {
            let answer = served.connect().ask(&format!("GET /v2/app/{kind}/{last}"), b"");
            let is_refused = (400..500).contains(&answer.status);
            let told = String::from_utf8_lossy(&answer.body).contains("secret\n");
            tally.count(&format!("{kind} {last}"), expect(is_refused && !told, answer));
        }
    }
}

/// A digest names the bytes that hash to it, and no others.
fn digests(tally: &mut Tally) {
    let served = Served::start();
    let mut connection = served.connect();
    let (good, other) = (sha256("good"), sha256("other"));
    let mut put = |digest: &str, body: &str| {
        let begun = connection.ask("POST /v2/app/blobs/uploads/", b"");
        let location = begun.header("location").unwrap().to_owned();
        connection.ask(&format!("PUT {location}?digest={digest}"), body.as_bytes())
    };
    for digest in [
        other.to_string(),
        format!("SHA256:{}", good.hex()),
        format!("sha256:{}", good.hex().to_uppercase()),
        format!("sha512:{}", good.hex()),
        good.hex(),
        format!("sha256:{}0", good.hex()),
        format!("sha256:{}", &good.hex()[1..]),
        "sha256:".to_owned(),
        String::new(),
        format!("{good}%00"),
        format!("{good}/../x"),
        format!("sha256%3a{}", other.hex()),
    ] {
        let answer = put(&digest, "good");
        tally.count(&format!("good as {digest}"), expect(answer.status == 400, answer));
    }
    let answer = put(&good.to_string(), "good");
    tally.count("good as itself", expect(answer.status == 201, answer));
    // A manifest under the digest of another, or of a blob.
    let config = put(&sha256("{}").to_string(), "{}");
    tally.count("a config", expect(config.status == 201, config));
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":2}},"layers":[]}}"#,
        sha256("{}")
    );
    for name in [good, other, sha256("{}")] {
        let head = format!(
            "PUT /v2/app/manifests/{name}\nContent-Type: application/vnd.oci.image.manifest.v1+json"
        );
        let answer = connection.ask(&head, manifest.as_bytes());
        tally.count(&format!("a manifest as {name}"), expect(answer.status == 400, answer));
    }
    // What a repository has is not another one's, and a blob is no manifest.
    for path in [
        format!("/v2/else/blobs/{good}"),
        format!("/v2/app/manifests/{good}"),
        format!("/v2/app/blobs/{other}"),
    ] {
        let answer = connection.ask(&format!("GET {path}"), b"");
        tally.count(&path, expect(answer.status == 404, answer));
    }
    // Bytes that fell over on the disk are not given out as if they were right.
    for path in ["_varve/blobs/sha256", "app/blobs/sha256"] {
        let path = served.root().join(path).join(good.hex());
        let _ = fs::remove_file(&path);
        fs::write(path, "gooe").unwrap();
    }
    connection.write(format!("GET /v2/app/blobs/{good} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    let head = connection.head();
    tally.count("a damaged blob", expect(connection.is_closed(), head));
}

/// Heads and bodies that say too much, and requests that say two things.
fn bodies(tally: &mut Tally) {
    let served = Served::start();
    let large = "x".repeat(3 * limits::HTTP_HEAD_SIZE_BYTES_MAX);
    let many = "X-Many: y\r\n".repeat(200);
    for (name, text) in [
        ("a path without end", format!("GET /v2/{large} HTTP/1.1\r\nHost: x\r\n\r\n")),
        ("a header without end", format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nX: {large}\r\n\r\n")),
        ("200 headers", format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{many}\r\n")),
        ("a length that is none", "PUT /v2/app/manifests/a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".to_owned()),
        ("two lengths", "PUT /v2/app/manifests/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_owned()),
        ("no HTTP", "\u{16}\u{3}\u{1}hello\r\n\r\n".to_owned()),
        ("a chunk that is none", "PUT /v2/app/manifests/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned()),
    ] {
        let mut connection = served.connect();
        connection.write(text.as_bytes());
        let answer = connection.head();
        tally.count(name, expect((400..500).contains(&answer.status), answer));
    }
    let manifest = vec![b' '; limits::MANIFEST_SIZE_BYTES_MAX as usize + 1];
    let answer =
        served.connect().ask("PUT /v2/app/manifests/a\nContent-Type: application/json", &manifest);
    tally.count("a manifest above the limit", expect(answer.status == 413, answer));
    let left = fs::read_dir(served.root().join("_varve/uploads")).unwrap().count();
    tally.count("nothing is left of them", expect(left == 0, left));
    tally.count(
        "and the registry is there",
        expect(served.connect().ask("GET /v2/", b"").status == 200, ""),
    );
}

#[test]
fn no_more_uploads_are_begun_than_may_be() {
    let served = Served::start();
    let begin = || served.connect().ask("POST /v2/app/blobs/uploads/", b"");
    assert_eq!(begin().status, 202);
    let uploads = served.root().join("_varve/uploads");
    for number in 1..limits::UPLOADS_MAX {
        fs::create_dir(uploads.join(number.to_string())).unwrap();
    }
    let refused = begin();
    assert_eq!(refused.status, 429, "{refused:?}");
    fs::remove_dir(uploads.join("1")).unwrap();
    assert_eq!(begin().status, 202);
}

/// More connections than there is room for, none of which ever says what it wants.
#[test]
fn those_who_say_nothing_keep_nobody_out() {
    let served = Served::start();
    let mut slow: Vec<Connection> = Vec::new();
    for number in 0..400 {
        let mut connection = served.connect();
        // Half of them begin to say something.
        if number % 2 == 0 {
            connection.write(b"GET /v2/ HTTP/1.1\r\nHo");
        }
        slow.push(connection);
    }
    // Well before those would be disconnected for their silence.
    let mut good = served.connect();
    assert_eq!(good.ask("GET /v2/", b"").status, 200);
    for _ in 0..3 {
        assert_eq!(served.connect().ask("GET /v2/_catalog", b"").status, 200);
    }
    // Who asks is not the one to go.
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(good.ask("GET /v2/", b"").status, 200);
    assert!(slow[0].is_closed(), "the first one has kept still for longest");
}

#[test]
fn what_no_repository_has_is_collected_while_the_server_goes_on() {
    let served = Served::start();
    for name in ["kept", "gone"] {
        let digest = sha256(name);
        let put = format!("POST /v2/{name}/blobs/uploads/?digest={digest}");
        assert_eq!(served.connect().ask(&put, name.as_bytes()).status, 201);
    }
    fs::remove_dir_all(served.root().join("gone")).unwrap();
    let ctx = varve_types::Ctx::for_test();
    let collected = varve_serve::registry::collect(&served.root(), &ctx).unwrap();
    assert_eq!((collected.blobs, collected.freed_bytes), (1, 4));
    let kept = served.connect().ask(&format!("GET /v2/kept/blobs/{}", sha256("kept")), b"");
    assert_eq!(kept.body, b"kept");
    let nowhere = varve_serve::registry::collect(&served.root().join("kept"), &ctx).unwrap_err();
    assert!(nowhere.to_string().ends_with("holds no registry"), "{nowhere}");
}
