//! What is looked up about single records, and what a store is asked before it is written: attributes, the newest record,
//! records by identifier, and derived columns that are out of date.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use telemetrics_analytics::filter::ClassPattern;
use telemetrics_analytics::questions::attributes::of_record;
use telemetrics_analytics::questions::derived::{Derivation, candidates, outdated};
use telemetrics_analytics::questions::held::held;
use telemetrics_analytics::questions::newest::newest;
use telemetrics_analytics::questions::records::one;
use telemetrics_schema::RecordId;
use telemetrics_schema::attributes::{Attributes, NoParsers, Parsers};
use telemetrics_schema::retention::RetentionPolicy;

use super::asked::{instants, policies, record_of_all};
use super::corpus::NOW;
use super::stores::{OddParsers, Stores, odd_attributes};

/// Records that are asked for by their identifiers at once.
const ASKED_AT_ONCE: usize = 40;
/// Identifiers of a day that are looked at, at most.
const IDS: i64 = 1 << 32;
/// What parsers look at.
const CLASSES: [&str; 5] = ["*", "org.clearlinux/*", "org.clearlinux/crash/clr", r"\' OR 1=1 --", "\0*"];

fn classes() -> impl Strategy<Value = Vec<ClassPattern>> {
    prop::collection::vec(select(&CLASSES[..]).prop_map(|text| ClassPattern::parse(text).expect("a class")), 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_said_of_a_record_is_equal(of in record_of_all(), policy in policies(), now in instants()) {
        let views = Stores::shared().views(&policy, now);
        let question = (of.id, &policy, now);
        let found = views.answer(&question, async |view| of_record(view, of).await);
        let is_shown = views.answer(&question, async |view| one(view, of.id).await).is_some();
        prop_assert_eq!(found, if is_shown { odd_attributes(of) } else { Attributes::default() });
        views.answer(&question, async |view| newest(view).await);
    }

    #[test]
    fn records_that_are_held_are_equal(
        first in any::<Index>(),
        step in 1_usize..40,
        shift in select(&[0_i64, 0, 1][..]),
        policy in policies(),
        now in instants(),
    ) {
        let records = &Stores::shared().records;
        let some = records.iter().skip(first.index(records.len())).step_by(step).take(ASKED_AT_ONCE);
        // Moved by one, most are names of no record.
        let ids: BTreeSet<RecordId> = some.map(|record| RecordId(record.id.0 + shift)).collect();
        let views = Stores::shared().views(&policy, now);
        let found = views.answer(&(&ids, &policy, now), async |view| held(view, &ids).await);
        prop_assert!(found.keys().all(|id| ids.contains(id)));
        if policy == RetentionPolicy::off() && shift == 0 {
            prop_assert_eq!(found.len(), ids.len());
        }
    }

    #[test]
    fn what_is_derived_no_more_is_equal(
        of in record_of_all(),
        is_parsed in any::<bool>(),
        classes in classes(),
        policy in policies(),
        now in instants(),
    ) {
        let parsers: &dyn Parsers = if is_parsed { &OddParsers } else { &NoParsers };
        let derivation = Derivation { parsers, classes: &classes };
        let (day, ids) = (of.ts_reception.day(), of.id.0 - IDS..=of.id.0 + IDS);
        let views = Stores::shared().views(&policy, now);
        let question = (day, &ids, is_parsed, &classes, &policy, now);
        let looked_at = views.answer(&question, async |view| candidates(view, day, &ids, &derivation).await);
        let found = views.answer(&question, async |view| {
            let mut found = outdated(view, day, &ids, &derivation).await?;
            found.sort_by_key(|(id, _)| *id);
            Ok(found)
        });
        let most = if is_parsed { 0 } else { looked_at };
        prop_assert!(found.len() as u64 <= most, "{} of {}", found.len(), most);
    }
}

/// The properties would hold of empty answers too.
#[test]
fn without_parsers_every_attribute_is_out_of_date() {
    let stores = Stores::shared();
    let of_today: Vec<_> = stores.records.iter().filter(|record| record.ts_reception.day() == NOW.day()).collect();
    let with_attributes = of_today.iter().filter(|record| !odd_attributes(record).is_empty()).count();
    let derivation = Derivation { parsers: &NoParsers, classes: &[] };
    let ids = 0..=i64::MAX;
    let found =
        stores.all().answer(&"outdated", async |view| Ok(outdated(view, NOW.day(), &ids, &derivation).await?.len()));
    assert!(found == with_attributes && found > of_today.len() / 2, "{found} of {with_attributes}");
}

#[test]
fn the_newest_record_is_the_last_of_all() {
    let stores = Stores::shared();
    let last = stores.records.iter().map(|record| record.ts_reception).max();
    assert_eq!(stores.all().answer(&"newest", async |view| newest(view).await), last);
    let of_nothing = stores.all().answer(&"nothing", async |view| held(view, &BTreeSet::new()).await);
    assert!(of_nothing.is_empty() && last > Some(NOW), "{of_nothing:?}");
}
