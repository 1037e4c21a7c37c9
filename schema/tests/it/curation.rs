//! What holds for every history of curation: how it is folded, what an undo does, what an import does.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::curation::{
    COMMENT_CHARS_MAX, Cell, Change, Curated, Entry, Frame, HISTORY_ENTRIES_MAX, History, NAME_BYTES_MAX, Refusal,
    WHO_CHARS_MAX, What, differences, export, import,
};

/// Few frames, so that entries meet.
fn frame() -> impl Strategy<Value = Frame> {
    (select(vec!["a()", "b()", "c()"]), select(vec!["m", "\"n\""])).prop_map(|(f, m)| Frame::new(f, m))
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        frame().prop_map(Change::FilterAdded),
        frame().prop_map(Change::FilterRemoved),
        (frame(), "[xy]{0,1}").prop_map(|(frame, text)| Change::CommentSet(frame, text)),
        frame().prop_map(Change::Hidden),
        frame().prop_map(Change::Unhidden),
    ]
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![3 => vec(change(), 0..4).prop_map(What::Changes), 2 => (0_u64..20).prop_map(What::Undo)]
}

/// So many that some are valid; one always is, and can be undone.
fn many() -> impl Strategy<Value = Vec<What>> {
    let first = What::Changes(vec![Change::Hidden(Frame::new("first()", "m"))]);
    vec(what(), 0..40).prop_map(move |rest| [vec![first.clone()], rest].concat())
}

fn entry(sequence: u64, what: What) -> Entry {
    Entry { sequence, time: TimestampUs(0), who: None, nonce: 0, what }
}

/// The history of everything, valid or not.
fn history_of(whats: &[What]) -> History {
    let mut history = History::default();
    for (sequence, what) in (1..).zip(whats) {
        history.push(entry(sequence, what.clone())).expect("the next one");
    }
    history
}

/// The history of what is valid, when it comes.
fn valid_history(whats: &[What]) -> History {
    let mut history = History::default();
    for what in whats {
        let next = entry(history.sequence() + 1, what.clone());
        if history.check(&next).is_ok() {
            history.push(next).expect("the next one");
        }
    }
    history
}

/// The fold as the documentation defines it: from the newest entry to the oldest who is in force, then who speaks last.
fn fold(whats: &[What]) -> (BTreeSet<u64>, BTreeMap<Cell, String>) {
    let mut undone = BTreeSet::new();
    let mut in_force = BTreeSet::new();
    for (sequence, what) in (1..).zip(whats).collect::<Vec<(u64, _)>>().into_iter().rev() {
        if !undone.contains(&sequence) {
            in_force.insert(sequence);
            if let What::Undo(named) = what
                && *named < sequence
            {
                undone.insert(*named);
            }
        }
    }
    let mut cells = BTreeMap::new();
    for (_, what) in (1..).zip(whats).filter(|(sequence, _)| in_force.contains(sequence)) {
        if let What::Changes(changes) = what {
            for change in changes {
                match change.value() {
                    Some(value) => cells.insert(change.cell(), value.to_owned()),
                    None => cells.remove(&change.cell()),
                };
            }
        }
    }
    (in_force, cells)
}

fn cells(curated: &Curated) -> BTreeMap<Cell, String> {
    let changes = differences(&Curated::default(), curated);
    changes.iter().map(|change| (change.cell(), change.value().expect("something").to_owned())).collect()
}

/// The cells that an entry speaks about, an undo through what it takes back.
fn touched(history: &History, sequence: u64) -> BTreeSet<Cell> {
    match &history.entry(sequence).expect("an entry").what {
        What::Changes(changes) => changes.iter().map(Change::cell).collect(),
        What::Undo(named) => touched(history, *named),
    }
}

fn state_before(history: &History, sequence: u64) -> Curated {
    let mut before = History::default();
    for entry in history.entries().iter().take_while(|entry| entry.sequence < sequence) {
        before.push(entry.clone()).expect("the next one");
    }
    before.curated().clone()
}

proptest! {
    #[test]
    fn a_history_that_grows_has_the_state_that_its_definition_gives(whats in vec(what(), 0..20)) {
        let mut history = History::default();
        for (sequence, what) in (1..).zip(&whats) {
            let foreseen = history.after(what);
            history.push(entry(sequence, what.clone())).expect("the next one");
            prop_assert_eq!(history.curated(), &foreseen, "what a preview shows");
            let (in_force, said) = fold(&whats[..usize::try_from(sequence).expect("small")]);
            prop_assert_eq!(cells(history.curated()), said);
            for number in 1..=sequence {
                prop_assert_eq!(history.is_in_force(number), in_force.contains(&number), "entry {}", number);
                prop_assert_eq!(history.undone_by(number).is_none(), history.is_in_force(number));
            }
        }
    }

    /// The whole meaning of undo, in one sentence.
    #[test]
    fn an_undo_gives_the_state_of_a_history_without_the_entry(whats in many(), at: Index) {
        let history = valid_history(&whats);
        let at = at.index(history.entries().len());
        let sequence = at as u64 + 1;
        let mut without: Vec<What> = history.entries().iter().map(|entry| entry.what.clone()).collect();
        without[at] = What::Changes(Vec::new());
        let undone = history.after(&What::Undo(sequence));
        if history.is_in_force(sequence) {
            let expected = history_of(&without);
            prop_assert_eq!(&undone, expected.curated());
        } else {
            prop_assert_eq!(&undone, history.curated());
        }
    }

    #[test]
    fn an_undo_restores_what_nobody_touched_since_and_leaves_the_rest(whats in many(), at: Index) {
        let history = valid_history(&whats);
        let in_force: Vec<u64> = (1..=history.sequence()).filter(|number| history.is_in_force(*number)).collect();
        let sequence = *at.get(&in_force);
        let (own, before) = (touched(&history, sequence), state_before(&history, sequence));
        let undone = history.after(&What::Undo(sequence));
        let later: BTreeSet<Cell> = (sequence + 1..=history.sequence()).flat_map(|n| touched(&history, n)).collect();
        for cell in own.difference(&later) {
            prop_assert_eq!(undone.get(cell), before.get(cell), "restored: {:?}", cell);
        }
        for change in differences(history.curated(), &undone) {
            prop_assert!(own.contains(&change.cell()), "not its business: {:?}", change);
        }
    }

    #[test]
    fn an_undo_of_an_undo_changes_everything_back(whats in many(), at: Index) {
        let mut history = valid_history(&whats);
        let before = history.curated().clone();
        let undos = (1..=history.sequence()).map(|number| entry(history.sequence() + 1, What::Undo(number)));
        let valid: Vec<Entry> = undos.filter(|undo| history.check(undo).is_ok()).collect();
        let undo = at.get(&valid).clone();
        history.push(undo).expect("the next one");
        prop_assert_ne!(history.curated(), &before, "a valid edit changes something");
        let redo = entry(history.sequence() + 1, What::Undo(history.sequence()));
        prop_assert_eq!(history.check(&redo), Ok(()));
        history.push(redo).expect("the next one");
        prop_assert_eq!(history.curated(), &before);
    }

    #[test]
    fn every_valid_edit_changes_something_and_can_be_undone(whats in many(), next in what()) {
        let mut history = valid_history(&whats);
        let before = history.curated().clone();
        let edit = entry(history.sequence() + 1, next);
        if history.check(&edit).is_ok() {
            history.push(edit).expect("the next one");
            prop_assert_ne!(history.curated(), &before);
            let undo = entry(history.sequence() + 1, What::Undo(history.sequence()));
            prop_assert_eq!(history.check(&undo), Ok(()));
            prop_assert_eq!(history.after(&undo.what), before);
        }
    }

    #[test]
    fn an_export_reads_back_and_an_import_leads_to_it(some in vec(what(), 0..20), others in vec(what(), 0..20)) {
        let (wanted, mut history) = (valid_history(&some).curated().clone(), valid_history(&others));
        let text = export(&wanted).expect("a file");
        let read = import(&text).expect("what was exported");
        prop_assert_eq!(&read, &wanted);
        let changes = differences(history.curated(), &read);
        let is_equal = history.curated() == &read;
        let edit = entry(history.sequence() + 1, What::Changes(changes));
        prop_assert_eq!(history.check(&edit).is_ok(), !is_equal);
        history.push(edit).expect("the next one");
        prop_assert_eq!(export(history.curated()).expect("a file"), text);
        prop_assert_eq!(history.curated().rules_id(), wanted.rules_id());
    }

    #[test]
    fn what_is_merged_has_all_of_the_file(some in vec(what(), 0..20), others in vec(what(), 0..20)) {
        let (file, own) = (valid_history(&some).curated().clone(), valid_history(&others).curated().clone());
        let both = cells(&own.with(&file));
        let mut expected = cells(&own);
        expected.extend(cells(&file));
        prop_assert_eq!(both, expected);
    }

    #[test]
    fn entries_read_back(what in what(), who in proptest::option::of(".*"), nonce: u64, time: i64) {
        let entry = Entry { sequence: 1, time: TimestampUs(time), who, nonce, what };
        let line = entry.line().expect("a line");
        prop_assert!(!line.contains('\n'));
        prop_assert_eq!(Entry::from_line(&line).expect("an entry"), entry);
    }

    #[test]
    fn no_text_breaks_what_reads_it(text in ".*", line in "[\\[\\]{}\",:a-z0-9\n#]{0,80}") {
        for text in [text, line] {
            drop(Entry::from_line(&text));
            drop(import(&text));
            drop(import(&format!("{{\"telemetrics\":\"curation\",\"version\":1}}\n{text}")));
        }
    }
}

#[test]
fn only_the_next_entry_is_taken() {
    let mut history = History::default();
    for wrong in [0, 2, u64::MAX] {
        assert_eq!(history.push(entry(wrong, What::Undo(1))), Err(1));
    }
    history.push(entry(1, What::Undo(1))).expect("the next one");
    assert_eq!(history.push(entry(1, What::Undo(1))), Err(2));
}

#[test]
fn what_later_entries_decide_is_not_undone() {
    let frame = Frame::new("a()", "m");
    let comment = |text: &str| What::Changes(vec![Change::CommentSet(frame.clone(), text.to_owned())]);
    let mut history = valid_history(&[comment("one"), comment("two")]);
    let undo = |history: &History, number| entry(history.sequence() + 1, What::Undo(number));
    let reason = history.check(&undo(&history, 1)).expect_err("decided later").to_string();
    assert!(reason.contains("would change nothing"), "{reason}");
    history.push(undo(&history, 2)).expect("the next one");
    assert_eq!(history.curated().comments[&frame], "one");
    history.push(undo(&history, 1)).expect("the next one");
    assert!(history.curated().comments.is_empty());
    let reason = history.check(&undo(&history, 1)).expect_err("done").to_string();
    assert!(reason.contains("undone already"), "{reason}");
    let reason = history.check(&undo(&history, 9)).expect_err("none").to_string();
    assert!(reason.contains("no entry 9"), "{reason}");
}

#[test]
fn limits_hold_at_their_edges() {
    let history = valid_history(&[What::Changes(vec![Change::FilterAdded(Frame::new("f()", "m"))])]);
    let check = |change: Change| history.check(&entry(2, What::Changes(vec![change])));
    let comment = |text: &str| check(Change::CommentSet(Frame::new("a()", "m"), text.to_owned()));
    assert_eq!(comment(&"ä".repeat(COMMENT_CHARS_MAX)), Ok(()));
    for wrong in ["ä".repeat(COMMENT_CHARS_MAX + 1), " a".to_owned(), "a\nb".to_owned(), String::new()] {
        assert!(comment(&wrong).is_err(), "{wrong}");
    }
    let long = "f".repeat(NAME_BYTES_MAX);
    for frame in [Frame::new(long.clone(), "m"), Frame::new("f", long.clone()), Frame::new("f", "")] {
        assert_eq!(check(Change::Hidden(frame)), Ok(()));
    }
    for frame in [Frame::new(format!("{long}f"), "m"), Frame::new("f", format!("{long}f")), Frame::new("", "m")] {
        assert!(check(Change::Hidden(frame)).is_err());
    }
    for change in [
        Change::FilterAdded(Frame::new("f()", "m")),
        Change::FilterRemoved(Frame::new("g()", "m")),
        Change::FilterAdded(Frame::new("_start()", "libc.so.6")),
        Change::FilterRemoved(Frame::new("__libc_start_main()", "libc.so.6")),
        Change::Unhidden(Frame::new("f()", "m")),
    ] {
        assert!(matches!(check(change.clone()), Err(Refusal::Invalid(_))), "{change:?}");
    }
    let twice = vec![Change::Hidden(Frame::new("f()", "m")), Change::Hidden(Frame::new("f()", "m"))];
    assert!(history.check(&entry(2, What::Changes(twice))).is_err());
    let by = |who: String| {
        let hidden = What::Changes(vec![Change::Hidden(Frame::new("f()", "m"))]);
        history.check(&Entry { who: Some(who), ..entry(2, hidden) })
    };
    assert_eq!(by("x".repeat(WHO_CHARS_MAX)), Ok(()));
    for wrong in ["x".repeat(WHO_CHARS_MAX + 1), String::new(), "a\tb".to_owned()] {
        assert!(by(wrong).is_err());
    }
}

#[test]
fn a_full_history_says_so() {
    let flip = |sequence: u64| {
        let frame = Frame::new("f()", "m");
        let change = if sequence.is_multiple_of(2) { Change::Unhidden(frame) } else { Change::Hidden(frame) };
        entry(sequence, What::Changes(vec![change]))
    };
    let mut history = History::default();
    for sequence in 1..=HISTORY_ENTRIES_MAX as u64 {
        if sequence == HISTORY_ENTRIES_MAX as u64 {
            assert_eq!(history.check(&flip(sequence)), Ok(()));
        }
        history.push(flip(sequence)).expect("the next one");
    }
    assert_eq!(history.check(&flip(history.sequence() + 1)), Err(Refusal::Full));
}

#[test]
fn pages_show_every_entry_once_newest_first() {
    let whats: Vec<What> = (0..10)
        .map(|i| What::Changes(vec![Change::CommentSet(Frame::new(format!("f{i}()"), "m"), "x".repeat(i))]))
        .collect();
    let history = history_of(&whats);
    for (entries_max, bytes_max) in [(1, usize::MAX), (3, usize::MAX), (100, usize::MAX), (100, 0), (100, 300)] {
        let (mut before, mut seen) = (None, Vec::new());
        loop {
            let page = history.page(before, entries_max, bytes_max);
            assert!(page.len() <= entries_max);
            let Some(last) = page.last() else { break };
            before = Some(last.sequence);
            seen.extend(page.iter().map(|entry| entry.sequence));
        }
        assert_eq!(seen, (1..=10).rev().collect::<Vec<_>>(), "{entries_max} {bytes_max}");
    }
    assert!(history.page(Some(0), 5, usize::MAX).is_empty() && history.page(Some(1), 5, usize::MAX).is_empty());
    assert_eq!(history.page(Some(99), 1, 0)[0].sequence, 10);
}
