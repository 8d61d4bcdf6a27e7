//! Stages: what each is based on, what it needs of others, and which images must be known.

use std::collections::{BTreeMap, BTreeSet};

use varve_types::{Platform, Reference};

use super::{
    BuildContext, Environment, Need, NeedId, Options, Plan, ResolvedImage,
    arguments::{declared, default_arguments, expand, global_arguments},
    build::Builder,
    need::NeedKey,
};
use crate::{
    dockerfile::{Dockerfile, Stage},
    error::{DockerfileError, Problem, Result},
    expand::{Expander, NoVariables, Variables as _},
    instruction::{Command, Instruction, MountKind, mount_source, read},
    lint::Lint,
    parse::parse_trigger,
    source::Lines,
    suggest::nearest,
};

/// Plans a build; see the module above for the order of calls.
pub struct Planner<'a> {
    pub(super) file: &'a Dockerfile,
    pub(super) options: &'a Options,
    pub(super) lint: &'a mut Lint,
    pub(super) expander: Expander,
    pub(super) globals: Environment,
    pub(super) states: Vec<State>,
    pub(super) target: usize,
    pub(super) images: Vec<(NeedKey, Option<ResolvedImage>)>,
}

/// What a stage is based on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Base {
    Scratch,
    Stage(usize),
    Image(NeedId),
    Context(String),
}

/// A stage of the Dockerfile, or an image or context that is only copied from.
#[derive(Debug)]
pub(super) struct State {
    /// The stage's name as declared.
    name: Option<String>,
    /// The name that steps show; empty when there is one stage only.
    pub(super) shown: String,
    pub(super) base: Base,
    /// The base's name, expanded.
    pub(super) base_name: String,
    pub(super) platform: Option<Platform>,
    pub(super) lines: Lines,
    pub(super) steps: Vec<Step>,
    /// States that instructions of this one need, and where.
    needs: Vec<(usize, Lines)>,
    /// How many steps are counted in names.
    pub(super) total: usize,
    pub(super) ignore_cache: bool,
    /// The named context that stands for the base.
    pub(super) context: Option<String>,
    /// Not a stage of the Dockerfile.
    pub(super) foreign: bool,
    triggers_added: bool,
}

/// An instruction of a stage and the states that it takes files from: of `COPY` one, of `RUN` one
/// for each mount.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) instruction: Instruction,
    pub(super) sources: Vec<Option<usize>>,
}

const SCRATCH: &str = "scratch";

impl<'a> Planner<'a> {
    /// Reads stages and what they need; expands what stands before and in `FROM`.
    pub fn new(file: &'a Dockerfile, options: &'a Options, lint: &'a mut Lint) -> Result<Self> {
        let expander = Expander::new(file.directives.escape.unwrap_or('\\'));
        let defaults = default_arguments(file, options)?;
        if let Ok(globals) = global_arguments(file, &defaults, expander, &BTreeMap::new()) {
            for stage in &file.stages {
                let Ok(base) = expander.expand(&stage.from.base, &globals) else { break };
                if base.text.parse::<Reference>().is_err() {
                    lint.invalid_default(&stage.from.base, stage.lines);
                }
            }
        }
        let globals = global_arguments(file, &defaults, expander, &options.build_args)?;
        let states = Vec::with_capacity(file.stages.len());
        let images = Vec::new();
        let mut planner =
            Self { file, options, lint, expander, globals, states, target: 0, images };
        for (index, stage) in file.stages.iter().enumerate() {
            let state = planner.state(index, stage)?;
            planner.states.push(state);
        }
        planner.target = planner.find_target()?;
        for index in 0..file.stages.len() {
            planner.find_sources(index)?;
        }
        planner.refuse_circles()?;
        if let [only] = planner.states.as_mut_slice() {
            only.shown.clear();
        }
        Ok(planner)
    }

    fn state(&mut self, index: usize, stage: &Stage) -> Result<State> {
        let at = |error: DockerfileError| error.at(stage.lines);
        let from = &stage.from;
        let declared: BTreeSet<&str> = self.globals.names().chain(declared(self.file)).collect();
        let base = expand(self.expander, &from.base, &self.globals).map_err(at)?;
        self.lint.undefined_in_from(&base.unmatched, &declared, stage.lines);
        if base.text.is_empty() {
            return Err(at(Problem::BlankBase(from.base.clone()).into()));
        }
        let mut platform = None;
        if let Some(written) = &from.platform {
            let text = expand(self.expander, written, &self.globals).map_err(at)?;
            self.lint.undefined_in_from(&text.unmatched, &declared, stage.lines);
            let target = self.globals.get("TARGETPLATFORM");
            let name = from.name.as_deref().unwrap_or_default();
            self.lint.platform_flag(written, &text, target, name, stage.lines);
            let near = || {
                let mut names = text.unmatched.iter();
                names.find_map(|name| nearest(name, self.globals.names()))
            };
            let problem = match text.text.parse::<Platform>() {
                Ok(parsed) => {
                    platform = Some(parsed);
                    None
                }
                Err(_) if text.text.is_empty() => Some(Problem::BlankPlatform(written.clone())),
                Err(error) => Some(Problem::Platform(written.clone(), error)),
            };
            if let Some(problem) = problem {
                return Err(at(DockerfileError::from(problem).suggest(near())));
            }
        }
        let shown = from.name.clone().unwrap_or_else(|| format!("stage-{index}"));
        let replaced = from.name.as_ref().filter(|name| self.options.context(name).is_some());
        let base_name = replaced.cloned().unwrap_or(base.text);
        let mut state = State {
            name: from.name.clone(),
            shown,
            base: Base::Scratch,
            base_name,
            platform,
            lines: stage.lines,
            steps: Vec::new(),
            needs: Vec::new(),
            total: 0,
            ignore_cache: self.options.no_cache.covers(from.name.as_deref().unwrap_or_default()),
            context: None,
            foreign: false,
            triggers_added: false,
        };
        let earlier = self.find_stage(&state.base_name).filter(|_| replaced.is_none());
        state.base = match earlier {
            Some(earlier) => Base::Stage(earlier),
            None => self.base(&mut state)?,
        };
        if replaced.is_none() {
            let step = |instruction: &Instruction| Step {
                instruction: instruction.clone(),
                sources: Vec::new(),
            };
            state.steps = stage.instructions.iter().map(step).collect();
        }
        state.total = state.steps.iter().filter(|step| is_counted(&step.instruction)).count()
            + usize::from(!matches!(state.base, Base::Scratch | Base::Stage(_)));
        Ok(state)
    }

    /// What a name means that is no stage's.
    fn base(&mut self, state: &mut State) -> Result<Base> {
        let name = &state.base_name;
        if name == SCRATCH {
            return Ok(Base::Scratch);
        }
        let platform = state.platform.as_ref().unwrap_or(self.options.target_platform()).clone();
        let context = self.options.context(name);
        state.context = context.map(|_| super::context_name(name));
        let (reference, layout) = match context {
            Some(BuildContext::Image(reference)) => (Ok(reference.clone()), None),
            Some(BuildContext::OciLayout(path)) => (name.parse::<Reference>(), Some(path.clone())),
            Some(_) => return Ok(Base::Context(super::context_name(name))),
            None => (name.parse::<Reference>(), None),
        };
        let reference = reference.map_err(|error| {
            let problem = Problem::BaseName(name.clone(), error);
            DockerfileError::from(problem).at(state.lines)
        })?;
        let key = NeedKey { reference: reference.or_latest(), layout, platform };
        if let Some(index) = self.images.iter().position(|(known, _)| *known == key) {
            return Ok(Base::Image(NeedId(index)));
        }
        self.images.push((key, None));
        Ok(Base::Image(NeedId(self.images.len() - 1)))
    }

    /// The last stage of that name.
    fn find_stage(&self, name: &str) -> Option<usize> {
        let fits = |state: &State| {
            state.name.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(name))
        };
        self.states.iter().rposition(fits)
    }

    fn find_target(&self) -> Result<usize> {
        let Some(target) = &self.options.target else { return Ok(self.states.len() - 1) };
        if let Some(found) = self.find_stage(target) {
            return Ok(found);
        }
        if let Some(index) = target.parse().ok().filter(|index: &usize| *index < self.states.len())
        {
            return Ok(index);
        }
        let names = self.states.iter().map(|state| state.shown.as_str());
        let error = DockerfileError::from(Problem::Target(target.clone()));
        Err(error.suggest(nearest(target, names)))
    }

    /// Finds what the instructions of a stage take files from.
    fn find_sources(&mut self, index: usize) -> Result<()> {
        for at in 0..self.states[index].steps.len() {
            let instruction = self.states[index].steps[at].instruction.clone();
            let sources = self.sources(&instruction).map_err(|e| e.at(instruction.lines))?;
            let needs = sources.iter().flatten().map(|source| (*source, instruction.lines));
            let needs: Vec<(usize, Lines)> = needs.collect();
            self.states[index].needs.extend(needs);
            self.states[index].steps[at].sources = sources;
        }
        Ok(())
    }

    fn sources(&mut self, instruction: &Instruction) -> Result<Vec<Option<usize>>> {
        match &instruction.command {
            Command::Copy(copy) => {
                let Some(from) = &copy.from else { return Ok(Vec::new()) };
                let plain = expand(self.expander, from, &NoVariables)?;
                if plain.text != *from {
                    return Err(Problem::FromVariable.into());
                }
                if let Ok(index) = from.parse::<i64>() {
                    let stages = self.file.stages.len();
                    let found = usize::try_from(index).ok().filter(|index| *index < stages);
                    return Ok(vec![Some(found.ok_or(Problem::StageIndex(index))?)]);
                }
                Ok(vec![Some(self.source(from, instruction.lines)?)])
            }
            Command::Run(run) => {
                let sources = run.mounts.iter().map(|mount| {
                    let from = mount_source(mount)?;
                    // The kind may be a variable, so what needs no source gets an empty one.
                    let from = if from.is_empty() { SCRATCH } else { from.as_str() };
                    Ok(Some(self.source(from, instruction.lines)?))
                });
                sources.collect()
            }
            _ => Ok(Vec::new()),
        }
    }

    /// A stage, or a new state for an image or context.
    fn source(&mut self, name: &str, lines: Lines) -> Result<usize> {
        let known = |state: &State| state.foreign && state.base_name == name;
        if let Some(found) = self.find_stage(name).or_else(|| self.states.iter().position(known)) {
            return Ok(found);
        }
        let mut state = State {
            name: None,
            shown: String::new(),
            base: Base::Scratch,
            base_name: name.to_owned(),
            platform: None,
            lines,
            steps: Vec::new(),
            needs: Vec::new(),
            total: 0,
            ignore_cache: false,
            context: None,
            foreign: true,
            triggers_added: true,
        };
        state.base = self.base(&mut state)?;
        self.states.push(state);
        Ok(self.states.len() - 1)
    }

    fn refuse_circles(&self) -> Result<()> {
        let mut done = vec![false; self.states.len()];
        for start in 0..self.states.len() {
            // Depth first without recursion: a path of states, each with its next need.
            let mut path: Vec<(usize, usize)> = vec![(start, 0)];
            while let Some((state, next)) = path.last_mut() {
                if done[*state] {
                    path.pop();
                    continue;
                }
                let Some((need, _)) = self.states[*state].needs.get(*next) else {
                    done[*state] = true;
                    path.pop();
                    continue;
                };
                *next += 1;
                let Some(from) = path.iter().position(|(known, _)| known == need) else {
                    path.push((*need, 0));
                    continue;
                };
                let shown = self.states[start].shown.clone();
                let mut error = DockerfileError::from(Problem::Circular(shown));
                error.at = path[from..]
                    .iter()
                    .map(|(state, next)| self.states[*state].needs[next - 1].1)
                    .collect();
                return Err(error);
            }
        }
        Ok(())
    }

    /// The states that the target needs, or all when all are planned.
    pub(super) fn reachable(&self) -> Vec<bool> {
        let mut reachable = vec![self.options.all_stages; self.states.len()];
        let mut open: Vec<usize> = vec![self.target];
        if self.options.all_stages {
            open.extend(0..self.states.len());
        }
        let mut seen = vec![false; self.states.len()];
        while let Some(index) = open.pop() {
            if std::mem::replace(&mut seen[index], true) {
                continue;
            }
            reachable[index] = true;
            let state = &self.states[index];
            open.extend(state.needs.iter().map(|(need, _)| *need));
            if let Base::Stage(base) = state.base {
                open.push(base);
            }
        }
        reachable
    }

    /// The images that are not yet supplied. Asked again after each round of supplies: triggers of
    /// base images may need more.
    pub fn needs(&mut self) -> Result<Vec<Need>> {
        loop {
            let reachable = self.reachable();
            let mut added = false;
            for (index, _) in reachable.iter().enumerate().filter(|(_, reachable)| **reachable) {
                added |= self.add_triggers(index)?;
            }
            if !added {
                break;
            }
        }
        let reachable = self.reachable();
        let mut needs: BTreeMap<usize, Need> = BTreeMap::new();
        for (state, _) in self.states.iter().zip(&reachable).filter(|(_, reachable)| **reachable) {
            let Base::Image(id) = state.base else { continue };
            let (key, found) = &self.images[id.0];
            if found.is_some() || needs.contains_key(&id.0) {
                continue;
            }
            let platform = self.options.show_platform.then(|| format!("{} ", key.platform));
            let platform = platform.unwrap_or_default();
            let from = match &state.context {
                Some(context) => format!("context {context}"),
                None => format!("{platform}internal"),
            };
            needs.insert(
                id.0,
                Need {
                    id,
                    reference: key.reference.clone(),
                    layout: key.layout.clone(),
                    platform: key.platform.clone(),
                    name: state.base_name.clone(),
                    lines: state.lines,
                    step_name: format!("[{from}] load metadata for {}", key.reference),
                },
            );
        }
        Ok(needs.into_values().collect())
    }

    /// Tells what an image is.
    pub fn supply(&mut self, id: NeedId, image: ResolvedImage) {
        if let Some((_, slot)) = self.images.get_mut(id.0) {
            *slot = Some(image);
        }
    }

    /// Puts the triggers of a stage's base before its instructions, once they are known.
    fn add_triggers(&mut self, index: usize) -> Result<bool> {
        let state = &self.states[index];
        if state.triggers_added {
            return Ok(false);
        }
        let triggers: Vec<String> = match state.base {
            Base::Scratch | Base::Context(_) => Vec::new(),
            Base::Image(id) => match &self.images[id.0].1 {
                Some(image) => image.config.config.on_build.clone().unwrap_or_default(),
                None => return Ok(false),
            },
            Base::Stage(base) => {
                let steps = self.states[base].steps.iter();
                steps
                    .filter_map(|step| match &step.instruction.command {
                        Command::OnBuild(text) => Some(text.clone()),
                        _ => None,
                    })
                    .collect()
            }
        };
        let lines = state.lines;
        self.states[index].triggers_added = true;
        let mut steps = Vec::with_capacity(triggers.len());
        for trigger in &triggers {
            let node = parse_trigger(trigger, lines)?;
            let instruction = read(&node, &mut Lint::new()).map_err(|mut error| {
                error.in_instruction = false;
                error
            })?;
            let refused = match &instruction.command {
                Command::From(_) | Command::Maintainer(_) => Some(node.name.to_uppercase()),
                Command::OnBuild(_) => Some("ONBUILD".to_owned()),
                _ => None,
            };
            if let Some(name) = refused {
                return Err(DockerfileError::from(Problem::OnBuildNotAllowed(name)).at(lines));
            }
            let sources = self.sources(&instruction).map_err(|error| error.at(lines))?;
            let needs: Vec<(usize, Lines)> =
                sources.iter().flatten().map(|s| (*s, lines)).collect();
            self.states[index].needs.extend(needs);
            steps.push(Step { instruction, sources });
        }
        if steps.is_empty() {
            return Ok(false);
        }
        self.states[index].steps.splice(0..0, steps);
        self.refuse_circles()?;
        Ok(true)
    }

    /// Makes the plan. Every need must have been supplied.
    pub fn finish(self) -> Result<Plan> {
        Builder::new(self).build()
    }

    /// The stages: number, name, base as written, description; the last one is the default target.
    pub fn stages(&self) -> impl Iterator<Item = &Stage> {
        self.file.stages.iter()
    }
}

fn is_counted(instruction: &Instruction) -> bool {
    use Command::{Add, Copy, Run, Workdir};
    matches!(instruction.command, Add(_) | Copy(_) | Run(_) | Workdir(_))
}

/// Whether a mount of this kind takes files from a state.
pub(super) fn takes_files(kind: MountKind) -> bool {
    matches!(kind, MountKind::Bind | MountKind::Cache)
}
