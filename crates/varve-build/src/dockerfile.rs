//! A Dockerfile: global arguments, and stages with their instructions.

use varve_types::limits;

use crate::{
    error::{DockerfileError, Problem, Result},
    instruction::{Argument, Command, From, Instruction, read},
    lint::Lint,
    parse::{Directives, parse},
    source::{Lines, Source},
};

/// A Dockerfile whose instructions are understood and whose variables are not yet expanded.
#[derive(Debug, Clone)]
pub struct Dockerfile {
    /// The text.
    pub source: Source,
    /// The directives.
    pub directives: Directives,
    /// Arguments before the first `FROM`, with their places.
    pub arguments: Vec<(Argument, Lines)>,
    /// The stages; at least one.
    pub stages: Vec<Stage>,
}

/// One stage.
#[derive(Debug, Clone)]
pub struct Stage {
    /// What its `FROM` says.
    pub from: From,
    /// The word `FROM` as written.
    pub name_of_from: String,
    /// The `FROM` as written.
    pub code: String,
    /// Where the `FROM` is.
    pub lines: Lines,
    /// What follows it.
    pub instructions: Vec<Instruction>,
}

impl Dockerfile {
    /// Reads a Dockerfile. `lint` gets what its own directive says and hears of what is doubtful.
    pub fn parse(source: Source, lint: &mut Lint) -> Result<Self> {
        let nodes = parse(&source.bytes)?;
        if let Some(check) = &nodes.directives.check {
            lint.configure(&check.value)?;
        }
        for lines in &nodes.empty_continuations {
            lint.empty_continuation(*lines);
        }
        let (mut arguments, mut stages) = (Vec::new(), Vec::<Stage>::new());
        for node in &nodes.nodes {
            let instruction = read(node, lint)?;
            let (lines, code) = (instruction.lines, instruction.code.clone());
            let full = stages.len() == limits::DOCKERFILE_STAGES_MAX;
            match (instruction.command, stages.last_mut()) {
                (Command::Arg(list), None) => {
                    arguments.extend(list.into_iter().map(|argument| (argument, lines)));
                }
                (Command::From(_), _) if full => {
                    return Err(DockerfileError::from(Problem::TooManyStages).at(lines));
                }
                (Command::From(from), _) => stages.push(Stage {
                    from,
                    name_of_from: instruction.name,
                    code,
                    lines,
                    instructions: Vec::new(),
                }),
                (command, Some(stage)) => {
                    stage.instructions.push(Instruction { code, command, ..instruction });
                }
                (_, None) => return Err(DockerfileError::from(Problem::NoStage).at(lines)),
            }
        }
        if stages.is_empty() {
            return Err(Problem::NoStages.into());
        }
        let directives = nodes.directives;
        lint.stage_names(&stages);
        lint.instruction_casing(&stages);
        Ok(Self { source, directives, arguments, stages })
    }
}
