//! `image tag`: another name for an image.

use varve_store::Row;
use varve_types::{Ctx, Reference};

use crate::{Engine, Error, Result, find};

impl Engine {
    /// Gives the image `source` the name `target`. A name that another image has moves; that
    /// image stays, without a name if it had no other.
    pub fn tag(&self, ctx: &Ctx<'_>, source: &str, target: &str) -> Result<()> {
        let name = target
            .parse::<Reference>()
            .map_err(|source| Error::TagTarget { text: target.to_owned(), source })?;
        if name.digest().is_some() {
            return Err(Error::TagDigest);
        }
        let name = name.or_latest();
        let tagged = ctx.now();
        self.store.update_names(|names| {
            let found = find::find(names, source)?;
            names.put(Row { reference: Some(name), tagged: Some(tagged), ..found.row });
            Ok(())
        })
    }
}
