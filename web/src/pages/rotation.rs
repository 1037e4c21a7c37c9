//! What has to be known wherever machines are counted: their ids change, so that a count has bounds.

use telemetrics_analytics::judgement::{ID_LIFETIME_DAYS, machine_bounds};

use super::text;

/// The note beside numbers of machines that have bounds.
pub(super) fn note() -> String {
    format!(
        "Machines change their ids every {ID_LIFETIME_DAYS} days, so that their numbers have bounds: 2 to 8 are at least 2 \
         machines and at most 8. Pictures show the most."
    )
}

/// The note beside numbers of single machines.
pub(super) fn note_of_ids() -> String {
    format!("Machines change their ids every {ID_LIFETIME_DAYS} days: one may stand here several times.")
}

/// How many machines had so many ids in the last so many days, as far as that can be known.
pub(super) fn machines(ids: u64, days: i64) -> String {
    let bounds = machine_bounds(ids, days.unsigned_abs());
    let (least, most) = (text::thousands(bounds.at_least), text::thousands(bounds.at_most));
    if bounds.at_least == bounds.at_most { most } else { format!("{least} to {most}") }
}

/// The same for a window whose length is not known.
pub(super) fn machines_of_all_days(ids: u64) -> String {
    let most = text::thousands(ids);
    if ids > 1 { format!("at most {most}") } else { most }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_bounds() {
        assert_eq!(
            [(0, 7), (1, 7), (2, 3), (4_000, 7)].map(|(ids, days)| machines(ids, days)),
            ["0", "1", "1 to 2", "1,000 to 4,000"]
        );
        assert_eq!([0, 1, 4_000].map(machines_of_all_days), ["0", "1", "at most 4,000"]);
    }
}
