//! What has to hold for any bytes that reach a decoder: one function a decoder, which panics when it does not.
//!
//! `scripts/fuzz` runs them under a fuzzer, and the tests run them over what it kept in `fuzz/corpus`.

mod batch;
mod cursor;
mod expression;
mod journal;
mod payload;
mod wire;

pub use batch::batch;
pub use cursor::cursor;
pub use expression::expression;
pub use journal::journal;
pub use payload::payload;
pub use wire::{headers, json};

/// A target by the name of its folder in `fuzz/corpus` and of its program.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 7] = [
    ("headers", headers),
    ("json", json),
    ("batch", batch),
    ("journal", journal),
    ("cursor", cursor),
    ("payload", payload),
    ("expression", expression),
];
