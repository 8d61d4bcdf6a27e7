//! `system check`: is everything that should be here, and is it right? And if not, mend it.

use std::{collections::HashSet, path::Path};

use varve_distribution::{
    client::{Access, Client},
    copy,
};
use varve_runtime::{network, state};
use varve_store::{Lease, repair};
use varve_types::{Ctx, Descriptor, Kind, Repository};

pub use varve_store::{BadBlob, Cause, Finding, Mended};

use crate::{Engine, Error, Result, network::NetworkError};

/// How often all is looked at again: what a mended manifest names is known only then.
const ROUNDS_MAX: usize = 8;

/// What a repair did.
#[derive(Debug, Default)]
pub struct Repair {
    /// What was mended, in order.
    pub done: Vec<Repaired>,
    /// What is wrong still, and the error that stood in the way, if there was one.
    pub left: Vec<(Finding, Option<Error>)>,
}

/// One thing that was mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// What was found.
    pub finding: Finding,
    /// What was done about it.
    pub how: How,
}

/// What was done about something that was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// Made of what is here.
    Mended(Mended),
    /// Fetched from this repository.
    Fetched(String),
    /// It cannot be had again: these names are gone.
    GivenUp(Vec<String>),
}

/// What came of the wish to have a blob again.
enum Fetch {
    From(String),
    /// Whoever may have had it has it no more.
    Gone,
    /// Somebody may have it, and did not give it.
    Failed(Error),
}

impl Repair {
    /// Whether all is right now, and nothing was lost on the way.
    pub fn is_whole(&self) -> bool {
        let is_loss = |done: &Repaired| matches!(done.how, How::GivenUp(_));
        self.left.is_empty() && !self.done.iter().any(is_loss)
    }
}

/// Makes a store openable whose format file is no number. For before [`Engine::open`].
/// Returns whether that was needed.
pub fn restore_format(root: &Path) -> Result<bool> {
    Ok(repair::restore_format(root)?)
}

impl Engine {
    /// Verifies the whole store. Changes nothing.
    pub fn check(&self) -> Result<Vec<Finding>> {
        let mut findings = self.store.check()?;
        self.check_states(&mut findings)?;
        let networks = self.store.root().join("varve/networks");
        let damaged = network::damaged_records(&networks).map_err(NetworkError::from)?;
        findings.extend(damaged.into_iter().map(|(name, problem)| Finding {
            path: Path::new("varve/networks").join(name),
            problem,
            affects: Vec::new(),
            cause: Cause::Record,
        }));
        findings.sort();
        Ok(findings)
    }

    fn check_states(&self, findings: &mut Vec<Finding>) -> Result<()> {
        for container in self.store.containers()?.0 {
            let directory = self.store.container_path(&container.id);
            let Err(error) = state::read(&directory) else { continue };
            if error.kind() != Kind::Corrupt {
                continue;
            }
            let inside = Path::new("varve/containers").join(container.id.to_string());
            findings.push(Finding {
                path: inside.join(state::STATE_FILE),
                problem: "it is not the state of a container".to_owned(),
                affects: vec![format!("container {}", container.name)],
                cause: Cause::Record,
            });
        }
        Ok(())
    }

    /// Verifies the whole store and mends what can be mended: makes again what follows from
    /// something else, fetches blobs from where they came, gives up what cannot be had, with the
    /// names that need it, and puts aside what may be somebody's.
    pub fn repair(&self, ctx: &Ctx<'_>) -> Result<Repair> {
        self.store.restore_directories()?;
        let lease = self.store.lease()?;
        let client = self.registries.client(ctx);
        let (mut repair, mut tried) = (Repair::default(), HashSet::new());
        for _ in 0..ROUNDS_MAX {
            let mut findings = self.check()?;
            findings.sort_by(|one, other| one.cause.cmp(&other.cause));
            let is_first = |cause: &Cause| matches!(cause, Cause::Layout | Cause::Table);
            if findings.iter().any(|finding| is_first(&finding.cause)) {
                // Of a table that is wrong nothing else can be told.
                findings.retain(|finding| is_first(&finding.cause));
            }
            repair.left.clear();
            let before = repair.done.len();
            for finding in findings {
                if !tried.insert((finding.path.clone(), finding.problem.clone())) {
                    repair.left.push((finding, None));
                    continue;
                }
                match self.mend(&client, &lease, &finding) {
                    Ok(Some(how)) => repair.done.push(Repaired { finding, how }),
                    Ok(None) => repair.left.push((finding, None)),
                    Err(error) => repair.left.push((finding, Some(error))),
                }
            }
            if repair.done.len() == before {
                break;
            }
        }
        Ok(repair)
    }

    fn mend(&self, client: &Client, lease: &Lease, finding: &Finding) -> Result<Option<How>> {
        if self.is_watched(finding) {
            return Ok(None);
        }
        if let Some(mended) = self.store.mend(lease, finding)? {
            return Ok(Some(How::Mended(mended)));
        }
        match &finding.cause {
            Cause::Blob(bad) => match self.fetch(client, lease, bad) {
                Fetch::From(source) => Ok(Some(How::Fetched(source))),
                Fetch::Gone => self.give_up(&bad.digest),
                Fetch::Failed(error) => Err(error),
            },
            Cause::Useless(digest) => self.give_up(digest),
            _ => Ok(None),
        }
    }

    fn give_up(&self, digest: &varve_types::Digest) -> Result<Option<How>> {
        let lost = self.store.give_up_blob(digest)?;
        // What only containers need stays as it is: their own files are not lost with it.
        let is_over = !lost.is_empty() || self.store.blob_size(digest)?.is_some();
        Ok(is_over.then_some(How::GivenUp(lost)))
    }

    /// Whether a record belongs to a container that runs, which writes it itself.
    fn is_watched(&self, finding: &Finding) -> bool {
        let directory = match &finding.cause {
            Cause::Container(id) => self.store.container_path(id),
            Cause::Record if finding.path.ends_with(state::STATE_FILE) => {
                let inside = finding.path.parent().unwrap_or(&finding.path);
                self.store.root().join(inside)
            }
            _ => return false,
        };
        state::is_watched(&directory).unwrap_or(true)
    }

    /// Fetches a blob from the first of its sources that has it.
    fn fetch(&self, client: &Client, lease: &Lease, bad: &BadBlob) -> Fetch {
        let descriptor = Descriptor::new("", bad.digest, bad.size_bytes.unwrap_or(0));
        let mut failed = None;
        for source in &bad.sources {
            let Ok(repository) = Repository::parse(source) else { continue };
            let remote = client.repository(&repository, Access::Pull);
            match copy::refetch(&self.store, lease, &remote, &descriptor, bad.is_document) {
                Ok(()) => return Fetch::From(source.clone()),
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => failed = Some(Error::Transfer(error)),
            }
        }
        failed.map_or(Fetch::Gone, Fetch::Failed)
    }
}
