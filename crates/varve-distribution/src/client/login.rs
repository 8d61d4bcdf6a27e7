//! Trying a name and a password at a registry.

use ureq::http::Method;

use super::{
    Client, Result,
    answer::phrase,
    auth::{Purpose, basic, buy},
    error::Error,
    exchange::Request,
};
use crate::credentials::Credential;

impl Client {
    /// Tells whether a registry answers, whoever asks. Its error is docker's text for a
    /// registry that is not there.
    pub fn ping(&self, registry: &str) -> Result<()> {
        self.registry(registry).map(drop)
    }

    /// Asks a registry (`docker.io`, `127.0.0.1:5000`) whether a credential is good, and returns
    /// the one to keep: some registries exchange a password for an identity token.
    pub fn login(&self, registry: &str, credential: &Credential) -> Result<Credential> {
        let host = self.registry(registry)?;
        let request = Request::new(Method::GET, host.url(""));
        let failed = |reason| host.failure("Get", &request.url, reason);
        let (mut kept, mut value) = (credential.clone(), None);
        if let Some(challenge) = host.standing.challenge("bearer") {
            let token = buy(self, &host, &challenge, Some(credential), &[], Purpose::Login)
                .map_err(failed)?;
            value = Some(token.authorization());
            if let Some(token) = token.identity {
                let username = credential.username().to_owned();
                kept = Credential::IdentityToken { username, token };
            }
        } else if let Credential::Password { username, password } = credential {
            value = Some(basic(username, password));
        }
        let answer =
            self.retrying(|| self.follow(&request, host.base(), value.as_deref()).map_err(failed))?;
        if answer.is_success() {
            return Ok(kept);
        }
        Err(Error::Login {
            url: host.shown(&request.url),
            status: answer.status,
            phrase: phrase(answer.status),
        })
    }
}
