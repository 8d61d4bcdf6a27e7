//! What a Dockerfile offers to whoever builds it: arguments, secrets and stages
//! (`--call=outline`, `--call=targets`), in docker's form.

use std::{collections::BTreeSet, fmt::Write as _};

use serde::Serialize;
use varve_types::Printable;

use super::{Environment, Options};
use crate::{
    dockerfile::{Dockerfile, Stage},
    expand::Expander,
    instruction::{Argument, Command, Mount, MountKind, mount_source},
};

/// What a build of the target can be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outline {
    /// The target's name, where it has one that was asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Build arguments, in order.
    pub args: Vec<OutlineArgument>,
    /// Secrets that steps ask for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<OutlineMount>,
    /// Agents that steps ask for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ssh: Vec<OutlineMount>,
}

/// A build argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutlineArgument {
    /// Its name.
    pub name: String,
    /// Its value, as it would be now; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// What the comment above says of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// A secret or an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutlineMount {
    /// Its name.
    pub name: String,
    /// Whether the step fails without.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

/// The stages that can be built by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Targets {
    /// In order.
    pub targets: Vec<Target>,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Its name; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What the comment above says of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What it is based on, as written.
    pub base: String,
    /// Whether it is built when none is named.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
}

/// What the target can be told: arguments of the stages it needs, and those before the first.
pub fn outline(file: &Dockerfile, options: &Options) -> Outline {
    let expander = Expander::new(file.directives.escape.unwrap_or('\\'));
    let mut outline =
        Outline { name: String::new(), args: Vec::new(), secrets: Vec::new(), ssh: Vec::new() };
    let mut known = Environment::default();
    for (argument, _) in &file.arguments {
        outline.argument(argument, &mut known, expander, options);
    }
    let Some(target) = target(file, options) else { return outline };
    if let Some(name) = &options.target {
        name.clone_into(&mut outline.name);
    }
    for index in needed(file, target) {
        outline.stage(&file.stages[index], &known, expander, options);
    }
    outline
}

/// The stages that can be built.
pub fn targets(file: &Dockerfile, options: &Options) -> Targets {
    let default = target(file, options);
    let stage = |(at, stage): (usize, &Stage)| Target {
        name: stage.from.name.clone().unwrap_or_default(),
        description: stage.from.description.clone().unwrap_or_default(),
        base: stage.from.base.clone(),
        default: Some(at) == default,
    };
    let named = |target: &Target| target.default || !target.name.is_empty();
    Targets { targets: file.stages.iter().enumerate().map(stage).filter(named).collect() }
}

/// The stage that is built.
fn target(file: &Dockerfile, options: &Options) -> Option<usize> {
    match &options.target {
        Some(name) => stage_at(file, name, file.stages.len()),
        None => file.stages.len().checked_sub(1),
    }
}

/// The last stage of this name, or number, before another one.
fn stage_at(file: &Dockerfile, name: &str, before: usize) -> Option<usize> {
    let is = |stage: &Stage| {
        stage.from.name.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(name))
    };
    let by_name = file.stages[..before].iter().rposition(is);
    by_name.or_else(|| name.parse().ok().filter(|index| *index < before))
}

/// A stage and those that it needs, in order.
fn needed(file: &Dockerfile, target: usize) -> BTreeSet<usize> {
    let (mut found, mut waiting) = (BTreeSet::new(), vec![target]);
    while let Some(at) = waiting.pop() {
        if !found.insert(at) {
            continue;
        }
        let stage = &file.stages[at];
        let mut names = vec![stage.from.base.clone()];
        for instruction in &stage.instructions {
            match &instruction.command {
                Command::Copy(copy) => names.extend(copy.from.clone()),
                Command::Run(run) => {
                    names.extend(run.mounts.iter().filter_map(|mount| mount_source(mount).ok()));
                }
                _ => {}
            }
        }
        waiting.extend(names.into_iter().filter_map(|name| stage_at(file, &name, at)));
    }
    found
}

impl Outline {
    fn argument(
        &mut self,
        argument: &Argument,
        known: &mut Environment,
        expander: Expander,
        options: &Options,
    ) {
        let given = options.build_args.get(&argument.key).cloned();
        let default = || argument.value.as_ref().and_then(|v| expander.expand(v, known).ok());
        let inherited = || crate::expand::Variables::get(known, &argument.key).map(str::to_owned);
        let value = given.or_else(|| default().map(|expanded| expanded.text)).or_else(inherited);
        if let Some(value) = &value {
            // A value too long for a build is shown all the same.
            let _ = known.set(&argument.key, value);
        }
        let shown = OutlineArgument {
            name: argument.key.clone(),
            value: value.unwrap_or_default(),
            description: argument.description.clone().unwrap_or_default(),
        };
        match self.args.iter_mut().find(|known| known.name == argument.key) {
            Some(known) => *known = shown,
            None => self.args.push(shown),
        }
    }

    fn stage(
        &mut self,
        stage: &Stage,
        globals: &Environment,
        expander: Expander,
        options: &Options,
    ) {
        let mut known = globals.clone();
        for instruction in &stage.instructions {
            match &instruction.command {
                Command::Arg(arguments) => {
                    for argument in arguments {
                        self.argument(argument, &mut known, expander, options);
                    }
                }
                Command::Run(run) => {
                    for mount in run.mounts.iter().filter_map(|text| as_written(text)) {
                        self.mount(&mount);
                    }
                }
                _ => {}
            }
        }
    }

    fn mount(&mut self, mount: &Mount) {
        let list = match mount.kind {
            MountKind::Secret => &mut self.secrets,
            MountKind::Ssh => &mut self.ssh,
            _ => return,
        };
        let name = match (mount.id.as_str(), mount.kind) {
            ("", MountKind::Ssh) => "default",
            ("", _) => mount.target.rsplit('/').next().unwrap_or_default(),
            (id, _) => id,
        };
        match list.iter_mut().find(|known| known.name == name) {
            Some(known) => known.required |= mount.required,
            None => list.push(OutlineMount { name: name.to_owned(), required: mount.required }),
        }
    }

    /// As docker prints it: a table for each kind that there is.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if !self.name.is_empty() {
            let _ = write!(text, "TARGET:   {}\n\n", Printable(&self.name));
        }
        if !self.args.is_empty() {
            let rows =
                self.args.iter().map(|a| [&a.name, &a.value, &a.description].map(|t| printable(t)));
            table(&mut text, ["BUILD ARG", "VALUE", "DESCRIPTION"], rows.collect());
            text.push('\n');
        }
        for (title, list) in [("SECRET", &self.secrets), ("SSH", &self.ssh)] {
            if list.is_empty() {
                continue;
            }
            let required = |mount: &OutlineMount| if mount.required { "true" } else { "" };
            let rows = list.iter().map(|m| [printable(&m.name), required(m).to_owned()]);
            table(&mut text, [title, "REQUIRED"], rows.collect());
            text.push('\n');
        }
        text
    }

    /// As JSON.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

impl Targets {
    /// As docker prints it.
    pub fn text(&self) -> String {
        let name = |target: &Target| match (target.name.as_str(), target.default) {
            ("", _) => "(default)".to_owned(),
            (name, true) => format!("{} (default)", Printable(name)),
            (name, false) => printable(name),
        };
        let rows: Vec<[String; 2]> = self
            .targets
            .iter()
            .map(|target| [name(target), printable(&target.description)])
            .collect();
        let width = rows.iter().map(|row| row[0].chars().count()).max().unwrap_or(0).max(6) + 1;
        let mut text = format!("{:width$}DESCRIPTION\n", "TARGET");
        for [name, description] in rows {
            let _ = writeln!(text, "{name:width$}{description}");
        }
        text
    }

    /// As JSON.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

/// A mount, its variables not expanded.
fn as_written(text: &str) -> Option<Mount> {
    Mount::parse(text, |value| Ok(value.to_owned())).ok()
}

fn printable(text: &str) -> String {
    Printable(text).to_string()
}

/// Columns three blanks apart; the last one is not filled up.
fn table<const N: usize>(text: &mut String, head: [&str; N], rows: Vec<[String; N]>) {
    let all: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width =
        |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0) + 3;
    for row in &all {
        for (column, cell) in row.iter().enumerate() {
            if column + 1 == N {
                text.push_str(cell);
            } else {
                let width = width(column);
                let _ = write!(text, "{cell:width$}");
            }
        }
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use varve_types::Platform;

    use super::{Options, outline, targets};
    use crate::{Dockerfile, Lint, Source};

    const FILE: &str = "ARG BASE=busybox:1.36.0\n\
        # builder makes it\n\
        FROM ${BASE} AS builder\n\
        # VERSION is shown\n\
        ARG VERSION=${BASE}-1\n\
        RUN --mount=type=secret,id=s1,required=true --mount=type=ssh true\n\
        FROM other AS unused\n\
        ARG NEVER\n\
        FROM busybox:1.36.0\n\
        ARG TOKEN\n\
        COPY --from=builder /a /b\n";

    fn check(target: Option<&str>, expected: &Expect) {
        let source = Source::new("Dockerfile", FILE);
        let file = Dockerfile::parse(source, &mut Lint::new()).unwrap();
        let mut options = Options::new(Platform::new("linux", "amd64", ""));
        options.target = target.map(str::to_owned);
        options.build_args.insert("TOKEN".to_owned(), "x".to_owned());
        let (outline, targets) = (outline(&file, &options), targets(&file, &options));
        expected.assert_eq(&format!("{}{}{}", outline.text(), targets.text(), targets.json()));
    }

    #[test]
    fn what_the_target_needs_is_outlined_and_stages_can_be_named() {
        check(
            None,
            &expect![[r#"
                BUILD ARG   VALUE              DESCRIPTION
                BASE        busybox:1.36.0     
                VERSION     busybox:1.36.0-1   is shown
                TOKEN       x                  

                SECRET   REQUIRED
                s1       true

                SSH       REQUIRED
                default   

                TARGET    DESCRIPTION
                builder   makes it
                unused    
                (default) 
                {
                  "targets": [
                    {
                      "name": "builder",
                      "description": "makes it",
                      "base": "${BASE}"
                    },
                    {
                      "name": "unused",
                      "base": "other"
                    },
                    {
                      "base": "busybox:1.36.0",
                      "default": true
                    }
                  ]
                }
            "#]],
        );
    }
}
