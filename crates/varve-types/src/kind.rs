//! Classes of errors, for those who must react to one without knowing its text.

/// What class an error belongs to: decides exit codes, HTTP statuses and retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// What was named is not there.
    NotFound,
    /// What was given makes no sense, now or ever.
    Invalid,
    /// It makes sense, but not in the present state: in use, exists already, must be forced.
    Conflict,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// Credentials are fine, the thing is not allowed.
    Denied,
    /// The other side is not reachable or asks to come back later; trying again may help.
    Unavailable,
    /// Bytes are not what they were promised to be.
    Corrupt,
    /// A named limit was passed: of size, number, depth or disk space.
    Exhausted,
    /// Well formed, but of a kind that varve does not do.
    Unsupported,
    /// Everything else: the operating system refused.
    Internal,
}
