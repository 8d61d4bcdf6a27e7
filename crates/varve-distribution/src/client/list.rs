//! Lists that come in pages: tags and the catalogue (distribution-spec, "Content Discovery").

use serde::Deserialize;
use ureq::http::Method;
use varve_types::limits;

use super::{
    Client, Remote, Result,
    error::{Error, Reason},
    exchange::{Request, Session},
    url::Url,
};
use crate::go_json;

/// Entries to ask for at once.
const PAGE_ENTRIES: &str = "1000";
/// Bytes of one page.
const PAGE_SIZE_BYTES_MAX: u64 = 8 << 20;
/// Entries of a whole list.
const LIST_ENTRIES_MAX: usize = 1_000_000;

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Repositories {
    repositories: Option<Vec<String>>,
}

impl Remote<'_> {
    /// All tags of the repository, in the registry's order.
    pub fn tags(&self) -> Result<Vec<String>> {
        let session = self.session()?;
        let url = session.host.url(&self.path("tags/list"));
        pages(&session, url, |bytes| {
            serde_json::from_slice::<Tags>(bytes).map(|page| page.tags.unwrap_or_default())
        })
    }
}

impl Client {
    /// All repositories of a registry, in its order. Many registries do not tell.
    pub fn catalogue(&self, domain: &str) -> Result<Vec<String>> {
        let session = Session {
            client: self,
            host: self.registry(domain)?,
            path: String::new(),
            scopes: vec!["registry:catalog:*".to_owned()],
        };
        let url = session.host.url("_catalog");
        pages(&session, url, |bytes| {
            let page = serde_json::from_slice::<Repositories>(bytes)?;
            Ok(page.repositories.unwrap_or_default())
        })
    }
}

/// Follows `Link: <…>; rel="next"` until there is none.
fn pages(
    session: &Session<'_>,
    url: Url,
    parse: impl Fn(&[u8]) -> serde_json::Result<Vec<String>>,
) -> Result<Vec<String>> {
    let limit =
        |what, limit| Error::Limit { what, registry: session.host.domain().to_owned(), limit };
    let mut entries: Vec<String> = Vec::new();
    let mut url = url.with_query("n", PAGE_ENTRIES);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..limits::LIST_PAGES_MAX {
        let request = Request::new(Method::GET, url.clone());
        let failed = |reason| session.host.failure("Get", &request.url, reason);
        if !seen.insert(url.to_string()) {
            return Err(failed(Reason::RedirectLoop(url.to_string())));
        }
        let answer = session.succeed(&request)?;
        let link = answer.header("link").and_then(next_page).map(str::to_owned);
        let next = link.map(|link| answer.url.join(&link).map_err(|_| Reason::Location(link)));
        let bytes = answer
            .read(PAGE_SIZE_BYTES_MAX)
            .map_err(failed)?
            .ok_or_else(|| limit("page of a list", PAGE_SIZE_BYTES_MAX))?;
        let page = parse(&bytes).map_err(|error| Error::Unmarshal {
            reason: go_json::describe(&bytes).unwrap_or_else(|| error.to_string()),
        })?;
        entries.extend(page);
        if entries.len() > LIST_ENTRIES_MAX {
            return Err(limit("list", LIST_ENTRIES_MAX as u64));
        }
        match next {
            None => return Ok(entries),
            Some(next) => url = next.map_err(failed)?,
        }
    }
    Err(limit("number of pages of a list", limits::LIST_PAGES_MAX as u64))
}

/// The target of a `Link` header's `next`.
fn next_page(link: &str) -> Option<&str> {
    link.split(',').find_map(|entry| {
        let (target, parameters) = entry.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters
            .split(';')
            .any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"));
        is_next.then_some(target)
    })
}
