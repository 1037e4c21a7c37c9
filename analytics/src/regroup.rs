//! What an edit of the filters does to groups of crashes: two ways to put the same stacks together, compared.
//!
//! Guilties between which stacks move belong to one change, and so do all that are connected through others. What a
//! change says of a guilty are its whole groups, before and after: all other groups stay as they are.

use std::collections::HashMap;

use crate::crashes::Guilty;

/// Records with one stack, and what is guilty of them.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// How many records have the stack.
    pub records: u64,
    /// By the filters that hold.
    pub before: &'a Guilty,
    /// By those that would hold.
    pub after: &'a Guilty,
}

/// What becomes of connected groups, by how many they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One group gets another guilty.
    Renamed,
    /// One group becomes several.
    Split,
    /// Several groups become one.
    Merged,
    /// Several groups become several others.
    Moved,
}

/// The group of one guilty, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What the group is named by.
    pub guilty: Guilty,
    /// Its records before; without any it appears.
    pub records_before: u64,
    /// Its records after; without any it vanishes.
    pub records_after: u64,
    /// Distinct machine ids before.
    pub machines_before: u64,
    /// Distinct machine ids after.
    pub machines_after: u64,
}

/// Connected groups that would be others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What becomes of them.
    pub kind: Kind,
    /// Records that would have another guilty.
    pub moved: u64,
    /// The groups, the largest before first.
    pub parts: Vec<Part>,
}

/// All changes, those first that move most records. Machines are not counted here.
#[must_use]
pub fn regroup<'a>(stacks: impl IntoIterator<Item = Judged<'a>>) -> Vec<Change> {
    let mut groups = Groups::default();
    for stack in stacks {
        groups.take(&stack);
    }
    groups.changes()
}

/// Guilties, and which of them are connected: each knows another one of its kind, or itself.
#[derive(Default)]
struct Groups<'a> {
    places: HashMap<&'a Guilty, usize>,
    parts: Vec<Part>,
    towards: Vec<usize>,
    moved: Vec<u64>,
}

impl<'a> Groups<'a> {
    fn take(&mut self, stack: &Judged<'a>) {
        let (before, after) = (self.place(stack.before), self.place(stack.after));
        self.parts[before].records_before += stack.records;
        self.parts[after].records_after += stack.records;
        if before != after {
            self.moved[before] += stack.records;
            let (from, to) = (self.root(before), self.root(after));
            self.towards[from] = to;
        }
    }

    fn place(&mut self, guilty: &'a Guilty) -> usize {
        *self.places.entry(guilty).or_insert_with(|| {
            self.parts.push(Part {
                guilty: guilty.clone(),
                records_before: 0,
                records_after: 0,
                machines_before: 0,
                machines_after: 0,
            });
            self.towards.push(self.towards.len());
            self.moved.push(0);
            self.towards.len() - 1
        })
    }

    /// Who stands for all that this one is connected with. Shortens the way for the next one who asks.
    fn root(&mut self, mut at: usize) -> usize {
        while self.towards[at] != at {
            self.towards[at] = self.towards[self.towards[at]];
            at = self.towards[at];
        }
        at
    }

    fn changes(mut self) -> Vec<Change> {
        let mut connected = HashMap::<usize, (u64, Vec<Part>)>::new();
        for (at, part) in std::mem::take(&mut self.parts).into_iter().enumerate() {
            let (moved, parts) = connected.entry(self.root(at)).or_default();
            *moved += self.moved[at];
            parts.push(part);
        }
        let with_moves = connected.into_values().filter(|(moved, _)| *moved > 0);
        let mut changes: Vec<Change> = with_moves.map(|(moved, parts)| Change::new(moved, parts)).collect();
        changes.sort_by(|a, b| b.moved.cmp(&a.moved).then_with(|| a.parts[0].guilty.cmp(&b.parts[0].guilty)));
        changes
    }
}

impl Change {
    fn new(moved: u64, mut parts: Vec<Part>) -> Self {
        parts.sort_by(|a, b| {
            let sizes = |part: &Part| (part.records_before, part.records_after);
            sizes(b).cmp(&sizes(a)).then_with(|| a.guilty.cmp(&b.guilty))
        });
        let before = parts.iter().filter(|part| part.records_before > 0).count();
        let after = parts.iter().filter(|part| part.records_after > 0).count();
        let kind = match (before, after) {
            (1, 1) => Kind::Renamed,
            (1, _) => Kind::Split,
            (_, 1) => Kind::Merged,
            _ => Kind::Moved,
        };
        Self { kind, moved, parts }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn guilty(id: i64) -> Guilty {
        Guilty { id, function: format!("f{id}()"), module: "m".to_owned() }
    }

    /// The changes of stacks (records, guilty before, guilty after).
    fn of(stacks: &[(u64, i64, i64)]) -> Vec<Change> {
        let guilties: Vec<Guilty> = (0..10).map(guilty).collect();
        let named = |id: i64| &guilties[usize::try_from(id).expect("an index")];
        regroup(stacks.iter().map(|(records, before, after)| Judged {
            records: *records,
            before: named(*before),
            after: named(*after),
        }))
    }

    fn one(stacks: &[(u64, i64, i64)]) -> (Kind, Vec<(i64, u64, u64)>) {
        let changes = of(stacks);
        let [change] = changes.as_slice() else { panic!("{changes:?}") };
        let parts = change.parts.iter().map(|part| (part.guilty.id, part.records_before, part.records_after));
        (change.kind, parts.collect())
    }

    #[test]
    fn changes_are_told_by_what_becomes_of_the_groups() {
        assert_eq!(of(&[(5, 1, 1), (3, 2, 2)]), []);
        assert_eq!(one(&[(5, 1, 2), (9, 3, 3)]), (Kind::Renamed, vec![(1, 5, 0), (2, 0, 5)]));
        assert_eq!(one(&[(5, 1, 1), (3, 1, 2)]), (Kind::Split, vec![(1, 8, 5), (2, 0, 3)]));
        assert_eq!(one(&[(5, 1, 3), (3, 1, 2)]), (Kind::Split, vec![(1, 8, 0), (3, 0, 5), (2, 0, 3)]));
        assert_eq!(one(&[(5, 1, 2), (3, 2, 2)]), (Kind::Merged, vec![(1, 5, 0), (2, 3, 8)]));
        assert_eq!(one(&[(5, 1, 1), (3, 1, 2), (1, 2, 2)]), (Kind::Moved, vec![(1, 8, 5), (2, 1, 4)]));
    }

    #[test]
    fn changes_that_are_not_connected_are_told_apart() {
        let changes = of(&[(1, 1, 2), (4, 3, 4), (2, 4, 5)]);
        let shown: Vec<_> = changes.iter().map(|change| (change.moved, change.parts.len())).collect();
        assert_eq!(shown, [(6, 3), (1, 2)]);
    }

    fn groups(stacks: &[(u64, i64, i64)], of: impl Fn(&(u64, i64, i64)) -> i64) -> BTreeMap<i64, u64> {
        let mut sums = BTreeMap::new();
        for stack in stacks {
            *sums.entry(of(stack)).or_default() += stack.0;
        }
        sums
    }

    proptest! {
        #[test]
        fn the_groups_before_with_all_changes_are_the_groups_after(
            stacks in proptest::collection::vec((1_u64..100, 0_i64..10, 0_i64..10), 0..60)
        ) {
            let mut shown = groups(&stacks, |stack| stack.1);
            let mut moved = 0;
            for change in of(&stacks) {
                for part in change.parts {
                    prop_assert_eq!(shown.remove(&part.guilty.id).unwrap_or_default(), part.records_before);
                    if part.records_after > 0 {
                        prop_assert_eq!(shown.insert(part.guilty.id, part.records_after), None, "twice");
                    }
                }
                moved += change.moved;
            }
            prop_assert_eq!(shown, groups(&stacks, |stack| stack.2));
            let others = stacks.iter().filter(|(_, before, after)| before != after);
            prop_assert_eq!(moved, others.map(|(records, ..)| records).sum::<u64>());
        }
    }
}
