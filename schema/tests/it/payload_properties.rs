//! What holds for all payloads: none makes a parser panic, limits are kept, and derived columns say what is parsed.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use telemetrics_schema::Report;
use telemetrics_schema::payload::{
    Backtrace, CRASH_CLASSES, FRAMES_PER_THREAD, Filters, Frame, NAME_LIMIT_BYTES, REGISTERS, THREADS, Why, backtrace,
    derive, guilty, is_known, shown_name, stack_id,
};

use crate::captures;

/// Texts that are nearly a payload: lines and pieces of lines of both grammars between anything else.
fn near_payload() -> impl Strategy<Value = String> {
    let pieces = select(&[
        "Process: /usr/bin/a",
        "PID: 7",
        "Signal: 11",
        "Error: none",
        "Too many frames. Backtrace truncated.",
        "Backtrace (TID 7):",
        "Backtrace :",
        "Backtrace",
        "Crash Report:",
        "Reason: BUG: x",
        "Kernel Version : 6.1 #1",
        "Tainted : G",
        "Modules : a b",
        "Register RIP: 0",
        "#0 ",
        "#1 f() - [/a] - a.c:6",
        "#2 ? g - [kernel]",
        "#3 (no symbols)",
        "#4 ??? - [/b]",
        "#5 _ZN1a1bEi() - [/c]",
        "#6 _RNvC1a1b - [d]",
        "#7 _start() - [/a]",
        "\n",
        "\r\n",
        "\0",
        " - [",
        "]",
        "[",
        " - ",
        ":",
        "#",
        " ",
        "() ",
        "é",
    ]);
    let piece = prop_oneof![6 => pieces.prop_map(str::to_owned), 1 => any::<String>()];
    vec((piece, any::<bool>()), 0..80)
        .prop_map(|pieces| pieces.into_iter().map(|(piece, ends)| piece + if ends { "\n" } else { "" }).collect())
}

/// Letters that begin the parts of a mangled name, more often than others.
fn near_symbol() -> impl Strategy<Value = String> {
    let pieces = select(&[
        "N",
        "E",
        "v",
        "i",
        "S_",
        "S0_",
        "St",
        "I",
        "J",
        "T_",
        "L",
        "K",
        "R",
        "P",
        "1a",
        "3foo",
        "C2",
        "D0",
        "X",
        "Z",
        "Y",
        "DT",
        "dt",
        "cv",
        "B_",
        "B0_",
        "Nv",
        "Nt",
        "C1a",
        "M",
        "s_",
        "0",
        "9",
        "_",
        "$LT$",
        "..",
        "17h0123456789abcdef",
        ".cold",
        "@@V_1",
        "()",
        "é",
    ]);
    let head = select(&["_Z", "_ZN", "_R", "_RNv", "? _Z", "_ZNK", "_RI", "_ZZ", ""]);
    (head, vec(pieces, 0..60)).prop_map(|(head, pieces)| head.to_owned() + &pieces.concat())
}

/// A captured payload with a few characters taken out, doubled, or replaced.
fn mutated() -> impl Strategy<Value = String> {
    let payloads: Vec<String> = captures::reports().into_iter().map(|(_, report)| report.payload).collect();
    let edit = (any::<Index>(), 0..4_u8, any::<char>());
    (select(payloads), vec(edit, 0..20)).prop_map(|(payload, edits)| {
        let mut letters: Vec<char> = payload.chars().collect();
        for (at, how, letter) in edits {
            if letters.is_empty() {
                break;
            }
            let at = at.index(letters.len());
            match how {
                0 => drop(letters.remove(at)),
                1 => letters.insert(at, letter),
                2 => letters[at] = letter,
                _ => letters.truncate(at),
            }
        }
        letters.into_iter().collect()
    })
}

fn assert_reads(payload: &str) {
    let report =
        Report { classification: CRASH_CLASSES[0].to_owned(), payload: payload.to_owned(), ..Report::default() };
    let (derived, parsed) = (derive(&report), backtrace(&report));
    let parsed = parsed.unwrap_or_default();
    assert_eq!(derived.stack_id, stack_id(parsed.stack()));
    assert_eq!(derived.signal, parsed.signal.unwrap_or_default());
    assert!(parsed.process.unwrap_or_default().starts_with(&derived.process));
    assert!(parsed.reason.unwrap_or_default().starts_with(&derived.reason));
    assert!(parsed.threads.len() <= THREADS && parsed.registers.len() <= REGISTERS);
    assert!(parsed.threads.iter().all(|thread| thread.frames.len() <= FRAMES_PER_THREAD));
    assert_guilty(parsed.stack());
}

/// Whatever is filtered, the guilty is what its rule says.
fn assert_guilty(frames: &[Frame<'_>]) {
    let names: Vec<_> = frames.iter().map(|frame| (shown_name(frame.function), frame.module)).collect();
    for filtered in 0..=names.len() {
        let filters: Filters = names[..filtered].iter().map(|(function, module)| (function, module)).collect();
        let is_open = |&(function, module): &(&str, &str)| !filters.contains(function, module);
        let mut open = names.iter().map(|(function, module)| (function.as_ref(), *module)).filter(is_open);
        let Some(guilty) = guilty(frames, &filters) else { return assert!(frames.is_empty()) };
        let chosen = (guilty.function.as_ref(), guilty.module);
        assert_eq!(chosen, (names[guilty.frame].0.as_ref(), names[guilty.frame].1));
        match guilty.why {
            Why::FirstKnown => assert_eq!(open.find(|(function, _)| is_known(function)), Some(chosen)),
            Why::FirstUnknown => {
                assert!(open.clone().all(|(function, _)| !is_known(function)));
                assert_eq!(open.next(), Some(chosen));
            }
            Why::LastFiltered => assert!(open.next().is_none() && guilty.frame + 1 == frames.len()),
        }
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parsers_panic(text in any::<String>(), near in near_payload()) {
        assert_reads(&text);
        assert_reads(&near);
    }

    #[test]
    fn no_change_of_a_captured_payload_makes_the_parsers_panic(payload in mutated()) {
        assert_reads(&payload);
    }

    #[test]
    fn line_ends_of_windows_say_the_same(payload in near_payload()) {
        let plain = payload.replace('\r', "");
        let other = plain.replace('\n', "\r\n");
        prop_assert_eq!(Backtrace::parse(&other), Backtrace::parse(&plain));
    }

    #[test]
    fn no_name_makes_demangling_panic(name in any::<String>(), near in near_symbol()) {
        for name in [name, near] {
            let shown = shown_name(&name);
            prop_assert!(shown == name.as_str() || shown.len() <= NAME_LIMIT_BYTES + name.len());
        }
    }
}
