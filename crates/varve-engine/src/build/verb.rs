//! The verb itself: read, plan, solve, publish.

mod caches;
mod examine;

use std::{
    mem,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use jiff::Timestamp;
use varve_build::{
    Dockerfile, Lint, Options, Plan, Planner, Source, Warning, lint,
    plan::{LOAD_IGNORE_NAME, Need, NeedId, Op, ResolvedImage},
    solve::{BuildEvent, ImageTime, LayerTimes, Solve, Solved, StepId, StepIds, Watch},
};
use varve_distribution::archive::BuildArchive;
use varve_fs::tar::Time;
use varve_store::Lease;
use varve_types::{Ctx, DiffId, Digest, Kind, Platform, Reference, limits};

use super::{
    BuildError, BuildOutput, BuildPhase, BuildRequest, BuildTimes, Built, BuiltImage, CacheExport,
    ContextSource, Destination,
    bases::{Base, Bases},
    cache::import::Imports,
    contexts::Contexts,
    dockerfile::{Definition, read_definition},
    failure::failed,
    publish::StoredImage,
    remote::Remotes,
    run::{LOG_SIZE_BYTES_MAX, Settings},
    shown::{Pushing, ShownStep},
    world::BuildWorld,
};
use crate::{Engine, Push};

/// The build argument that wins over the variable of the same name.
const EPOCH_ARGUMENT: &str = "SOURCE_DATE_EPOCH";
/// The variable of docker's builder that says how many bytes of a program's output are told; a
/// negative number: all.
const LOG_SIZE: &str = "BUILDKIT_STEP_LOG_MAX_SIZE";
/// The build argument that stands for `# check=`.
const CHECK_ARGUMENT: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// A build at work.
struct Build<'a> {
    engine: &'a Engine,
    ctx: &'a Ctx<'a>,
    watch: &'a dyn Watch,
    lease: &'a Lease,
    ids: &'a StepIds,
    remotes: &'a Remotes<'a>,
    imports: &'a Imports<'a>,
    /// Where the cache is written to.
    exports: &'a [CacheExport],
    bases: Bases<'a>,
    file: Dockerfile,
    ignore_size_bytes: u64,
    /// Whether the step that reads `.dockerignore` was shown.
    ignore_shown: bool,
    /// `SOURCE_DATE_EPOCH`.
    given: Option<Timestamp>,
}

impl Engine {
    /// Builds. A build that fails or is interrupted has changed no name; what was finished stays in
    /// the cache.
    pub fn build(
        &self,
        ctx: &Ctx<'_>,
        mut request: BuildRequest<'_>,
        watch: &dyn Watch,
    ) -> Result<Built, BuildError> {
        let ids = StepIds::default();
        let lease = self.store.lease()?;
        let context = mem::replace(&mut request.context, ContextSource::Empty);
        let outputs = mem::take(&mut request.outputs);
        let exports = mem::take(&mut request.cache_to);
        let remotes = Remotes::new(
            self,
            (ctx, watch, &lease),
            (&request.secrets, &request.ssh),
            request.interrupted,
        );
        let mut contexts =
            Contexts::open(self, &remotes, &ids, context, &request.options.contexts)?;
        let definition = contexts.with_main(|place| {
            let show = |name| ShownStep::begin(watch, &ids, name);
            read_definition(&request.dockerfile, place, show)
        })?;
        contexts.leave_out(definition.ignore.clone());
        let source = &definition.source;
        let mut lint = first_lint(&request.options)
            .map_err(|error| BuildError::of_dockerfile(error, source))?;
        let file = Dockerfile::parse(source.clone(), &mut lint)
            .map_err(|e| BuildError::of_dockerfile(e, source).with_warnings(lint.warnings()))?;
        let show = |name| ShownStep::begin(watch, &ids, name);
        let imports = Imports::read(&remotes, show, &request.cache_from);
        let mut build = Build {
            engine: self,
            ctx,
            watch,
            lease: &lease,
            ids: &ids,
            remotes: &remotes,
            imports: &imports,
            exports: &exports,
            bases: Bases::new(self, ctx, watch, &lease, request.pull),
            file,
            ignore_size_bytes: definition.ignore_size_bytes,
            ignore_shown: false,
            given: given_epoch(&request.options, request.source_date_epoch)?,
        };
        let mut warnings = None;
        let made = build.platforms(&request, &definition, &contexts, &lint, |lint| {
            if warnings.is_none() {
                warn(watch, definition.step, lint.warnings());
                warnings = Some(lint.warnings().to_vec());
            }
        });
        let image = made.and_then(|made| {
            let image = build.outputs(&made, request.times, outputs, &request.annotations)?;
            build.write_caches(&made)?;
            Ok(image)
        });
        let warnings = warnings.unwrap_or_default();
        match image {
            Ok(image) => Ok(Built { image, warnings }),
            Err(error) => Err(error.with_warnings(&warnings)),
        }
    }
}

/// What programs find besides what the Dockerfile says.
fn settings<'a>(request: &'a BuildRequest<'_>, ctx: &Ctx<'_>) -> Settings<'a> {
    let log_size = ctx.environment.get(LOG_SIZE).and_then(|text| text.parse().ok());
    Settings {
        interrupted: request.interrupted,
        secrets: &request.secrets,
        ssh: &request.ssh,
        allow_insecure: request.allow_insecure,
        allow_host_network: request.allow_host_network,
        limits: request.limits.clone(),
        cgroup_parent: &request.cgroup_parent,
        log_bytes_max: u64::try_from(log_size.unwrap_or(LOG_SIZE_BYTES_MAX)).ok(),
        now: ctx.now(),
    }
}

impl<'a> Build<'a> {
    fn show(&self, name: String) -> ShownStep<'a> {
        ShownStep::begin(self.watch, self.ids, name)
    }

    fn source(&self) -> &Source {
        &self.file.source
    }

    /// Builds for each platform; `planned` hears what the checks found when a plan is made.
    fn platforms(
        &mut self,
        request: &BuildRequest<'_>,
        definition: &Definition,
        contexts: &Contexts<'_>,
        lint: &Lint,
        mut planned: impl FnMut(&Lint),
    ) -> Result<Vec<(Plan, Solved)>, BuildError> {
        let platforms: Vec<Option<Platform>> = match request.platforms.as_slice() {
            [] => vec![None],
            platforms => platforms.iter().cloned().map(Some).collect(),
        };
        let mut made = Vec::with_capacity(platforms.len());
        for platform in &platforms {
            let mut options = request.options.clone();
            options.platform.clone_from(platform);
            options.show_platform = platforms.len() > 1;
            options.ignore = Some(definition.ignore.clone());
            let mut lint = lint.clone();
            let plan = self.plan(&options, &mut lint);
            planned(&lint);
            let plan = plan?;
            let world = BuildWorld {
                bases: &self.bases,
                contexts,
                engine: self.engine,
                remotes: self.remotes,
                imports: self.imports,
                watch: self.watch,
                settings: settings(request, self.ctx),
                programs: &OnceLock::new(),
            };
            let solved = self.solve(&plan, request.times, &world);
            contexts.remember();
            made.push((plan, solved?));
        }
        Ok(made)
    }

    /// Plans for one platform, finding the images on the way.
    fn plan(&mut self, options: &Options, lint: &mut Lint) -> Result<Plan, BuildError> {
        let bad = |error| BuildError::of_dockerfile(error, &self.file.source);
        let mut planner = Planner::new(&self.file, options, lint).map_err(bad)?;
        loop {
            let needs = planner.needs().map_err(bad)?;
            if needs.is_empty() {
                break;
            }
            for (id, image) in self.resolve(&needs)? {
                planner.supply(id, image);
            }
        }
        if !self.ignore_shown {
            let step = self.show(LOAD_IGNORE_NAME.to_owned());
            step.transferred("transferring context:", self.ignore_size_bytes);
            step.done();
        }
        let plan = planner.finish().map_err(bad)?;
        self.ignore_shown = true;
        Ok(plan)
    }

    /// Finds images, several at once.
    fn resolve(&self, needs: &[Need]) -> Result<Vec<(NeedId, ResolvedImage)>, BuildError> {
        let (found, next) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
        let work = || {
            while let Some(need) = needs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let step = self.show(need.step_name.clone());
                let one = self.bases.resolve(need, step).map_err(|e| (need.lines, e));
                let failed = one.is_err();
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                found.push(one.map(|image| (need.id, image)));
                if failed {
                    next.store(needs.len(), Ordering::Relaxed);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..needs.len().min(limits::BUILD_STEPS_AT_ONCE_MAX) {
                scope.spawn(work);
            }
            work();
        });
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        let found: Result<Vec<_>, _> = found.into_iter().collect();
        found.map_err(|(lines, error)| error.at(self.source(), &[lines]))
    }

    /// The one time of a build for one platform. What other platforms start from says nothing.
    fn epoch(&self, plan: &Plan) -> Timestamp {
        let images = plan.vertices.iter().filter_map(|vertex| match &vertex.op {
            Op::Image(step) => self.bases.of_step(step)?.config.created,
            _ => None,
        });
        self.given.or_else(|| images.max()).unwrap_or_default()
    }

    fn solve(
        &self,
        plan: &Plan,
        times: BuildTimes,
        world: &BuildWorld<'_>,
    ) -> Result<Solved, BuildError> {
        let epoch = Time { seconds: self.epoch(plan).as_second(), nanoseconds: 0 };
        let solve = Solve {
            plan,
            store: &self.engine.store,
            lease: self.lease,
            world,
            watch: self.watch,
            clock: self.ctx.clock,
            times: LayerTimes { how: times.of_layers(), epoch },
            ids: self.ids,
            threads: limits::BUILD_STEPS_AT_ONCE_MAX,
            keys: self.keys_of(),
        };
        solve.run().map_err(|error| BuildError::of_solve(error, self.source()))
    }

    fn image_time(&self, plan: &Plan, times: BuildTimes) -> ImageTime {
        match (times, self.given) {
            (_, Some(given)) => ImageTime::Given(given),
            (BuildTimes::Now, None) => ImageTime::Real,
            (BuildTimes::Epoch | BuildTimes::Keep, None) => ImageTime::Build(self.epoch(plan)),
        }
    }

    fn outputs(
        &self,
        made: &[(Plan, Solved)],
        times: BuildTimes,
        outputs: Vec<BuildOutput<'_>>,
        annotations: &[(String, String)],
    ) -> Result<Option<BuiltImage>, BuildError> {
        let mut built = None;
        for output in outputs {
            match output {
                BuildOutput::Image { names, push } => {
                    let step = self.show("exporting to image".to_owned());
                    step.part("exporting layers", false);
                    let image = self.image(made, times, annotations)?;
                    step.part("exporting layers", true);
                    if self.has_inline_cache() {
                        step.part("preparing layers for inline cache", true);
                    }
                    let mut image = self.engine.name_image(self.ctx, &image, &names, &step)?;
                    step.done();
                    if push {
                        image.pushed = self.push(&image.names)?;
                    }
                    built = Some(image);
                }
                BuildOutput::Directory(directory) => {
                    let step = self.show("exporting to client directory".to_owned());
                    let mut size_bytes = 0;
                    for (place, layers) in self.files(made, &step)? {
                        let to = directory.join(place);
                        size_bytes += self.engine.export_directory(&layers, &to)?;
                    }
                    step.transferred("copying files", size_bytes);
                    step.done();
                }
                BuildOutput::Tar(to) => {
                    let step = self.show("exporting to client tarball".to_owned());
                    let [(_, layers)] = &self.files(made, &step)?[..] else {
                        let text = "files of several platforms cannot be exported as one tar";
                        return Err(failed(Kind::Unsupported, text));
                    };
                    self.engine.export_tar(layers, to)?;
                    step.part("sending tarball", true);
                    step.done();
                }
                BuildOutput::OciArchive { names, to } => {
                    let image = self.image(made, times, annotations)?;
                    let archive = self.archive(&image, names, BuildArchive::Oci, to)?;
                    built = built.or(Some(archive));
                }
                BuildOutput::DockerArchive { names, to } => {
                    let image = self.image(made, times, annotations)?;
                    let archive = self.archive(&image, names, BuildArchive::Docker, to)?;
                    built = built.or(Some(archive));
                }
            }
        }
        Ok(built)
    }

    fn archive(
        &self,
        image: &StoredImage,
        names: Vec<Reference>,
        form: BuildArchive,
        to: Destination<'_>,
    ) -> Result<BuiltImage, BuildError> {
        let kind = match form {
            BuildArchive::Oci => "oci",
            BuildArchive::Docker => "docker",
        };
        let step = self.show(format!("exporting to {kind} image format"));
        let manifest = image.target.digest;
        step.part("exporting layers", true);
        step.part(&format!("exporting manifest {manifest}"), true);
        step.part(&format!("exporting config {}", image.image), true);
        self.engine.export_archive(image, &names, form, to)?;
        step.part("sending tarball", true);
        step.done();
        Ok(BuiltImage { id: image.image, manifest, pushed: None, names })
    }

    /// The layers of each platform's files, with the directory of its own where there are several.
    fn files(
        &self,
        made: &[(Plan, Solved)],
        step: &ShownStep<'_>,
    ) -> Result<Vec<(String, Vec<DiffId>)>, BuildError> {
        let mut files = Vec::with_capacity(made.len());
        for (plan, solved) in made {
            let mut layers = match self.base(plan, solved) {
                Some(base) => {
                    let layers = self.bases.layers(&base, step.id());
                    layers.map_err(|fault| failed(fault.kind(), fault))?
                }
                None => Vec::new(),
            };
            layers.extend(solved.layers.iter().map(|made| made.layer.diff_id));
            let platform = plan.image.config.platform().to_string().replace('/', "_");
            files.push((if made.len() > 1 { platform } else { String::new() }, layers));
        }
        Ok(files)
    }

    /// Pushes under all names; gives the manifest's digest as it is in the registry.
    fn push(&self, names: &[Reference]) -> Result<Option<Digest>, BuildError> {
        let mut digest = None;
        for name in names {
            let step = self.show(format!("pushing {name} with docker"));
            let text = name.familiar();
            let push = Push {
                reference: name,
                text: &text,
                all_tags: false,
                platform: None,
                compression: None,
            };
            let progress = Pushing::new(&step);
            let pushed = self.engine.push(&Ctx { progress: &progress, ..*self.ctx }, &push);
            digest = progress.end().or(digest);
            if let Err(error) = pushed {
                step.fail(&error.to_string());
                return Err(BuildError { phase: BuildPhase::Push, ..error.into() });
            }
            step.done();
        }
        Ok(digest)
    }

    /// The image at the bottom.
    fn base(&self, plan: &Plan, solved: &Solved) -> Option<Base> {
        match &plan.vertices[solved.image?.0].op {
            Op::Image(step) => self.bases.of_step(step),
            _ => None,
        }
    }

    /// The image of all platforms, stored and pinned.
    fn image(
        &self,
        made: &[(Plan, Solved)],
        times: BuildTimes,
        annotations: &[(String, String)],
    ) -> Result<StoredImage, BuildError> {
        let mut images = Vec::with_capacity(made.len());
        for (plan, solved) in made {
            let base = self.base(plan, solved);
            let time = self.image_time(plan, times);
            let base = (&self.bases, base.as_ref());
            let inline = self.has_inline_cache().then_some(self.ctx);
            let engine = self.engine;
            let image =
                engine.store_image(self.lease, (plan, solved), base, time, annotations, inline);
            images.push(image?);
        }
        let image = self.engine.store_index(self.lease, &images, &Platform::host())?;
        image.ok_or_else(|| failed(Kind::Internal, "nothing was built"))
    }
}

/// The checks, as the caller wants them.
fn first_lint(options: &Options) -> Result<Lint, varve_build::DockerfileError> {
    match options.build_args.get(CHECK_ARGUMENT) {
        Some(text) => Lint::with_options(text),
        None => Ok(Lint::new()),
    }
}

/// Tells what the checks found, under the step that read the Dockerfile.
fn warn(watch: &dyn Watch, id: StepId, warnings: &[Warning]) {
    for text in lint::progress_lines(warnings) {
        watch.event(&BuildEvent::Warning { id, text: &text });
    }
}

fn given_epoch(
    options: &Options,
    environment: Option<i64>,
) -> Result<Option<Timestamp>, BuildError> {
    let seconds = match options.build_args.get(EPOCH_ARGUMENT).map(String::as_str) {
        None | Some("") => environment,
        Some(text) => Some(text.parse().map_err(|_| {
            let text = format!("invalid SOURCE_DATE_EPOCH: {}", varve_types::Printable(text));
            failed(Kind::Invalid, text)
        })?),
    };
    let time = seconds.map(Timestamp::from_second).transpose();
    time.map_err(|_| failed(Kind::Invalid, "invalid SOURCE_DATE_EPOCH: no such time"))
}
