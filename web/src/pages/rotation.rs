//! What has to be known wherever machines are counted: their ids change, so that a count has bounds.

use telemetrics_analytics::judgement::{ID_LIFETIME_DAYS, ids_of_a_machine_max, machine_bounds};

use super::text;

/// The note beside counts of machines in the last so many days, for each of the windows that are shown; without one, in a
/// window whose length is not known.
pub(super) fn note(windows_days: &[i64]) -> String {
    let lifetime = ID_LIFETIME_DAYS;
    let counted = format!("Machines are counted by their ids, which change every {lifetime} days");
    let times = |days: &i64| format!("{} times in {}", ids_max(*days), in_days(*days));
    match windows_days {
        [] => format!(
            "{counted}: in more days than that a machine counts once for each id, and there are fewer machines."
        ),
        windows => {
            let times = windows.iter().map(times).collect::<Vec<_>>().join(", ");
            format!(
                "{counted}. One machine counts at most {times}: a number means at most as many machines, and at least as \
                 many divided by that."
            )
        }
    }
}

/// How many machines had so many ids in the last so many days, as far as that can be known.
pub(super) fn machines(ids: u64, days: i64) -> String {
    let bounds = machine_bounds(ids, days.unsigned_abs());
    let (least, most) = (text::thousands(bounds.at_least), text::thousands(bounds.at_most));
    if bounds.at_least == bounds.at_most { most } else { format!("{least} to {most}") }
}

fn ids_max(days: i64) -> u64 {
    ids_of_a_machine_max(days.unsigned_abs())
}

fn in_days(days: i64) -> String {
    if days == 1 { "a day".to_owned() } else { format!("{days} days") }
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
        assert!(note(&[1, 7]).contains("at most 2 times in a day, 4 times in 7 days: "), "{}", note(&[1, 7]));
        assert!(note(&[]).ends_with("there are fewer machines."));
    }
}
