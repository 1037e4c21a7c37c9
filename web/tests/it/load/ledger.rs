//! What was sent and what was answered, and what a store has to have of it.

use std::collections::{HashMap, HashSet};

use super::Stored;

/// Complaints that a failing test shows.
const COMPLAINTS_MAX: usize = 20;

/// One record, and what is known about its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Its name: no other record has it.
    pub(crate) machine_id: String,
    /// `None` below format 4: redeliveries cannot be told.
    pub(crate) event_id: Option<String>,
    pub(crate) payload_crc: u32,
    /// Requests with it that may have arrived and got no 201.
    pub(crate) unanswered: usize,
    pub(crate) answer: Answered,
}

/// How the last request with a record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// Its sender gave up.
    Not,
    /// Together with others, whose answer names none.
    Counted,
    /// With its id.
    Named(u64),
}

impl Sent {
    /// How often it may be stored at most.
    fn times_max(&self) -> usize {
        let requests = self.unanswered + self.times_min();
        if self.event_id.is_some() { requests.min(1) } else { requests }
    }

    /// How often it has to be stored.
    fn times_min(&self) -> usize {
        usize::from(self.answer != Answered::Not)
    }
}

/// Everything that was sent.
#[derive(Debug)]
pub(crate) struct Ledger {
    sent: HashMap<String, Sent>,
}

impl Ledger {
    pub(super) fn of(sent: Vec<Sent>) -> Self {
        let count = sent.len();
        let sent: HashMap<_, _> = sent.into_iter().map(|sent| (sent.machine_id.clone(), sent)).collect();
        assert_eq!(sent.len(), count, "a name is given once");
        Self { sent }
    }

    /// Checks that a store has every acknowledged record once and no record too often.
    ///
    /// # Panics
    /// When that is not so; `context` says what it takes to try again.
    pub(crate) fn check(&self, stored: &[Stored], context: &str) {
        let complaints = self.complaints(stored);
        let count = complaints.len();
        let shown = complaints.into_iter().take(COMPLAINTS_MAX).collect::<Vec<_>>().join("\n");
        assert!(count == 0, "{context}: {count} complaints about {} stored records:\n{shown}", stored.len());
    }

    /// A line for people: what the load came to.
    pub(crate) fn summary(&self) -> String {
        let count = |what: fn(&Sent) -> bool| self.sent.values().filter(|sent| what(sent)).count();
        format!(
            "{} records, {} of them sent more than once, {} given up",
            self.sent.len(),
            count(|sent| sent.unanswered > 0 && sent.answer != Answered::Not),
            count(|sent| sent.answer == Answered::Not),
        )
    }

    /// Records that were sent again after a request without an answer, and have got one.
    pub(crate) fn repeated(&self) -> usize {
        self.sent.values().filter(|sent| sent.unanswered > 0 && sent.answer != Answered::Not).count()
    }

    fn complaints(&self, stored: &[Stored]) -> Vec<String> {
        let mut ids = HashSet::new();
        let twice = stored.iter().filter(|record| !ids.insert(record.id));
        let mut complaints: Vec<String> = twice.map(|record| format!("the id {} is there twice", record.id)).collect();
        let mut by_name: HashMap<&str, Vec<&Stored>> = HashMap::new();
        for record in stored {
            by_name.entry(&record.machine_id).or_default().push(record);
        }
        let unknown = by_name.keys().filter(|name| !self.sent.contains_key(**name));
        complaints.extend(unknown.map(|name| format!("{name} was never sent")));
        for (name, sent) in &self.sent {
            complaints.extend(complaint(sent, by_name.get(name.as_str()).map_or(&[], Vec::as_slice)));
        }
        complaints
    }
}

fn complaint(sent: &Sent, found: &[&Stored]) -> Option<String> {
    let times = sent.times_min()..=sent.times_max();
    if !times.contains(&found.len()) {
        let ids: Vec<u64> = found.iter().map(|record| record.id).collect();
        return Some(format!("{sent:?} is there {} times instead of {times:?}: {ids:?}", found.len()));
    }
    if let Answered::Named(id) = sent.answer
        && !found.iter().any(|record| record.id == id)
    {
        return Some(format!("{sent:?} was answered with an id that it has not: {found:?}"));
    }
    let differs = |record: &&&Stored| {
        record.payload_crc != sent.payload_crc || record.event_id != sent.event_id.as_deref().unwrap_or("N/A")
    };
    found.iter().find(differs).map(|record| format!("{sent:?} became {record:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(event_id: Option<&str>, unanswered: usize, answer: Answered) -> Sent {
        let event_id = event_id.map(str::to_owned);
        Sent { machine_id: "m".to_owned(), event_id, payload_crc: 7, unanswered, answer }
    }

    fn stored(id: u64, event_id: &str) -> Stored {
        Stored { id, machine_id: "m".to_owned(), event_id: event_id.to_owned(), payload_crc: 7 }
    }

    fn complains(sent: &Sent, stored: &[Stored]) -> bool {
        !Ledger::of(vec![sent.clone()]).complaints(stored).is_empty()
    }

    #[test]
    fn an_acknowledged_record_has_to_be_there_once_under_its_id() {
        let named = sent(Some("e"), 3, Answered::Named(1));
        assert!(!complains(&named, &[stored(1, "e")]));
        assert!(complains(&named, &[]));
        assert!(complains(&named, &[stored(2, "e")]));
        assert!(complains(&named, &[stored(1, "e"), stored(2, "e")]));
        assert!(complains(&named, &[stored(1, "e"), stored(1, "e")]));
        let counted = Sent { answer: Answered::Counted, ..named };
        assert!(!complains(&counted, &[stored(2, "e")]));
        assert!(complains(&counted, &[]));
    }

    #[test]
    fn a_record_without_an_answer_may_be_there_once() {
        let given_up = sent(Some("e"), 3, Answered::Not);
        assert!(!complains(&given_up, &[]));
        assert!(!complains(&given_up, &[stored(1, "e")]));
        assert!(complains(&given_up, &[stored(1, "e"), stored(2, "e")]));
        assert!(complains(&sent(Some("e"), 0, Answered::Not), &[stored(1, "e")]));
    }

    #[test]
    fn below_format_4_every_request_may_be_a_record() {
        let old = sent(None, 2, Answered::Named(3));
        let times = |count: u64| (1..=count).map(|id| stored(4 - id, "N/A")).collect::<Vec<_>>();
        assert!(complains(&old, &times(0)));
        assert!((1..=3).all(|count| !complains(&old, &times(count))));
        assert!(complains(&old, &[4, 3, 2, 1].map(|id| stored(id, "N/A"))));
    }

    #[test]
    fn what_is_stored_has_to_be_what_was_sent() {
        let named = sent(Some("e"), 0, Answered::Named(1));
        assert!(complains(&named, &[stored(1, "other")]));
        assert!(complains(&named, &[Stored { payload_crc: 8, ..stored(1, "e") }]));
        assert!(complains(&named, &[stored(1, "e"), Stored { machine_id: "n".to_owned(), ..stored(2, "e") }]));
    }
}
