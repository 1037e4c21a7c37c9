//! Samples of the pages of crashes: ordinary ones, empty ones, and the largest that data can make them.

use std::collections::HashSet;
use std::sync::Arc;

use telemetrics_analytics::crashes::{Frame as StackFrame, Guilty, Stack};
use telemetrics_analytics::judgement::Cause;
use telemetrics_analytics::questions::crash_totals::CrashTotal;
use telemetrics_analytics::questions::crashes::{Crashes, Group, OfBuild};
use telemetrics_analytics::questions::frames::SeenFrame;
use telemetrics_analytics::questions::guilty::{OfMachine, OfStack, Trend};
use telemetrics_analytics::regroup::{Change as GroupChange, Kind, Part};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::curation::{Change, Entry, Frame, State, What};
use telemetrics_schema::payload::{Filters, guilty_id};
use telemetrics_schema::time::US_PER_DAY;

use super::asked::{DAYS_DEFAULT, Window};
use super::backtraces::{BacktracesPage, Found as FoundStacks, STACKS_SHOWN};
use super::edit::{self, Action, Wish};
use super::filters::{FRAMES_SHOWN, FiltersPage};
use super::guilty::{Found as FoundGuilty, GuiltyPage, Judgement, SaidOfIt};
use super::history::{HistoryPage, PAGE_ENTRIES};
use super::preview::{Found as FoundPreview, PARTS_SHOWN, PreviewPage};
use super::top::{BUILDS_SHOWN, Found as FoundTop, GUILTIES_SHOWN, TopPage};
use crate::api::said::Said;
use crate::curation::{HistoryPage as Entries, PastEntry};
use crate::pages::samples::{HOSTILE, NOW, Sample, crash, given, hostile, judged, offer, problem, sample};

const LARGE: u64 = u64::MAX >> 12;

/// Every page of crashes in every state.
pub(in crate::pages) fn all() -> Vec<Sample> {
    let (long, few) = (HOSTILE.repeat(20), "deref()");
    vec![
        sample("crashes.html", "ordinary", &top("ordinary", "4", few, 3)),
        sample("crashes.html", "hostile", &top("hostile", &HOSTILE.repeat(2), &long, GUILTIES_SHOWN)),
        sample("crashes.html", "nothing", &nothing()),
        sample("crashes.html", "refused", &TopPage::refused(&given("hostile"), &offer(&hostile()), &problem())),
        sample("guilty.html", "ordinary", &guilty_page("ordinary", "4", few, 2)),
        sample("guilty.html", "hostile", &guilty_page("hostile", HOSTILE, &HOSTILE.repeat(60), 40)),
        sample("guilty.html", "long rows", &guilty_page("ordinary", &HOSTILE.repeat(2), &HOSTILE.repeat(60), 40)),
        sample("backtraces.html", "ordinary", &backtraces("ordinary", few, 2, 3)),
        sample("backtraces.html", "hostile", &backtraces("hostile", &long, 64, STACKS_SHOWN)),
        sample("backtraces.html", "unknown", &backtraces("ordinary", "", 0, 1)),
        sample("guilty_filters.html", "ordinary", &filters(few, 2)),
        sample("guilty_filters.html", "hostile", &filters(&long, FRAMES_SHOWN + 1)),
        sample(
            "guilty_filters.html",
            "empty",
            &FiltersPage::new(&State::default(), &(Vec::new(), false), DAYS_DEFAULT),
        ),
        sample("preview.html", "ordinary", &preview(few, 1, 2)),
        sample("preview.html", "hostile", &preview(HOSTILE, 50, PARTS_SHOWN + 9)),
        sample("preview.html", "nothing", &preview(few, 1, 0)),
        sample("history.html", "ordinary", &history(few, 2)),
        sample("history.html", "hostile", &history(&long, PAGE_ENTRIES)),
        sample("history.html", "empty", &history(few, 0)),
        sample("message.html", "reset", &edit::reset()),
    ]
}

fn guilty(name: &str, at: usize) -> Guilty {
    let function = if name.is_empty() { String::new() } else { format!("{at}{name}") };
    Guilty { id: guilty_id(&function, name), function, module: name.to_owned() }
}

fn state(name: &str, frames: usize) -> State {
    let mut state = State { sequence: 7, ..State::default() };
    for at in 0..frames {
        let Guilty { function, module, .. } = guilty(name, at);
        let frame = Frame { function, module };
        state.curated.comments.insert(frame.clone(), name.chars().take(80).collect());
        state.curated.hidden.insert(frame.clone());
        state.curated.filters.insert(Frame::new(format!("x{}", frame.function), frame.module));
    }
    state
}

fn said(name: &str, frames: usize) -> Said {
    Said::from(Arc::new(state(name, frames)))
}

fn of_build(build: &str, at: usize) -> OfBuild {
    OfBuild { system_name: build.to_owned(), build: format!("{at}{build}"), records: LARGE, machines: LARGE }
}

fn group(build: &str, name: &str, at: usize, builds: std::ops::Range<usize>) -> Group {
    Group {
        guilty: guilty(name, at),
        records: LARGE,
        machines: LARGE,
        first_seen: NOW,
        last_seen: NOW,
        builds: builds.map(|at| of_build(build, at)).collect(),
        classifications: (0..20).map(|class| (format!("{class}{build}"), LARGE)).collect(),
        stack_ids: (1..=9).collect(),
    }
}

fn window() -> Window {
    Window { filter: telemetrics_analytics::filter::RecordFilter::default(), days: DAYS_DEFAULT, shows_hidden: true }
}

/// The newest build is the last one; the first cause is only there.
fn top(what: &str, build: &str, name: &str, guilties: usize) -> TopPage {
    let newest = BUILDS_SHOWN - 1;
    let total = |at: usize, class: usize| CrashTotal {
        system_name: build.to_owned(),
        build: format!("{at}{build}"),
        classification: format!("{class}{build}"),
        records: LARGE,
    };
    let groups: Vec<Group> = (0..guilties)
        .map(|at| group(build, name, at, if at == 0 { newest..newest + 1 } else { 0..BUILDS_SHOWN }))
        .collect();
    let found = FoundTop {
        builds: (0..BUILDS_SHOWN).rev().map(|at| format!("{at}{build}")).collect(),
        builds_all: 20,
        totals: (0..BUILDS_SHOWN).flat_map(|at| (0..20).map(move |class| total(at, class))).collect(),
        older: Some(groups.iter().skip(1).map(|group| group.guilty.id).collect::<HashSet<i64>>()),
        trend: Trend {
            buckets: (0..8).map(|day| TimestampUs(NOW.0 + day * US_PER_DAY)).collect(),
            guilties: groups.iter().take(6).map(|group| (group.guilty.clone(), vec![7; 8])).collect(),
            others: vec![1; 8],
        },
        crashes: Crashes { groups, records: LARGE, has_more: true },
        pending: 3,
        as_of: NOW,
    };
    let record = if what == "ordinary" { crash() } else { hostile() };
    TopPage::found(&given(what), &offer(&record), &window(), &said(name, 1), &found)
}

fn nothing() -> TopPage {
    TopPage::found(&given("ordinary"), &offer(&crash()), &window(), &said("f()", 0), &FoundTop::default())
}

fn guilty_page(what: &str, build: &str, name: &str, builds: usize) -> GuiltyPage {
    let machine = OfMachine {
        machine_id: build.to_owned(),
        system_name: build.to_owned(),
        build: build.to_owned(),
        records: LARGE,
    };
    let trend = Trend {
        buckets: (0..8).map(|day| TimestampUs(NOW.0 + day * US_PER_DAY)).collect(),
        guilties: vec![(guilty(name, 0), vec![7; 8])],
        others: vec![0; 8],
    };
    let cause = |_| {
        let Guilty { id: guilty_id, function, module } = guilty(name, 0);
        Cause::Guilty { guilty_id, function, module }
    };
    let found = FoundGuilty {
        group: group(build, name, 0, 0..builds * 2),
        machines: vec![machine; builds],
        trend,
        pending: builds,
        as_of: NOW,
    };
    let judgement = Judgement::Of(build.to_owned(), Arc::new(judged(build, 1, cause)));
    let of_it = SaidOfIt { based_on: 7, comment: name.chars().take(80).collect(), is_hidden: builds > 2 };
    GuiltyPage::new(&given(what), &found, &judgement, &of_it, DAYS_DEFAULT)
}

fn backtraces(what: &str, name: &str, frames: usize, stacks: usize) -> BacktracesPage {
    let frame = |at: usize| StackFrame {
        function: format!("{at}{name}").into(),
        module: name.into(),
        source: format!("{name}:{at}").into(),
    };
    let stack = Arc::new(Stack { frames: (0..frames).map(frame).collect() });
    let of =
        OfStack { stack_id: 1, stack, records: LARGE, machines: LARGE, builds: LARGE, first_seen: NOW, last_seen: NOW };
    let filters = Filters::from_iter([(format!("0{name}"), name)]);
    let found =
        FoundStacks { guilty: guilty(name, 0), all: 100, stacks: vec![of; stacks], pending: stacks, as_of: NOW };
    BacktracesPage::new(&given(what), &found, &filters, DAYS_DEFAULT)
}

fn filters(name: &str, frames: usize) -> FiltersPage {
    let seen = |at: usize| {
        let Guilty { function, module, .. } = guilty(name, at);
        SeenFrame { function: function.into(), module: module.into(), records: LARGE, guilty_of: LARGE }
    };
    FiltersPage::new(&state(name, frames), &((0..frames).map(seen).collect(), true), DAYS_DEFAULT)
}

fn changes(name: &str, frames: usize) -> Vec<Change> {
    let frame = |at: usize| Frame::new(format!("{at}{name}"), name);
    (0..frames).map(|at| Change::CommentSet(frame(at), name.to_owned())).collect()
}

fn preview(name: &str, frames: usize, parts: usize) -> PreviewPage {
    let part = |at: usize| Part {
        guilty: guilty(name, at),
        records_before: if at == 0 { LARGE >> 8 } else { 0 },
        records_after: if at == 0 { 0 } else { LARGE >> 8 },
        machines_before: LARGE,
        machines_after: LARGE,
    };
    let change = |parts: Vec<Part>| GroupChange { kind: Kind::Split, moved: LARGE >> 8, parts };
    let groups = if parts == 0 { Vec::new() } else { vec![change((0..parts).map(part).collect()); 2] };
    let changes = changes(name, frames);
    let found = FoundPreview { based_on: 7, changes: changes.clone(), groups, records: LARGE };
    let wish = Wish {
        action: Action::Add,
        what: What::Changes(changes),
        based_on: None,
        who: Some(name.to_owned()),
        is_signed_in: frames % 2 == 1,
        days: DAYS_DEFAULT,
        is_decided: false,
    };
    PreviewPage::new(&wish, &found).expect("within the limits")
}

fn history(name: &str, entries: usize) -> HistoryPage {
    let entry = |at: u64| Entry {
        sequence: at,
        time: NOW,
        who: Some(name.to_owned()),
        nonce: at,
        what: if at == 1 { What::Undo(9) } else { What::Changes(changes(name, 9)) },
    };
    let past = |at| PastEntry { entry: entry(at), undone_by: (at == 2).then_some(9) };
    let entries: Vec<PastEntry> = (1..=entries as u64).rev().map(past).collect();
    HistoryPage::new(&Entries { sequence: 7, has_more: !entries.is_empty(), entries })
}
