//! The distribution specification as data, second part: manifests, and what may not be written.

use expect_test::expect;
use varve_distribution::server::Access;

use super::session::{OCI, Session, check};

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
