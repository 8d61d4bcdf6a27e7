//! The text of `index.json`: an OCI image index whose descriptors are the rows of the image table.
//!
//! Ten thousand rows are several megabytes of JSON that every `images` reads, so text is borrowed
//! from the file and the annotations we know go straight into fields.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::value::RawValue;
use varve_types::{Platform, media_type};

/// The annotation of the OCI image layout that names a row.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
pub(crate) const IMAGE_ID: &str = "dev.varve.image.id";
pub(crate) const IMAGE_CREATED: &str = "dev.varve.image.created";
pub(crate) const IMAGE_SIZE: &str = "dev.varve.image.size";
pub(crate) const INDEX: &str = "dev.varve.index";
pub(crate) const SOURCE: &str = "dev.varve.source";
pub(crate) const TAGGED: &str = "dev.varve.tagged";
pub(crate) const STORED: &str = "dev.varve.stored";
pub(crate) const PARENT: &str = "dev.varve.parent";
pub(crate) const MADE: &str = "dev.varve.made";
pub(crate) const TARGET: &str = "dev.varve.target";

/// A string that stays in the file's text where it needs no unescaping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl Text<'_> {
    fn into_owned(self) -> Text<'static> {
        Text(Cow::Owned(self.0.into_owned()))
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Strings;
        impl<'de> Visitor<'de> for Strings {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_string<E>(self, text: String) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }
        deserializer.deserialize_str(Strings)
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// One descriptor of the file, with everything that is in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry<'a> {
    pub(crate) media_type: Option<Text<'a>>,
    pub(crate) digest: Option<Text<'a>>,
    pub(crate) size: u64,
    pub(crate) platform: Option<Platform>,
    pub(crate) annotations: Annotations<'a>,
    /// Members that we do not know.
    pub(crate) others: Vec<(Text<'a>, Box<RawValue>)>,
}

/// The annotations of a descriptor.
#[derive(Debug, Clone, Default)]
pub(crate) struct Annotations<'a> {
    pub(crate) ref_name: Option<Text<'a>>,
    pub(crate) image: Option<Text<'a>>,
    pub(crate) created: Option<Text<'a>>,
    pub(crate) size: Option<Text<'a>>,
    pub(crate) index: Option<Text<'a>>,
    pub(crate) source: Option<Text<'a>>,
    pub(crate) tagged: Option<Text<'a>>,
    pub(crate) stored: Option<Text<'a>>,
    pub(crate) parent: Option<Text<'a>>,
    pub(crate) made: Option<Text<'a>>,
    /// The target that the facts in the other annotations were taken from.
    pub(crate) target: Option<Text<'a>>,
    /// Those of other tools.
    pub(crate) foreign: Vec<(Text<'a>, Text<'a>)>,
}

impl<'a> Annotations<'a> {
    fn known(&mut self, name: &str) -> Option<&mut Option<Text<'a>>> {
        Some(match name {
            REF_NAME => &mut self.ref_name,
            IMAGE_ID => &mut self.image,
            IMAGE_CREATED => &mut self.created,
            IMAGE_SIZE => &mut self.size,
            INDEX => &mut self.index,
            SOURCE => &mut self.source,
            TAGGED => &mut self.tagged,
            STORED => &mut self.stored,
            PARENT => &mut self.parent,
            MADE => &mut self.made,
            TARGET => &mut self.target,
            _ => return None,
        })
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let known = [
            (REF_NAME, &self.ref_name),
            (IMAGE_ID, &self.image),
            (IMAGE_CREATED, &self.created),
            (IMAGE_SIZE, &self.size),
            (INDEX, &self.index),
            (SOURCE, &self.source),
            (TAGGED, &self.tagged),
            (STORED, &self.stored),
            (PARENT, &self.parent),
            (MADE, &self.made),
            (TARGET, &self.target),
        ];
        let known = known.into_iter().filter_map(|(name, value)| Some((name, &*value.as_ref()?.0)));
        known.chain(self.foreign.iter().map(|(name, value)| (&*name.0, &*value.0)))
    }
}

impl<'de> Deserialize<'de> for Annotations<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Annotations<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("annotations")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Annotations::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut annotations = Annotations::default();
                while let Some((name, value)) = map.next_entry::<Text<'de>, Text<'de>>()? {
                    match annotations.known(&name.0) {
                        Some(field) => *field = Some(value),
                        None => annotations.foreign.push((name, value)),
                    }
                }
                Ok(annotations)
            }
        }
        deserializer.deserialize_any(Pairs)
    }
}

impl Serialize for Annotations<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.pairs())
    }
}

impl Entry<'_> {
    pub(crate) fn into_owned(self) -> Entry<'static> {
        let own = |text: Option<Text<'_>>| text.map(Text::into_owned);
        let from = self.annotations;
        let foreign = from.foreign.into_iter();
        Entry {
            media_type: own(self.media_type),
            digest: own(self.digest),
            size: self.size,
            platform: self.platform,
            annotations: Annotations {
                ref_name: own(from.ref_name),
                image: own(from.image),
                created: own(from.created),
                size: own(from.size),
                index: own(from.index),
                source: own(from.source),
                tagged: own(from.tagged),
                stored: own(from.stored),
                parent: own(from.parent),
                made: own(from.made),
                target: own(from.target),
                foreign: foreign.map(|(n, v)| (n.into_owned(), v.into_owned())).collect(),
            },
            others: self.others.into_iter().map(|(n, v)| (n.into_owned(), v)).collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Entry<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Entry<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a descriptor")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entry = Entry::default();
                while let Some(name) = map.next_key::<Text<'de>>()? {
                    match &*name.0 {
                        "mediaType" => entry.media_type = map.next_value()?,
                        "digest" => entry.digest = map.next_value()?,
                        "size" => entry.size = map.next_value()?,
                        "platform" => entry.platform = map.next_value()?,
                        "annotations" => entry.annotations = map.next_value()?,
                        _ => entry.others.push((name, map.next_value()?)),
                    }
                }
                Ok(entry)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(media_type) = &self.media_type {
            map.serialize_entry("mediaType", media_type)?;
        }
        if let Some(digest) = &self.digest {
            map.serialize_entry("digest", digest)?;
        }
        map.serialize_entry("size", &self.size)?;
        if let Some(platform) = &self.platform {
            map.serialize_entry("platform", platform)?;
        }
        if self.annotations.pairs().next().is_some() {
            map.serialize_entry("annotations", &self.annotations)?;
        }
        for (name, value) in &self.others {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Reads the file's text: hands out each entry and returns the members that are not ours
/// (`annotations`, for instance). Ten thousand entries side by side would be megabytes to move.
pub(crate) fn parse<'de>(
    text: &'de str,
    entry: &mut dyn FnMut(Entry<'de>),
) -> serde_json::Result<Vec<(Text<'de>, Box<RawValue>)>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let others = File(entry).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(others)
}

struct File<'f, 'de>(&'f mut dyn FnMut(Entry<'de>));

impl<'de> DeserializeSeed<'de> for File<'_, 'de> {
    type Value = Vec<(Text<'de>, Box<RawValue>)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for File<'_, 'de> {
    type Value = Vec<(Text<'de>, Box<RawValue>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an image index")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut others = Vec::new();
        while let Some(name) = map.next_key::<Text<'de>>()? {
            match &*name.0 {
                "schemaVersion" | "mediaType" => drop(map.next_value::<IgnoredAny>()?),
                "manifests" => map.next_value_seed(Entries(&mut *self.0))?,
                _ => others.push((name, map.next_value()?)),
            }
        }
        Ok(others)
    }
}

struct Entries<'f, 'de>(&'f mut dyn FnMut(Entry<'de>));

impl<'de> DeserializeSeed<'de> for Entries<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        // Some tools write `null` for none.
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of descriptors")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(entry) = list.next_element()? {
            (self.0)(entry);
        }
        Ok(())
    }
}

/// Bytes that one row of ours takes, about.
const ROW_SIZE_BYTES: usize = 1_000;

/// Writes the file's text, one row a line.
pub(crate) fn write<'a>(
    entries: impl ExactSizeIterator<Item = Cow<'a, Entry<'a>>>,
    others: &[(Text<'_>, Box<RawValue>)],
) -> serde_json::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(entries.len() * ROW_SIZE_BYTES + ROW_SIZE_BYTES);
    text.extend_from_slice(b"{\"schemaVersion\":2,\"mediaType\":\"");
    text.extend_from_slice(media_type::OCI_INDEX.as_bytes());
    text.extend_from_slice(b"\",\"manifests\":[");
    for (place, entry) in entries.enumerate() {
        text.extend_from_slice(if place == 0 { b"\n" } else { b",\n" });
        serde_json::to_writer(&mut text, &*entry)?;
    }
    text.extend_from_slice(b"\n]");
    for (name, value) in others {
        text.push(b',');
        serde_json::to_writer(&mut text, &name.0)?;
        text.push(b':');
        text.extend_from_slice(value.get().as_bytes());
    }
    text.extend_from_slice(b"}\n");
    Ok(text)
}
