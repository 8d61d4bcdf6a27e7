//! The text of a case.
//!
//! ```text
//! What it shows. Lines before the first section are for people.
//! == Dockerfile
//! FROM scratch
//! COPY . /
//! == context                 files, one a line as `tree` has them; all belong to 1000:1000
//! f 600 a.txt = text\n
//! == context other           a further directory, given with --build-context other=
//! == file dir/name           a file of the context, as it stands here
//! == tar name.tar.gz         an archive in the context, lines as of `context`
//! == image base              a Dockerfile that is built and named before
//! == options                 one a line: build-arg A=1, target name, … (`Options`)
//! == tree                    expected: what the image has besides its base image's files
//! == config                  expected: members that the base image's config has not, as `Name: JSON`
//! == history                 expected: created_by of each entry after the base image's; those
//!                            with a layer begin with `+ `
//! == steps                   expected: names of the steps shown
//! == log                     expected: what programs wrote; lines of standard error last, after `! `
//! == warnings                expected: rule and line of each finding of the build checks
//! == error                   expected: the lines at fault and the text; nothing is built
//! ```
//!
//! A `\` at the end of the name of a section means that its last line has no end.

use std::{fs, path::Path};

/// A case.
#[derive(Debug)]
pub(crate) struct Case {
    /// `topic/name`.
    pub(crate) name: String,
    sections: Vec<Section>,
}

#[derive(Debug)]
struct Section {
    kind: String,
    argument: String,
    text: String,
}

const KINDS: &[&str] = &[
    "Dockerfile",
    "context",
    "file",
    "tar",
    "image",
    "options",
    "tree",
    "config",
    "history",
    "steps",
    "log",
    "warnings",
    "error",
];

impl Case {
    pub(crate) fn read(topic: &str, path: &Path) -> Self {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let name = format!("{topic}/{stem}");
        assert!(path.extension().is_some_and(|ending| ending == "case"), "{}", path.display());
        let mut sections: Vec<Section> = Vec::new();
        for line in fs::read_to_string(path).unwrap().split_inclusive('\n') {
            if let Some(title) = line.strip_prefix("== ") {
                let (kind, argument) = title.trim().split_once(' ').unwrap_or((title.trim(), ""));
                assert!(KINDS.contains(&kind), "{name}: no section is called {kind}");
                let (kind, argument) = (kind.to_owned(), argument.to_owned());
                sections.push(Section { kind, argument, text: String::new() });
            } else if let Some(section) = sections.last_mut() {
                section.text.push_str(line);
            }
        }
        for section in &mut sections {
            if let Some(argument) = section.argument.strip_suffix('\\') {
                section.argument = argument.trim_end().to_owned();
                section.text.truncate(section.text.trim_end_matches('\n').len());
            }
        }
        let case = Self { name, sections };
        let expected = ["tree", "config", "history", "steps", "log", "warnings", "error"];
        let expects = expected.iter().any(|kind| case.section(kind).is_some());
        assert!(expects, "{} expects nothing", case.name);
        case
    }

    /// The text of the only section of a kind.
    pub(crate) fn section(&self, kind: &str) -> Option<&str> {
        self.named(kind).find(|(name, _)| name.is_empty()).map(|(_, text)| text)
    }

    /// All sections of a kind, by name.
    pub(crate) fn named(&self, kind: &str) -> impl Iterator<Item = (&str, &str)> {
        let of_kind = self.sections.iter().filter(move |section| section.kind == kind);
        of_kind.map(|section| (section.argument.as_str(), section.text.as_str()))
    }

    /// The options, each as name and value.
    pub(crate) fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.section("options").unwrap_or_default().lines();
        lines.map(|line| line.split_once(' ').unwrap_or((line, "")))
    }
}
