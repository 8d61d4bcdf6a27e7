//! The distribution specification as data, first part: blobs and uploads.

use expect_test::expect;

use super::session::{Session, check};

#[test]
fn a_blob_is_pushed_and_pulled_whole() {
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
}

#[test]
fn a_blob_is_given_in_part_and_only_where_it_was_pushed() {
    let mut s = Session::new();
    s.blob("app", "hello", b"hello");
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
    for range in ["0-4", "7-8", "x"] {
        let answer = s.ask(&format!("PATCH {{upload}}\nContent-Range: {range}"), b"hello");
        assert!(answer.starts_with("416") && answer.contains("range: 0-4\n"), "{answer}");
        assert!(answer.contains("\"RANGE_INVALID\""), "{answer}");
    }
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
