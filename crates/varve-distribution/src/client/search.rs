//! Searching for repositories: docker.io's old index, and registries that imitate it.

use serde::Deserialize;
use ureq::http::Method;
use varve_types::reference::DEFAULT_DOMAIN;

use super::{
    Client, Result,
    error::{Error, Reason},
    exchange::Request,
    url::Url,
};
use crate::{credentials::domain_of, go_json};

/// The host that answers searches of docker.io.
const INDEX: &str = "index.docker.io";
/// Bytes of an answer; it has at most 100 entries.
const ANSWER_SIZE_BYTES_MAX: u64 = 4 << 20;

/// What to search for.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Part of a name; in front of it may stand a registry and a slash.
    pub term: String,
    /// The most entries wanted (docker: 1 to 100, 25 when not given).
    pub limit: Option<u32>,
    /// Only official images, or only others.
    pub is_official: Option<bool>,
    /// Only automated builds, or only others.
    pub is_automated: Option<bool>,
    /// At least so many stars.
    pub stars: Option<i64>,
}

/// A repository that was found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Found {
    /// Its name: `busybox`, `user/app`.
    #[serde(default)]
    pub name: String,
    /// What its owner says about it.
    #[serde(default)]
    pub description: String,
    /// How many people like it.
    #[serde(default, rename = "star_count")]
    pub stars: i64,
    /// Whether it is one of docker's official images.
    #[serde(default)]
    pub is_official: bool,
    /// Whether it is built automatically (always false by now).
    #[serde(default)]
    pub is_automated: bool,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    results: Vec<Found>,
}

impl Client {
    /// Searches, and returns what was found in the index's order.
    pub fn search(&self, search: &Search) -> Result<Vec<Found>> {
        let (base, shown, term) = self.index(&search.term)?;
        let path = |base: &Url| {
            let url = base.append("v1/search").with_query("q", &term);
            url.with_query("n", &search.limit.unwrap_or(25).to_string())
        };
        let request = Request::new(Method::GET, path(&base));
        let failed =
            |reason: Reason| Error::Request { verb: "Get", url: path(&shown).to_string(), reason };
        let answer = self.retrying(|| self.follow(&request, &base, None).map_err(failed))?;
        if !answer.is_success() {
            return Err(answer.into_error());
        }
        let limit = ANSWER_SIZE_BYTES_MAX;
        let bytes = answer.read(limit).map_err(failed)?.ok_or_else(|| Error::Limit {
            what: "search result",
            registry: shown.authority(),
            limit,
        })?;
        let page: Page = serde_json::from_slice(&bytes).map_err(|error| Error::Unmarshal {
            reason: go_json::describe(&bytes).unwrap_or_else(|| error.to_string()),
        })?;
        let fits = |found: &Found| {
            search.is_official.is_none_or(|wanted| found.is_official == wanted)
                && search.is_automated.is_none_or(|wanted| found.is_automated == wanted)
                && search.stars.is_none_or(|least| found.stars >= least)
        };
        Ok(page.results.into_iter().filter(fits).collect())
    }

    /// Where a term is searched for: the URL, the URL that errors show, and the rest of the term.
    fn index(&self, term: &str) -> Result<(Url, Url, String)> {
        let (domain, rest) = match term.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (domain_of(first), rest)
            }
            _ => (DEFAULT_DOMAIN, term),
        };
        if domain != DEFAULT_DOMAIN {
            let base = self.registry(domain)?.base().clone();
            return Ok((base.clone(), base, rest.to_owned()));
        }
        let bad = |_| Error::Request {
            verb: "Get",
            url: INDEX.to_owned(),
            reason: Reason::Location(INDEX.to_owned()),
        };
        let shown = Url::root(super::url::Scheme::Https, INDEX).map_err(bad)?;
        let endpoint = self.hosts.endpoint(INDEX).or_else(|| self.hosts.endpoint(DEFAULT_DOMAIN));
        let rest = rest.strip_prefix("library/").unwrap_or(rest).to_owned();
        Ok((endpoint.unwrap_or_else(|| shown.clone()), shown, rest))
    }
}
