//! Volumes, and what else is mounted into a container.

use std::{collections::BTreeMap, fs, io, os::unix::fs::DirBuilderExt as _, path::Path};

use varve_store::{Containers, Store};
use varve_types::{
    Ctx, Printable,
    container::{
        Container, ContainerConfig, HostConfig, Mount, MountKind, MountPoint, Propagation, Volume,
        VolumeName, parse,
    },
};

use super::{ContainerError, copy::clean_absolute};
use crate::{Engine, Error, Result};

/// A volume to be made.
#[derive(Debug, Clone, Default)]
pub struct CreateVolume<'a> {
    /// Its name; without one it gets one that nobody would choose.
    pub name: Option<&'a str>,
    /// Who keeps it; `local` or nothing.
    pub driver: &'a str,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
}

/// A volume to be removed.
#[derive(Debug, Clone, Copy)]
pub struct RemoveVolume<'a> {
    /// Its name.
    pub name: &'a str,
    /// A missing one is no error.
    pub force: bool,
}

impl Engine {
    /// Makes a volume, or finds the one of the name. Returns it.
    pub fn create_volume(&self, ctx: &Ctx<'_>, request: &CreateVolume<'_>) -> Result<Volume> {
        let is_named = request.name.is_some_and(|name| !name.is_empty());
        let name = volume_name(request.name.unwrap_or_default())?;
        if !matches!(request.driver, "" | "local") {
            let driver = request.driver.to_owned();
            return Err(ContainerError::VolumeDriver { name: name.to_string(), driver }.into());
        }
        if let Some(option) = request.options.keys().next() {
            let known = matches!(option.as_str(), "type" | "o" | "device" | "size");
            let reason = if known {
                format!("option {option:?} is not supported: nothing is mounted for a volume")
            } else {
                format!("invalid option: {option:?}")
            };
            return Err(ContainerError::VolumeOption { volume: name.to_string(), reason }.into());
        }
        let volume = Volume {
            name,
            driver: "local".to_owned(),
            created: ctx.now(),
            labels: (!request.labels.is_empty()).then(|| request.labels.clone()),
            options: (!request.options.is_empty()).then(|| request.options.clone()),
            anonymous: !is_named,
        };
        Ok(self.store().lock_containers()?.create_volume(&volume)?)
    }

    /// A volume's record.
    pub fn volume(&self, name: &str) -> Result<Volume> {
        let missing = || ContainerError::NoSuchVolume(name.to_owned());
        let parsed: VolumeName = name.parse().map_err(|_| missing())?;
        Ok(self.store().volume(&parsed)?.ok_or_else(missing)?)
    }

    /// All volumes by name, each with how many containers use it.
    pub fn volumes(&self) -> Result<Vec<(Volume, usize)>> {
        let (containers, _) = self.store().containers()?;
        let with_users = |volume: Volume| {
            let users = users(&containers, &volume.name).count();
            (volume, users)
        };
        Ok(self.store().volumes()?.into_iter().map(with_users).collect())
    }

    /// Removes a volume that no container uses. Returns whether it was there.
    pub fn remove_volume(&self, request: RemoveVolume<'_>) -> Result<bool> {
        let locked = self.store().lock_containers()?;
        let volume = match self.volume(request.name) {
            Err(Error::Container(ContainerError::NoSuchVolume(_))) if request.force => {
                return Ok(false);
            }
            other => other?,
        };
        let (containers, _) = self.store().containers()?;
        let ids: Vec<String> =
            users(&containers, &volume.name).map(|user| user.id.to_string()).collect();
        if !ids.is_empty() {
            let name = request.name.to_owned();
            return Err(ContainerError::VolumeInUse { name, ids: ids.join(", ") }.into());
        }
        Ok(locked.remove_volume(&volume.name)?)
    }
}

/// The containers that mount a volume.
pub(crate) fn users<'a>(
    containers: &'a [Container],
    name: &'a VolumeName,
) -> impl Iterator<Item = &'a Container> {
    let uses = |mount: &MountPoint| mount.kind == MountKind::Volume && mount.name == name.as_str();
    containers.iter().filter(move |container| container.mounts.iter().any(uses))
}

/// A volume's name, or one of random digits where none is asked for.
fn volume_name(asked: &str) -> Result<VolumeName> {
    if asked.is_empty() {
        return Ok(VolumeName::anonymous(random()?));
    }
    asked
        .parse()
        .map_err(|source| ContainerError::VolumeName { name: asked.to_owned(), source }.into())
}

/// Bytes that nobody can predict.
pub(crate) fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Error::File {
        action: "read",
        path: "/dev/urandom".to_owned(),
        source: io::Error::other(error),
    })?;
    Ok(bytes)
}

/// Refuses a volume at `/` that the user asks for. It is looked for before the image's volumes are
/// added, which are left out there.
pub(super) fn check(config: &ContainerConfig) -> Result<(), ContainerError> {
    let mut asked = config.volumes.iter().flatten().map(|(path, _)| path);
    match asked.find(|path| clean_absolute(path) == "/") {
        Some(path) => Err(ContainerError::Invalid(format!(
            "invalid volume specification: '{}': invalid mount config for type \"volume\": invalid \
             specification: destination can't be '/'",
            Printable(path)
        ))),
        None => Ok(()),
    }
}

/// Settles what is mounted into a container that is being made, in Docker's order: volumes of
/// other containers, `-v`, `--mount`, `--tmpfs`, the image's volumes. Volumes are made, and
/// directories of the host that `-v` names.
pub(super) fn resolve(
    locked: &Containers<'_>,
    engine: &Engine,
    ctx: &Ctx<'_>,
    config: &ContainerConfig,
    host: &mut HostConfig,
) -> Result<Vec<MountPoint>> {
    let driver = host.volume_driver.clone();
    let mut points = Points { store: engine.store(), locked, now: ctx, driver, list: Vec::new() };
    for from in host.volumes_from.clone().into_iter().flatten() {
        points.of_other(engine, &from)?;
    }
    // What the user asks for replaces what other containers have there, once.
    let inherited = std::mem::take(&mut points.list);
    let binds = host.binds.clone().unwrap_or_default();
    for bind in &binds {
        points.bind(bind)?;
    }
    for mount in &host.mounts {
        points.mount(mount)?;
    }
    for (destination, options) in &host.tmpfs {
        points.add(tmpfs(destination, options))?;
    }
    for point in inherited {
        if !points.has(&point.destination) {
            points.list.push(point);
        }
    }
    for destination in config.volumes.iter().flatten().map(|(path, _)| path) {
        let destination = clean_absolute(destination);
        if destination != "/" && !points.has(&destination) {
            points.anonymous(&destination, true)?;
        }
    }
    // A tmpfs asked for with `--tmpfs` is listed by `inspect` in the host's settings only.
    points.list.retain(|point| {
        point.kind != MountKind::Tmpfs || !host.tmpfs.contains_key(&point.destination)
    });
    Ok(points.list)
}

fn tmpfs(destination: &str, options: &str) -> MountPoint {
    MountPoint {
        tmpfs_options: options.to_owned(),
        ..point(MountKind::Tmpfs, String::new(), clean_absolute(destination), true)
    }
}

fn point(kind: MountKind, source: String, destination: String, rw: bool) -> MountPoint {
    MountPoint {
        kind,
        name: String::new(),
        source,
        destination,
        driver: String::new(),
        mode: String::new(),
        rw,
        propagation: None,
        tmpfs_options: String::new(),
        non_recursive: false,
        read_only_non_recursive: false,
        read_only_force_recursive: false,
        anonymous: false,
        subpath: String::new(),
        copy_image_content: false,
    }
}

struct Points<'a> {
    store: &'a Store,
    locked: &'a Containers<'a>,
    now: &'a Ctx<'a>,
    /// `--volume-driver`; it is not for `--mount`.
    driver: String,
    list: Vec<MountPoint>,
}

impl Points<'_> {
    fn has(&self, destination: &str) -> bool {
        self.list.iter().any(|point| point.destination == destination)
    }

    fn add(&mut self, point: MountPoint) -> Result<(), ContainerError> {
        if self.has(&point.destination) {
            return Err(ContainerError::DuplicateMount(point.destination));
        }
        self.list.push(point);
        Ok(())
    }

    /// `--volumes-from NAME[:ro|rw]`
    fn of_other(&mut self, engine: &Engine, from: &str) -> Result<()> {
        let (name, mode) = from.split_once(':').unwrap_or((from, ""));
        if !matches!(mode, "" | "ro" | "rw" | "z" | "Z") {
            return Err(
                ContainerError::Invalid(format!("invalid mode: {}", Printable(mode))).into()
            );
        }
        for mut point in engine.container(name)?.mounts {
            if point.kind == MountKind::Tmpfs {
                continue;
            }
            point.rw &= mode != "ro";
            point.copy_image_content = false;
            self.list.retain(|other| other.destination != point.destination);
            self.list.push(point);
        }
        Ok(())
    }

    /// `-v SOURCE:DESTINATION[:MODE]`
    fn bind(&mut self, text: &str) -> Result<()> {
        let bind = parse::volume::bind(text).map_err(ContainerError::Setting)?;
        let destination = clean_absolute(bind.destination);
        let made = if bind.kind == MountKind::Volume {
            self.verify_driver(bind.source)?;
            let made = self.volume(bind.source, destination, !bind.read_only, None)?;
            // Docker's word for a volume without a mode of its own.
            let mode = if bind.mode.is_empty() { "z" } else { bind.mode };
            MountPoint { mode: mode.to_owned(), copy_image_content: !bind.no_copy, ..made }
        } else {
            make_directory(bind.source)?;
            let propagation = Some(bind.propagation.unwrap_or(Propagation::Rprivate));
            let made =
                point(MountKind::Bind, clean_absolute(bind.source), destination, !bind.read_only);
            MountPoint { mode: bind.mode.to_owned(), propagation, ..made }
        };
        Ok(self.add(made)?)
    }

    /// `--mount`
    fn mount(&mut self, mount: &Mount) -> Result<()> {
        parse::mount::verify(mount).map_err(ContainerError::Setting)?;
        let destination = clean_absolute(&mount.target);
        let rw = !mount.read_only;
        let made = match mount.kind.as_str() {
            "bind" => {
                let options = mount.bind_options.clone().unwrap_or_default();
                if options.create_mountpoint {
                    make_directory(&mount.source)?;
                } else if fs::symlink_metadata(&mount.source).is_err() {
                    return Err(ContainerError::NoBindSource(mount.source.clone()).into());
                }
                MountPoint {
                    propagation: Some(options.propagation.unwrap_or(Propagation::Rprivate)),
                    non_recursive: options.non_recursive,
                    read_only_non_recursive: options.read_only_non_recursive,
                    read_only_force_recursive: options.read_only_force_recursive,
                    ..point(MountKind::Bind, clean_absolute(&mount.source), destination, rw)
                }
            }
            "tmpfs" => {
                let options = mount.tmpfs_options.clone().unwrap_or_default();
                let mut words = Vec::new();
                if options.size_bytes > 0 {
                    words.push(format!("size={}", options.size_bytes));
                }
                if options.mode != 0 {
                    words.push(format!("mode={:o}", options.mode));
                }
                if mount.read_only {
                    words.push("ro".to_owned());
                }
                MountPoint { rw, ..tmpfs(&destination, &words.join(",")) }
            }
            _ => {
                let options = mount.volume_options.clone().unwrap_or_default();
                let labels = Some(options.labels).filter(|labels| !labels.is_empty());
                let made = self.volume(&mount.source, destination, rw, labels)?;
                // Docker's word for a volume without a mode of its own.
                let mode = "z".to_owned();
                let (subpath, copy) = (options.subpath, !options.no_copy);
                MountPoint { mode, subpath, copy_image_content: copy, ..made }
            }
        };
        Ok(self.add(made)?)
    }

    fn anonymous(&mut self, destination: &str, copy: bool) -> Result<()> {
        self.verify_driver("")?;
        let made = self.volume("", destination.to_owned(), true, None)?;
        Ok(self.add(MountPoint { copy_image_content: copy, ..made })?)
    }

    fn verify_driver(&self, volume: &str) -> Result<(), ContainerError> {
        match self.driver.as_str() {
            "" | "local" => Ok(()),
            driver => {
                let (name, driver) = (volume.to_owned(), driver.to_owned());
                Err(ContainerError::VolumeDriver { name, driver })
            }
        }
    }

    /// A volume, which is made where it is not there.
    fn volume(
        &mut self,
        name: &str,
        destination: String,
        rw: bool,
        labels: Option<BTreeMap<String, String>>,
    ) -> Result<MountPoint> {
        let anonymous = name.is_empty();
        let name = volume_name(name)?;
        let volume = Volume {
            name: name.clone(),
            driver: "local".to_owned(),
            created: self.now.now(),
            labels,
            options: None,
            anonymous,
        };
        let volume = self.locked.create_volume(&volume)?;
        let source = self.store.volume_data(&name).display().to_string();
        Ok(MountPoint {
            name: name.to_string(),
            driver: volume.driver,
            anonymous,
            ..point(MountKind::Volume, source, destination, rw)
        })
    }
}

/// Makes a directory of the host for `-v`, as Docker does where there is nothing.
fn make_directory(path: &str) -> Result<(), ContainerError> {
    let exists = fs::metadata(path).is_ok();
    let made = if exists {
        Ok(())
    } else {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(Path::new(path))
    };
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(|source| ContainerError::BindSource { path: path.to_owned(), source }),
    }
}
