//! Profiles in docker's form.

use oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSyscall,
};
use serde::Deserialize;
use varve_types::{Kind, Printable, limits};

/// A profile in docker's form: as the runtime spec's, with rules that hold only for some
/// capabilities, kernels or architectures.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    default_action: LinuxSeccompAction,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Option<Vec<Arch>>,
    #[serde(default)]
    arch_map: Option<Vec<ArchMap>>,
    #[serde(default)]
    syscalls: Option<Vec<Rule>>,
}

/// An architecture and those whose programs it runs besides.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: Arch,
    #[serde(default)]
    sub_architectures: Option<Vec<Arch>>,
}

/// One rule.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rule {
    name: String,
    names: Vec<String>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    args: Option<Vec<LinuxSeccompArg>>,
    includes: Option<Filter>,
    excludes: Option<Filter>,
}

/// When a rule holds. Parts that are empty hold always.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Filter {
    pub(super) caps: Vec<String>,
    pub(super) arches: Vec<String>,
    pub(super) min_kernel: Option<String>,
}

/// What the conditions of rules are about.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Go's name of the architecture, such as `amd64`.
    pub architecture: &'a str,
    /// Version of the kernel.
    pub kernel: (u32, u32),
    /// The capabilities of the container.
    pub capabilities: &'a [Capability],
}

/// Why a profile cannot be used. The messages are docker's.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not JSON of this shape.
    #[error("Decoding seccomp profile failed: {0}")]
    Json(#[from] serde_json::Error),
    /// More than [`limits::SECCOMP_PROFILE_SIZE_BYTES_MAX`].
    #[error("seccomp profile of {0} bytes is larger than the limit of {limit} bytes", limit = limits::SECCOMP_PROFILE_SIZE_BYTES_MAX)]
    TooLarge(usize),
    /// Both ways of naming architectures.
    #[error(
        "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'"
    )]
    Architectures,
    /// Both ways of naming system calls, or none.
    #[error("use either 'name' or 'names' in the seccomp profile")]
    Names,
    /// A kernel version that is none.
    #[error("invalid kernel version in the seccomp profile: {}", Printable(.0))]
    Kernel(String),
}

impl ProfileError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::TooLarge(_) => Kind::Exhausted,
            _ => Kind::Invalid,
        }
    }
}

/// The architectures that run other architectures' programs too.
const COMPATIBLE: [(&str, Arch, &[Arch]); 9] = [
    ("amd64", Arch::ScmpArchX86_64, &[Arch::ScmpArchX86, Arch::ScmpArchX32]),
    ("arm64", Arch::ScmpArchAarch64, &[Arch::ScmpArchArm]),
    ("mips64", Arch::ScmpArchMips64, &[Arch::ScmpArchMips, Arch::ScmpArchMips64n32]),
    ("mips64n32", Arch::ScmpArchMips64n32, &[Arch::ScmpArchMips, Arch::ScmpArchMips64]),
    ("mips64le", Arch::ScmpArchMipsel64, &[Arch::ScmpArchMipsel, Arch::ScmpArchMipsel64n32]),
    ("mips64p32le", Arch::ScmpArchMipsel64n32, &[Arch::ScmpArchMipsel, Arch::ScmpArchMipsel64]),
    ("s390x", Arch::ScmpArchS390x, &[Arch::ScmpArchS390]),
    ("riscv64", Arch::ScmpArchRiscv64, &[]),
    ("386", Arch::ScmpArchX86, &[]),
];

impl Profile {
    pub(super) fn new(
        default_action: LinuxSeccompAction,
        default_errno_ret: Option<u32>,
        rules: Vec<Rule>,
    ) -> Self {
        let arch_map = COMPATIBLE.iter().map(|(_, architecture, others)| ArchMap {
            architecture: *architecture,
            sub_architectures: Some(others.to_vec()),
        });
        let arch_map = Some(arch_map.collect());
        let syscalls = Some(rules);
        Self { default_action, default_errno_ret, architectures: None, arch_map, syscalls }
    }

    /// Parses a profile.
    pub fn parse(json: &str) -> Result<Self, ProfileError> {
        if json.len() > limits::SECCOMP_PROFILE_SIZE_BYTES_MAX {
            return Err(ProfileError::TooLarge(json.len()));
        }
        Ok(serde_json::from_str(json)?)
    }

    /// The rules that hold, in the runtime spec's form.
    pub fn resolve(&self, facts: &Facts) -> Result<LinuxSeccomp, ProfileError> {
        let native = COMPATIBLE.iter().find(|(name, ..)| *name == facts.architecture);
        let architectures = match (&self.architectures, &self.arch_map) {
            (Some(named), Some(map)) if !named.is_empty() && !map.is_empty() => {
                return Err(ProfileError::Architectures);
            }
            (Some(named), _) if !named.is_empty() => Some(named.clone()),
            (_, Some(map)) => map
                .iter()
                .find(|entry| native.is_some_and(|(_, arch, _)| *arch == entry.architecture))
                .map(|entry| {
                    let others = entry.sub_architectures.iter().flatten().copied();
                    [entry.architecture].into_iter().chain(others).collect()
                }),
            _ => None,
        };
        let mut syscalls = Vec::new();
        for rule in self.syscalls.iter().flatten() {
            if rule.holds(facts)? {
                syscalls.push(rule.to_oci()?);
            }
        }
        let mut seccomp = LinuxSeccomp::default();
        seccomp.set_default_action(self.default_action);
        seccomp.set_default_errno_ret(self.default_errno_ret);
        seccomp.set_architectures(architectures);
        seccomp.set_syscalls(Some(syscalls));
        Ok(seccomp)
    }
}

impl Rule {
    pub(super) fn allow(names: &str) -> Self {
        let names = names.split_whitespace().map(str::to_owned).collect();
        Self { names, action: LinuxSeccompAction::ScmpActAllow, ..Self::default() }
    }

    pub(super) fn refuse(names: &str, errno: u32) -> Self {
        let action = LinuxSeccompAction::ScmpActErrno;
        Self { action, errno_ret: Some(errno), ..Self::allow(names) }
    }

    pub(super) fn when(self, argument: LinuxSeccompArg) -> Self {
        Self { args: Some(vec![argument]), ..self }
    }

    pub(super) fn included(self, filter: Filter) -> Self {
        Self { includes: Some(filter), ..self }
    }

    pub(super) fn excluded(self, filter: Filter) -> Self {
        Self { excludes: Some(filter), ..self }
    }

    /// All of what it includes must hold, and nothing of what it excludes.
    fn holds(&self, facts: &Facts) -> Result<bool, ProfileError> {
        let has = |name: &String| facts.has(name);
        let here = |name: &String| facts.is(name);
        if let Some(filter) = &self.excludes
            && (filter.arches.iter().any(here)
                || filter.caps.iter().any(has)
                || filter.min_kernel.as_ref().map_or(Ok(false), |version| facts.since(version))?)
        {
            return Ok(false);
        }
        let Some(filter) = &self.includes else { return Ok(true) };
        Ok((filter.arches.is_empty() || filter.arches.iter().any(here))
            && filter.caps.iter().all(has)
            && filter.min_kernel.as_ref().map_or(Ok(true), |version| facts.since(version))?)
    }

    fn to_oci(&self) -> Result<LinuxSyscall, ProfileError> {
        let names = match (self.name.as_str(), self.names.as_slice()) {
            ("", []) => return Err(ProfileError::Names),
            ("", names) => names.to_vec(),
            (name, []) => vec![name.to_owned()],
            _ => return Err(ProfileError::Names),
        };
        let mut syscall = LinuxSyscall::default();
        syscall.set_names(names);
        syscall.set_action(self.action);
        syscall.set_errno_ret(self.errno_ret);
        let args = self.args.clone().filter(|args| !args.is_empty());
        syscall.set_args(args);
        Ok(syscall)
    }
}

impl Filter {
    pub(super) fn capability(name: &str) -> Self {
        Self { caps: vec![name.to_owned()], ..Self::default() }
    }

    pub(super) fn architectures(names: &[&str]) -> Self {
        Self { arches: names.iter().map(|&name| name.to_owned()).collect(), ..Self::default() }
    }
}

impl Facts<'_> {
    fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|mine| format!("CAP_{mine}") == capability)
    }

    fn is(&self, architecture: &str) -> bool {
        architecture == self.architecture || (architecture == "x86" && self.architecture == "386")
    }

    fn since(&self, version: &str) -> Result<bool, ProfileError> {
        let parsed = version
            .split_once('.')
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        let version: (u32, u32) = parsed.ok_or_else(|| ProfileError::Kernel(version.to_owned()))?;
        Ok(self.kernel >= version)
    }
}
