//! A file from any web server (`import URL`).

use std::io::Read;

use ureq::http::Method;
use varve_types::Printable;

use super::{
    Client, Result,
    answer::phrase,
    error::{Error, Reason},
    exchange::Request,
    url::Url,
};

impl Client {
    /// A reader of what an http or https address gives. No credentials are sent; the reader
    /// ends early when the connection does, so that callers must know from the content whether
    /// it is whole.
    pub fn download(&self, address: &str) -> Result<Box<dyn Read + Send>> {
        let failed = |reason| Error::Request { verb: "Get", url: address.to_owned(), reason };
        let url: Url = address.parse().map_err(|_| failed(Reason::Location(address.to_owned())))?;
        let request = Request::new(Method::GET, url.clone());
        let answer = self.retrying(|| self.follow(&request, &url, None).map_err(failed))?;
        if answer.is_success() {
            return Ok(Box::new(answer.into_reader()));
        }
        let status = answer.status;
        let body = answer.read_beginning();
        let body = String::from_utf8_lossy(&body);
        Err(Error::Download {
            url: address.to_owned(),
            status,
            phrase: phrase(status),
            body: Printable(body.trim()).to_string(),
        })
    }
}
