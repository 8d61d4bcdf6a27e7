//! `--output`, `--load` and `--push`

use std::{
    io::{Stdout, Write},
    path::{Path, PathBuf},
};

use varve_engine::build::{BuildOutput, Destination};
use varve_types::Reference;

use super::{fields, refused};
use crate::{error::CommandError, ui};

/// Where the result goes, before anything is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    /// Only the cache.
    Cache,
    Image {
        names: Vec<Reference>,
        push: bool,
    },
    Directory(PathBuf),
    Archive {
        kind: Archive,
        names: Vec<Reference>,
        to: Target,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Archive {
    Tar,
    Oci,
    Docker,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Stdout,
    File(PathBuf),
    /// What would be in the archive, as files.
    Directory(PathBuf),
}

/// Reads all flags about outputs; without any, the image goes into the store.
pub(crate) fn read(
    texts: &[String],
    load: bool,
    push: bool,
    tags: &[Reference],
) -> Result<Vec<Output>, CommandError> {
    let mut outputs = Vec::new();
    for text in texts {
        outputs.push(output(text, push, tags)?);
    }
    let has_image = outputs.iter().any(|output| matches!(output, Output::Image { .. }));
    if (push || load || outputs.is_empty()) && !has_image {
        outputs.push(Output::Image { names: tags.to_vec(), push });
    }
    for output in &outputs {
        if let Output::Image { names, push: true } = output
            && names.is_empty()
        {
            return Err(refused("tag is needed when pushing to registry"));
        }
    }
    let to_stdout = |output: &&Output| matches!(output, Output::Archive { to: Target::Stdout, .. });
    if outputs.iter().filter(to_stdout).count() > 1 {
        return Err(refused("only one output may go to standard output"));
    }
    Ok(outputs)
}

fn output(text: &str, push: bool, tags: &[Reference]) -> Result<Output, CommandError> {
    let list = fields::list(text, "output")?;
    let (mut kind, mut attributes) = (String::new(), Vec::new());
    if let [only] = list.as_slice()
        && !text.starts_with("type=")
    {
        if only == "-" { "tar" } else { "local" }.clone_into(&mut kind);
        attributes.push(("dest".to_owned(), only.clone()));
    } else {
        for field in list {
            let Some((key, value)) = field.split_once('=') else {
                return Err(refused(format_args!("invalid value {field}")));
            };
            match key.trim().to_lowercase().as_str() {
                "type" => value.clone_into(&mut kind),
                key => attributes.push((key.to_owned(), value.to_owned())),
            }
        }
    }
    let given = |key: &str| {
        let found = attributes.iter().rev().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    };
    let names = match given("name") {
        Some(names) => names.split(',').map(super::settings::tag).collect::<Result<_, _>>()?,
        None => tags.to_vec(),
    };
    let push = push || given("push").is_some_and(|value| value == "true");
    let dest = given("dest");
    let as_files = match given("tar") {
        Some(value) => !value.parse::<bool>().map_err(|_| {
            refused(format_args!("failed to solve: non-bool value specified for tar: {value}"))
        })?,
        None => false,
    };
    let archive = |archive: Archive| {
        let to = if as_files && archive != Archive::Tar {
            directory(&kind, dest).map(Target::Directory)
        } else {
            target(&kind, dest)
        };
        to.map(|to| Output::Archive { kind: archive, names: names.clone(), to })
    };
    match kind.as_str() {
        "" => Err(refused("type is required for output")),
        "local" => directory(&kind, dest).map(Output::Directory),
        "tar" => archive(Archive::Tar),
        "oci" => archive(Archive::Oci),
        "docker" if dest.is_some() => archive(Archive::Docker),
        "docker" | "image" => Ok(Output::Image { names: names.clone(), push }),
        "registry" => {
            Ok(Output::Image { names: names.clone(), push: given("push") != Some("false") })
        }
        "cacheonly" => Ok(Output::Cache),
        other => {
            Err(refused(format_args!("failed to solve: exporter {other:?} could not be found")))
        }
    }
}

fn directory(kind: &str, dest: Option<&str>) -> Result<PathBuf, CommandError> {
    match dest {
        None => Err(refused(format_args!("dest is required for {kind} exporter"))),
        Some("-") => Err(refused(format_args!("dest cannot be stdout for {kind} exporter"))),
        Some(dest) => {
            let path = Path::new(dest);
            if path.exists() && !path.is_dir() {
                return Err(refused(format_args!("destination path {dest:?} is not a directory")));
            }
            Ok(path.to_owned())
        }
    }
}

fn target(kind: &str, dest: Option<&str>) -> Result<Target, CommandError> {
    match dest {
        None | Some("-") if ui::stdout_is_terminal() => Err(refused(format_args!(
            "dest file is required for {kind} exporter. refusing to write to console"
        ))),
        None | Some("-") => Ok(Target::Stdout),
        Some(dest) if Path::new(dest).is_dir() => {
            Err(refused(format_args!("destination file {dest} is a directory")))
        }
        Some(dest) => Ok(Target::File(PathBuf::from(dest))),
    }
}

/// The outputs as the engine takes them.
pub(crate) fn for_engine<'a>(outputs: &[Output], stdout: &'a mut Stdout) -> Vec<BuildOutput<'a>> {
    let mut stdout = Some(stdout);
    let mut list = Vec::new();
    for output in outputs {
        list.push(match output {
            Output::Cache => continue,
            Output::Image { names, push } => {
                BuildOutput::Image { names: names.clone(), push: *push }
            }
            Output::Directory(path) => BuildOutput::Directory(path.clone()),
            Output::Archive { kind, names, to } => {
                let to = match (to, &mut stdout) {
                    (Target::File(path), _) => Destination::File(path.clone()),
                    (Target::Directory(path), _) => Destination::Directory(path.clone()),
                    (Target::Stdout, stdout) => match stdout.take() {
                        Some(stdout) => Destination::Stream(stdout as &mut (dyn Write + Send)),
                        None => continue,
                    },
                };
                let names = names.clone();
                match kind {
                    Archive::Tar => BuildOutput::Tar(to),
                    Archive::Oci => BuildOutput::OciArchive { names, to },
                    Archive::Docker => BuildOutput::DockerArchive { names, to },
                }
            }
        });
    }
    list
}
