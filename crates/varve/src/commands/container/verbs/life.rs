//! Containers made, started, stopped and waited for.

use varve_engine::{
    ContainerError, CreateContainer, Error as EngineError, Pull as PullImage, PullPlatform,
    container::{Starter, Stop},
};
use varve_types::{
    Platform, Printable, Reference,
    container::{ContainerId, CreateRequest},
};

use super::{Created, Creation, Pull, Result};
use crate::{error::CommandError, progress::Reporter, ui::Ui};

/// A container that is about to be made and started: its monitor gets ready meanwhile.
pub(crate) struct Expected {
    id: ContainerId,
    pub(super) starter: Starter,
}

/// Has a container to be expected.
pub(crate) fn expect(ui: &Ui) -> Result<Expected> {
    let (id, starter) = ui.engine()?.expect_container()?;
    Ok(Expected { id, starter })
}

/// Makes a container, after its image was found or pulled.
pub(crate) fn create(
    ui: &Ui,
    request: &CreateRequest,
    creation: Creation<'_>,
    expected: Option<&Expected>,
) -> Result<Created> {
    let platform = creation.platform.map(str::parse::<Platform>).transpose();
    let platform = platform.map_err(CommandError::daemon)?;
    let image = &request.config.image;
    if creation.pull == Pull::Always {
        pull(ui, image, platform.as_ref(), creation.quiet)?;
    }
    let engine = ui.engine()?;
    let wanted = CreateContainer {
        image,
        name: request.name.as_deref(),
        platform: platform.as_ref(),
        config: request.config.clone(),
        host_config: request.host_config.clone(),
        networks: request.networks.clone(),
    };
    let make = || match expected {
        Some(expected) => engine.create_container_as(&ui.silent(), &wanted, expected.id),
        None => engine.create_container(&ui.silent(), &wanted),
    };
    let created = match make() {
        Err(error) if is_not_here(&error) && creation.pull == Pull::Missing => {
            if !creation.quiet {
                let reference = image.parse::<Reference>().map(Reference::or_latest);
                let shown = reference.map_or_else(|_| image.clone(), |it| it.familiar());
                ui.complain(format_args!("Unable to find image '{shown}' locally"));
            }
            pull(ui, image, platform.as_ref(), creation.quiet)?;
            make()
        }
        other => other,
    }?;
    let id = created.container.id.to_string();
    Ok(Created { id, warnings: created.warnings })
}

/// Whether a pull may help: the image is not here, or only for another platform.
fn is_not_here(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::NoSuchImage(_) | EngineError::Container(ContainerError::Platform(_))
    )
}

/// Pulls an image; progress goes to standard error, standard output is the container's.
fn pull(ui: &Ui, image: &str, platform: Option<&Platform>, quiet: bool) -> Result<()> {
    let reference = image.parse::<Reference>();
    let reference = reference.map_err(|error| CommandError::plain(error.to_string(), 1))?;
    let platform = platform.cloned().map_or(PullPlatform::Host, PullPlatform::Only);
    let progress = Reporter::on_stderr(ui, quiet);
    let request = PullImage { reference: &reference, all_tags: false, platform };
    ui.engine()?.pull(&ui.ctx(&progress), &request)?;
    Ok(())
}

/// Starts a container; it goes on alone.
pub(crate) fn start(ui: &Ui, name: &str, expected: Option<Expected>) -> Result<()> {
    let engine = ui.engine()?;
    let container = engine.container(name)?;
    let warnings = match expected {
        Some(expected) => engine.start_expected(&ui.silent(), &container, expected.starter),
        None => engine.start_container(&ui.silent(), &container),
    };
    say(ui, &warnings?);
    Ok(())
}

/// Stops a container.
pub(crate) fn stop(ui: &Ui, name: &str, request: Stop<'_>) -> Result<()> {
    let engine = ui.engine()?;
    let container = engine.container(name)?;
    Ok(engine.stop_container(&ui.silent(), &container, request)?)
}

/// Stops a container and starts it again.
pub(crate) fn restart(ui: &Ui, name: &str, request: Stop<'_>) -> Result<()> {
    let engine = ui.engine()?;
    let container = engine.container(name)?;
    say(ui, &engine.restart_container(&ui.silent(), &container, request)?);
    Ok(())
}

/// Says what of a container is not as asked for.
pub(super) fn say(ui: &Ui, warnings: &[String]) {
    for warning in warnings {
        ui.complain(format_args!("WARNING: {}", Printable(warning)));
    }
}

/// Sends a signal, as typed; none for `KILL`.
pub(crate) fn kill(ui: &Ui, name: &str, signal: Option<&str>) -> Result<()> {
    let engine = ui.engine()?;
    let killed = engine.container(name).and_then(|container| {
        engine.kill_container(&ui.silent(), &container, signal.unwrap_or("KILL"))
    });
    killed.map_err(|error| {
        CommandError::daemon(format_args!("cannot kill container: {name}: {error}"))
    })
}

/// Waits for the end of a container; gives its exit code.
pub(crate) fn wait(ui: &Ui, name: &str) -> Result<i64> {
    let engine = ui.engine()?;
    let container = engine.container(name)?;
    Ok(engine.wait_container(&ui.silent(), &container)?.into())
}
