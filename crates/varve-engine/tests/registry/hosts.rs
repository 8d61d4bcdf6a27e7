//! Redirects, tokens, mirrors, and registries that ask for patience.

use std::{net::Ipv4Addr, time::Duration};

use varve_testkit::{Entry, Fault, Image, On, Registry, registry::Builder};
use varve_types::Kind;

use crate::bench::{Bench, told};

/// A configuration that names nothing, so that none of the machine's is read.
const NO_HOSTS: &str = r#"{"insecure-registries": ["nowhere.example"]}"#;
const ALICE: &str = "Basic YWxpY2U6c2VjcmV0";

/// A registry on a loopback address that is not the other's.
fn elsewhere() -> Registry {
    Registry::builder().address(Ipv4Addr::new(127, 0, 0, 2)).start()
}

fn authorizations(log: &[Entry]) -> Vec<&str> {
    log.iter().filter_map(|entry| entry.authorization.as_deref()).collect()
}

fn alices() -> Builder {
    Registry::builder().bearer("alice", "secret")
}

#[test]
fn a_redirect_loop_is_found_at_once() {
    let (registry, bench) = (Registry::start(), Bench::new());
    registry.push("app:1", Image::seeded(1));
    registry.fail_always(On::Manifest, Fault::RedirectLoop);
    let text = "Head \"http://REGISTRY/v2/app/manifests/1\": redirect loop at http://REGISTRY/v2/app/manifests/1";
    bench.refuses(&registry, "app:1", Kind::Invalid, text);
    registry.heal();
    registry.take_log();
    registry.fail_always(On::Blob, Fault::RedirectLoop);
    let error = bench.pull(&registry.reference("app:1")).unwrap_err();
    assert!(told(&error, &registry).contains("redirect loop at"), "{}", told(&error, &registry));
    assert!(registry.log().len() < 10, "{} requests", registry.log().len());
    registry.heal();
    bench.pulls(&registry, "app:1");
}

#[test]
fn a_chain_of_redirects_ends_at_its_limit() {
    let (registry, bench) = (Registry::start(), Bench::new());
    registry.push("app:1", Image::seeded(1));
    let hop = |from: &str, to: &str| {
        let location = format!("{}/v2/app/manifests/{to}", registry.origin());
        let fault = Fault::Respond(307, vec![("Location".to_owned(), location)], Vec::new());
        registry.fail_always(On::Path("GET", format!("/manifests/{from}")), fault);
    };
    for at in 0..9 {
        hop(&format!("hop{at}"), &format!("hop{}", at + 1));
    }
    let text = "Head \"http://REGISTRY/v2/app/manifests/hop0\": stopped after 5 redirects";
    bench.refuses(&registry, "app:hop0", Kind::Invalid, text);
    bench.pulls(&registry, "app:1");
}

/// Blobs often lie with a host for content: it gets the request, and not who we are.
#[test]
fn a_redirect_to_another_host_is_followed_without_credentials() {
    let (content, built) = (elsewhere(), Image::seeded(1).layers(2).build());
    let registry = alices().start();
    registry.push("app:1", &built);
    content.push("app:1", &built);
    registry.fail_always(On::Blob, Fault::Redirect(content.origin().to_owned()));
    let bench = Bench::configured(NO_HOSTS, &[&registry]);
    bench.pulls(&registry, "app:1");
    bench.has(&registry, "app:1", &built);
    let log = content.log();
    assert_eq!(log.len(), 3);
    assert_eq!(authorizations(&log), Vec::<&str>::new());
    assert!(authorizations(&registry.log()).contains(&ALICE));
}

/// The same for the place where a registry wants the bytes of an upload.
#[test]
fn an_upload_that_continues_at_another_host_takes_no_credentials_along() {
    let (content, registry) = (elsewhere(), alices().start());
    let built = Image::seeded(1).build();
    registry.push("app:1", &built);
    let bench = Bench::configured(NO_HOSTS, &[&registry]);
    bench.pulls(&registry, "app:1");
    let target = registry.reference("copy:1").to_string();
    let source = registry.reference("app:1").to_string();
    bench.engine.tag(&bench.ctx(), &source, &target).unwrap();
    let location = format!("{}/v2/copy/blobs/uploads/somewhere", content.origin());
    let fault = Fault::Respond(202, vec![("Location".to_owned(), location)], Vec::new());
    registry.fail_always(On::UploadStart, fault);
    bench.push(&registry.reference("copy:1")).unwrap_err();
    let log = content.log();
    assert!(!log.is_empty(), "nothing was sent there");
    assert_eq!(authorizations(&log), Vec::<&str>::new());
    bench.check();
}

/// A mirror of content that asks for credentials after a redirect does not get any either.
#[test]
fn a_redirect_to_a_host_that_wants_credentials_is_an_error() {
    let (content, built) =
        (alices().address(Ipv4Addr::new(127, 0, 0, 2)).start(), Image::seeded(1));
    let registry = alices().start();
    registry.push("app:1", &built);
    content.push("app:1", &built);
    registry.fail_always(On::Blob, Fault::Redirect(content.origin().to_owned()));
    let bench = Bench::configured(NO_HOSTS, &[&registry, &content]);
    let text = "unauthorized: authentication required";
    bench.refuses(&registry, "app:1", Kind::Unauthorized, text);
    assert_eq!(authorizations(&content.log()), Vec::<&str>::new());
    registry.heal();
    bench.pulls(&registry, "app:1");
}

#[test]
fn credentials_are_not_sent_to_a_realm_on_a_foreign_host() {
    let registry = alices().realm("http://auth.example/token").start();
    registry.push("app:1", Image::seeded(1));
    let bench = Bench::configured(NO_HOSTS, &[&registry]);
    let text = "Head \"http://REGISTRY/v2/app/manifests/1\": credentials are not sent to the token realm http://auth.example/token, which the registry did not name over https";
    bench.refuses(&registry, "app:1", Kind::Denied, text);
    assert_eq!(authorizations(&registry.log()), Vec::<&str>::new());
}

#[test]
fn a_registry_that_refuses_every_token_is_asked_twice_and_no_more() {
    let registry = alices().start();
    registry.push("app:1", Image::seeded(1));
    let challenge = format!("Bearer realm=\"{}/token\",service=\"x\"", registry.origin());
    let headers = vec![("WWW-Authenticate".to_owned(), challenge)];
    registry.fail_always(On::Manifest, Fault::Respond(401, headers, Vec::new()));
    let bench = Bench::configured(NO_HOSTS, &[&registry]);
    let text = "unauthorized: authentication required";
    bench.refuses(&registry, "app:1", Kind::Unauthorized, text);
    assert!(registry.log().len() <= 4, "{} requests", registry.log().len());
    registry.heal();
    bench.pulls(&registry, "app:1");
}

#[test]
fn a_token_that_ends_during_a_pull_is_bought_anew() {
    let registry = alices().start();
    registry.push("app:1", Image::seeded(1).layers(3));
    let bench = Bench::configured(NO_HOSTS, &[&registry]);
    registry.fail(On::Blob, Fault::Delay(Duration::from_millis(200)));
    std::thread::scope(|scope| {
        let pull = scope.spawn(|| bench.pull(&registry.reference("app:1")));
        while !registry.log().iter().any(Entry::is_blob) {
            std::thread::yield_now();
        }
        registry.expire_tokens();
        pull.join().unwrap().unwrap();
    });
    bench.check();
}

#[test]
fn nobody_without_credentials_gets_in() {
    let registry = alices().start();
    registry.push("app:1", Image::seeded(1));
    let error = Bench::new().pull(&registry.reference("app:1")).unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized, "{}", told(&error, &registry));
}

#[test]
fn a_registry_that_is_busy_is_given_the_time_it_asks_for() {
    let (registry, bench) = (Registry::start(), Bench::new());
    registry.push("app:1", Image::seeded(1));
    registry.fail(On::Manifest, Fault::too_many_requests(7));
    registry.fail(On::Blob, Fault::too_many_requests(3));
    bench.pulls(&registry, "app:1");
    let pauses = bench.pauses.lock().unwrap().clone();
    assert_eq!(pauses, [Duration::from_secs(7), Duration::from_secs(3)]);
}

#[test]
fn a_registry_that_stays_busy_is_told_as_it_says() {
    let (registry, bench) = (Registry::start(), Bench::new());
    registry.push("app:1", Image::seeded(1));
    for retry_after_s in [1, 3600] {
        registry.fail_always(On::Manifest, Fault::too_many_requests(retry_after_s));
        let text = "toomanyrequests: slow down";
        bench.refuses(&registry, "app:1", Kind::Unavailable, text);
        registry.heal();
    }
    // An hour is not waited for.
    assert!(bench.pauses.lock().unwrap().iter().all(|pause| *pause <= Duration::from_mins(1)));
    bench.pulls(&registry, "app:1");
}

fn mirrored(registry: &Registry, mirrors: &[&Registry]) -> String {
    let mirrors: Vec<&str> = mirrors.iter().map(|mirror| mirror.origin()).collect();
    format!(
        r#"{{"insecure-registries": ["nowhere.example"], "registries": {{"{}": {{"mirrors": {mirrors:?}}}}}}}"#,
        registry.host()
    )
}

#[test]
fn a_mirror_serves_what_it_has_and_the_registry_the_rest() {
    let (registry, mirror) = (Registry::start(), elsewhere());
    let built = Image::seeded(1).layers(2).build();
    registry.push("app:1", &built);
    mirror.push("app:1", &built);
    let bench = Bench::configured(&mirrored(&registry, &[&mirror]), &[]);
    let missing = built.images[0].layers[1].digest;
    let on = On::Path("GET", format!("/blobs/{missing}"));
    mirror.fail_always(on, Fault::status(404));
    bench.pulls(&registry, "app:1");
    bench.has(&registry, "app:1", &built);
    let paths: Vec<String> = registry
        .log()
        .into_iter()
        .filter(|entry| entry.path != "/v2/")
        .map(|entry| entry.path)
        .collect();
    assert_eq!(paths, [format!("/v2/app/blobs/{missing}")]);
}

/// Mirrors may be wrong in every way; what they say is verified like the registry's own.
#[test]
fn mirrors_that_fail_or_lie_are_passed_over() {
    let faults = [
        (On::Any, Fault::status(500)),
        (On::Any, Fault::Hangup),
        (On::Manifest, Fault::Corrupt),
        (On::Manifest, Fault::Respond(200, Vec::new(), b"<html>".to_vec())),
        (On::Blob, Fault::Shorten(10)),
        (On::Any, Fault::RedirectLoop),
    ];
    for (on, fault) in faults {
        let (registry, mirror) = (Registry::start(), elsewhere());
        let built = Image::seeded(1).layers(2).build();
        registry.push("app:1", &built);
        mirror.push("app:1", &built);
        mirror.fail_always(on, fault.clone());
        let bench = Bench::configured(&mirrored(&registry, &[&mirror]), &[]);
        if let Err(error) = bench.pull(&registry.reference("app:1")) {
            panic!("{fault:?}: {}", told(&error, &registry));
        }
        bench.has(&registry, "app:1", &built);
        bench.check();
    }
}

/// A mirror whose bytes are wrong, or that breaks off in their middle, spoils one try and not
/// the image: the registry has it right.
#[test]
fn a_mirror_whose_layers_are_wrong_or_cut_is_not_the_end() {
    for fault in [Fault::Corrupt, Fault::CutBody(10 << 10)] {
        let (registry, mirror) = (Registry::start(), elsewhere());
        let built = Image::seeded(1).layer_size_bytes(600 << 10).build();
        registry.push("app:1", &built);
        mirror.push("app:1", &built);
        let layer = built.images[0].layers[0].digest;
        mirror.fail_always(On::Path("GET", format!("/blobs/{layer}")), fault.clone());
        let bench = Bench::configured(&mirrored(&registry, &[&mirror]), &[]);
        if let Err(error) = bench.pull(&registry.reference("app:1")) {
            panic!("{fault:?}: {}", told(&error, &registry));
        }
        bench.has(&registry, "app:1", &built);
        bench.check();
    }
}
