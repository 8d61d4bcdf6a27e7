//! One request and its answer: redirects, authentication, and trying again.

use std::{sync::Arc, time::Duration};

use ureq::{
    AsSendBody, SendBody,
    http::{self, Method},
};
use varve_types::limits;

use super::{
    Client,
    answer::Answer,
    auth::{Authorization, Denial},
    error::{Error, Reason, is_passing_status},
    host::Host,
    transport,
    url::{Scheme, Url},
};

/// The longest that a registry's `Retry-After` is obeyed.
const RETRY_AFTER_SECONDS_MAX: u64 = 60;
/// Tries when a registry says "too many requests" but not how long that lasts.
const TOO_MANY_TRIES_MAX: u32 = 2;

/// A request whose body, if any, is at hand.
#[derive(Clone)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    headers: Vec<(&'static str, String)>,
    body: Option<&'a [u8]>,
    /// The verb that an error shows, when it is not the method's own.
    shown: Option<&'static str>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: Vec::new(), body: None, shown: None }
    }

    pub(crate) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn body(mut self, body: &'a [u8]) -> Self {
        self.body = Some(body);
        self
    }

    pub(crate) fn shown_as(mut self, verb: &'static str) -> Self {
        self.shown = Some(verb);
        self
    }

    pub(crate) fn verb(&self) -> &'static str {
        self.shown.unwrap_or_else(|| verb(&self.method))
    }
}

/// A method as Go shows it in errors.
pub(crate) fn verb(method: &Method) -> &'static str {
    match method.as_str() {
        "HEAD" => "Head",
        "POST" => "Post",
        "PUT" => "Put",
        "PATCH" => "Patch",
        "DELETE" => "Delete",
        _ => "Get",
    }
}

/// A host, and in whose name and for what it is asked.
#[derive(Debug, Clone)]
pub(crate) struct Session<'c> {
    pub(crate) client: &'c Client,
    pub(crate) host: Arc<Host>,
    /// The path of the repository, for finding credentials.
    pub(crate) path: String,
    pub(crate) scopes: Vec<String>,
}

impl Session<'_> {
    /// Sends a request that may be repeated, until there is an answer worth having: a success,
    /// or a refusal that would stay one.
    pub(crate) fn send(&self, request: &Request<'_>) -> Result<Answer, Error> {
        self.client.retrying(|| self.send_once(request))
    }

    /// Sends a request and returns its answer when that is a success, its error otherwise.
    pub(crate) fn succeed(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let answer = self.send(request)?;
        if answer.is_success() { Ok(answer) } else { Err(answer.into_error()) }
    }

    /// Sends a request, with a new token if the first was refused.
    fn send_once(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let failed = |reason| self.host.failure(request.verb(), &request.url, reason);
        let mut tried = false;
        loop {
            let authorization = self.authorization(request)?;
            let value = authorization.value.as_deref();
            let answer = self.client.follow(request, self.host.base(), value).map_err(failed)?;
            let asks = answer.status == 401 && answer.url.same_origin(self.host.base());
            if !asks || tried || authorization.is_fresh {
                return Ok(answer);
            }
            self.learn(&answer);
            tried = true;
        }
    }

    /// What the registry's 401 teaches: other challenges, and that our token is void.
    pub(crate) fn learn(&self, answer: &Answer) {
        self.host.standing.forget(&self.scopes);
        let challenges = answer.challenges();
        if !challenges.is_empty() {
            self.host.standing.learn(challenges);
        }
    }

    /// What to send along with a request.
    pub(crate) fn authorization(&self, request: &Request<'_>) -> Result<Authorization, Error> {
        let lookup = || self.host.credential(self.client, &self.path);
        let standing = &self.host.standing;
        standing.authorize(self.client, &self.host, &lookup, &self.scopes).map_err(|denial| {
            match denial {
                Denial::Reason(reason) => self.host.failure(request.verb(), &request.url, reason),
                Denial::Credentials(error) => Error::Credentials(error),
            }
        })
    }
}

impl Client {
    /// Tries again, after a growing pause, while failures are of the passing kind.
    pub(crate) fn retrying(
        &self,
        mut attempt: impl FnMut() -> Result<Answer, Error>,
    ) -> Result<Answer, Error> {
        let mut tries = 1;
        loop {
            let result = attempt();
            let pause = match &result {
                Ok(answer) if is_passing_status(answer.status) => {
                    let after = retry_after(answer);
                    let most = match (answer.status, after) {
                        (429, None) => TOO_MANY_TRIES_MAX,
                        _ => self.policy.tries_max,
                    };
                    let obeyed =
                        after.is_none_or(|pause| pause.as_secs() <= RETRY_AFTER_SECONDS_MAX);
                    (obeyed && tries < most).then(|| after.unwrap_or(self.back_off(tries)))
                }
                Err(error) if error.is_worth_another_try() => {
                    (tries < self.policy.tries_max).then(|| self.back_off(tries))
                }
                _ => None,
            };
            let Some(pause) = pause else { return result };
            drop(result);
            (self.policy.sleep)(pause);
            tries += 1;
        }
    }

    /// The pause after so many failures.
    pub(crate) fn back_off(&self, failures: u32) -> Duration {
        self.policy.back_off * 2u32.saturating_pow(failures.saturating_sub(1).min(8))
    }

    /// Waits before a transfer that had begun goes on. Longer than for a single request: much
    /// has been moved already, and the registry may be starting again.
    pub(crate) fn wait_for_transfer(&self, failures: u32) {
        (self.policy.sleep)(self.back_off(failures + 2));
    }

    /// Sends a request and follows redirects. `authorization` goes to the origin of `base` only,
    /// and not there either once a redirect has left it.
    pub(crate) fn follow(
        &self,
        request: &Request<'_>,
        base: &Url,
        authorization: Option<&str>,
    ) -> Result<Answer, Reason> {
        let mut authorization = authorization;
        let mut url = request.url.clone();
        let mut seen = vec![url.clone()];
        loop {
            authorization = authorization.filter(|_| url.same_origin(base));
            let answer = self.exchange(request, &url, authorization)?;
            let Some(next) = redirect(request, &answer)? else { return Ok(answer) };
            if seen.contains(&next) {
                return Err(Reason::RedirectLoop(next.to_string()));
            }
            if seen.len() > limits::REDIRECTS_MAX {
                return Err(Reason::Redirects(limits::REDIRECTS_MAX));
            }
            seen.push(next.clone());
            url = next;
        }
    }

    fn exchange(
        &self,
        request: &Request<'_>,
        url: &Url,
        authorization: Option<&str>,
    ) -> Result<Answer, Reason> {
        let headers = &request.headers;
        match request.body {
            Some(body) => self.once(&request.method, url, headers, authorization, body),
            None => self.once(&request.method, url, headers, authorization, ()),
        }
    }

    /// Sends a body of `size` bytes, once, and returns whatever is answered.
    pub(crate) fn stream(
        &self,
        request: &Request<'_>,
        authorization: Option<&str>,
        size: u64,
        body: &mut dyn std::io::Read,
    ) -> Result<Answer, Reason> {
        let mut headers = request.headers.clone();
        headers.push(("content-length", size.to_string()));
        let body = SendBody::from_reader(body);
        self.once(&request.method, &request.url, &headers, authorization, body)
    }

    fn once(
        &self,
        method: &Method,
        url: &Url,
        headers: &[(&'static str, String)],
        authorization: Option<&str>,
        body: impl AsSendBody,
    ) -> Result<Answer, Reason> {
        let mut builder = http::Request::builder().method(method).uri(url.to_string());
        for (name, value) in headers {
            builder = builder.header(*name, value);
        }
        if let Some(value) = authorization {
            builder = builder.header("authorization", value);
        }
        let request = builder.body(body).map_err(|error| Reason::Protocol(error.to_string()))?;
        let response = self.agent().run(request).map_err(transport::reason)?;
        let (head, body) = response.into_parts();
        let (status, headers) = (head.status.as_u16(), head.headers);
        Ok(Answer { status, headers, url: url.clone(), body })
    }
}

/// Where an answer sends us, when it is a redirect that may be followed for this request.
fn redirect(request: &Request<'_>, answer: &Answer) -> Result<Option<Url>, Reason> {
    let is_read = matches!(request.method, Method::GET | Method::HEAD);
    let follows = match answer.status {
        301..=303 => is_read,
        307 | 308 => true,
        _ => false,
    };
    let Some(location) = answer.header("location").filter(|_| follows) else { return Ok(None) };
    let next = answer.url.join(location).map_err(|_| Reason::Location(location.to_owned()))?;
    if answer.url.scheme() == Scheme::Https && next.scheme() == Scheme::Http {
        return Err(Reason::Downgrade(next.to_string()));
    }
    Ok(Some(next))
}

/// How long the registry wants us to wait. A date instead of seconds is not obeyed: it would
/// need the other side's clock.
fn retry_after(answer: &Answer) -> Option<Duration> {
    answer.header("retry-after")?.trim().parse().ok().map(Duration::from_secs)
}
