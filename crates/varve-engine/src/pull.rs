//! `image pull`: from a registry into the store.

use varve_distribution::{
    client::{Access, Remote},
    copy::{self, PlatformChoice},
};
use varve_store::Row;
use varve_types::{Ctx, Event, Platform, Reference, Repository};

use crate::{Engine, Error, Result, error::PlatformMismatch};

/// What to pull.
#[derive(Debug, Clone)]
pub struct Pull<'a> {
    /// The image; without tag and digest `latest` is meant, unless `all_tags`.
    pub reference: &'a Reference,
    /// Every tag of the repository.
    pub all_tags: bool,
    /// Which platform.
    pub platform: PullPlatform,
}

/// Which platforms to pull.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PullPlatform {
    /// What suits this machine best.
    #[default]
    Host,
    /// This one.
    Only(Platform),
    /// All that there are.
    All,
}

/// What was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The full name, for the last line of output.
    pub name: String,
}

impl Engine {
    /// Pulls an image and gives it its name here. What is here already is not fetched again;
    /// what an interrupted pull fetched is kept and used.
    pub fn pull(&self, ctx: &Ctx<'_>, request: &Pull<'_>) -> Result<Pulled> {
        if request.reference.repository().to_string() == "docker.io/library/scratch" {
            return Err(Error::Reserved);
        }
        let client = self.registries.client(ctx);
        let repository = request.reference.repository();
        let remote = client.repository(repository, Access::Pull);
        if request.all_tags {
            return self.pull_all_tags(ctx, repository, &remote, &request.platform);
        }
        let reference = request.reference.clone().or_latest();
        let newer = self.pull_one(ctx, &remote, &reference, &request.platform)?;
        // With tag and digest both, Docker keeps and shows the digest only.
        let kept = kept_name(&reference);
        ctx.progress.event(Event::PullStatus { name: kept.familiar(), newer });
        self.check_platform(&kept, &request.platform)?;
        Ok(Pulled { name: reference.to_string() })
    }

    fn pull_all_tags(
        &self,
        ctx: &Ctx<'_>,
        repository: &Repository,
        remote: &Remote<'_>,
        platform: &PullPlatform,
    ) -> Result<Pulled> {
        let request_name = &repository.with_tag(varve_types::reference::DEFAULT_TAG)?;
        let mut newer = false;
        let tags = remote.tags().map_err(|error| Error::for_pull(error.into(), request_name))?;
        for tag in tags {
            // A registry may list what is not a tag; it cannot be named here.
            let Ok(reference) = repository.with_tag(&tag) else { continue };
            newer |= self.pull_one(ctx, remote, &reference, platform)?;
        }
        ctx.progress.event(Event::PullStatus { name: repository.familiar(), newer });
        Ok(Pulled { name: repository.to_string() })
    }

    /// Pulls one reference and names it. Returns whether anything here changed.
    fn pull_one(
        &self,
        ctx: &Ctx<'_>,
        remote: &Remote<'_>,
        reference: &Reference,
        platform: &PullPlatform,
    ) -> Result<bool> {
        let host = Platform::host();
        let choice = match platform {
            PullPlatform::Host => PlatformChoice::Best(host),
            PullPlatform::Only(platform) => PlatformChoice::Only(platform.clone()),
            PullPlatform::All => PlatformChoice::All(host),
        };
        let label = match (reference.digest(), reference.tag()) {
            (None, Some(tag)) => tag.to_owned(),
            _ => kept_name(reference).to_string(),
        };
        let lease = self.store.lease()?;
        let name = reference.manifest_name();
        let pulled = copy::pull(&self.store, &lease, remote, &name, &label, &choice, ctx).map_err(
            |failed| {
                if failed.started {
                    Error::Transfer(failed.error).in_stream()
                } else {
                    Error::for_pull(failed.error, reference)
                }
            },
        )?;
        let row = Row {
            created: pulled.created,
            size_bytes: pulled.size_bytes,
            platform: Some(pulled.platform),
            index: pulled.index,
            source: Some(reference.repository().to_string()),
            stored: Some(ctx.now()),
            ..Row::new(pulled.target, pulled.image)
        };
        let by_digest = reference.repository().with_digest(pulled.resolved);
        let newer = self.store.update_names(|names| {
            let kept = kept_name(reference);
            // A name that comes to point at the index instead of a manifest in it, because other
            // platforms have come meanwhile, is the same image as before.
            let newer = names.get(&kept).is_none_or(|before| {
                before.image != row.image
                    || *platform == PullPlatform::All && before.target != row.target
            });
            for name in [by_digest, kept] {
                let unchanged = names
                    .get(&name)
                    .is_some_and(|before| before.target == row.target && before.index == row.index);
                if !unchanged {
                    names.put(Row { reference: Some(name), ..row.clone() });
                }
            }
            Ok::<_, Error>(newer)
        })?;
        Ok(newer)
    }

    /// Docker keeps an image of another platform than the one asked for, and then complains.
    fn check_platform(&self, reference: &Reference, platform: &PullPlatform) -> Result<()> {
        let PullPlatform::Only(wanted) = platform else { return Ok(()) };
        let names = self.store.names()?;
        match names.get(reference).and_then(|row| row.platform.clone()) {
            Some(found) if !wanted.matches(&found) => {
                let (reference, wanted) = (reference.to_string(), wanted.clone());
                let mismatch = PlatformMismatch { reference, found, wanted };
                Err(Error::PulledOtherPlatform(Box::new(mismatch)))
            }
            _ => Ok(()),
        }
    }
}

/// The name that a pull gives: the digest when there is one, else the tag.
fn kept_name(reference: &Reference) -> Reference {
    match reference.digest() {
        Some(digest) => reference.repository().with_digest(digest),
        None => reference.clone(),
    }
}
