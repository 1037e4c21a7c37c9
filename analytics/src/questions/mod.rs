//! The questions: one file each, parameters in, a plan in between, typed rows out.

pub mod collectors;
pub mod cursor;
pub mod expired;
pub mod offered;
pub mod records;
