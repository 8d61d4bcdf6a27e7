//! One blob or manifest again, in place of one that is missing or damaged.

use varve_store::{BlobIngest, Lease, Store};
use varve_types::{Descriptor, limits};

use super::{Error, Result};
use crate::client::Remote;

/// Fetches what `descriptor` names (its media type does not matter) and puts it in the place of
/// what the store has under that digest, if anything. Nothing is replaced by wrong bytes.
pub fn refetch(
    store: &Store,
    lease: &Lease,
    remote: &Remote<'_>,
    descriptor: &Descriptor,
    is_document: bool,
) -> Result<()> {
    let failed = |error| Error::from_store(error, descriptor.digest);
    if is_document {
        // Its digest is verified there.
        let (document, _) = remote.manifest(&descriptor.digest.to_string())?;
        return store.put_blob(lease, document.bytes()).map(drop).map_err(failed);
    }
    if descriptor.size > limits::BLOB_SIZE_BYTES_MAX {
        return Err(Error::Store(varve_store::Error::Limit {
            what: "blob size",
            actual: descriptor.size,
            limit: limits::BLOB_SIZE_BYTES_MAX,
        }));
    }
    let mut ingest = store.refill_blob(lease, descriptor).map_err(failed)?;
    let resumed = ingest.resume_from() > 0;
    match receive(remote, descriptor, &mut ingest) {
        // What an earlier transfer left may be wrong too.
        Err(Error::LayerVerification { .. }) if resumed => {
            ingest.restart().map_err(failed)?;
            receive(remote, descriptor, &mut ingest)
        }
        other => other,
    }
}

fn receive(remote: &Remote<'_>, descriptor: &Descriptor, ingest: &mut BlobIngest) -> Result<()> {
    let mut body = remote.blob(descriptor, ingest.resume_from())?;
    let received = ingest.receive(&mut body);
    received.map(drop).map_err(|error| Error::from_store(error, descriptor.digest))
}
