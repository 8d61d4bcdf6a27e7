//! What a registry answered: status, headers, and the errors in a refusal's body.

use std::io::Read;

use serde::Deserialize;
use ureq::{Body, http::HeaderMap};
use varve_types::limits;

use super::{
    challenge::{self, Challenge},
    error::{Error, Problem, Reason},
    transport,
    url::Url,
};
use crate::go_json;

/// Characters of a body that an error shows.
const SHOWN_BODY_CHARACTERS_MAX: usize = 200;

/// What a registry answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Where the answer came from, after redirects.
    pub(crate) url: Url,
    pub(crate) body: Body,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    pub(crate) fn challenges(&self) -> Vec<Challenge> {
        let values = self.headers.get_all("www-authenticate").iter();
        challenge::parse(values.filter_map(|value| value.to_str().ok()))
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The media type without its parameters.
    pub(crate) fn media_type(&self) -> &str {
        let value = self.header("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim()
    }

    /// The body as it comes. Ureq's own limit does not apply; the caller has one.
    pub(crate) fn into_reader(self) -> impl Read + Send + Sync + 'static {
        self.body.into_with_config().limit(u64::MAX).reader()
    }

    /// All of the body, or `None` when it is larger than `limit`.
    pub(crate) fn read(self, limit: u64) -> Result<Option<Vec<u8>>, Reason> {
        if self.content_length().is_some_and(|length| length > limit) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let mut reader = self.into_reader().take(limit + 1);
        reader.read_to_end(&mut bytes).map_err(transport::reason_of_io)?;
        Ok((bytes.len() as u64 <= limit).then_some(bytes))
    }

    /// Turns an answer that is no success into the error it means.
    pub(crate) fn into_error(self) -> Error {
        let status = self.status;
        if !(400..500).contains(&status) {
            return Error::Status { status, phrase: phrase(status) };
        }
        let from_header = self.bearer_problem();
        let is_json = matches!(self.media_type(), "" | "application/json")
            || self.media_type().ends_with("+json");
        let body = self.read_beginning();
        let from_body = if is_json || body.is_empty() {
            problems_of(status, &body)
        } else {
            Ok(vec![problem_of_text(status, &body)])
        };
        match (from_header, from_body) {
            (Some(first), Ok(rest)) => {
                let problems = std::iter::once(first).chain(rest).collect();
                Error::Refused { status, problems }
            }
            (Some(only), Err(_)) => Error::Refused { status, problems: vec![only] },
            (None, Ok(problems)) => Error::Refused { status, problems },
            (None, Err(_)) if status == 401 => {
                let problems = vec![problem("unauthorized", "authentication required")];
                Error::Refused { status, problems }
            }
            (None, Err(reason)) => {
                let body = String::from_utf8_lossy(&body);
                let body = body.chars().take(SHOWN_BODY_CHARACTERS_MAX).collect();
                Error::Unexplained { status, reason, body }
            }
        }
    }

    /// What a bearer challenge says was wrong with the token (RFC 6750, 3.1).
    fn bearer_problem(&self) -> Option<Problem> {
        let challenges = self.challenges();
        challenges.iter().filter(|challenge| challenge.scheme == "bearer").find_map(|challenge| {
            let (code, message) = match challenge.get("error")? {
                "invalid_token" => ("unauthorized", "authentication required"),
                "insufficient_scope" => ("denied", "requested access to the resource is denied"),
                _ => return None,
            };
            Some(problem(code, challenge.get("error_description").unwrap_or(message)))
        })
    }

    /// As much of an error's body as the limit allows; what cannot be read is not there.
    pub(crate) fn read_beginning(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut reader = self.into_reader().take(limits::ERROR_BODY_SIZE_BYTES_MAX);
        // A broken error body is no reason to report less than the status.
        let _ = reader.read_to_end(&mut bytes);
        bytes
    }
}

fn problem(code: &str, message: &str) -> Problem {
    Problem { code: code.to_owned(), message: message.to_owned() }
}

/// What a refusal means that says why in plain text, or with a page for people.
fn problem_of_text(status: u16, body: &[u8]) -> Problem {
    let text = String::from_utf8_lossy(body);
    let message: String = text.trim().chars().take(SHOWN_BODY_CHARACTERS_MAX).collect();
    let code = match status {
        401 => "unauthorized",
        403 => "denied",
        429 => "toomanyrequests",
        _ => "unknown",
    };
    problem(code, &message)
}

/// The body of a refusal (distribution-spec, "Error Codes"), or Docker Hub's `details`.
#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    errors: Vec<Entry>,
    #[serde(default)]
    details: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

fn problems_of(status: u16, body: &[u8]) -> Result<Vec<Problem>, String> {
    let refusal: Refusal = match serde_json::from_slice(body) {
        Ok(refusal) => refusal,
        Err(error) => {
            return Err(go_json::describe(body).unwrap_or_else(|| error.to_string()));
        }
    };
    if let Some(details) = refusal.details.filter(|details| !details.is_empty()) {
        let code = match status {
            401 => "unauthorized",
            429 => "toomanyrequests",
            _ => "unknown",
        };
        return Ok(vec![problem(code, &details)]);
    }
    if refusal.errors.is_empty() {
        return Err("no error details found in HTTP response body".into());
    }
    let known = |entry: Entry| {
        let code = entry.code.to_ascii_lowercase().replace('_', " ");
        let code = if code.is_empty() { "unknown".to_owned() } else { code };
        let message = match entry.message {
            message if message.is_empty() => code.clone(),
            message => message,
        };
        Problem { code, message }
    };
    Ok(refusal.errors.into_iter().map(known).collect())
}

/// What a status means.
pub(crate) fn phrase(status: u16) -> &'static str {
    let status = ureq::http::StatusCode::from_u16(status).ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or("")
}
