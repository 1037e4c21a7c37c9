//! Random lists of operations against a plain list of what was accepted.

use proptest::prelude::*;

use super::rig::{AGE_US, Rig, report};

#[derive(Debug, Clone)]
enum Step {
    /// Sends the report of that number, perhaps again.
    Send(usize),
    /// Sends these at once.
    SendMany(Vec<usize>),
    /// Delivers and confirms so many records.
    Deliver(usize),
    /// Delivers so many records and loses the confirmation.
    DeliverUnconfirmed(usize),
    Restart,
    /// So many microseconds pass.
    Pass(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_usize..12).prop_map(Step::Send),
        2 => prop::collection::vec(0_usize..12, 0..5).prop_map(Step::SendMany),
        3 => (1_usize..6).prop_map(Step::Deliver),
        1 => (1_usize..6).prop_map(Step::DeliverUnconfirmed),
        2 => Just(Step::Restart),
        2 => (1..AGE_US / 2).prop_map(Step::Pass),
    ]
}

/// An accepted record: number of its report, identifier, reception.
type Known = (usize, i64, i64);

/// What the window must know.
#[derive(Default)]
struct Model {
    accepted: Vec<Known>,
    now_us: i64,
    records_max: usize,
    last_id: i64,
}

impl Model {
    fn live(&self) -> Vec<Known> {
        let live = self.accepted.iter().filter(|(_, _, at)| self.now_us - at < AGE_US).copied();
        let live: Vec<_> = live.collect();
        live[live.len().saturating_sub(self.records_max)..].to_vec()
    }

    /// Identifier and reception that the answer has, and whether it is a redelivery.
    fn send(&mut self, number: usize) -> (i64, i64, bool) {
        if let Some((_, id, at)) = self.live().into_iter().find(|(known, ..)| *known == number) {
            return (id, at, true);
        }
        self.last_id += 1;
        self.accepted.push((number, self.last_id, self.now_us));
        (self.last_id, self.now_us, false)
    }
}

async fn run(records_max: usize, file_records: usize, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut rig = Rig::new(records_max, file_records);
    let mut model = Model { records_max, ..Model::default() };
    for step in steps {
        match step {
            Step::Send(number) => send(&rig, &mut model, &[number]).await?,
            Step::SendMany(numbers) => send_many(&rig, &mut model, numbers).await?,
            Step::Deliver(count) => rig.deliver(count).await,
            Step::DeliverUnconfirmed(count) => rig.window.delivered(&rig.pending(count)).await.expect("noted"),
            Step::Restart => rig.restart(),
            Step::Pass(us) => {
                rig.clock.turn_by_us(us);
                model.now_us += us;
            }
        }
        let stats = rig.window.stats();
        let live = model.live();
        prop_assert_eq!(stats.records, live.len() as u64);
        prop_assert_eq!(stats.oldest_reception.map(|at| at.0), live.first().map(|(_, _, at)| *at));
        prop_assert_eq!(rig.remembered.damaged_entries + rig.remembered.damaged_files, 0);
        let kept = rig.files().len() * file_records;
        prop_assert!(kept <= records_max + 2 * file_records, "{kept} entries are kept");
    }
    Ok(())
}

async fn send(rig: &Rig, model: &mut Model, numbers: &[usize]) -> Result<(), TestCaseError> {
    for number in numbers {
        let accepted = rig.accept(report(*number)).await;
        prop_assert_eq!(&accepted.record.report, &report(*number));
        let answer = (accepted.record.id.0, accepted.record.ts_reception.0, accepted.redelivered);
        prop_assert_eq!(answer, model.send(*number), "report {}", number);
    }
    Ok(())
}

/// Those that are new get their identifiers in the order of the list, and nothing else changes meanwhile: the outcome is
/// that of sending them one by one, as long as none of them pushes another one of the list out of the window.
async fn send_many(rig: &Rig, model: &mut Model, numbers: Vec<usize>) -> Result<(), TestCaseError> {
    if model.live().len() + numbers.len() > model.records_max {
        return send(rig, model, &numbers).await;
    }
    let reports = numbers.iter().map(|number| report(*number)).collect();
    let (answers, error) = rig.window.accept_many(reports, |reports| rig.append_all(reports)).await;
    prop_assert_eq!((answers.len(), error), (numbers.len(), None));
    for (number, accepted) in numbers.into_iter().zip(answers) {
        let answer = (accepted.record.id.0, accepted.record.ts_reception.0, accepted.redelivered);
        prop_assert_eq!(answer, model.send(number), "report {}", number);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_answer_is_that_of_a_plain_list(
        records_max in 1_usize..10,
        file_records in 1_usize..5,
        steps in prop::collection::vec(any_step(), 0..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(run(records_max, file_records, steps))?;
    }
}
