//! Leases: what an operation that is still running must not lose.

/// A held lease; dropping it lets its content go to the next sweep unless something else reaches it.
#[derive(Debug)]
pub struct Lease {
    _private: (),
}
