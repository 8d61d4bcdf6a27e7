//! Root file systems that become images: the tar as it is, uncompressed, is the only layer.

use std::io::Read;

use varve_store::{Keep, LayerRequest, Lease, Store, StoredLayer, ingest};
use varve_types::{Ctx, Descriptor, ImageConfig, Platform, RunConfig, media_type};

use super::{Error, LoadedImage, Result, changes, config_json::NewImage, manifest_bytes};

/// What to make of a root file system.
#[derive(Debug, Clone, Copy)]
pub struct Import<'a> {
    /// Dockerfile instructions that alter how the image is run.
    pub changes: &'a [String],
    /// The comment.
    pub message: Option<&'a str>,
    /// The platform to write into the config, as the user typed it; it is not compared with any.
    pub platform: Option<&'a str>,
    /// Where the tar comes from, for the comment: `-` or an address.
    pub source_text: &'a str,
}

/// Makes an image of one layer from a tar, plain or compressed. No bytes at all are a layer
/// without entries, as in Docker.
pub fn import(
    store: &Store,
    lease: &Lease,
    body: &mut dyn Read,
    request: &Import<'_>,
    ctx: &Ctx<'_>,
) -> Result<LoadedImage> {
    let platform = match request.platform {
        Some(text) if !text.is_empty() => text.parse()?,
        _ => Platform::host(),
    };
    let run_config = changes::apply(&RunConfig::default(), request.changes)?;
    let layer = receive(store, lease, body)?;
    let default_message = format!("Imported from {}", request.source_text);
    let message = request.message.filter(|message| !message.is_empty());
    let image = NewImage {
        platform: &platform,
        comment: message.unwrap_or(&default_message),
        config: &run_config,
        created: ctx.now(),
        layer: layer.record.summary.diff_id,
    };
    let config = ImageConfig::parse(image.to_bytes())?;
    store.put_blob(lease, config.bytes())?;
    let descriptor = Descriptor::of(media_type::OCI_CONFIG, config.bytes());
    let manifest = manifest_bytes(&descriptor, [&layer.blob]);
    store.put_blob(lease, &manifest)?;
    Ok(LoadedImage {
        image: config.image_id(),
        target: Descriptor::of(media_type::OCI_MANIFEST, &manifest),
        index: None,
        names: Vec::new(),
        platform: config.platform(),
        created: config.created,
        size_bytes: layer.record.summary.content_size_bytes,
        made_here: true,
        is_silent: false,
    })
}

fn receive(store: &Store, lease: &Lease, body: &mut dyn Read) -> Result<StoredLayer> {
    let request = LayerRequest { descriptor: None, diff_id: None, keep: Keep::Uncompressed };
    match store.ingest_layer(lease, request)? {
        ingest::LayerState::Present(layer) => Ok(layer),
        ingest::LayerState::Wanted(mut ingest) => ingest.receive(body).map_err(Error::receiving),
    }
}
