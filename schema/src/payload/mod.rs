//! Payloads: what their texts say about a crash, and the columns that are derived from them.

use crate::record::Report;

/// The columns of a record that are made of its payload; of a payload that fits no grammar, the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Derived {
    /// Hash of the frames of the first thread that has any, 1 to 2^53 - 1, the same everywhere and for ever; 0 without.
    pub stack_id: i64,
    /// Path of the program that crashed, empty without.
    pub process: String,
    /// Number of the signal that ended it, 0 without.
    pub signal: i32,
    /// What the kernel gave as its reason, empty without.
    pub reason: String,
}

/// What is derived from the payload of a report; it never fails, and takes time in proportion to the payload's length.
#[must_use]
pub fn derive(_report: &Report) -> Derived {
    Derived::default()
}
