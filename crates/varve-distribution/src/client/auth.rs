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
use crate::{
    credentials::{Credential, CredentialsError},
    go_json,
};

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

pub(crate) struct Token {
    value: String,
    ends: Instant,
    /// What buys further tokens, when a login asked for it.
    pub(crate) identity: Option<String>,
}

impl Token {
    /// The value of a header.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.value)
    }
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

/// Finds a credential.
pub(crate) type Lookup<'a> = dyn Fn() -> Result<Option<Credential>, CredentialsError> + 'a;

/// Why a request cannot be authorized.
pub(crate) enum Denial {
    /// The registry or its token service is in the way.
    Reason(Reason),
    /// Our own credentials cannot be had.
    Credentials(CredentialsError),
}

impl From<Reason> for Denial {
    fn from(reason: Reason) -> Self {
        Self::Reason(reason)
    }
}

impl From<CredentialsError> for Denial {
    fn from(error: CredentialsError) -> Self {
        Self::Credentials(error)
    }
}

impl Standing {
    /// The challenge of a scheme, if the registry made one.
    pub(crate) fn challenge(&self, scheme: &str) -> Option<Challenge> {
        let challenges = self.challenges.lock().unwrap_or_else(PoisonError::into_inner);
        challenges.iter().find(|challenge| challenge.scheme == scheme).cloned()
    }

    pub(crate) fn learn(&self, challenges: Vec<Challenge>) {
        *self.challenges.lock().unwrap_or_else(PoisonError::into_inner) = challenges;
    }

    /// Forgets the token for these scopes: it was refused.
    pub(crate) fn forget(&self, scopes: &[String]) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.remove(&scopes.join(" "));
    }

    /// What to send with a request for `scopes`, as far as the registry has asked for anything.
    /// The credential is looked up only when there is a use for it.
    pub(crate) fn authorize(
        &self,
        client: &Client,
        host: &Host,
        credential: &Lookup<'_>,
        scopes: &[String],
    ) -> Result<Authorization, Denial> {
        let challenges = self.challenges.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let of = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        if let Some(bearer) = of("bearer") {
            return self.bearer(client, host, bearer, credential, scopes);
        }
        if of("basic").is_some() {
            return match credential()? {
                Some(Credential::Password { username, password }) => {
                    Ok(Authorization { value: Some(basic(&username, &password)), is_fresh: true })
                }
                _ => Err(Reason::NoBasicCredentials.into()),
            };
        }
        match challenges.first() {
            Some(other) => Err(Reason::Challenge(other.scheme.clone()).into()),
            None => Ok(Authorization { value: None, is_fresh: false }),
        }
    }

    fn bearer(
        &self,
        client: &Client,
        host: &Host,
        challenge: &Challenge,
        credential: &Lookup<'_>,
        scopes: &[String],
    ) -> Result<Authorization, Denial> {
        let key = scopes.join(" ");
        // Held while the token is bought: threads that want the same one wait for it.
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = tokens.get(&key).filter(|token| token.ends > Instant::now()) {
            let value = Some(token.authorization());
            return Ok(Authorization { value, is_fresh: false });
        }
        let credential = credential()?;
        let token = buy(client, host, challenge, credential.as_ref(), scopes, Purpose::Access)?;
        let value = Some(token.authorization());
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
    refresh_token: Option<String>,
}

/// Why a token is bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To send a request.
    Access,
    /// To see whether a credential is good, and to exchange it for an identity token.
    Login,
}

/// Asks the realm that the registry named for a token.
pub(crate) fn buy(
    client: &Client,
    host: &Host,
    challenge: &Challenge,
    credential: Option<&Credential>,
    scopes: &[String],
    purpose: Purpose,
) -> Result<Token, Reason> {
    let realm_text = challenge.get("realm").unwrap_or_default();
    let realm: Url =
        realm_text.parse().map_err(|_| Reason::Challenge(format!("with realm {realm_text:?}")))?;
    if credential.is_some() && !may_send(host.base(), &realm) {
        return Err(Reason::Realm(realm_text.to_owned()));
    }
    let service = challenge.get("service").unwrap_or_default();
    let form = credential.and_then(|credential| refresh_form(credential, service, scopes));
    let request = match &form {
        Some(form) => Request::new(Method::POST, realm.clone())
            .header("content-type", "application/x-www-form-urlencoded".to_owned())
            .body(form.as_bytes()),
        None => Request::new(Method::GET, token_url(&realm, service, credential, scopes, purpose)),
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
    Ok(Token { value, ends: Instant::now() + life, identity: parsed.refresh_token })
}

/// The form that exchanges an identity token for an access token; `None` for a password, which
/// goes into a header.
fn refresh_form(credential: &Credential, service: &str, scopes: &[String]) -> Option<String> {
    let Credential::IdentityToken { token, .. } = credential else { return None };
    let scope = scopes.join(" ");
    let pairs = [
        ("grant_type", "refresh_token"),
        ("service", service),
        ("client_id", CLIENT_ID),
        ("scope", &scope),
        ("refresh_token", token),
    ];
    let encoded: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name}={}", Escaped(value))).collect();
    Some(encoded.join("&"))
}

fn token_url(
    realm: &Url,
    service: &str,
    credential: Option<&Credential>,
    scopes: &[String],
    purpose: Purpose,
) -> Url {
    let mut url = realm.clone();
    if !service.is_empty() {
        url = url.with_query("service", service);
    }
    for scope in scopes {
        url = url.with_query("scope", scope);
    }
    if let Some(credential) = credential {
        url = url.with_query("account", credential.username());
        url = url.with_query("client_id", CLIENT_ID);
    }
    if purpose == Purpose::Login {
        url = url.with_query("offline_token", "true");
    }
    url
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
