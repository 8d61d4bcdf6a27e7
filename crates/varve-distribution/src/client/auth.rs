//! Telling a registry who we are: which credentials go where, and the tokens they buy.
//!
//! # Invariants
//!
//! 1. A credential goes to the registry's own origin, or to a token realm that this origin
//!    named over https (or on this machine), and nowhere else.
//! 2. A token is used for the origin and scopes it was bought for.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use ureq::http::Method;
use varve_types::limits;

use super::{
    Client,
    challenge::Challenge,
    error::{Error, Problem, Reason},
    exchange::Request,
    host::Host,
    url::{Escaped, Scheme, Url},
};
use crate::{credentials::Credential, go_json};

/// How long a token lives when its service does not say (distribution-spec, "Token
/// Authentication": 60 seconds).
const TOKEN_LIFE_SECONDS_DEFAULT: u64 = 60;
/// A token is renewed this long before it ends.
const TOKEN_LIFE_SECONDS_MARGIN: u64 = 5;
const CLIENT_ID: &str = "varve";

/// What one registry told us about authentication, and the tokens bought since.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    challenges: Mutex<Vec<Challenge>>,
    tokens: Mutex<HashMap<String, Token>>,
}

struct Token {
    value: String,
    ends: Instant,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// The value of an `Authorization` header, and whether it could not be any fresher.
pub(crate) struct Authorization {
    pub(crate) value: Option<String>,
    pub(crate) is_fresh: bool,
}

impl Standing {
    pub(crate) fn learn(&self, challenges: Vec<Challenge>) {
        *self.challenges.lock().unwrap_or_else(PoisonError::into_inner) = challenges;
    }

    /// Forgets the token for these scopes: it was refused.
    pub(crate) fn forget(&self, scopes: &[String]) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.remove(&scopes.join(" "));
    }

    /// What to send with a request for `scopes`, as far as the registry has asked for anything.
    pub(crate) fn authorize(
        &self,
        client: &Client,
        host: &Host,
        credential: Option<&Credential>,
        scopes: &[String],
    ) -> Result<Authorization, Reason> {
        let challenges = self.challenges.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let of = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        if let Some(bearer) = of("bearer") {
            return self.bearer(client, host, bearer, credential, scopes);
        }
        if of("basic").is_some() {
            return match credential {
                Some(Credential::Password { username, password }) => {
                    Ok(Authorization { value: Some(basic(username, password)), is_fresh: true })
                }
                _ => Err(Reason::NoBasicCredentials),
            };
        }
        match challenges.first() {
            Some(other) => Err(Reason::Challenge(other.scheme.clone())),
            None => Ok(Authorization { value: None, is_fresh: false }),
        }
    }

    fn bearer(
        &self,
        client: &Client,
        host: &Host,
        challenge: &Challenge,
        credential: Option<&Credential>,
        scopes: &[String],
    ) -> Result<Authorization, Reason> {
        let key = scopes.join(" ");
        // Held while the token is bought: threads that want the same one wait for it.
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = tokens.get(&key) {
            if token.ends > Instant::now() {
                let value = Some(format!("Bearer {}", token.value));
                return Ok(Authorization { value, is_fresh: false });
            }
        }
        let token = buy(client, host, challenge, credential, scopes)?;
        let value = Some(format!("Bearer {}", token.value));
        tokens.insert(key, token);
        Ok(Authorization { value, is_fresh: true })
    }
}

pub(crate) fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

/// What a token service answers.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// Asks the realm that the registry named for a token.
fn buy(
    client: &Client,
    host: &Host,
    challenge: &Challenge,
    credential: Option<&Credential>,
    scopes: &[String],
) -> Result<Token, Reason> {
    let realm_text = challenge.get("realm").unwrap_or_default();
    let realm: Url =
        realm_text.parse().map_err(|_| Reason::Challenge(format!("with realm {realm_text:?}")))?;
    if credential.is_some() && !may_send(host.base(), &realm) {
        return Err(Reason::Realm(realm_text.to_owned()));
    }
    let service = challenge.get("service");
    let mut form = Vec::new();
    let request = match credential {
        Some(Credential::IdentityToken { token, .. }) => {
            let scope = scopes.join(" ");
            let pairs = [
                ("grant_type", "refresh_token"),
                ("service", service.unwrap_or_default()),
                ("client_id", CLIENT_ID),
                ("scope", &scope),
                ("refresh_token", token),
            ];
            let encoded: Vec<String> =
                pairs.iter().map(|(name, value)| format!("{name}={}", Escaped(value))).collect();
            form.extend_from_slice(encoded.join("&").as_bytes());
            Request::new(Method::POST, realm.clone())
                .header("content-type", "application/x-www-form-urlencoded".to_owned())
                .body(&form)
        }
        _ => {
            let mut url = realm.clone();
            if let Some(service) = service {
                url = url.with_query("service", service);
            }
            for scope in scopes {
                url = url.with_query("scope", scope);
            }
            if let Some(credential) = credential {
                url = url.with_query("account", credential.username());
                url = url.with_query("client_id", CLIENT_ID);
            }
            Request::new(Method::GET, url)
        }
    };
    let authorization = match credential {
        Some(Credential::Password { username, password }) => Some(basic(username, password)),
        _ => None,
    };
    let answer = client.follow(&request, &realm, authorization.as_deref())?;
    let status = answer.status;
    if !answer.is_success() {
        return Err(Reason::Token(Box::new(answer.into_error())));
    }
    let bytes = answer.read(limits::TOKEN_BODY_SIZE_BYTES_MAX)?.unwrap_or_default();
    let parsed: TokenAnswer = serde_json::from_slice(&bytes).map_err(|error| {
        let reason = go_json::describe(&bytes).unwrap_or_else(|| error.to_string());
        Reason::Token(Box::new(Error::Unmarshal { reason }))
    })?;
    let value = [parsed.token, parsed.access_token].into_iter().flatten().find(|t| is_token(t));
    let Some(value) = value else {
        let message = "authorization server did not include a token in the response".to_owned();
        let problems = vec![Problem { code: "unauthorized".to_owned(), message }];
        return Err(Reason::Token(Box::new(Error::Refused { status, problems })));
    };
    let life = parsed.expires_in.unwrap_or(TOKEN_LIFE_SECONDS_DEFAULT).min(86_400);
    let life = Duration::from_secs(life.saturating_sub(TOKEN_LIFE_SECONDS_MARGIN).max(1));
    Ok(Token { value, ends: Instant::now() + life })
}

/// Whether a token may stand in a header.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| (0x21..0x7f).contains(&b))
}

/// Whether a registry at `base` may send our credentials to `realm`.
fn may_send(base: &Url, realm: &Url) -> bool {
    if base.same_origin(realm) {
        return true;
    }
    let named_safely = base.scheme() == Scheme::Https || base.is_loopback();
    let sent_safely =
        realm.scheme() == Scheme::Https || (realm.is_loopback() && base.is_loopback());
    named_safely && sent_safely
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_only_to_realms_that_were_named_and_are_reached_safely() {
        let check =
            |base: &str, realm: &str| may_send(&base.parse().unwrap(), &realm.parse().unwrap());
        assert!(check("https://r", "https://auth.example/token"));
        assert!(!check("https://r", "http://auth.example/token"));
        assert!(!check("https://r", "http://127.0.0.1/token"));
        assert!(!check("http://r", "https://auth.example/token"));
        assert!(check("http://r", "http://r/token"));
        assert!(!check("http://r", "http://r:81/token"));
        assert!(check("http://127.0.0.1:5000", "http://127.0.0.1:5001/token"));
        assert!(!check("http://127.0.0.1:5000", "http://auth.example/token"));
    }

    #[test]
    fn a_token_that_would_break_out_of_its_header_is_not_one() {
        assert!(is_token("eyJ.a-b_c"));
        assert!(!is_token("a\r\nX: y"));
        assert!(!is_token(""));
    }
}
