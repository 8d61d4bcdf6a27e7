//! From instructions to vertices, one stage after the other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use varve_types::{Digest, ImageConfig, Platform, limits};

use super::{
    BuildContext, Environment, HttpStep, ImageStep, LocalStep, Op, Plan, PlannedImage, Planner,
    Vertex, VertexId,
    arguments::expand,
    build_image::{base_config, empty_config},
    stage::Base,
};
use crate::{
    error::{DockerfileError, Problem, Result},
    expand::Expander,
    instruction::{Argument, Command},
    source::Lines,
};

/// Makes the vertices.
pub(super) struct Builder<'a> {
    pub(super) planner: Planner<'a>,
    pub(super) vertices: Vec<Vertex>,
    /// Equal steps are one.
    known: HashMap<(Digest, Vec<VertexId>, bool), VertexId>,
    /// Paths that are taken from directories of the caller; `None` is all of them.
    paths: BTreeMap<Option<String>, (VertexId, Option<BTreeSet<String>>)>,
    built: Vec<Option<Built>>,
}

/// What a stage came to, for those based on it.
#[derive(Debug, Clone)]
struct Built {
    root: Option<VertexId>,
    image: PlannedImage,
    platform: Platform,
    environment: Environment,
    arguments: Vec<Argument>,
    workdir_said: bool,
}

/// The stage at work.
pub(super) struct Current {
    pub(super) index: usize,
    pub(super) root: Option<VertexId>,
    pub(super) image: PlannedImage,
    pub(super) platform: Platform,
    pub(super) environment: Environment,
    /// What `ARG` declared, in this stage and those below.
    pub(super) arguments: Vec<Argument>,
    /// Whether this Dockerfile chose a working directory.
    pub(super) workdir_said: bool,
    /// The last of each, which another makes useless.
    pub(super) cmd: Option<Lines>,
    pub(super) entrypoint: Option<Lines>,
    pub(super) healthcheck: Option<Lines>,
    /// Bytes of the history that this stage wrote.
    pub(super) history_size_bytes: usize,
    /// Steps named so far.
    counted: usize,
}

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl<'a> Builder<'a> {
    pub(super) fn new(planner: Planner<'a>) -> Self {
        Self {
            planner,
            vertices: Vec::new(),
            known: HashMap::new(),
            paths: BTreeMap::new(),
            built: Vec::new(),
        }
    }

    pub(super) fn build(mut self) -> Result<Plan> {
        let reachable = self.planner.reachable();
        self.built = vec![None; reachable.len()];
        for (index, _) in reachable.iter().enumerate().filter(|(_, reachable)| **reachable) {
            if !self.planner.states[index].foreign {
                self.stage(index)?;
            }
        }
        self.planner.lint.verdict()?;
        let target = self.planner.target;
        let Some(Built { root, mut image, platform, .. }) = self.built[target].take() else {
            return Err(Problem::NoStages.into());
        };
        for (name, value) in &self.planner.options.labels {
            let labels = image.config.config.labels.get_or_insert_default();
            labels.insert(name.clone(), value.clone());
        }
        let platform = self.planner.options.platform.as_ref().unwrap_or(&platform).normalized();
        if self.planner.options.platform.is_some() || image.config.os.is_empty() {
            image.config.os = platform.os;
            image.config.architecture = platform.architecture;
            image.config.variant = platform.variant;
        }
        for (id, paths) in self.paths.into_values() {
            if let Op::Local(local) = &mut self.vertices[id.0].op {
                local.paths = paths.map(|paths| paths.into_iter().collect());
            }
        }
        Ok(Plan { vertices: self.vertices, root, image })
    }

    fn stage(&mut self, index: usize) -> Result<()> {
        let lines = self.planner.states[index].lines;
        let mut current = self.begin(index).map_err(|error| error.at(lines))?;
        let steps = self.planner.states[index].steps.clone();
        for step in &steps {
            let result = self.instruction(&mut current, step);
            result.map_err(|error| error.at(step.instruction.lines))?;
            if current.history_size_bytes as u64 > limits::CONFIG_SIZE_BYTES_MAX {
                let error = DockerfileError::from(Problem::HistoryTooLarge);
                return Err(error.at(step.instruction.lines));
            }
        }
        self.built[index] = Some(Built {
            root: current.root,
            image: current.image,
            platform: current.platform,
            environment: current.environment,
            arguments: current.arguments,
            workdir_said: current.workdir_said,
        });
        Ok(())
    }

    fn begin(&mut self, index: usize) -> Result<Current> {
        let state = &self.planner.states[index];
        let target = self.planner.options.target_platform().clone();
        let platform = state.platform.clone().unwrap_or_else(|| target.clone());
        let mut current = Current {
            index,
            root: None,
            image: PlannedImage::default(),
            platform,
            environment: Environment::default(),
            arguments: Vec::new(),
            workdir_said: false,
            cmd: None,
            entrypoint: None,
            healthcheck: None,
            history_size_bytes: 0,
            counted: 0,
        };
        match state.base.clone() {
            Base::Scratch => {
                current.platform = target;
                current.image.config = empty_config(&current.platform);
            }
            Base::Context(_) => current.image.config = empty_config(&current.platform),
            Base::Image(id) => {
                let config = self.image_config(id.0, index)?;
                let found = config.platform();
                let (name, lines) = (state.base_name.clone(), state.lines);
                self.planner.lint.base_platform(&name, &current.platform, &found, lines);
                current.image = PlannedImage {
                    base_history: config.history.len(),
                    config: base_config(config),
                    layers: Vec::new(),
                };
            }
            Base::Stage(base) => {
                let Some(base) = self.built[base].clone() else {
                    let name = state.base_name.clone();
                    return Err(Problem::Unresolved(name).into());
                };
                current.root = base.root;
                current.image = base.image;
                current.image.config.config.on_build = None;
                current.platform = base.platform;
                current.environment = base.environment;
                current.arguments = base.arguments;
                current.workdir_said = base.workdir_said;
            }
        }
        if !matches!(self.planner.states[index].base, Base::Stage(_)) {
            current.root = self.source_root(index, Some(&mut current))?;
        }
        let variables = current.image.config.config.env.get_or_insert_default();
        if !variables.iter().any(|variable| variable.starts_with("PATH=")) {
            variables.push(format!("PATH={DEFAULT_PATH}"));
        }
        for variable in variables.iter() {
            let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
            current.environment.set(name, value)?;
        }
        let directory = &mut current.image.config.config.working_dir;
        if !directory.is_empty() {
            *directory = crate::glob::join("/", directory);
        }
        Ok(current)
    }

    fn image_config(&self, need: usize, state: usize) -> Result<ImageConfig> {
        let found = self.planner.images[need].1.as_ref();
        let name = || self.planner.states[state].base_name.clone();
        found.map(|image| image.config.clone()).ok_or_else(|| Problem::Unresolved(name()).into())
    }

    /// The file system of a state that an instruction takes files from: of a stage, which must be
    /// built by now, of an image or of a context. `None` is empty.
    pub(super) fn root_of(
        &mut self,
        index: usize,
        later: impl FnOnce(&Self) -> Problem,
    ) -> Result<Option<VertexId>> {
        if let Some(built) = &self.built[index] {
            return Ok(built.root);
        }
        if !self.planner.states[index].foreign {
            return Err(later(self).into());
        }
        self.source_root(index, None)
    }

    /// The image or context that a state is based on. `current` counts it as a step.
    fn source_root(
        &mut self,
        index: usize,
        current: Option<&mut Current>,
    ) -> Result<Option<VertexId>> {
        let state = &self.planner.states[index];
        let lines = Some(state.lines);
        match state.base.clone() {
            Base::Scratch | Base::Stage(_) => Ok(None),
            Base::Image(id) => {
                let (key, found) = &self.planner.images[id.0];
                let Some(found) = found else {
                    return Err(Problem::Unresolved(state.base_name.clone()).into());
                };
                let digest = found.digest.map(|d| format!("@{d}")).unwrap_or_default();
                let mut name = format!("FROM {}{digest}", key.reference);
                let empty = found.config.diff_ids().is_empty();
                let op = Op::Image(ImageStep {
                    reference: key.reference.clone(),
                    platform: key.platform.clone(),
                    id: found.id,
                });
                match (&state.context, current) {
                    (Some(context), current) => {
                        name = format!("[context {context}] {}{digest}", key.reference);
                        if let Some(current) = current {
                            current.counted += 1;
                        }
                    }
                    (None, Some(current)) => name = self.step_name(current, &name),
                    (None, None) => {}
                }
                Ok((!empty).then(|| self.add(Vertex { name, lines, op, ignore_cache: false })))
            }
            Base::Context(name) => {
                let root = Some(self.context(&name, lines)?);
                if let Some(current) = current {
                    current.counted += 1;
                    self.take_path(root, "/");
                }
                Ok(root)
            }
        }
    }

    /// A named context.
    fn context(&mut self, name: &str, lines: Option<Lines>) -> Result<VertexId> {
        let Some(context) = self.planner.options.contexts.get(name).cloned() else {
            return Err(Problem::Unresolved(name.to_owned()).into());
        };
        let (what, op) = match context {
            BuildContext::Local(_) => return Ok(self.local(Some(name.to_owned()))),
            BuildContext::Git(git) => {
                let what = crate::git::without_password(&git.remote);
                (what, Op::Git(git.into()))
            }
            BuildContext::Http(url) => {
                let step = HttpStep { url: url.clone(), file: String::new(), checksum: None };
                (url, Op::Http(step))
            }
            BuildContext::Image(_) | BuildContext::OciLayout(_) => {
                return Err(Problem::Unresolved(name.to_owned()).into());
            }
        };
        let name = format!("[context {name}] {what}");
        Ok(self.add(Vertex { name, lines, op, ignore_cache: false }))
    }

    /// A directory of the caller.
    pub(super) fn local(&mut self, context: Option<String>) -> VertexId {
        if let Some((id, _)) = self.paths.get(&context) {
            return *id;
        }
        let name = match &context {
            None => super::LOAD_CONTEXT_NAME.to_owned(),
            Some(name) => format!("[context {name}] load from client"),
        };
        let op = Op::Local(LocalStep { context: context.clone(), paths: None });
        let id = self.add(Vertex { name, lines: None, op, ignore_cache: false });
        self.paths.insert(context, (id, Some(BTreeSet::new())));
        id
    }

    /// Notes that a path is taken from a step, if that is a directory of the caller.
    pub(super) fn take_path(&mut self, from: Option<VertexId>, path: &str) {
        let path = crate::glob::join("/", path);
        for (id, paths) in self.paths.values_mut() {
            if Some(*id) == from {
                match path.trim_start_matches('/') {
                    "" => *paths = None,
                    path => {
                        paths.as_mut().map(|paths| paths.insert(path.to_owned()));
                    }
                }
            }
        }
    }

    /// Adds a step, or finds the equal one.
    pub(super) fn add(&mut self, vertex: Vertex) -> VertexId {
        let key = (vertex.definition(), vertex.inputs(), vertex.ignore_cache);
        let id = VertexId(self.vertices.len());
        let known = *self.known.entry(key).or_insert(id);
        if known == id {
            self.vertices.push(vertex);
        }
        known
    }

    /// The name of the stage's next step.
    pub(super) fn step_name(&self, current: &mut Current, text: &str) -> String {
        let state = &self.planner.states[current.index];
        if state.total == 0 {
            return text.to_owned();
        }
        current.counted += 1;
        let mut name = String::from("[");
        if self.planner.options.show_platform {
            let _ = write!(name, "{} ", current.platform);
        }
        if !state.shown.is_empty() {
            let _ = write!(name, "{} ", state.shown);
        }
        let width = state.total.to_string().len();
        let _ = write!(name, "{:>width$}/{}] {text}", current.counted, state.total);
        name
    }

    /// The name of the next step from the text of its instruction, with variables expanded.
    pub(super) fn named(&self, current: &mut Current, expander: Expander, text: &str) -> String {
        let expanded = expander.expand(text, &current.environment).map(|e| e.text);
        let text = expanded.unwrap_or_else(|_| text.to_owned());
        let (word, rest) = match text.split_once(' ') {
            Some((word, rest)) => (word.to_uppercase(), format!(" {rest}")),
            None => (text.to_uppercase(), String::new()),
        };
        self.step_name(current, &format!("{word}{rest}"))
    }

    /// Expands a word of an instruction; the checks hear of variables that nobody set.
    pub(super) fn word(&mut self, current: &Current, text: &str, lines: Lines) -> Result<String> {
        self.word_by(self.planner.expander, current, text, lines)
    }

    pub(super) fn word_by(
        &mut self,
        expander: Expander,
        current: &Current,
        text: &str,
        lines: Lines,
    ) -> Result<String> {
        let expanded = expand(expander, text, &current.environment)?;
        for name in &expanded.unmatched {
            if !current.arguments.iter().any(|argument| argument.key == *name) {
                let known = current.environment.names();
                self.planner.lint.undefined_variable(name, known, lines);
            }
        }
        Ok(expanded.text)
    }

    fn instruction(&mut self, current: &mut Current, step: &super::stage::Step) -> Result<()> {
        let instruction = &step.instruction;
        match &instruction.command {
            Command::Add(copy) => self.copy(current, instruction, copy, &step.sources, true),
            Command::Copy(copy) => self.copy(current, instruction, copy, &step.sources, false),
            Command::Run(run) => self.run(current, instruction, run, &step.sources),
            Command::Workdir(path) => self.workdir(current, instruction, path),
            Command::From(_) => Err(DockerfileError::from(Problem::FromArguments)),
            _ => self.metadata(current, instruction),
        }
    }
}
