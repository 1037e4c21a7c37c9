//! What counts of machine ids say about machines: clients take a new id every three days.

/// How long a client keeps its machine id, in days.
pub const ID_LIFETIME_DAYS: u64 = 3;

/// Between which numbers the machines behind distinct machine ids are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineBounds {
    /// As many, if each of them had all the ids that the window has room for.
    pub at_least: u64,
    /// As many, if none of them took another id.
    pub at_most: u64,
}

/// The most ids that one machine can have in a window of so many days, begun ones included: the ids that begin and end in
/// it, and the one that it had before.
#[must_use]
pub const fn ids_of_a_machine_max(window_days: u64) -> u64 {
    window_days.div_ceil(ID_LIFETIME_DAYS) + 1
}

/// How many machines had the `ids` distinct machine ids that were seen in a window of so many days. Both bounds are
/// reached: the number itself is not known, and no count of ids makes it known.
#[must_use]
pub const fn machine_bounds(ids: u64, window_days: u64) -> MachineBounds {
    MachineBounds { at_least: ids.div_ceil(ids_of_a_machine_max(window_days)), at_most: ids }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_an_id_more_than_whole_lifetimes() {
        // An id that ends just after the window begins, one or two whole ones, and one that begins before it ends.
        assert_eq!([1, 3, 4, 6, 7, 35].map(ids_of_a_machine_max), [2, 2, 3, 3, 4, 13]);
    }

    #[test]
    fn bounds_hold_whatever_the_phase_of_the_ids_is() {
        for (window_h, begins_h) in (1..24 * 15).step_by(5).flat_map(|window| (0..72).map(move |begin| (window, begin)))
        {
            let ids = (begins_h + window_h - 1) / 72 - begins_h / 72 + 1;
            let bounds = machine_bounds(ids, window_h.div_ceil(24));
            assert_eq!(bounds.at_least, 1, "{ids} ids in {window_h} hours");
            assert!(bounds.at_most >= 1);
        }
        assert_eq!(machine_bounds(0, 7), MachineBounds { at_least: 0, at_most: 0 });
        assert_eq!(machine_bounds(9, 7), MachineBounds { at_least: 3, at_most: 9 });
    }
}
