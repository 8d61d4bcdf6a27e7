//! Limits: what is asked for against each other and the machine, and what follows from that.

use varve_types::{Kind, Printable, container::HostConfig};

use super::{Controls, Machine};

/// Bytes of the least memory with which a program can be started.
const MEMORY_MIN: i64 = 6 << 20;

// Docker's warnings.
const NO_MEMORY: &str = "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.";
const NO_SWAP: &str = "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.";
const NO_SWAPPINESS: &str = "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.";
const NO_RESERVATION: &str = "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.";
const NO_OOM_KILL_DISABLE: &str =
    "Your kernel does not support OomKillDisable. OomKillDisable discarded.";
const OOM_KILL_DISABLED: &str = "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.";
const NO_PIDS: &str = "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.";
const NO_SHARES: &str =
    "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.";
const NO_QUOTA: &str =
    "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.";
const NO_CPUSET: &str =
    "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.";
const NO_BLOCK_WEIGHT: &str =
    "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.";
const NO_BLOCK_WEIGHT_DEVICE: &str = "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.";
const NO_READ_BPS: &str = "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded.";
const NO_WRITE_BPS: &str = "Your kernel does not support BPS Block I/O write limit or the cgroup is not mounted. Block I/O BPS write limit discarded.";
const NO_READ_IOPS: &str = "Your kernel does not support IOPS Block read limit or the cgroup is not mounted. Block I/O IOPS read limit discarded.";
const NO_WRITE_IOPS: &str = "Your kernel does not support IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded.";

/// Why limits make no sense. The messages are docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// Less than any program needs.
    #[error("Minimum memory limit allowed is 6MB")]
    MemoryMin,
    /// A swap limit that is below the memory limit, which it includes.
    #[error("Minimum memoryswap limit should be larger than memory limit, see usage")]
    SwapBelowMemory,
    /// A swap limit alone.
    #[error("You should always set the Memory limit when using Memoryswap limit, see usage")]
    SwapAlone,
    /// The reservation is above the limit.
    #[error("Minimum memory limit can not be less than memory reservation limit, see usage")]
    Reservation,
    /// A reservation below what any program needs.
    #[error("Minimum memory reservation allowed is 6MB")]
    ReservationMin,
    /// Neither -1 nor 0 to 100.
    #[error("Invalid value: {0}, valid memory swappiness range is 0-100")]
    Swappiness(i64),
    /// More processors than there are, or a negative number.
    #[error("Range of CPUs is from 0.01 to {0}.00, as there are only {0} CPUs available")]
    Cpus(u32),
    /// `--cpus` beside `--cpu-period` or `--cpu-quota`. The member is the other one's name.
    #[error("Conflicting options: Nano CPUs and CPU {0} cannot both be set")]
    CpusTwice(&'static str),
    /// Outside the kernel's range.
    #[error("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")]
    CpuPeriod,
    /// Less than the kernel takes.
    #[error("CPU cfs quota can not be less than 1ms (i.e. 1000)")]
    CpuQuota,
    /// Processors that are not there.
    #[error(
        "Requested CPUs are not available - requested {}, available: {available}",
        Printable(requested)
    )]
    Cpuset {
        /// Those asked for.
        requested: String,
        /// Those that are there.
        available: String,
    },
    /// Memory nodes that are not there.
    #[error(
        "Requested memory nodes are not available - requested {}, available: {available}",
        Printable(requested)
    )]
    Nodes {
        /// Those asked for.
        requested: String,
        /// Those that are there.
        available: String,
    },
    /// Not a list of numbers. The second member is `cpus` or `mems`.
    #[error("Invalid value {} for cpuset {}", Printable(.0), .1)]
    CpusetFormat(String, &'static str),
    /// Times of processors where they cannot be limited.
    #[error(
        "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted"
    )]
    NoCpus,
    /// A weight outside the kernel's range.
    #[error("Range of blkio weight is from 10 to 1000")]
    BlockWeight,
    /// Less than nothing.
    #[error("SHM size can not be less than 0")]
    Shm,
    /// Outside the kernel's range.
    #[error("Invalid value {0}, range for oom score adj is [-1000, 1000]")]
    OomScore(i32),
}

impl LimitError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Cpus(_) | Self::Cpuset { .. } | Self::Nodes { .. } | Self::NoCpus => {
                Kind::Unsupported
            }
            _ => Kind::Invalid,
        }
    }
}

/// Checks the limits asked for against each other and the machine, and fills in those that
/// follow from others: twice the memory with swap where no swap limit was given, 64 MiB of
/// `/dev/shm`. What the machine cannot limit is taken out. Returns docker's warnings about that.
pub fn settle_limits(
    host: &mut HostConfig,
    machine: &Machine,
) -> Result<Vec<&'static str>, LimitError> {
    let mut warnings = Vec::new();
    settle_memory(host, &machine.controls, &mut warnings)?;
    if !machine.controls.pids && host.pids_limit.take().is_some_and(|limit| limit > 0) {
        warnings.push(NO_PIDS);
    }
    settle_cpus(host, machine, &mut warnings)?;
    settle_blocks(host, &machine.controls, &mut warnings)?;
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        return Err(LimitError::OomScore(host.oom_score_adj));
    }
    if host.shm_size < 0 {
        return Err(LimitError::Shm);
    }
    if host.shm_size == 0 {
        host.shm_size = varve_types::container::SHM_SIZE_BYTES;
    }
    Ok(warnings)
}

fn settle_memory(
    host: &mut HostConfig,
    controls: &Controls,
    warnings: &mut Vec<&'static str>,
) -> Result<(), LimitError> {
    if host.memory != 0 && host.memory < MEMORY_MIN {
        return Err(LimitError::MemoryMin);
    }
    if host.memory > 0 && host.memory_swap == 0 {
        host.memory_swap = host.memory.saturating_mul(2);
    }
    if host.memory > 0 && !controls.memory {
        warnings.push(NO_MEMORY);
        (host.memory, host.memory_swap) = (0, -1);
    }
    if host.memory > 0 && host.memory_swap != -1 && !controls.swap {
        warnings.push(NO_SWAP);
        host.memory_swap = -1;
    }
    if host.memory > 0 && host.memory_swap > 0 && host.memory_swap < host.memory {
        return Err(LimitError::SwapBelowMemory);
    }
    if host.memory == 0 && host.memory_swap > 0 {
        return Err(LimitError::SwapAlone);
    }
    if host.memory_swappiness == Some(-1) {
        host.memory_swappiness = None;
    }
    if let Some(swappiness) = host.memory_swappiness {
        if !controls.swappiness {
            warnings.push(NO_SWAPPINESS);
            host.memory_swappiness = None;
        } else if !(0..=100).contains(&swappiness) {
            return Err(LimitError::Swappiness(swappiness));
        }
    }
    if host.memory_reservation > 0 && !controls.reservation {
        warnings.push(NO_RESERVATION);
        host.memory_reservation = 0;
    }
    if host.memory_reservation > 0 && host.memory_reservation < MEMORY_MIN {
        return Err(LimitError::ReservationMin);
    }
    if host.memory > 0 && host.memory_reservation > host.memory {
        return Err(LimitError::Reservation);
    }
    if !controls.oom_kill_disable && host.oom_kill_disable.take() == Some(true) {
        warnings.push(NO_OOM_KILL_DISABLE);
    }
    if host.oom_kill_disable == Some(true) && host.memory == 0 {
        warnings.push(OOM_KILL_DISABLED);
    }
    Ok(())
}

fn settle_cpus(
    host: &mut HostConfig,
    machine: &Machine,
    warnings: &mut Vec<&'static str>,
) -> Result<(), LimitError> {
    if host.nano_cpus > 0 && host.cpu_period > 0 {
        return Err(LimitError::CpusTwice("Period"));
    }
    if host.nano_cpus > 0 && host.cpu_quota > 0 {
        return Err(LimitError::CpusTwice("Quota"));
    }
    if host.nano_cpus > 0 && !machine.controls.cpu_quota {
        // Docker's refusal is about machines; who has no privileges is told, as of any other limit.
        if !machine.rootless {
            return Err(LimitError::NoCpus);
        }
        warnings.push(NO_QUOTA);
        host.nano_cpus = 0;
    }
    if host.nano_cpus < 0 || host.nano_cpus > i64::from(machine.cpus) * 1_000_000_000 {
        return Err(LimitError::Cpus(machine.cpus));
    }
    if host.cpu_shares > 0 && !machine.controls.cpu_shares {
        warnings.push(NO_SHARES);
        host.cpu_shares = 0;
    }
    if (host.cpu_period != 0 || host.cpu_quota != 0) && !machine.controls.cpu_quota {
        warnings.push(NO_QUOTA);
        (host.cpu_period, host.cpu_quota) = (0, 0);
    }
    if host.cpu_period != 0 && !(1_000..=1_000_000).contains(&host.cpu_period) {
        return Err(LimitError::CpuPeriod);
    }
    if host.cpu_quota > 0 && host.cpu_quota < 1_000 {
        return Err(LimitError::CpuQuota);
    }
    let asks = !host.cpuset_cpus.is_empty() || !host.cpuset_mems.is_empty();
    if asks && !machine.controls.cpuset {
        warnings.push(NO_CPUSET);
        host.cpuset_cpus.clear();
        host.cpuset_mems.clear();
    }
    if !are_there(&host.cpuset_cpus, &machine.cpus_list, "cpus")? {
        let (requested, available) = (host.cpuset_cpus.clone(), machine.cpus_list.clone());
        return Err(LimitError::Cpuset { requested, available });
    }
    if !are_there(&host.cpuset_mems, &machine.nodes_list, "mems")? {
        let (requested, available) = (host.cpuset_mems.clone(), machine.nodes_list.clone());
        return Err(LimitError::Nodes { requested, available });
    }
    Ok(())
}

fn are_there(asked: &str, present: &str, of: &'static str) -> Result<bool, LimitError> {
    let wanted = parse_list(asked).ok_or_else(|| LimitError::CpusetFormat(asked.to_owned(), of))?;
    let present = parse_list(present).unwrap_or_default();
    let there = |one: u32| present.iter().any(|(first, last)| (*first..=*last).contains(&one));
    Ok(wanted.iter().all(|(first, last)| (*first..=*last).all(there)))
}

fn settle_blocks(
    host: &mut HostConfig,
    controls: &Controls,
    warnings: &mut Vec<&'static str>,
) -> Result<(), LimitError> {
    if host.blkio_weight > 0 && !controls.block_weight {
        warnings.push(NO_BLOCK_WEIGHT);
        host.blkio_weight = 0;
    }
    if host.blkio_weight > 0 && !(10..=1000).contains(&host.blkio_weight) {
        return Err(LimitError::BlockWeight);
    }
    if !host.blkio_weight_device.is_empty() && !controls.block_weight {
        warnings.push(NO_BLOCK_WEIGHT_DEVICE);
        host.blkio_weight_device.clear();
    }
    let rates = [
        (&mut host.blkio_device_read_bps, NO_READ_BPS),
        (&mut host.blkio_device_write_bps, NO_WRITE_BPS),
        (&mut host.blkio_device_read_iops, NO_READ_IOPS),
        (&mut host.blkio_device_write_iops, NO_WRITE_IOPS),
    ];
    for (rates, warning) in rates {
        if !rates.is_empty() && !controls.block_rates {
            warnings.push(warning);
            rates.clear();
        }
    }
    Ok(())
}

/// Parses `0-3,7` into ranges; no number above 8191, which is docker's limit too.
fn parse_list(text: &str) -> Option<Vec<(u32, u32)>> {
    const NUMBER_MAX: u32 = 8191;
    let parts = text.split(',').filter(|_| !text.is_empty());
    let ranges = parts.map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last && last <= NUMBER_MAX).then_some((first, last))
    });
    ranges.collect()
}
