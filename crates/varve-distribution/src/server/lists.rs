//! Lists: tags, the catalogue, referrers.

use std::collections::BTreeSet;

use http::{Method, Response};
use serde_json::json;
use varve_types::{Descriptor, Digest, ManifestKind, limits, media_type};

use super::{
    Body, Call,
    name::RepositoryName,
    reply::{self, Answer, Problem},
    route,
    storage::{SUBJECT_ANNOTATION, TAG_ANNOTATION},
};

impl Call<'_> {
    fn only_reads(&self) -> Result<(), Problem> {
        if self.reads() {
            return Ok(());
        }
        Err(Problem::MethodNotAllowed(&[Method::GET, Method::HEAD]))
    }

    pub(super) fn tags(&self, name: &RepositoryName) -> Answer {
        self.only_reads()?;
        let Some(rows) = self.storage().rows(name)? else {
            return Err(Problem::NameUnknown(name.to_string()));
        };
        // The specification wants the order to ignore case; the second key settles equals.
        let tags: BTreeSet<(String, String)> = rows
            .iter()
            .filter_map(|row| row.annotation(TAG_ANNOTATION))
            .map(|tag| (tag.to_ascii_lowercase(), tag.to_owned()))
            .collect();
        let last = self.query("last").map(|last| (last.to_ascii_lowercase(), last));
        let tags = tags
            .into_iter()
            .filter(|tag| last.as_ref().is_none_or(|last| tag > last))
            .map(|(_, tag)| tag);
        let page = self.page(tags.collect(), usize::MAX, &format!("/v2/{name}/tags/list"))?;
        Ok(page.into_response(|tags| json!({"name": name.as_str(), "tags": tags})))
    }

    pub(super) fn catalogue(&self) -> Answer {
        self.only_reads()?;
        let last = self.query("last").unwrap_or_default();
        let names = self.storage().repositories()?;
        let names = names.iter().map(RepositoryName::as_str);
        let names = names.filter(|name| *name > last.as_str()).map(str::to_owned).collect();
        let page = self.page(names, limits::LIST_PAGE_ENTRIES_MAX, "/v2/_catalog")?;
        Ok(page.into_response(|names| json!({"repositories": names})))
    }

    /// Cuts a sorted list to the page asked for.
    fn page(&self, mut entries: Vec<String>, unasked: usize, path: &str) -> Result<Page, Problem> {
        let count = match self.query("n") {
            None => unasked,
            Some(text) => text.parse().map_err(|_| Problem::PageInvalid(text))?,
        };
        let more = entries.len() > count;
        entries.truncate(count);
        let next = entries
            .last()
            .filter(|_| more)
            .map(|last| format!("<{path}?last={}&n={count}>; rel=\"next\"", route::encode(last)));
        Ok(Page { entries, next })
    }

    /// Everything in the repository that refers to a manifest; an empty list when there is
    /// nothing, the manifest and the repository included.
    pub(super) fn referrers(&self, name: &RepositoryName, subject: &Digest) -> Answer {
        self.only_reads()?;
        let filter = self.query("artifactType").filter(|kind| !kind.is_empty());
        let subject = subject.to_string();
        let mut seen = BTreeSet::new();
        let mut referrers = Vec::new();
        for row in self.storage().rows(name)?.unwrap_or_default() {
            if row.annotation(SUBJECT_ANNOTATION) != Some(&subject) || !seen.insert(row.digest) {
                continue;
            }
            let Some(referrer) = self.describe(name, row)? else { continue };
            if filter.is_none() || filter == referrer.artifact_type {
                referrers.push(referrer);
            }
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_INDEX,
            "manifests": referrers,
        });
        let mut response = reply::json(200, media_type::OCI_INDEX, index.to_string().into_bytes());
        if filter.is_some() {
            reply::set(&mut response, "OCI-Filters-Applied", "artifactType");
        }
        Ok(response)
    }

    /// A referrer's descriptor, with what the specification lifts out of its manifest.
    fn describe(
        &self,
        name: &RepositoryName,
        row: Descriptor,
    ) -> Result<Option<Descriptor>, Problem> {
        use std::io::Read as _;
        let Some((file, _)) = self.storage().open_blob(name, &row.digest)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(limits::MANIFEST_SIZE_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(Problem::Broken)?;
        let Ok(manifest) = ManifestKind::parse(bytes, &row.media_type) else { return Ok(None) };
        let mut descriptor = Descriptor::new(row.media_type, row.digest, row.size);
        match manifest {
            ManifestKind::Manifest(manifest) => {
                let (_, manifest) = manifest.into_parts();
                let named = manifest.artifact_type.filter(|kind| !kind.is_empty());
                descriptor.artifact_type = Some(named.unwrap_or(manifest.config.media_type));
                descriptor.annotations = manifest.annotations;
            }
            ManifestKind::Index(index) => {
                let (_, index) = index.into_parts();
                descriptor.artifact_type = index.artifact_type;
                descriptor.annotations = index.annotations;
            }
        }
        Ok(Some(descriptor))
    }
}

struct Page {
    entries: Vec<String>,
    /// The `Link` to the next page.
    next: Option<String>,
}

impl Page {
    fn into_response(self, shape: impl FnOnce(Vec<String>) -> serde_json::Value) -> Response<Body> {
        let bytes = shape(self.entries).to_string().into_bytes();
        let mut response = reply::json(200, reply::JSON, bytes);
        if let Some(next) = self.next {
            reply::set(&mut response, "Link", &next);
        }
        response
    }
}
