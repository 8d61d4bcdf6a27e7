//! The distribution specification as data, third part: lists and referrers.

use expect_test::expect;

use super::session::{OCI, Session, check};

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
        content-length: 19
        content-type: text/plain; charset=utf-8
        404 page not found

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
