//! What a build says while it runs.

/// A step that is shown, from its start on. Numbers tell steps apart and mean nothing else: what
/// is printed as `#7` is chosen by who prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(pub u64);

/// A step as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which.
    pub id: StepId,
    /// What it is called: `[builder 2/4] WORKDIR /app`, `[internal] load build context`.
    pub name: String,
}

/// Where a program wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildEvent<'a> {
    /// A step begins. Steps run at the same time.
    Started(&'a Step),
    /// A part of a step: `transferring context`, `exporting layers`, `writing image sha256:…`. Told
    /// again under the same name as it goes on.
    Status {
        /// The step.
        id: StepId,
        /// What it does.
        name: &'a str,
        /// Bytes done so far, of parts that count them.
        current_bytes: Option<u64>,
        /// All bytes, where they are known.
        total_bytes: Option<u64>,
        /// Whether this part is done.
        done: bool,
    },
    /// What a program wrote, as it came: not whole lines, not always UTF-8.
    Log {
        /// The step.
        id: StepId,
        /// Where to.
        stream: Stream,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// A warning that belongs to a step.
    Warning {
        /// The step.
        id: StepId,
        /// The text.
        text: &'a str,
    },
    /// A step is done.
    Done {
        /// The step.
        id: StepId,
        /// Whether its result was there.
        cached: bool,
    },
    /// A step failed.
    Failed {
        /// The step.
        id: StepId,
        /// Why.
        text: &'a str,
    },
    /// A step was given up, because another failed or the build was interrupted.
    Canceled {
        /// The step.
        id: StepId,
    },
}

/// Takes events, from several threads at once.
pub trait Watch: Sync {
    /// Takes one event. Must be quick.
    fn event(&self, event: &BuildEvent<'_>);

    /// Whether it matters to which stream a program writes. Where it does not, what programs write
    /// is told in the very order in which they write it.
    fn tells_streams(&self) -> bool {
        true
    }
}

/// Takes events and does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoWatch;

impl Watch for NoWatch {
    fn event(&self, _: &BuildEvent<'_>) {}
}
