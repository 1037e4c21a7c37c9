//! What is remembered after a restart, what is forgotten, and what the log keeps of it.

use super::super::format::{ENTRY_BYTES, HEADER_BYTES};
use super::super::{RECORDS_MAX, Remembered, Window, WindowError};
use super::rig::{AGE_US, Rig, open, report};

#[tokio::test]
async fn what_the_journal_holds_is_remembered() {
    let mut rig = Rig::new(10, 10);
    let first = rig.accept(report(1)).await;
    rig.restart();
    assert_eq!(rig.remembered, Remembered { pending: 1, ..Remembered::default() });
    let again = rig.accept(report(1)).await;
    assert!(again.redelivered && again.record == first.record);
}

#[tokio::test]
async fn what_was_delivered_is_remembered() {
    let mut rig = Rig::new(10, 10);
    let first = rig.accept(report(1)).await;
    rig.deliver(1).await;
    rig.restart();
    assert_eq!(rig.remembered, Remembered { logged: 1, ..Remembered::default() });
    let again = rig.accept(report(1)).await;
    assert!(again.redelivered && again.record == first.record);
}

#[tokio::test]
async fn what_is_in_the_log_and_in_the_journal_is_remembered_once() {
    let mut rig = Rig::new(10, 10);
    rig.accept(report(1)).await;
    rig.window.delivered(&rig.pending(1)).await.expect("noted");
    rig.restart();
    assert_eq!((rig.remembered.logged, rig.remembered.pending), (1, 0));
    rig.deliver(1).await;
    rig.restart();
    assert_eq!((rig.remembered.logged, rig.remembered.pending), (1, 0));
}

#[tokio::test]
async fn an_old_record_is_forgotten_at_its_age_and_not_before() {
    let mut rig = Rig::new(10, 1);
    rig.accept(report(1)).await;
    rig.accept(report(2)).await;
    rig.deliver(1).await;
    rig.clock.turn_by_us(AGE_US - 1);
    rig.restart();
    assert!(rig.accept(report(1)).await.redelivered && rig.accept(report(2)).await.redelivered);
    rig.clock.turn_by_us(1);
    assert_eq!(rig.window.stats().records, 0);
    rig.restart();
    assert_eq!((rig.remembered.logged, rig.remembered.pending), (0, 0));
    assert!(!rig.accept(report(1)).await.redelivered && !rig.accept(report(2)).await.redelivered);
}

#[tokio::test]
async fn the_limit_of_records_holds_over_a_restart() {
    let mut rig = Rig::new(3, 2);
    for number in 1..=5 {
        rig.accept(report(number)).await;
        rig.deliver(1).await;
    }
    rig.accept(report(6)).await;
    rig.restart();
    assert_eq!(rig.window.stats().records, 3);
    for number in 4..=6 {
        assert!(rig.accept(report(number)).await.redelivered, "{number}");
    }
    assert!(!rig.accept(report(3)).await.redelivered);
}

#[tokio::test]
async fn a_long_outage_of_the_store_does_not_make_old_records_new_ones() {
    let rig = Rig::new(3, 2);
    for number in 1..=6 {
        rig.accept(report(number)).await;
    }
    rig.deliver(2).await;
    assert!(rig.accept(report(4)).await.redelivered, "one of the newest three");
    assert!(!rig.accept(report(1)).await.redelivered);
}

#[tokio::test]
async fn files_go_when_those_behind_them_hold_enough() {
    let rig = Rig::new(4, 2);
    for number in 0..20 {
        rig.accept(report(number)).await;
        rig.deliver(1).await;
        assert!(rig.files().len() <= 3, "{:?}", rig.files());
    }
    assert_eq!(rig.window.stats().log_bytes, rig.files().iter().map(size).sum::<u64>());
}

fn size(path: &std::path::PathBuf) -> u64 {
    std::fs::metadata(path).expect("a file").len()
}

#[tokio::test]
async fn files_go_when_all_in_them_is_too_old_but_for_the_newest() {
    let mut rig = Rig::new(100, 2);
    for number in 0..5 {
        rig.accept(report(number)).await;
        rig.deliver(1).await;
    }
    assert_eq!(rig.files().len(), 3);
    rig.clock.turn_by_us(AGE_US);
    rig.restart();
    assert_eq!(rig.files().len(), 1, "the newest has the key");
    rig.accept(report(9)).await;
    rig.deliver(1).await;
    rig.restart();
    assert!(rig.accept(report(9)).await.redelivered);
}

#[tokio::test]
async fn restarts_go_on_in_the_same_file() {
    let mut rig = Rig::new(100, 10);
    for number in 0..9 {
        rig.accept(report(number)).await;
        rig.deliver(1).await;
        rig.restart();
    }
    assert_eq!((rig.files().len(), rig.remembered.logged), (1, 9));
    rig.accept(report(9)).await;
    rig.deliver(1).await;
    assert_eq!(rig.files().len(), 1);
    rig.restart();
    assert_eq!((rig.files().len(), rig.remembered.logged), (2, 10), "the next one is begun while there may be space");
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_made_up_for_later() {
    let mut rig = Rig::new(10, 1);
    let directory = rig.settings.directory.clone();
    rig.accept(report(0)).await;
    rig.deliver(1).await;
    // The file is full, and there is no place for the next one.
    std::fs::remove_dir_all(&directory).expect("removed");
    rig.accept(report(1)).await;
    let refused = rig.window.delivered(&rig.pending(1)).await;
    assert!(matches!(refused, Err(WindowError::Io { .. })), "{refused:?}");
    rig.confirm(1);
    assert_eq!(rig.window.stats().log_failures, 1);
    assert!(rig.accept(report(1)).await.redelivered, "the process still knows it");
    std::fs::create_dir(&directory).expect("a directory");
    rig.accept(report(2)).await;
    rig.deliver(1).await;
    rig.restart();
    assert_eq!(rig.remembered.logged, 2);
    assert!(rig.accept(report(1)).await.redelivered && rig.accept(report(2)).await.redelivered);
}

#[tokio::test]
async fn a_smaller_limit_keeps_the_newest() {
    let mut rig = Rig::new(10, 3);
    for number in 0..8 {
        rig.accept(report(number)).await;
    }
    rig.deliver(8).await;
    rig.settings.records_max = 2;
    rig.restart();
    assert!(rig.accept(report(6)).await.redelivered && rig.accept(report(7)).await.redelivered);
    assert!(!rig.accept(report(5)).await.redelivered);
}

#[test]
fn settings_out_of_range_are_refused() {
    let rig = Rig::new(1, 1);
    for records_max in [0, RECORDS_MAX + 1] {
        let settings = super::super::WindowSettings { records_max, ..rig.settings.clone() };
        let refused = Window::open(&settings, rig.clock.clone(), []).err();
        assert!(matches!(refused, Some(WindowError::Settings(_))));
    }
}

#[tokio::test]
async fn the_numbers_say_how_far_the_window_reaches() {
    let rig = Rig::new(2, 10);
    assert_eq!(rig.window.stats().oldest_reception, None);
    for number in 0..3 {
        rig.accept(report(number)).await;
        rig.clock.turn_by_us(10);
    }
    let stats = rig.window.stats();
    assert_eq!((stats.records, stats.oldest_reception.map(|at| at.0)), (2, Some(10)));
    rig.clock.turn_by_us(AGE_US - 20);
    assert_eq!(rig.window.stats().oldest_reception.map(|at| at.0), Some(20));
    let (window, _) = open(&rig.settings, &rig.clock, Vec::new());
    assert_eq!(window.stats().records, 0, "nothing was delivered, and the journal is gone");
}

#[tokio::test]
async fn space_for_a_whole_file_is_reserved_before_it_is_needed() {
    let mut rig = Rig::new(100, 10);
    let whole_bytes = (HEADER_BYTES + 10 * ENTRY_BYTES) as u64;
    let sizes = |rig: &Rig| rig.files().iter().map(size).collect::<Vec<_>>();
    assert_eq!(sizes(&rig), [whole_bytes]);
    for number in 0..11 {
        rig.accept(report(number)).await;
        rig.deliver(1).await;
        rig.restart();
        assert!(sizes(&rig).iter().all(|bytes| *bytes == whole_bytes), "{:?}", sizes(&rig));
    }
    assert_eq!((rig.files().len(), rig.window.stats().log_bytes), (2, 2 * whole_bytes));
}
