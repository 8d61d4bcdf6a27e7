//! Images that a build starts from or copies from: found here, or asked of a registry. Layers are
//! fetched only when a step wants them, or the image that is built needs them.

use std::sync::Mutex;

use varve_build::{
    plan::{ImageStep, Need, ResolvedImage},
    solve::{BuildEvent, Fault, StepId, Watch},
};
use varve_distribution::{
    archive::{self, LoadInput},
    client::{self, Access},
    copy::{self, PlatformChoice},
};
use varve_store::{CacheKind, CacheRecord, Lease, Row};
use varve_types::{
    Ctx, Descriptor, DiffId, Digest, Document, Event, ImageConfig, LayerState, Manifest, Platform,
    Progress, Reference, reference::DEFAULT_DOMAIN,
};

use super::{BuildError, failure::failed, shown::ShownStep};
use crate::{Engine, Error, container::whole_text};

/// An image that a plan may use.
#[derive(Debug, Clone)]
pub(super) struct Base {
    /// By which the plan knows it.
    pub(super) id: Digest,
    reference: Reference,
    platform: Platform,
    /// Its layers as its manifest has them, the lowest first.
    pub(super) layers: Vec<Descriptor>,
    pub(super) config: Document<ImageConfig>,
    /// The manifest in its registry, when it was asked.
    remote: Option<Digest>,
}

impl Base {
    /// Whether it was found in the store.
    pub(super) fn is_here(&self) -> bool {
        self.remote.is_none()
    }
}

/// The images of one build.
pub(super) struct Bases<'a> {
    engine: &'a Engine,
    ctx: &'a Ctx<'a>,
    watch: &'a dyn Watch,
    lease: &'a Lease,
    /// Whether registries are asked although the image is here.
    pull: bool,
    found: Mutex<Vec<Base>>,
}

impl<'a> Bases<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        ctx: &'a Ctx<'a>,
        watch: &'a dyn Watch,
        lease: &'a Lease,
        pull: bool,
    ) -> Self {
        Self { engine, ctx, watch, lease, pull, found: Mutex::default() }
    }

    /// Finds an image that a plan needs.
    pub(super) fn resolve(
        &self,
        need: &Need,
        step: ShownStep<'_>,
    ) -> Result<ResolvedImage, BuildError> {
        match self.find(need) {
            Ok((base, digest)) => {
                step.done();
                let config = (*base.config).clone();
                let id = base.id;
                self.known().push(base);
                Ok(ResolvedImage { config, id, digest })
            }
            Err(error) => {
                let (kind, text) = (error.kind(), resolve_text(&error, &need.reference));
                step.fail(&text);
                let (name, reference) = (&need.name, &need.reference);
                let text =
                    format!("{name}: failed to resolve source metadata for {reference}: {text}");
                Err(failed(kind, text))
            }
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Vec<Base>> {
        self.found.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The image of a step. Of several that are the same, the one of its name: their blobs may be
    /// others.
    pub(super) fn of_step(&self, step: &ImageStep) -> Option<Base> {
        let known = self.known();
        let mut fitting =
            known.iter().filter(|base| base.id == step.id && base.platform == step.platform);
        let first = fitting.clone().next();
        fitting.find(|base| base.reference == step.reference).or(first).cloned()
    }

    fn find(&self, need: &Need) -> Result<(Base, Option<Digest>), Error> {
        if let Some(layout) = &need.layout {
            return Ok((self.of_layout(need, layout)?, None));
        }
        if !self.pull
            && let Some(base) = self.here(need)?
        {
            return Ok((base, need.reference.digest()));
        }
        let client = self.engine.registries.client(self.ctx);
        let remote = client.repository(need.reference.repository(), Access::Pull);
        let name = need.reference.manifest_name();
        let choice = PlatformChoice::Best(need.platform.clone());
        let store = &self.engine.store;
        let found = copy::resolve(store, self.lease, &remote, &name, &choice, self.ctx)
            .map_err(Error::Transfer)?;
        let base = Base {
            id: found.config.digest(),
            reference: need.reference.clone(),
            platform: need.platform.clone(),
            layers: found.manifest.layers.clone(),
            remote: Some(found.manifest.digest()),
            config: found.config,
        };
        Ok((base, Some(found.digest)))
    }

    /// The image of that name in the store, if it is for the platform.
    fn here(&self, need: &Need) -> Result<Option<Base>, Error> {
        let store = &self.engine.store;
        let names = store.names()?;
        let by_digest;
        let reference = match (need.reference.tag(), need.reference.digest()) {
            (Some(_), Some(digest)) => {
                by_digest = need.reference.repository().with_digest(digest);
                &by_digest
            }
            _ => &need.reference,
        };
        let Some(row) = names.get(reference) else { return Ok(None) };
        self.of_row(need, row)
    }

    fn of_row(&self, need: &Need, row: &Row) -> Result<Option<Base>, Error> {
        let shown = need.reference.familiar();
        let opened = match self.engine.open_row(row, Some(&need.platform), &shown) {
            Ok(opened) => opened,
            Err(Error::OtherPlatform(_) | Error::NoPlatform { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        self.base(need, &opened.manifest, opened.config).map(Some)
    }

    /// An image that is here. It is pinned, so that it stays when its name goes.
    fn base(
        &self,
        need: &Need,
        manifest: &Document<Manifest>,
        config: Document<ImageConfig>,
    ) -> Result<Base, Error> {
        let store = &self.engine.store;
        for content in manifest.layers.iter().chain([&manifest.config]) {
            store.pin_blob(self.lease, &content.digest)?;
        }
        Ok(Base {
            id: config.digest(),
            reference: need.reference.clone(),
            platform: need.platform.clone(),
            layers: manifest.layers.clone(),
            config,
            remote: None,
        })
    }

    /// An image of a layout (`--build-context name=oci-layout://directory:tag`), brought in.
    fn of_layout(&self, need: &Need, layout: &str) -> Result<Base, Error> {
        let (directory, wanted) = split_layout(layout);
        let store = &self.engine.store;
        let input = LoadInput::Directory(directory.as_ref());
        let loaded = archive::load(store, self.lease, input, Some(&need.platform), self.ctx)?;
        let fits = |image: &&archive::LoadedImage| match wanted {
            Wanted::Tag(tag) => image.names.iter().any(|name| name.tag() == Some(tag)),
            Wanted::Digest(digest) => [Some(image.target.digest), image.index, Some(image.image.0)]
                .into_iter()
                .flatten()
                .any(|known| known.to_string() == digest),
        };
        let only = (loaded.len() == 1).then(|| loaded.first()).flatten();
        let image = loaded.iter().find(fits).or(only);
        let image = image.ok_or_else(|| Error::NoSuchImage(layout.to_owned()))?;
        let row = Row::new(image.target.clone(), image.image);
        self.of_row(need, &row)?.ok_or_else(|| Error::NoSuchImage(layout.to_owned()))
    }

    /// Brings the layers of an image in, as far as they are not here, and pins them.
    pub(super) fn layers(&self, base: &Base, id: StepId) -> Result<Vec<DiffId>, Fault> {
        let failed = |error: Error| Fault::new(error.kind(), error);
        let diff_ids = base.config.diff_ids().to_vec();
        if self.are_here(&diff_ids).map_err(|error| failed(error.into()))? {
            return Ok(diff_ids);
        }
        self.fetch(base, Some(id)).map_err(failed)?;
        Ok(diff_ids)
    }

    fn are_here(&self, diff_ids: &[DiffId]) -> Result<bool, varve_store::Error> {
        for diff_id in diff_ids {
            if self.engine.store.pin_layer(self.lease, diff_id)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Brings the blobs of an image in, as far as they are not here, and pins them.
    pub(super) fn blobs(&self, base: &Base) -> Result<(), Error> {
        for layer in &base.layers {
            if self.engine.store.pin_blob(self.lease, &layer.digest)? != Some(layer.size) {
                return self.fetch(base, None);
            }
        }
        Ok(())
    }

    fn fetch(&self, base: &Base, id: Option<StepId>) -> Result<(), Error> {
        let store = &self.engine.store;
        let Some(manifest) = base.remote else {
            // Rebuilt from the blobs, which are here.
            for diff_id in base.config.diff_ids() {
                store.indexed_layer(diff_id)?;
                store.pin_layer(self.lease, diff_id)?;
            }
            return Ok(());
        };
        let progress = Fetching { watch: self.watch, id };
        let ctx = &Ctx { progress: &progress, ..*self.ctx };
        let client = self.engine.registries.client(ctx);
        let remote = client.repository(base.reference.repository(), Access::Pull);
        let name = manifest.to_string();
        let choice = PlatformChoice::Only(base.platform.clone());
        copy::pull(store, self.lease, &remote, &name, &name, &choice, ctx)
            .map_err(|error| Error::Transfer(error.error))?;
        // No name keeps the layers, so records do, until the cache is pruned.
        for diff_id in base.config.diff_ids() {
            let key = Digest::of(format!("image layer {diff_id}").as_bytes());
            let text = format!("pulled from {}", base.reference);
            let mut record = CacheRecord::new(key, CacheKind::Regular, text, self.ctx.now());
            record.layer = Some(*diff_id);
            store.remember(self.lease, &record, None)?;
        }
        Ok(())
    }
}

/// Which image of a layout.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    Tag(&'a str),
    Digest(&'a str),
}

fn split_layout(text: &str) -> (&str, Wanted<'_>) {
    if let Some((directory, digest)) = text.split_once('@') {
        return (directory, Wanted::Digest(digest));
    }
    match text.rsplit_once(':') {
        Some((directory, tag)) if !tag.contains('/') => (directory, Wanted::Tag(tag)),
        _ => (text, Wanted::Tag(varve_types::reference::DEFAULT_TAG)),
    }
}

/// What docker says of an image that cannot be had.
pub(super) fn resolve_text(error: &Error, reference: &Reference) -> String {
    let Error::Transfer(copy::Error::Registry(refused)) = error else {
        return whole_text(error);
    };
    match refused.code() {
        Some("denied" | "unauthorized") => DENIED.to_owned(),
        Some("manifest unknown" | "name unknown") => format!("{reference}: not found"),
        _ if refused.is_not_found() => format!("{reference}: not found"),
        _ if let client::Error::Request { reason, .. } = refused => {
            // Docker's builder asks for the manifest at once, by https first.
            let (repository, name) = (reference.repository(), reference.manifest_name());
            let (domain, path) = (repository.domain(), repository.path());
            let domain = if domain == DEFAULT_DOMAIN { HUB_HOST } else { domain };
            let url = format!("https://{domain}/v2/{path}/manifests/{name}");
            format!("failed to do request: Head \"{url}\": {reason}")
        }
        _ => refused.to_string(),
    }
}

/// Where docker.io really is.
const HUB_HOST: &str = "registry-1.docker.io";
const DENIED: &str = "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed";

/// Tells of arriving layers under a step of the build.
struct Fetching<'a> {
    watch: &'a dyn Watch,
    id: Option<StepId>,
}

impl Progress for Fetching<'_> {
    fn event(&self, event: Event) {
        let (Event::Layer { id: layer, state }, Some(id)) = (event, self.id) else { return };
        let (current_bytes, total_bytes, done) = match state {
            LayerState::Downloading { done_bytes, total_bytes } => {
                (Some(done_bytes), Some(total_bytes), false)
            }
            LayerState::PullComplete => (None, None, true),
            _ => return,
        };
        let name = format!("sha256:{layer}");
        self.watch.event(&BuildEvent::Status { id, name: &name, current_bytes, total_bytes, done });
    }
}
