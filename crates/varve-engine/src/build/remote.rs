//! What a build fetches from elsewhere with a protocol of its own: files over http, repositories.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use varve_build::solve::Watch;
use varve_distribution::client::Client;
use varve_store::Lease;
use varve_types::Ctx;

use super::{BuildSecret, SshAgent};
use crate::Engine;

/// The way of one build to servers that are no registries.
pub(super) struct Remotes<'a> {
    pub(super) engine: &'a Engine,
    pub(super) ctx: &'a Ctx<'a>,
    pub(super) watch: &'a dyn Watch,
    /// Pins what is fetched.
    pub(super) lease: &'a Lease,
    pub(super) secrets: &'a [BuildSecret],
    pub(super) ssh: &'a [SshAgent],
    pub(super) interrupted: &'a AtomicBool,
    client: OnceLock<Client>,
}

impl<'a> Remotes<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        (ctx, watch, lease): (&'a Ctx<'a>, &'a dyn Watch, &'a Lease),
        (secrets, ssh): (&'a [BuildSecret], &'a [SshAgent]),
        interrupted: &'a AtomicBool,
    ) -> Self {
        let client = OnceLock::new();
        Self { engine, ctx, watch, lease, secrets, ssh, interrupted, client }
    }

    pub(super) fn client(&self) -> &Client {
        self.client.get_or_init(|| self.engine.registries.client(self.ctx))
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Acquire)
    }
}
