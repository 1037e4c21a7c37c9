//! Names of functions as people write them: C++ and Rust symbols demangled, everything else as it is.

use std::borrow::Cow;
use std::fmt::{self, Write};

use cpp_demangle::{BorrowedSymbol, DemangleOptions, ParseOptions};

/// Longest symbol that is demangled, in bytes; a longer one is shown as it is.
pub const SYMBOL_LIMIT_BYTES: usize = 4_096;
/// Longest name that demangling may give, in bytes: a short symbol can stand for gigabytes of text.
pub const NAME_LIMIT_BYTES: usize = 16_384;
/// How deep the parser of C++ symbols may go, in its own steps: about nine templates within each other.
const CPP_DEPTH_LIMIT: u32 = 64;
/// How many `new` and `delete` a C++ symbol may seem to have.
const CPP_ALLOCATION_LIMIT: usize = 8;

/// A function as it is compared with filters and shown.
///
/// A `()` behind a C++ or Rust symbol goes and the symbol is demangled, without the hash that changes with every build
/// of a Rust program; any other name stays as it is. So does `? ` before a name, and the version behind one (`@@GLIBC_2.34`).
#[must_use]
pub fn shown_name(function: &str) -> Cow<'_, str> {
    let symbol_at = function.find(|letter: char| letter != '?' && letter != ' ').unwrap_or(0);
    let (unsure, symbol) = function.split_at(symbol_at);
    let symbol = symbol.strip_suffix("()").unwrap_or(symbol);
    let (symbol, version) = symbol.split_at(symbol.find('@').unwrap_or(symbol.len()));
    demangled(symbol).map_or(Cow::Borrowed(function), |name| Cow::Owned(format!("{unsure}{name}{version}")))
}

/// The name behind a mangled symbol; `None` where it is not mangled.
fn demangled(symbol: &str) -> Option<String> {
    if symbol.len() > SYMBOL_LIMIT_BYTES {
        return None;
    }
    // A legacy Rust symbol is one of C++, too, with a meaningless last part: so Rust goes first.
    match symbol.get(..2)? {
        "_Z" => rust(symbol).or_else(|| cpp(symbol)),
        "_R" => rust(symbol),
        _ => None,
    }
}

fn rust(symbol: &str) -> Option<String> {
    let name = rustc_demangle::try_demangle(symbol).ok()?;
    bounded(|out| write!(out, "{name:#}"))
}

fn cpp(symbol: &str) -> Option<String> {
    if allocations(symbol) > CPP_ALLOCATION_LIMIT {
        return None;
    }
    let parsing = ParseOptions::default().recursion_limit(CPP_DEPTH_LIMIT);
    let writing = DemangleOptions::new().recursion_limit(CPP_DEPTH_LIMIT);
    let name = BorrowedSymbol::new_with_options(symbol.as_bytes(), &parsing).ok()?;
    bounded(|out| name.structured_demangle(out, &writing))
}

/// Places that the parser may take for a `new` or a `delete` expression, those within names among them.
///
/// What follows one of them is parsed twice where it is no valid expression, so that each doubles the time: 28 of them in
/// 62 bytes took minutes. Other nesting costs several steps of depth each, and the limit of depth is enough.
fn allocations(symbol: &str) -> usize {
    let pairs = symbol.as_bytes().windows(2);
    pairs.filter(|pair| matches!(*pair, b"nw" | b"na" | b"dl" | b"da")).count()
}

fn bounded(write: impl FnOnce(&mut Bounded) -> fmt::Result) -> Option<String> {
    let mut out = Bounded(String::new());
    write(&mut out).ok()?;
    Some(out.0).filter(|name| !name.is_empty())
}

/// A text that takes [`NAME_LIMIT_BYTES`] and then fails, which ends the demangling.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if self.0.len() + piece.len() > NAME_LIMIT_BYTES {
            return Err(fmt::Error);
        }
        self.0.push_str(piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mangled_names_become_readable() {
        let cases = [
            ("_ZN6quartz6Buffer5flushEi()", "quartz::Buffer::flush(int)"),
            ("_ZN6quartz6BufferC2Ev()", "quartz::Buffer::Buffer()"),
            ("_ZNK6quartz6Buffer4sizeEv()", "quartz::Buffer::size() const"),
            ("_Z3fooi", "foo(int)"),
            ("_ZSt9terminatev@@GLIBCXX_3.4()", "std::terminate()@@GLIBCXX_3.4"),
            ("_ZN1a1bEv.cold()", "a::b() [clone .cold]"),
            ("_ZN5alpha4beta5gamma17h0123456789abcdefE()", "alpha::beta::gamma"),
            (
                "_ZN48_$LT$alpha..Beta$u20$as$u20$core..fmt..Debug$GT$3fmt17h0123456789abcdefE()",
                "<alpha::Beta as core::fmt::Debug>::fmt",
            ),
            ("_RNvNtCs1234_7mycrate3foo3bar()", "mycrate::foo::bar"),
            ("_RNCNvC7mycrate4main0()", "mycrate::main::{closure#0}"),
            ("? _RNvNtCs1234_7mycrate3foo3bar", "? mycrate::foo::bar"),
        ];
        for (symbol, name) in cases {
            assert_eq!(shown_name(symbol), name, "{symbol}");
        }
    }

    #[test]
    fn what_is_not_mangled_stays_as_it_is() {
        let names = [
            "",
            "()",
            "main()",
            "main",
            "???",
            "? vsnprintf",
            "(no symbols)",
            "=======",
            "é()",
            "? ",
            "?",
            "????",
            "__libc_start_main@@GLIBC_2.34()",
            "do_ipv6_setsockopt.isra.6",
            "operator new()",
            "foo::bar()()",
        ];
        for name in names {
            assert_eq!(shown_name(name), name);
            assert!(matches!(shown_name(name), Cow::Borrowed(_)), "{name}");
        }
    }

    #[test]
    fn what_only_looks_mangled_stays_as_it_is() {
        let names = [
            "_Z()",
            "_Z",
            "_R()",
            "_R",
            "_Zebra()",
            "_ZN()",
            "_ZN3fo()",
            "_ZN3fooEv garbage()",
            "_Random_seed()",
            "_RNvC",
            "_ZN3foo",
            "_ZN99999999999999999999aEv()",
            "_ZN5alpha17h01234E_x()",
            "Z3foov()",
            "RNvC7mycrate4main()",
            "__Z3foov()",
            "_Zé()",
            "_Ré",
            "_ZN2éEv x",
            "x_Z3foov()",
        ];
        for name in names {
            assert_eq!(shown_name(name), name);
        }
    }

    #[test]
    fn builds_of_one_rust_program_have_the_same_names() {
        let name = |hash: &str| shown_name(&format!("_ZN5alpha4beta17h{hash}E()")).into_owned();
        assert_eq!(name("0123456789abcdef"), name("fedcba9876543210"));
        assert_eq!(shown_name("_RNvCs1234_5alpha4beta()"), shown_name("_RNvCsXyZ_5alpha4beta()"));
    }

    #[test]
    fn the_longest_symbol_is_demangled_and_a_longer_one_is_not() {
        let of = |bytes: usize| {
            let name = "a".repeat(bytes - "_Z0000v".len());
            format!("_Z{}{name}v()", name.len())
        };
        assert!(shown_name(&of(SYMBOL_LIMIT_BYTES)).ends_with("aa()"));
        assert!(shown_name(&of(SYMBOL_LIMIT_BYTES)).starts_with("aa"));
        assert!(shown_name(&of(SYMBOL_LIMIT_BYTES + 1)).starts_with("_Z"));
    }

    /// A C++ function with arguments of types of which each has the one before it twice.
    fn doubling(times: usize) -> String {
        let number = |index: usize| char::from(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[index]);
        let argument = |index| format!("S_IS{0}_S{0}_E", number(index));
        "_Z1f3fooIiiE".to_owned() + &(0..times).map(argument).collect::<String>()
    }

    #[test]
    fn a_symbol_that_stands_for_endless_text_stays_as_it_is() {
        assert_eq!(shown_name(&doubling(1)), "f(foo<int, int>, foo<foo<int, int>, foo<int, int> >)");
        let bomb = doubling(30);
        assert!(bomb.len() < SYMBOL_LIMIT_BYTES);
        assert_eq!(shown_name(&bomb), bomb);
    }

    #[test]
    fn expressions_that_would_take_minutes_are_not_tried() {
        let constructed = "_ZSt12construct_atIiJRKiEEDTgsnwcvPvLi0E_T_pispcl7declvalIT0_EEEEPS3_DpOS4_()";
        assert!(shown_name(constructed).contains("std::construct_at<int, int const&>"), "{}", shown_name(constructed));
        for piece in ["nw", "na", "dl", "da", "gsnw", "nwT_"] {
            let hostile = "_Z1aIX".to_owned() + &piece.repeat(30);
            assert_eq!(shown_name(&hostile), hostile);
        }
        let of = |times: usize| format!("_Z{}{}v()", 2 * times, "na".repeat(times));
        assert!(shown_name(&of(CPP_ALLOCATION_LIMIT)).starts_with("nana"));
        assert!(shown_name(&of(CPP_ALLOCATION_LIMIT + 1)).starts_with("_Z"));
    }

    #[test]
    fn nesting_without_end_stays_as_it_is() {
        for (head, piece) in [
            ("_Z1f", "P"),
            ("_ZN", "1a"),
            ("_Z1f", "1aI"),
            ("_R", "NvC"),
            ("_RIC1a", "R"),
            ("_Z1fDT", "ad"),
            ("_ZZ", "1f"),
        ] {
            let symbol = head.to_owned() + &piece.repeat((SYMBOL_LIMIT_BYTES - 8) / piece.len());
            assert_eq!(shown_name(&symbol), symbol);
        }
    }
}
