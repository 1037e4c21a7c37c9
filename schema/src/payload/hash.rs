//! Identities of stacks and guilties: 53-bit numbers, the same on every machine and in every version of the program.
//!
//! The upper 53 bits of SipHash-1-3 of `function 0xff module 0xfe` for each pair, under a key for each kind.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use super::frame::Frame;

// A changed key is another identity of everything that is stored: these never change.
const STACK_KEY: [u8; 16] = *b"telemetrics:stck";
const GUILTY_KEY: [u8; 16] = *b"telemetrics:glty";

/// The hash of pairs (function, module).
pub(super) struct PairHasher(SipHasher13);

impl PairHasher {
    pub(super) fn of_stack() -> Self {
        Self(SipHasher13::new_with_key(&STACK_KEY))
    }

    fn of_guilty() -> Self {
        Self(SipHasher13::new_with_key(&GUILTY_KEY))
    }

    pub(super) fn write(&mut self, function: &str, module: &str) {
        // Two bytes that no text has, so that no two lists of pairs are the same bytes.
        self.0.write(function.as_bytes());
        self.0.write(&[0xff]);
        self.0.write(module.as_bytes());
        self.0.write(&[0xfe]);
    }

    /// 1 to 2^53 - 1: every reader of JSON holds it exactly, and 0 stays free for "none".
    pub(super) fn finish(&self) -> i64 {
        const UNUSED_BITS: u32 = u64::BITS - 53;
        (self.0.finish() >> UNUSED_BITS).max(1).cast_signed()
    }
}

/// The identity of a stack: a hash of the functions and modules of `frames` as sent, 0 without any.
#[must_use]
pub fn stack_id(frames: &[Frame<'_>]) -> i64 {
    if frames.is_empty() {
        return 0;
    }
    let mut hasher = PairHasher::of_stack();
    for frame in frames {
        hasher.write(frame.function, frame.module);
    }
    hasher.finish()
}

/// The identity of a guilty: a hash of its function as shown (see [`super::shown_name`]) and its module.
#[must_use]
pub fn guilty_id(function: &str, module: &str) -> i64 {
    let mut hasher = PairHasher::of_guilty();
    hasher.write(function, module);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame<'a>(function: &'a str, module: &'a str) -> Frame<'a> {
        Frame { number: 0, function, module, source: None }
    }

    #[test]
    fn identities_stay_what_they_are_stored_as() {
        assert_eq!(stack_id(&[frame("main()", "/usr/bin/a"), frame("? b", "kernel")]), 2_478_922_722_412_997);
        assert_eq!(guilty_id("main()", "/usr/bin/a"), 4_554_889_560_858_081);
        assert_eq!(guilty_id("", ""), 224_950_480_618_639);
        assert_eq!(stack_id(&[]), 0);
    }

    #[test]
    fn function_and_module_are_told_apart() {
        let ids = [
            stack_id(&[frame("ab", "c")]),
            stack_id(&[frame("a", "bc")]),
            stack_id(&[frame("ab", "")]),
            stack_id(&[frame("", "ab")]),
            stack_id(&[frame("a", "b"), frame("", "")]),
            stack_id(&[frame("a", "b")]),
            stack_id(&[frame("", ""), frame("a", "b")]),
            guilty_id("a", "b"),
        ];
        let distinct: std::collections::BTreeSet<_> = ids.into_iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert!(ids.iter().all(|id| (1..1 << 53).contains(id)));
    }

    #[test]
    fn numbers_and_sources_of_frames_are_no_part_of_a_stack() {
        let line = super::super::frame::Source { file: "a.c", line: Some(7) };
        let other = Frame { number: 9, source: Some(line), ..frame("a", "b") };
        assert_eq!(stack_id(&[other]), stack_id(&[frame("a", "b")]));
    }
}
