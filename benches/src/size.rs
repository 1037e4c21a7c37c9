//! How much a run of all measurements takes: seconds of a test, minutes, or an hour.

/// How long measurements take, and over how many records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Only to see that every figure can be produced: the numbers mean nothing.
    Smoke,
    /// Some minutes: the numbers say roughly where things stand.
    Small,
    /// About an hour: what is kept.
    Full,
}

impl Size {
    /// The one of three values that belongs to this size.
    pub fn pick<T>(self, smoke: T, small: T, full: T) -> T {
        match self {
            Self::Smoke => smoke,
            Self::Small => small,
            Self::Full => full,
        }
    }
}
