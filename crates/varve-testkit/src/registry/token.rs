//! Bearer tokens: a token endpoint as registries have one.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};

/// The tokens given out.
#[derive(Debug)]
pub(super) struct Tokens {
    realm: String,
    /// Who gets a token; everybody when nobody is named.
    user: Option<(String, String)>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    valid: HashSet<String>,
    count: u64,
}

impl Tokens {
    pub(super) fn new(realm: String, user: Option<(String, String)>) -> Self {
        Self { realm, user, state: Mutex::default() }
    }

    /// Whether the request carries a token that is still good.
    pub(super) fn allow(&self, headers: &HeaderMap) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        authorization(headers)
            .and_then(|value| value.strip_prefix("Bearer "))
            .is_some_and(|token| state.valid.contains(token))
    }

    /// The challenge for a request without one.
    pub(super) fn challenge(&self, method: &str, path: &str) -> String {
        let rest = path.strip_prefix("/v2/").unwrap_or_default();
        let end = ["/manifests/", "/blobs/", "/tags/", "/referrers/"]
            .iter()
            .filter_map(|part| rest.find(part))
            .min();
        let scope = match end {
            Some(end) => {
                let actions = if matches!(method, "GET" | "HEAD") { "pull" } else { "pull,push" };
                format!(",scope=\"repository:{}:{actions}\"", &rest[..end])
            }
            None => String::new(),
        };
        format!("Bearer realm=\"{}\",service=\"varve-test\"{scope}", self.realm)
    }

    /// The answer of the token endpoint: a status and a body.
    pub(super) fn give(&self, headers: &HeaderMap, form: &str) -> (u16, String) {
        if let Some((user, password)) = &self.user {
            let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            let refresh = format!("refresh_token=refresh-{user}");
            let known = authorization(headers) == Some(&basic)
                || form.split('&').any(|pair| pair == refresh);
            if !known {
                let error = r#"{"details":"incorrect username or password"}"#;
                return (401, error.to_owned());
            }
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.count += 1;
        let token = format!("token-{}", state.count);
        state.valid.insert(token.clone());
        let body = format!(r#"{{"token":"{token}","access_token":"{token}","expires_in":300}}"#);
        (200, body)
    }

    pub(super) fn expire(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).valid.clear();
    }
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()
}
