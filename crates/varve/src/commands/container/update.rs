//! `varve update`

use varve_engine::container::UpdateContainer;
use varve_types::container::{RestartError, RestartPolicy, parse_cpus, parse_size};

use super::{each, verbs};
use crate::{commands::flags, error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] CONTAINER [CONTAINER...]";
pub(crate) const NAMES: &str = "varve container update, varve update";

/// Update configuration of one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, value_name = "uint16", value_parser = flags::unsigned16)]
    #[arg(help = "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)")]
    blkio_weight: Option<u16>,

    /// Limit CPU CFS (Completely Fair Scheduler) period
    #[arg(long, value_name = "int", value_parser = flags::integer)]
    cpu_period: Option<i64>,

    /// Limit CPU CFS (Completely Fair Scheduler) quota
    #[arg(long, value_name = "int", value_parser = flags::integer)]
    cpu_quota: Option<i64>,

    /// Limit the CPU real-time period in microseconds
    #[arg(long, value_name = "int", value_parser = flags::integer)]
    cpu_rt_period: Option<i64>,

    /// Limit the CPU real-time runtime in microseconds
    #[arg(long, value_name = "int", value_parser = flags::integer)]
    cpu_rt_runtime: Option<i64>,

    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "int", value_parser = flags::integer)]
    cpu_shares: Option<i64>,

    /// Number of CPUs
    #[arg(long = "cpus", value_name = "decimal", value_parser = parse_cpus)]
    nano_cpus: Option<i64>,

    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    cpuset_cpus: Option<String>,

    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    cpuset_mems: Option<String>,

    /// Memory limit
    #[arg(short = 'm', long, value_name = "bytes", value_parser = parse_size)]
    memory: Option<i64>,

    /// Memory soft limit
    #[arg(long, value_name = "bytes", value_parser = parse_size)]
    memory_reservation: Option<i64>,

    #[arg(long, value_name = "bytes", value_parser = flags::swap)]
    #[arg(help = "Swap limit equal to memory plus swap: -1 to enable unlimited swap")]
    memory_swap: Option<i64>,

    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "int", value_parser = flags::integer)]
    pids_limit: Option<i64>,

    /// Restart policy to apply when a container exits
    #[arg(long, value_name = "string")]
    restart: Option<String>,

    #[arg(required = true, num_args = 1..)]
    containers: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let restart = args.restart.as_deref().map(str::parse::<RestartPolicy>).transpose();
    let restart = restart.map_err(|error| match error {
        RestartError::Empty | RestartError::Count => CommandError::plain(error.to_string(), 1),
        error => CommandError::daemon(error),
    })?;
    let request = UpdateContainer {
        blkio_weight: args.blkio_weight,
        cpu_period: args.cpu_period,
        cpu_quota: args.cpu_quota,
        cpu_realtime_period: args.cpu_rt_period,
        cpu_realtime_runtime: args.cpu_rt_runtime,
        cpu_shares: args.cpu_shares,
        nano_cpus: args.nano_cpus,
        cpuset_cpus: args.cpuset_cpus.clone(),
        cpuset_mems: args.cpuset_mems.clone(),
        memory_bytes: args.memory,
        memory_reservation_bytes: args.memory_reservation,
        memory_swap_bytes: args.memory_swap,
        pids_limit: args.pids_limit,
        restart,
    };
    if request == UpdateContainer::default() {
        let text = "you must provide one or more flags when using this command";
        return Err(CommandError::plain(text, 1));
    }
    each(ui, &args.containers, |name| verbs::update(ui, name, &request))
}
