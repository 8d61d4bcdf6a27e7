//! `create`: an image and what was asked for made into a container that has not run yet.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
};

use varve_fs::durable;
use varve_store::{Named, RootOwner};
use varve_types::{
    Ctx, ImageId, Platform, Printable,
    container::{
        Container, ContainerConfig, ContainerId, ContainerName, HostConfig, NetworkRequest,
    },
};

use super::{ContainerError, volumes};
use crate::{Engine, Error, Result};

/// Names are drawn this many times, with more and more digits.
const NAME_TRIES: u32 = 12;

/// A container to be made.
#[derive(Debug, Clone)]
pub struct CreateContainer<'a> {
    /// The image: a name, ID or prefix of an ID.
    pub image: &'a str,
    /// The container's name; without one it gets one.
    pub name: Option<&'a str>,
    /// Only of this platform.
    pub platform: Option<&'a Platform>,
    /// How its command runs: what the user says; the image says the rest.
    pub config: ContainerConfig,
    /// What it may use of the host.
    pub host_config: HostConfig,
    /// Networks to attach it to, by name.
    pub networks: BTreeMap<String, NetworkRequest>,
}

/// A container that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct CreatedContainer {
    /// The container.
    pub container: Container,
    /// What is not as asked for.
    pub warnings: Vec<String>,
}

impl Engine {
    /// Makes a container. The image must be here.
    pub fn create_container(
        &self,
        ctx: &Ctx<'_>,
        request: &CreateContainer<'_>,
    ) -> Result<CreatedContainer> {
        self.create_container_as(ctx, request, ContainerId::from_random(volumes::random()?))
    }

    /// [`create_container`](Self::create_container), with an ID that nothing else has.
    pub fn create_container_as(
        &self,
        ctx: &Ctx<'_>,
        request: &CreateContainer<'_>,
        id: ContainerId,
    ) -> Result<CreatedContainer> {
        self.tidy_the_cut_off();
        let mut hold = self.store.hold()?;
        let (_, found) = self.find(request.image)?;
        if !hold.image(&found.row.target.digest)? {
            return Err(Error::NoSuchImage(found.shown));
        }
        let opened = self.open_row(&found.row, request.platform, &found.shown).map_err(platform)?;
        let mut config = request.config.clone();
        volumes::check(&config)?;
        config.merge_image(&opened.config.config).map_err(ContainerError::Config)?;
        request.image.clone_into(&mut config.image);
        let mut host_config = request.host_config.clone();
        self.check_links(&host_config)?;
        let settled = self.settle(&config, &mut host_config)?;
        let name = request.name.map(str::parse::<ContainerName>).transpose();
        let name = name.map_err(ContainerError::Name)?;
        if config.hostname.is_empty() {
            config.hostname = id.short();
        }
        let (path, args) = config.command().map_err(ContainerError::Config)?;
        let lease = self.store.lease()?;
        let base = self.store.base(&lease, opened.config.diff_ids())?;
        let containers = self.store.lock_containers()?;
        if let Some(name) = &name
            && let Some(id) = self.store.container_named(name)?
        {
            return Err(ContainerError::NameInUse { name: name.clone(), id }.into());
        }
        let mounts = volumes::resolve(&containers, self, ctx, &config, &mut host_config)?;
        let container = Container {
            id,
            name: match name {
                Some(name) => name,
                None => self.free_name()?,
            },
            created: ctx.now(),
            image_id: ImageId(opened.manifest.config.digest),
            manifest: found.row.target.digest,
            image: request.image.to_owned(),
            platform: opened.config.platform(),
            path,
            args,
            config,
            host_config,
            networks: request.networks.clone(),
            mounts,
            layers: opened.config.diff_ids().to_vec(),
            base: base.layer,
            mount_label: settled.mount_label,
            process_label: settled.process_label,
            app_armor_profile: settled.app_armor_profile,
        };
        let is_fleeting = container.host_config.auto_remove;
        match containers
            .create(&container, is_fleeting, |path| make_directories(path, base.root))?
        {
            Named::Done => Ok(CreatedContainer { container, warnings: settled.warnings }),
            Named::Taken(id) => Err(ContainerError::NameInUse { name: container.name, id }.into()),
            Named::NoImage(_) => Err(Error::NoSuchImage(found.shown)),
        }
    }

    /// Refuses links to containers that are not there. Names of containers are resolved without.
    fn check_links(&self, host: &HostConfig) -> Result<()> {
        for link in host.links.iter().flatten() {
            let name = link.split(':').next().unwrap_or_default();
            if let Err(error) = self.container(name) {
                let text = format!("could not get container for {}: {error}", Printable(name));
                return Err(ContainerError::Invalid(text).into());
            }
        }
        Ok(())
    }

    /// A name that no container has.
    fn free_name(&self) -> Result<ContainerName> {
        for retry in 0..NAME_TRIES {
            let random = volumes::random()?;
            let number = u64::from_le_bytes(random[..8].try_into().unwrap_or_default());
            let name = ContainerName::generated(number, retry);
            if self.store.container_named(&name)?.is_none() {
                return Ok(name);
            }
        }
        let id = ContainerId::from_random(volumes::random()?);
        Ok(id.to_string().parse().map_err(ContainerError::Name)?)
    }
}

/// The writable layer, empty. Its root is the image's.
fn make_directories(container: &Path, root: RootOwner) -> Result<(), varve_store::Error> {
    for name in ["upper", "work"] {
        let path = container.join(name);
        let failed =
            |source| varve_store::Error::Io { action: "create", path: path.clone(), source };
        durable::create_directory(&path, 0o700).map_err(failed)?;
        if name == "upper" {
            // Where owners cannot be given away, the one who may write is the one who asks.
            let _ = chown(&path, Some(root.uid), Some(root.gid));
            fs::set_permissions(&path, Permissions::from_mode(root.mode)).map_err(failed)?;
        }
    }
    Ok(())
}

/// `create` has words of its own for an image of another platform.
fn platform(error: Error) -> Error {
    match error {
        Error::OtherPlatform(mismatch) => {
            let (wanted, found) = (mismatch.wanted, mismatch.found);
            ContainerError::Platform(Box::new((mismatch.reference, wanted, found))).into()
        }
        other => other,
    }
}
