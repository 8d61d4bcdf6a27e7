//! `--cache-to`, as part of a build.

use varve_build::{
    Plan,
    solve::{KeysOf, Solved},
};
use varve_types::Digest;

use super::{
    super::{
        BuildError, CacheCompression, CacheExport,
        cache::export::{self, CacheImage},
        shown::ShownStep,
    },
    Build,
};

impl Build<'_> {
    /// Which steps' keys the caches need that are written.
    pub(super) fn keys_of(&self) -> KeysOf {
        let of = |export: &CacheExport| match export {
            CacheExport::Registry { all_stages: true, .. }
            | CacheExport::Local { all_stages: true, .. } => KeysOf::All,
            _ => KeysOf::Result,
        };
        self.exports.iter().map(of).max().unwrap_or_default()
    }

    /// Whether the image carries its cache.
    pub(super) fn has_inline_cache(&self) -> bool {
        self.exports.contains(&CacheExport::Inline)
    }

    /// Writes the caches that are wanted outside of images.
    pub(super) fn write_caches(&self, made: &[(Plan, Solved)]) -> Result<(), BuildError> {
        let keys: Vec<Digest> =
            made.iter().flat_map(|(_, solved)| solved.keys.iter().copied()).collect();
        for export in self.exports {
            match export {
                CacheExport::Inline => {}
                CacheExport::Registry { reference, compression, .. } => {
                    let step = self.show("exporting cache to registry".to_owned());
                    let cache = self.cache_of(&keys, *compression, &step)?;
                    let pushed = self.engine.push_cache(self.ctx, self.lease, &cache, reference);
                    step.ending(pushed)?;
                }
                CacheExport::Local { directory, tag, compression, .. } => {
                    let step = self.show("exporting cache to client directory".to_owned());
                    let cache = self.cache_of(&keys, *compression, &step)?;
                    step.ending(self.engine.write_cache(&cache, directory, tag))?;
                }
            }
        }
        Ok(())
    }

    fn cache_of(
        &self,
        keys: &[Digest],
        compression: CacheCompression,
        step: &ShownStep<'_>,
    ) -> Result<CacheImage, BuildError> {
        step.part("preparing build cache for export", false);
        let cache = self.engine.cache_image(self.ctx, self.lease, keys, compression)?;
        export::show(step, &cache);
        step.part("preparing build cache for export", true);
        Ok(cache)
    }
}
