//! `--check` and `--call`: reading and planning without running anything.

use std::mem;

use varve_build::{Dockerfile, DockerfileError, Problem, solve::StepIds};
use varve_types::Ctx;

use super::{
    super::{
        BuildError, BuildRequest, ContextSource, Examined, bases::Bases, cache::import::Imports,
        contexts::Contexts, remote::Remotes,
    },
    Build, ShownStep, Watch, first_lint, read_definition,
};
use crate::Engine;

impl Engine {
    /// Reads a Dockerfile and plans all its stages. What is wrong with it is part of the answer.
    pub fn examine_build(
        &self,
        ctx: &Ctx<'_>,
        mut request: BuildRequest<'_>,
        watch: &dyn Watch,
    ) -> Result<Examined, BuildError> {
        let ids = StepIds::default();
        let lease = self.store.lease()?;
        let context = mem::replace(&mut request.context, ContextSource::Empty);
        let remotes = Remotes::new(
            self,
            (ctx, watch, &lease),
            (&request.secrets, &request.ssh),
            request.interrupted,
        );
        let contexts = Contexts::open(self, &remotes, &ids, context, &request.options.contexts)?;
        let definition = contexts.with_main(|place| {
            let show = |name| ShownStep::begin(watch, &ids, name);
            read_definition(&request.dockerfile, place, show)
        })?;
        let source = definition.source;
        let mut options = request.options;
        options.all_stages = true;
        options.platform = request.platforms.into_iter().next();
        options.ignore = Some(definition.ignore);
        let mut lint =
            first_lint(&options).map_err(|error| BuildError::of_dockerfile(error, &source))?;
        let file = match Dockerfile::parse(source.clone(), &mut lint) {
            Ok(file) => file,
            Err(error) => {
                let warnings = lint.warnings().to_vec();
                return Ok(Examined { source, dockerfile: None, warnings, error: Some(error) });
            }
        };
        let show = |name| ShownStep::begin(watch, &ids, name);
        let imports = Imports::read(&remotes, show, &[]);
        let mut build = Build {
            engine: self,
            ctx,
            watch,
            lease: &lease,
            ids: &ids,
            remotes: &remotes,
            imports: &imports,
            exports: &[],
            bases: Bases::new(self, ctx, watch, &lease, request.pull),
            file: file.clone(),
            ignore_size_bytes: definition.ignore_size_bytes,
            ignore_shown: false,
            given: None,
        };
        let error = match build.plan(&options, &mut lint) {
            Ok(_) => None,
            Err(error) => match error.cause.downcast::<DockerfileError>() {
                // That there are warnings is told by them.
                Ok(error) if matches!(*error.problem, Problem::Lint(_)) => None,
                Ok(error) => Some(*error),
                Err(cause) => return Err(BuildError { cause, ..error }),
            },
        };
        let warnings = lint.warnings().to_vec();
        Ok(Examined { source, dockerfile: Some(file), warnings, error })
    }
}
