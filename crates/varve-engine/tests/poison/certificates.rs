//! Certificates that prove nothing: of a foreign authority, for another name, of another time.

use std::{fs, ops::Range};

use varve_engine::{Engine, Pull, PullPlatform, Registries};
use varve_testkit::{Image, Registry, registry::Certificate};
use varve_types::{Ctx, Environment};

const HERE: &[&str] = &["127.0.0.1"];

/// A certificate that a registry shows.
pub(crate) struct Shown {
    pub(crate) name: &'static str,
    /// For which names and addresses it is.
    names: &'static [&'static str],
    years: Range<i32>,
    /// Whether who signed it is trusted.
    is_trusted: bool,
    /// What is said of it; `None`: it is in order.
    words: Option<&'static str>,
}

pub(crate) fn all() -> Vec<Shown> {
    let good = || Shown {
        name: "a certificate that is in order",
        names: HERE,
        years: 2000..4000,
        is_trusted: true,
        words: None,
    };
    let bad = |name, words| Shown { name, words: Some(words), ..good() };
    let by = "unknown authority";
    let foreign = bad("a certificate of a foreign authority", by);
    let ended = bad("a certificate that has ended", "expired");
    let early = bad("a certificate that has not begun", "not yet valid");
    let other = bad("a certificate for another name", "other.example");
    let elsewhere = bad("a certificate for another address", "x509");
    let nobody = bad("a certificate for nobody", "x509");
    vec![
        good(),
        Shown { is_trusted: false, ..foreign },
        Shown { years: 2000..2001, ..ended },
        Shown { years: 3999..4000, ..early },
        Shown { names: &["other.example"], ..other },
        Shown { names: &["127.0.0.9"], ..elsewhere },
        Shown { names: &[], ..nobody },
    ]
}

/// Tries one; an error says what did not hold.
pub(crate) fn tried(shown: &Shown) -> Result<(), String> {
    let certificate = Certificate::issued(shown.names, shown.years.clone());
    let folder = tempfile::tempdir().expect("a directory");
    let [authority, hosts, config] =
        ["ca.pem", "hosts.json", "config.json"].map(|name| folder.path().join(name));
    fs::write(&authority, if shown.is_trusted { &certificate.ca_pem } else { "" }).expect("a file");
    fs::write(&hosts, r#"{"insecure-registries": ["nowhere.example"]}"#).expect("a file");
    let registry = Registry::builder().certificate(certificate).start();
    let auth = format!(r#"{{"auths": {{"{}": {{"auth": "YWxpY2U6c2VjcmV0"}}}}}}"#, registry.host());
    fs::write(&config, auth).expect("a file");
    registry.push("app:1", Image::seeded(1));
    let variables = [("VARVE_CONFIG", &hosts), ("SSL_CERT_FILE", &authority)];
    let variables = variables.map(|(name, path)| (name.to_owned(), path.display().to_string()));
    let environment = Environment::new(variables);
    let (registries, _) = Registries::load(&environment, Some(folder.path())).expect("a config");
    let engine = Engine::open(&folder.path().join("store"), registries).expect("a store");
    let ctx = Ctx { environment: &environment, ..Ctx::for_test() };
    let reference = &registry.reference("app:1");
    let request = Pull { reference, all_tags: false, platform: PullPlatform::Host };
    let outcome = engine.pull(&ctx, &request).map(drop).map_err(|error| error.to_string());
    let Some(words) = shown.words else { return outcome };
    // Nothing was said before it was known to whom.
    match outcome {
        Err(told) if told.contains(words) && registry.log().is_empty() => Ok(()),
        other => Err(format!("{other:?}, and the registry heard {:?}", registry.log())),
    }
}
