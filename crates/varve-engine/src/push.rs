//! `image push`: from the store to a registry.

use std::collections::BTreeSet;

use varve_distribution::{
    client::{Access, Remote},
    copy::{self, PushRequest},
};
use varve_fs::compression::Compressor;
use varve_store::{Names, Row};
use varve_types::{
    Ctx, Descriptor, Event, ImageId, ManifestKind, Platform, Reference, Repository, media_type,
};

use crate::{Engine, Error, Result};

/// What to push.
#[derive(Debug, Clone)]
pub struct Push<'a> {
    /// The image; without tag `latest` is meant, unless `all_tags`.
    pub reference: &'a Reference,
    /// What the user typed, as Docker repeats it in messages.
    pub text: &'a str,
    /// Every tag of the repository that is here.
    pub all_tags: bool,
    /// Only the manifest of this platform, when the image is a complete index.
    pub platform: Option<&'a Platform>,
    /// How layers that were made here are compressed; `None`: as when the image was pushed before,
    /// else with gzip. What was pulled or loaded goes out as it came in.
    pub compression: Option<PushCompression>,
}

/// A compression that layers may be pushed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushCompression {
    /// What every tool reads.
    Gzip,
    /// Smaller and quicker to read; not for docker before 23 and other old tools.
    Zstd,
}

impl PushCompression {
    /// The level of zstd: its own default.
    const ZSTD_LEVEL: i32 = 3;

    fn compressor(self) -> Compressor {
        match self {
            Self::Gzip => Compressor::gzip(),
            Self::Zstd => Compressor::zstd(Self::ZSTD_LEVEL),
        }
    }
}

impl Engine {
    /// Pushes an image, or all tags of a repository. What the registry has is not sent again.
    pub fn push(&self, ctx: &Ctx<'_>, request: &Push<'_>) -> Result<()> {
        if request.reference.digest().is_some() {
            return Err(Error::PushDigest);
        }
        let repository = request.reference.repository();
        ctx.progress.event(Event::PushingTo { repository: repository.to_string() });
        self.push_tags(ctx, request).map_err(Error::in_stream)
    }

    fn push_tags(&self, ctx: &Ctx<'_>, request: &Push<'_>) -> Result<()> {
        let repository = request.reference.repository();
        let names = self.store.names()?;
        let here = tagged(&names, repository);
        if here.is_empty() {
            let text = request.text.strip_suffix(&tag_suffix(request.text)).unwrap_or(request.text);
            return Err(Error::NotLocal(text.to_owned()));
        }
        let wanted: Vec<&Row> = if request.all_tags {
            here
        } else {
            let reference = request.reference.clone().or_latest();
            let row = names.get(&reference);
            vec![row.ok_or_else(|| Error::NoSuchTag(reference.familiar()))?]
        };
        let client = self.registries.client(ctx);
        // A registry that is not there is told of before any layer is.
        client.ping(repository.domain()).map_err(|error| Error::for_push(error.into()))?;
        let remote = client.repository(repository, Access::PushPull);
        for row in wanted {
            self.push_row(ctx, &remote, &names, row, request)?;
        }
        Ok(())
    }

    fn push_row(
        &self,
        ctx: &Ctx<'_>,
        remote: &Remote<'_>,
        names: &Names,
        row: &Row,
        request: &Push<'_>,
    ) -> Result<()> {
        let Some(reference) = &row.reference else { return Ok(()) };
        let platform = request.platform;
        let lease = self.store.lease()?;
        let target = self.target(names, row, request)?;
        for digest in [&row.target.digest, &target.digest] {
            if !self.store.pin_image(&lease, digest)? {
                return Err(Error::NoSuchTag(reference.familiar()));
            }
        }
        explain(ctx, row, &target, platform);
        let compressor = request.compression.unwrap_or(PushCompression::Gzip).compressor();
        let mount_from = mount_sources(names, row, reference.repository());
        let tag = reference.tag().unwrap_or(varve_types::reference::DEFAULT_TAG);
        let pushed = copy::push(
            &self.store,
            &lease,
            remote,
            &PushRequest {
                target: &target,
                tag,
                compress: row.made_here.then_some(&compressor),
                mount_from: &mount_from,
            },
            ctx,
        )
        .map_err(Error::for_push)?;
        if platform.is_some() && !self.is_of_image(&pushed.target, row.image)? {
            // The manifest of another platform of the index is no digest of this image.
            return Ok(());
        }
        let by_digest = reference.repository().with_digest(pushed.target.digest);
        self.store.update_names(|names| {
            // An image that was removed while it was pushed stays removed.
            let is_here = names.of_image(row.image).next().is_some();
            if is_here && names.get(&by_digest).is_none() {
                names.put(Row {
                    reference: Some(by_digest),
                    target: pushed.target,
                    made_here: false,
                    index: None,
                    ..row.clone()
                });
            }
            Ok(())
        })
    }

    /// What to send: the manifest that went out when this image was pushed before, so that its
    /// digest stays, else the row's own target, or the part of it that is for `platform`.
    fn target(&self, names: &Names, row: &Row, request: &Push<'_>) -> Result<Descriptor> {
        let platform = request.platform;
        let shown = row.reference.as_ref().map(Reference::familiar).unwrap_or_default();
        if platform.is_some() {
            let opened = self.open_row(row, platform, &shown)?;
            let media_type =
                opened.manifest.media_type.as_deref().unwrap_or(media_type::OCI_MANIFEST);
            let (digest, size) = (opened.manifest.digest(), opened.manifest.size());
            return Ok(Descriptor::new(media_type, digest, size));
        }
        if row.made_here
            && request.compression.is_none()
            && let Some(second) = self.second_manifest(names, row.image)
        {
            return Ok(second);
        }
        Ok(row.target.clone())
    }

    /// The compressed manifest that an earlier push of this image made.
    fn second_manifest(&self, names: &Names, image: ImageId) -> Option<Descriptor> {
        for row in names.of_image(image).filter(|row| !row.made_here) {
            let pushed = row.reference.as_ref().is_some_and(|r| r.digest().is_some());
            if pushed && self.is_of_image(&row.target, image).unwrap_or(false) {
                return Some(row.target.clone());
            }
        }
        None
    }

    /// Whether this is a manifest with that image's config.
    fn is_of_image(&self, target: &Descriptor, image: ImageId) -> Result<bool> {
        let kind = self.store.manifest(&target.digest)?;
        Ok(matches!(kind, ManifestKind::Manifest(manifest) if manifest.config.digest == image.0))
    }
}

/// Says so when only one platform of a known index is sent.
fn explain(ctx: &Ctx<'_>, row: &Row, target: &Descriptor, platform: Option<&Platform>) {
    if platform.is_none() && row.index.is_some() && media_type::is_manifest(&target.media_type) {
        let platform = row.platform.as_ref().map(|p| format!(" ({p})")).unwrap_or_default();
        ctx.progress.event(Event::Warning(format!(
            "Info: the image was pulled for one platform{platform}, so its manifest is pushed and not the whole index"
        )));
    }
}

/// The rows of a repository that have tags, sorted by tag.
fn tagged<'a>(names: &'a Names, repository: &Repository) -> Vec<&'a Row> {
    let tag = |row: &&'a Row| {
        let reference = row.reference.as_ref()?;
        (reference.repository() == repository).then(|| reference.tag().map(str::to_owned))?
    };
    let mut rows: Vec<&Row> = names.rows.iter().filter(|row| tag(row).is_some()).collect();
    rows.sort_by_cached_key(tag);
    rows
}

/// The repositories of the same registry where this image is known to be.
fn mount_sources(names: &Names, row: &Row, target: &Repository) -> Vec<Repository> {
    let mut found: BTreeSet<Repository> = BTreeSet::new();
    let source = row.source.as_deref().and_then(|source| Repository::parse(source).ok());
    let pushed = names.of_image(row.image).filter_map(|row| row.reference.as_ref());
    let pushed = pushed.filter(|r| r.digest().is_some()).map(|r| r.repository().clone());
    for repository in source.into_iter().chain(pushed) {
        if repository.domain() == target.domain() && repository != *target {
            found.insert(repository);
        }
    }
    found.into_iter().take(4).collect()
}

/// The `:tag` at the end of what the user typed, or nothing.
fn tag_suffix(text: &str) -> String {
    match text.rsplit_once(':') {
        Some((_, tag)) if !tag.contains('/') => format!(":{tag}"),
        _ => String::new(),
    }
}
