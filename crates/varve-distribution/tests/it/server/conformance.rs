//! The distribution specification as data: a request, and what must come back.

use expect_test::{Expect, expect};
use varve_distribution::server::Access;

use super::session::{OCI, Session};

#[track_caller]
fn check(session: &mut Session, head: &str, body: &str, expected: Expect) {
    expected.assert_eq(&session.ask(head, body.as_bytes()));
}

#[test]
fn base_says_that_this_is_a_registry() {
    let mut s = Session::new();
    check(
        &mut s,
        "GET /v2/",
        "",
        expect![[r#"
        200
        content-length: 2
        content-type: application/json; charset=utf-8
        {}
    "#]],
    );
    check(
        &mut s,
        "GET /v2",
        "",
        expect![[r#"
        200
        content-length: 2
        content-type: application/json; charset=utf-8
        {}
    "#]],
    );
    check(
        &mut s,
        "GET /",
        "",
        expect![[r#"
        404
        content-length: 56
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"UNKNOWN","message":"no such page"}]}
    "#]],
    );
    check(
        &mut s,
        "POST /v2/",
        "",
        expect![[r#"
        405
        allow: GET, HEAD
        content-length: 19
        content-type: text/plain; charset=utf-8
        Method not allowed

    "#]],
    );
}

#[test]
fn a_blob_is_pushed_whole_and_pulled_whole_or_in_part() {
    let mut s = Session::new();
    s.name("hello", b"hello");
    check(
        &mut s,
        "HEAD /v2/app/blobs/{hello}",
        "",
        expect![[r#"
        404
        content-length: 167
        content-type: application/json; charset=utf-8
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/blobs/{hello}",
        "",
        expect![[r#"
        404
        content-length: 167
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry","detail":{"digest":"<hello>"}}]}
    "#]],
    );
    check(
        &mut s,
        "POST /v2/app/blobs/uploads/?digest={hello}",
        "hello",
        expect![[r#"
        201
        content-length: 0
        docker-content-digest: <hello>
        location: /v2/app/blobs/<hello>
    "#]],
    );
    check(
        &mut s,
        "HEAD /v2/app/blobs/{hello}",
        "",
        expect![[r#"
        200
        accept-ranges: bytes
        cache-control: max-age=31536000
        content-length: 5
        content-type: application/octet-stream
        docker-content-digest: <hello>
        etag: "<hello>"
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/blobs/{hello}",
        "",
        expect![[r#"
        200
        accept-ranges: bytes
        cache-control: max-age=31536000
        content-length: 5
        content-type: application/octet-stream
        docker-content-digest: <hello>
        etag: "<hello>"
        hello
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/blobs/{hello}\nRange: bytes=1-3",
        "",
        expect![[r#"
        206
        accept-ranges: bytes
        cache-control: max-age=31536000
        content-length: 3
        content-range: bytes 1-3/5
        content-type: application/octet-stream
        docker-content-digest: <hello>
        etag: "<hello>"
        ell
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/blobs/{hello}\nRange: bytes=3-",
        "",
        expect![[r#"
        206
        accept-ranges: bytes
        cache-control: max-age=31536000
        content-length: 2
        content-range: bytes 3-4/5
        content-type: application/octet-stream
        docker-content-digest: <hello>
        etag: "<hello>"
        lo
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/blobs/{hello}\nRange: bytes=9-",
        "",
        expect![[r#"
        416
        content-length: 0
        content-range: bytes */5
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/blobs/{hello}\nIf-None-Match: \"{hello}\"",
        "",
        expect![[r#"
        304
    "#]],
    );
    check(
        &mut s,
        "GET /v2/other/blobs/{hello}",
        "",
        expect![[r#"
        404
        content-length: 167
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry","detail":{"digest":"<hello>"}}]}
    "#]],
    );
}

#[test]
fn a_blob_is_pushed_in_two_requests() {
    let mut s = Session::new();
    s.name("hello", b"hello");
    check(
        &mut s,
        "POST /v2/app/blobs/uploads/",
        "",
        expect![[r#"
        202
        content-length: 0
        docker-upload-uuid: <id>
        location: <upload>
        range: 0-0
    "#]],
    );
    check(
        &mut s,
        "PUT {upload}?digest={hello}",
        "hello",
        expect![[r#"
        201
        content-length: 0
        docker-content-digest: <hello>
        location: /v2/app/blobs/<hello>
    "#]],
    );
    check(
        &mut s,
        "GET {upload}",
        "",
        expect![[r#"
        404
        content-length: 87
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown to registry"}]}
    "#]],
    );
}

#[test]
fn a_blob_is_pushed_in_chunks_that_must_come_in_order() {
    let mut s = Session::new();
    s.name("hello", b"hello world");
    check(
        &mut s,
        "POST /v2/app/blobs/uploads/",
        "",
        expect![[r#"
        202
        content-length: 0
        docker-upload-uuid: <id>
        location: <upload>
        range: 0-0
    "#]],
    );
    check(
        &mut s,
        "PATCH {upload}\nContent-Range: 0-4\nContent-Length: 5",
        "hello",
        expect![[r#"
        202
        content-length: 0
        docker-upload-uuid: <id>
        location: <upload>
        range: 0-4
    "#]],
    );
    check(
        &mut s,
        "GET {upload}",
        "",
        expect![[r#"
        204
        docker-upload-uuid: <id>
        location: <upload>
        range: 0-4
    "#]],
    );
    check(
        &mut s,
        "PATCH {upload}\nContent-Range: 0-4\nContent-Length: 5",
        "hello",
        expect![[r#"
        416
        content-length: 71
        content-type: application/json; charset=utf-8
        location: <upload>
        range: 0-4
        {"errors":[{"code":"RANGE_INVALID","message":"invalid content range"}]}
    "#]],
    );
    check(
        &mut s,
        "PATCH {upload}\nContent-Range: 7-8\nContent-Length: 2",
        "or",
        expect![[r#"
        416
        content-length: 71
        content-type: application/json; charset=utf-8
        location: <upload>
        range: 0-4
        {"errors":[{"code":"RANGE_INVALID","message":"invalid content range"}]}
    "#]],
    );
    check(
        &mut s,
        "PATCH {upload}\nContent-Range: x\nContent-Length: 2",
        "or",
        expect![[r#"
        416
        content-length: 71
        content-type: application/json; charset=utf-8
        location: <upload>
        range: 0-4
        {"errors":[{"code":"RANGE_INVALID","message":"invalid content range"}]}
    "#]],
    );
    check(
        &mut s,
        "PATCH {upload}\nContent-Range: 5-8\nContent-Length: 2",
        "or",
        expect![[r#"
        400
        content-length: 135
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"SIZE_INVALID","message":"provided length did not match content length","detail":"Content-Range promises 4 bytes"}]}
    "#]],
    );
    check(
        &mut s,
        "PATCH {upload}\nContent-Range: 5-7",
        " wo",
        expect![[r#"
        202
        content-length: 0
        docker-upload-uuid: <id>
        location: <upload>
        range: 0-7
    "#]],
    );
    check(
        &mut s,
        "PUT {upload}?digest={hello}\nContent-Range: 8-10\nContent-Length: 3",
        "rld",
        expect![[r#"
            201
            content-length: 0
            docker-content-digest: <hello>
            location: /v2/app/blobs/<hello>
        "#]],
    );
    check(
        &mut s,
        "GET /v2/app/blobs/{hello}",
        "",
        expect![[r#"
        200
        accept-ranges: bytes
        cache-control: max-age=31536000
        content-length: 11
        content-type: application/octet-stream
        docker-content-digest: <hello>
        etag: "<hello>"
        hello world
    "#]],
    );
}

#[test]
fn an_upload_may_be_cancelled() {
    let mut s = Session::new();
    check(
        &mut s,
        "POST /v2/app/blobs/uploads/",
        "",
        expect![[r#"
        202
        content-length: 0
        docker-upload-uuid: <id>
        location: <upload>
        range: 0-0
    "#]],
    );
    check(
        &mut s,
        "DELETE {upload}",
        "",
        expect![[r#"
        204
    "#]],
    );
    check(
        &mut s,
        "PATCH {upload}",
        "hello",
        expect![[r#"
        404
        content-length: 87
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown to registry"}]}
    "#]],
    );
    check(
        &mut s,
        "DELETE {upload}",
        "",
        expect![[r#"
        404
        content-length: 87
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown to registry"}]}
    "#]],
    );
}

#[test]
fn bytes_that_are_not_the_promised_ones_are_dropped() {
    let mut s = Session::new();
    s.name("hello", b"hello");
    s.name("howdy", b"howdy");
    check(
        &mut s,
        "POST /v2/app/blobs/uploads/?digest={hello}",
        "howdy",
        expect![[r#"
        400
        content-length: 271
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content","detail":"expected <hello>, received <howdy>"}]}
    "#]],
    );
    check(
        &mut s,
        "POST /v2/app/blobs/uploads/",
        "",
        expect![[r#"
        202
        content-length: 0
        docker-upload-uuid: <id>
        location: <upload>
        range: 0-0
    "#]],
    );
    check(
        &mut s,
        "PUT {upload}?digest={hello}",
        "howdy",
        expect![[r#"
        400
        content-length: 271
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content","detail":"expected <hello>, received <howdy>"}]}
    "#]],
    );
    check(
        &mut s,
        "GET {upload}",
        "",
        expect![[r#"
        404
        content-length: 87
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown to registry"}]}
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/blobs/{hello}",
        "",
        expect![[r#"
        404
        content-length: 167
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry","detail":{"digest":"<hello>"}}]}
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/blobs/{howdy}",
        "",
        expect![[r#"
        404
        content-length: 167
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry","detail":{"digest":"<howdy>"}}]}
    "#]],
    );
}

#[test]
fn only_sha256_names_content() {
    let mut s = Session::new();
    let long = format!("sha512:{}", "a".repeat(128));
    let head = format!("POST /v2/app/blobs/uploads/?digest={long}");
    assert!(s.ask(&head, b"x").contains("\"DIGEST_INVALID\""));
    check(
        &mut s,
        "POST /v2/app/blobs/uploads/",
        "",
        expect![[r#"
        202
        content-length: 0
        docker-upload-uuid: <id>
        location: <upload>
        range: 0-0
    "#]],
    );
    check(
        &mut s,
        "PUT {upload}",
        "",
        expect![[r#"
        400
        content-length: 141
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content","detail":": invalid checksum digest format"}]}
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/blobs/md5:0",
        "",
        expect![[r#"
        400
        content-length: 146
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content","detail":"md5:0: invalid checksum digest format"}]}
    "#]],
    );
}

#[test]
fn a_blob_is_mounted_from_another_repository_or_wherever_it_is() {
    let mut s = Session::new();
    s.blob("one", "hello", b"hello");
    s.name("absent", b"absent");
    check(
        &mut s,
        "POST /v2/two/blobs/uploads/?mount={hello}&from=one",
        "",
        expect![[r#"
        201
        content-length: 0
        docker-content-digest: <hello>
        location: /v2/two/blobs/<hello>
    "#]],
    );
    check(
        &mut s,
        "POST /v2/three/blobs/uploads/?mount={hello}",
        "",
        expect![[r#"
        201
        content-length: 0
        docker-content-digest: <hello>
        location: /v2/three/blobs/<hello>
    "#]],
    );
    check(
        &mut s,
        "GET /v2/three/blobs/{hello}",
        "",
        expect![[r#"
        200
        accept-ranges: bytes
        cache-control: max-age=31536000
        content-length: 5
        content-type: application/octet-stream
        docker-content-digest: <hello>
        etag: "<hello>"
        hello
    "#]],
    );
    check(
        &mut s,
        "POST /v2/four/blobs/uploads/?mount={hello}&from=nowhere",
        "",
        expect![[r#"
        202
        content-length: 0
        docker-upload-uuid: <id>
        location: <upload>
        range: 0-0
    "#]],
    );
    check(
        &mut s,
        "POST /v2/four/blobs/uploads/?mount={absent}&from=one",
        "",
        expect![[r#"
        202
        content-length: 0
        docker-upload-uuid: <id>
        location: <upload>
        range: 0-0
    "#]],
    );
    check(
        &mut s,
        "POST /v2/four/blobs/uploads/?mount={hello}&from=../one",
        "",
        expect![[r#"
        202
        content-length: 0
        docker-upload-uuid: <id>
        location: <upload>
        range: 0-0
    "#]],
    );
}

#[test]
fn a_manifest_comes_after_everything_it_names() {
    let mut s = Session::new();
    let config = s.name("config", b"{}");
    let json = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[]}}"#
    );
    s.name("image", json.as_bytes());
    let put = format!("PUT /v2/app/manifests/1\nContent-Type: {OCI}");
    check(
        &mut s,
        &put,
        &json,
        expect![[r#"
        400
        content-length: 165
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry","detail":"<config>"}]}
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/tags/list",
        "",
        expect![[r#"
        404
        content-length: 110
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry","detail":{"name":"app"}}]}
    "#]],
    );
    s.blob("app", "config", b"{}");
    check(
        &mut s,
        &put,
        &json,
        expect![[r#"
        201
        content-length: 0
        docker-content-digest: <image>
        location: /v2/app/manifests/<image>
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/manifests/1",
        "",
        expect![[r#"
        200
        content-length: 246
        content-type: application/vnd.oci.image.manifest.v1+json
        docker-content-digest: <image>
        etag: "<image>"
        {"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"<config>","size":2},"layers":[]}
    "#]],
    );
    check(
        &mut s,
        "HEAD /v2/app/manifests/{image}",
        "",
        expect![[r#"
        200
        content-length: 246
        content-type: application/vnd.oci.image.manifest.v1+json
        docker-content-digest: <image>
        etag: "<image>"
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/manifests/2",
        "",
        expect![[r#"
        404
        content-length: 90
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"2"}}]}
    "#]],
    );
    let put = format!("PUT /v2/app/manifests/{{config}}\nContent-Type: {OCI}");
    check(
        &mut s,
        &put,
        &json,
        expect![[r#"
        400
        content-length: 266
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content","detail":"expected <config>, got <image>"}]}
    "#]],
    );
    let wrong = json.replace("\"size\":2", "\"size\":3");
    let put = format!("PUT /v2/app/manifests/1\nContent-Type: {OCI}");
    check(
        &mut s,
        &put,
        &wrong,
        expect![[r#"
        400
        content-length: 198
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"SIZE_INVALID","message":"provided length did not match content length","detail":"<config> does not have 3 bytes"}]}
    "#]],
    );
}

#[test]
fn an_index_comes_after_its_manifests() {
    let mut s = Session::new();
    let image = s.manifest("app", "1", "image", "");
    let size = s.ask("HEAD /v2/app/manifests/1", b"");
    let size = size.split("content-length: ").nth(1).unwrap().lines().next().unwrap().to_owned();
    let index = |digest: &str| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"{OCI}","digest":"{digest}","size":{size}}}]}}"#
        )
    };
    let absent = s.name("absent", b"absent").to_string();
    let put = "PUT /v2/app/manifests/all\nContent-Type: application/vnd.oci.image.index.v1+json";
    check(
        &mut s,
        put,
        &index(&absent),
        expect![[r#"
        400
        content-length: 165
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry","detail":"<absent>"}]}
    "#]],
    );
    let good = index(&image.to_string());
    s.name("index", good.as_bytes());
    check(
        &mut s,
        put,
        &good,
        expect![[r#"
        201
        content-length: 0
        docker-content-digest: <index>
        location: /v2/app/manifests/<index>
    "#]],
    );
}

#[test]
fn what_is_not_a_manifest_is_refused() {
    let mut s = Session::new();
    let put = format!("PUT /v2/app/manifests/1\nContent-Type: {OCI}");
    check(
        &mut s,
        &put,
        "{}",
        expect![[r#"
        400
        content-length: 109
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"MANIFEST_INVALID","message":"manifest invalid","detail":"unsupported schema version 0"}]}
    "#]],
    );
    check(
        &mut s,
        &put,
        "not json",
        expect![[r#"
        400
        content-length: 137
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"MANIFEST_INVALID","message":"manifest invalid","detail":"manifest is not valid: expected ident at line 1 column 2"}]}
    "#]],
    );
    check(
        &mut s,
        &put,
        r#"{"schemaVersion":1,"fsLayers":[]}"#,
        expect![[r#"
        400
        content-length: 196
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"MANIFEST_INVALID","message":"manifest invalid","detail":"Docker image format v1 and manifest version 2, schema 1 are not supported: push the image again with a current tool"}]}
    "#]],
    );
    check(
        &mut s,
        "PUT /v2/app/manifests/.1",
        "{}",
        expect![[r#"
        400
        content-length: 100
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"TAG_INVALID","message":"manifest tag did not match URI","detail":{"Tag":".1"}}]}
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/manifests/.1",
        "",
        expect![[r#"
        404
        content-length: 91
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":".1"}}]}
    "#]],
    );
    let huge = " ".repeat((4 << 20) + 1);
    check(
        &mut s,
        &put,
        &huge,
        expect![[r#"
        413
        content-length: 97
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"SIZE_INVALID","message":"manifest is too large","detail":{"limit":4194304}}]}
    "#]],
    );
    check(
        &mut s,
        "POST /v2/app/manifests/1",
        "",
        expect![[r#"
        405
        allow: GET, HEAD, PUT, DELETE
        content-length: 19
        content-type: text/plain; charset=utf-8
        Method not allowed

    "#]],
    );
}

#[test]
fn a_client_gets_no_manifest_of_a_type_it_does_not_name() {
    let mut s = Session::new();
    s.manifest("app", "1", "image", "");
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let mut status = |accept: &str| {
        s.ask(&format!("GET /v2/app/manifests/1\nAccept: {accept}"), b"")[..3].to_owned()
    };
    assert_eq!(status(docker), "404");
    assert_eq!(status(&format!("{docker}, {OCI};q=0.5")), "200");
    assert_eq!(status(&format!("{docker}\nAccept: {OCI}")), "200");
    assert_eq!(status(&format!("{docker}, */*")), "200");
    assert_eq!(status("*/*"), "200");
    assert_eq!(status("text/html"), "200");
}

#[test]
fn tags_are_listed_in_order_and_in_pages() {
    let mut s = Session::new();
    check(
        &mut s,
        "GET /v2/app/tags/list",
        "",
        expect![[r#"
        404
        content-length: 110
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry","detail":{"name":"app"}}]}
    "#]],
    );
    for tag in ["b", "a", "C", "latest", "1.10", "1.9"] {
        s.manifest("app", tag, "image", "");
    }
    check(
        &mut s,
        "GET /v2/app/tags/list",
        "",
        expect![[r#"
        200
        content-length: 57
        content-type: application/json; charset=utf-8
        {"name":"app","tags":["1.10","1.9","a","b","C","latest"]}
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/tags/list?n=2",
        "",
        expect![[r#"
        200
        content-length: 36
        content-type: application/json; charset=utf-8
        link: </v2/app/tags/list?last=1.9&n=2>; rel="next"
        {"name":"app","tags":["1.10","1.9"]}
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/tags/list?last=1.9&n=2",
        "",
        expect![[r#"
        200
        content-length: 31
        content-type: application/json; charset=utf-8
        link: </v2/app/tags/list?last=b&n=2>; rel="next"
        {"name":"app","tags":["a","b"]}
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/tags/list?last=C&n=2",
        "",
        expect![[r#"
        200
        content-length: 32
        content-type: application/json; charset=utf-8
        {"name":"app","tags":["latest"]}
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/tags/list?n=0",
        "",
        expect![[r#"
        200
        content-length: 24
        content-type: application/json; charset=utf-8
        {"name":"app","tags":[]}
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/tags/list?n=x",
        "",
        expect![[r#"
        400
        content-length: 110
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"PAGINATION_NUMBER_INVALID","message":"invalid number of results requested","detail":"x"}]}
    "#]],
    );
}

#[test]
fn the_catalogue_lists_repositories_in_pages() {
    let mut s = Session::new();
    check(
        &mut s,
        "GET /v2/_catalog",
        "",
        expect![[r#"
        200
        content-length: 19
        content-type: application/json; charset=utf-8
        {"repositories":[]}
    "#]],
    );
    for repository in ["team/b", "team", "a/blobs", "z"] {
        s.blob(repository, "hello", b"hello");
    }
    check(
        &mut s,
        "GET /v2/_catalog",
        "",
        expect![[r#"
        200
        content-length: 48
        content-type: application/json; charset=utf-8
        {"repositories":["a/blobs","team","team/b","z"]}
    "#]],
    );
    check(
        &mut s,
        "GET /v2/_catalog?n=2",
        "",
        expect![[r#"
        200
        content-length: 35
        content-type: application/json; charset=utf-8
        link: </v2/_catalog?last=team&n=2>; rel="next"
        {"repositories":["a/blobs","team"]}
    "#]],
    );
    check(
        &mut s,
        "GET /v2/_catalog?last=team&n=2",
        "",
        expect![[r#"
        200
        content-length: 31
        content-type: application/json; charset=utf-8
        {"repositories":["team/b","z"]}
    "#]],
    );
}

#[test]
fn a_tag_is_removed_without_its_manifest_and_a_manifest_with_its_tags() {
    let mut s = Session::new();
    s.manifest("app", "1", "image", "");
    s.manifest("app", "2", "image", "");
    check(
        &mut s,
        "DELETE /v2/app/manifests/1",
        "",
        expect![[r#"
        202
        content-length: 0
    "#]],
    );
    check(
        &mut s,
        "DELETE /v2/app/manifests/2",
        "",
        expect![[r#"
        202
        content-length: 0
    "#]],
    );
    check(
        &mut s,
        "DELETE /v2/app/manifests/2",
        "",
        expect![[r#"
        404
        content-length: 90
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"2"}}]}
    "#]],
    );
    assert!(s.ask("GET /v2/app/manifests/{image}", b"").starts_with("200"));
    s.manifest("app", "3", "image", "");
    check(
        &mut s,
        "DELETE /v2/app/manifests/{image}",
        "",
        expect![[r#"
        202
        content-length: 0
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/manifests/3",
        "",
        expect![[r#"
        404
        content-length: 90
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"3"}}]}
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/tags/list",
        "",
        expect![[r#"
        200
        content-length: 24
        content-type: application/json; charset=utf-8
        {"name":"app","tags":[]}
    "#]],
    );
    check(
        &mut s,
        "DELETE /v2/app/manifests/{image}",
        "",
        expect![[r#"
        404
        content-length: 160
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"<image>"}}]}
    "#]],
    );
    check(
        &mut s,
        "DELETE /v2/app/blobs/{config}",
        "",
        expect![[r#"
        202
        content-length: 0
    "#]],
    );
    check(
        &mut s,
        "DELETE /v2/app/blobs/{config}",
        "",
        expect![[r#"
        404
        content-length: 167
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry","detail":{"digest":"<config>"}}]}
    "#]],
    );
    check(
        &mut s,
        "HEAD /v2/app/blobs/{config}",
        "",
        expect![[r#"
        404
        content-length: 167
        content-type: application/json; charset=utf-8
    "#]],
    );
}

#[test]
fn referrers_are_found_by_their_subject_and_type() {
    let mut s = Session::new();
    let image = s.manifest("app", "1", "image", "");
    let subject = format!(r#","subject":{{"mediaType":"{OCI}","digest":"{image}","size":193}}"#);
    let signature =
        format!(r#"{subject},"artifactType":"test/signature","annotations":{{"a":"b"}}"#);
    s.manifest("app", "", "referrer", &subject);
    s.manifest("app", "sig", "signature", &signature);
    check(
        &mut s,
        "GET /v2/app/referrers/{image}",
        "",
        expect![[r#"
        200
        content-length: 507
        content-type: application/vnd.oci.image.index.v1+json
        {"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"<referrer>","size":409,"artifactType":"application/vnd.oci.image.config.v1+json"},{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"<signature>","size":465,"annotations":{"a":"b"},"artifactType":"test/signature"}]}
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/referrers/{image}?artifactType=test%2Fsignature",
        "",
        expect![[r#"
        200
        content-length: 296
        content-type: application/vnd.oci.image.index.v1+json
        oci-filters-applied: artifactType
        {"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"<signature>","size":465,"annotations":{"a":"b"},"artifactType":"test/signature"}]}
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/referrers/{signature}",
        "",
        expect![[r#"
        200
        content-length: 88
        content-type: application/vnd.oci.image.index.v1+json
        {"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}
    "#]],
    );
    check(
        &mut s,
        "GET /v2/nowhere/referrers/{image}",
        "",
        expect![[r#"
        200
        content-length: 88
        content-type: application/vnd.oci.image.index.v1+json
        {"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}
    "#]],
    );
    check(
        &mut s,
        "GET /v2/app/referrers/sha256:1",
        "",
        expect![[r#"
        400
        content-length: 149
        content-type: application/json; charset=utf-8
        {"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content","detail":"sha256:1: invalid checksum digest format"}]}
    "#]],
    );
    let json = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI}","config":{{"mediaType":"x","digest":"{}","size":2}},"layers":[]{subject}}}"#,
        varve_types::Digest::of(b"{}"),
    );
    s.name("third", json.as_bytes());
    check(
        &mut s,
        &format!("PUT /v2/app/manifests/{{third}}\nContent-Type: {OCI}"),
        &json,
        expect![[r#"
            201
            content-length: 0
            docker-content-digest: <third>
            location: /v2/app/manifests/<third>
            oci-subject: <image>
        "#]],
    );
}

#[test]
fn a_read_only_registry_gives_and_does_not_take() {
    let mut s = Session::with(Access { read_only: true, ..Access::default() });
    s.name("hello", b"hello");
    check(
        &mut s,
        "GET /v2/",
        "",
        expect![[r#"
        200
        content-length: 2
        content-type: application/json; charset=utf-8
        {}
    "#]],
    );
    check(
        &mut s,
        "POST /v2/app/blobs/uploads/",
        "",
        expect![[r#"
        405
        allow: GET, HEAD
        content-length: 19
        content-type: text/plain; charset=utf-8
        Method not allowed

    "#]],
    );
    check(
        &mut s,
        "PUT /v2/app/manifests/1",
        "{}",
        expect![[r#"
        405
        allow: GET, HEAD
        content-length: 19
        content-type: text/plain; charset=utf-8
        Method not allowed

    "#]],
    );
    check(
        &mut s,
        "DELETE /v2/app/blobs/{hello}",
        "",
        expect![[r#"
        405
        allow: GET, HEAD
        content-length: 19
        content-type: text/plain; charset=utf-8
        Method not allowed

    "#]],
    );
}
