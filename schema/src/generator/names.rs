//! Invented names of functions, modules and programs, mangled as compilers mangle them.

use super::chance::Chance;

/// What a program was written in, and so how its symbols look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    C,
    Cpp,
    RustLegacy,
    RustV0,
}

/// A function as a frame names it.
#[derive(Debug, Clone)]
pub(super) struct Function {
    /// Mangled where the language mangles, without `()`.
    pub(super) symbol: String,
    /// Source file, where the module has debug information.
    pub(super) source: Option<String>,
    pub(super) line: u32,
}

const VERBS: &[&str] = &[
    "open", "close", "read", "write", "parse", "emit", "flush", "resolve", "lookup", "insert", "remove", "update",
    "merge", "split", "encode", "decode", "render", "layout", "attach", "detach", "schedule", "cancel", "retry",
    "commit", "rollback", "verify", "hash", "copy", "resize", "reset", "poll", "notify", "dispatch", "acquire",
    "release", "grow", "shrink", "walk", "collect", "sync",
];

const NOUNS: &[&str] = &[
    "buffer",
    "session",
    "stream",
    "packet",
    "header",
    "token",
    "node",
    "tree",
    "table",
    "index",
    "cursor",
    "page",
    "frame",
    "glyph",
    "surface",
    "texture",
    "socket",
    "channel",
    "queue",
    "worker",
    "timer",
    "event",
    "signal",
    "device",
    "volume",
    "mixer",
    "codec",
    "chunk",
    "record",
    "segment",
    "manifest",
    "bundle",
    "profile",
    "policy",
    "cache",
    "entry",
    "handle",
    "region",
    "layer",
    "widget",
    "menu",
    "clipboard",
    "keymap",
    "route",
    "lease",
    "peer",
    "cipher",
    "digest",
    "archive",
    "snapshot",
    "mount",
    "inode",
    "journal",
    "probe",
    "sensor",
    "battery",
    "panel",
    "window",
    "theme",
    "font",
];

const STEMS: &[&str] = &[
    "amber", "basalt", "brook", "cedar", "cinder", "cobalt", "copper", "coral", "delta", "ember", "fathom", "fern",
    "flint", "garnet", "glade", "harbor", "hazel", "heron", "indigo", "jasper", "juniper", "kelp", "lagoon", "larch",
    "lichen", "linden", "maple", "marsh", "mica", "moss", "nimbus", "ochre", "onyx", "opal", "osprey", "pebble",
    "petrel", "pine", "quartz", "quill", "raven", "reef", "rowan", "russet", "sable", "saffron", "sedge", "shale",
    "sorrel", "spruce", "talus", "teal", "thistle", "tidepool", "topaz", "tundra", "umber", "willow", "wren", "yarrow",
];

/// What a program or a library is called, such as `quartz` or, once the plain names are used up, `quartz-2`.
pub(super) fn stem(number: usize) -> String {
    let stem = STEMS[number % STEMS.len()];
    match number / STEMS.len() {
        0 => stem.to_owned(),
        round => format!("{stem}{}", round + 1),
    }
}

/// A function of the module `stem`.
pub(super) fn function(chance: &mut Chance, language: Language, stem: &str, has_source: bool) -> Function {
    let (verb, noun, other) = (chance.pick(VERBS), chance.pick(NOUNS), chance.pick(NOUNS));
    let symbol = match language {
        Language::C => c_symbol(chance, stem, verb, noun),
        Language::Cpp => cpp_symbol(chance, stem, &[noun, verb, other]),
        Language::RustLegacy => rust_legacy_symbol(chance, stem, &[noun, verb, other]),
        Language::RustV0 => rust_v0_symbol(chance, stem, &[noun, verb, other]),
    };
    let source = has_source.then(|| source_file(language, stem, noun));
    Function { symbol, source, line: chance.between(20, 2_400) }
}

fn source_file(language: Language, stem: &str, noun: &str) -> String {
    match language {
        Language::C => format!("{stem}/{noun}.c"),
        Language::Cpp => format!("../src/{stem}/{noun}.cpp"),
        Language::RustLegacy | Language::RustV0 => format!("src/{noun}.rs"),
    }
}

fn c_symbol(chance: &mut Chance, stem: &str, verb: &str, noun: &str) -> String {
    match chance.below(8) {
        0 => format!("__{stem}_{verb}_{noun}"),
        1 => format!("{verb}_{noun}.isra.{}", chance.below(4)),
        2 => format!("on_{noun}_{verb}"),
        _ => format!("{stem}_{noun}_{verb}"),
    }
}

/// Nested names of the Itanium ABI, with constructors, constant methods, back references and templates among them.
fn cpp_symbol(chance: &mut Chance, stem: &str, [class, verb, other]: &[&str; 3]) -> String {
    let (class, other) = (capitalized(class), capitalized(other));
    let within = format!("{}{}", counted(stem), counted(&class));
    match chance.below(9) {
        0 => format!("_ZN{within}C2Ev"),
        1 => format!("_ZNK{within}{}Ev", counted(verb)),
        2 => format!("_ZN{within}{}ERKS0_", counted(verb)),
        3 => format!("_ZNSt6vectorI{}SaIS0_EE9push_backERKS0_", counted(&class)),
        4 => format!("_ZN{within}{}ENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE", counted(verb)),
        5 => format!("_ZN{within}{}ERKNS_{}E", counted(verb), counted(&other)),
        6 => format!("_ZN{within}{}EPKcm", counted(verb)),
        _ => format!("_ZN{within}{}Ei", counted(&format!("{verb}{other}"))),
    }
}

/// Rust's older mangling: C++ nesting with a hash as the last part, and escapes for what C++ does not know.
fn rust_legacy_symbol(chance: &mut Chance, stem: &str, [module, verb, other]: &[&str; 3]) -> String {
    let path = match chance.below(5) {
        0 => {
            let implementation =
                format!("_$LT${stem}..{module}..{}$u20$as$u20$core..fmt..Debug$GT$", capitalized(other));
            format!("{}3fmt", counted(&implementation))
        }
        1 => {
            let dropped = format!("drop_in_place$LT$alloc..vec..Vec$LT${stem}..{}$GT$$GT$", capitalized(other));
            format!("4core3ptr{}", counted(&dropped))
        }
        _ => format!("{}{}{}", counted(stem), counted(module), counted(&format!("{verb}_{other}"))),
    };
    format!("_ZN{path}17h{:016x}E", chance.bits())
}

/// Rust's present mangling: free functions, methods with a back reference, closures.
fn rust_v0_symbol(chance: &mut Chance, stem: &str, [module, verb, other]: &[&str; 3]) -> String {
    let root = format!("NtCs{}_{}{}", base_62(chance), counted(stem), counted(module));
    match chance.below(4) {
        0 => format!("_RNvM{root}NtB2_{}{}", counted(&capitalized(other)), counted(verb)),
        1 => format!("_RNCNv{root}{}0", counted(&format!("{verb}_{other}"))),
        _ => format!("_RNv{root}{}", counted(&format!("{verb}_{other}"))),
    }
}

fn base_62(chance: &mut Chance) -> String {
    const DIGITS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    (0..10).map(|_| char::from(DIGITS[chance.index(DIGITS.len())])).collect()
}

/// `4name`: an identifier behind its length, as all three manglings write it.
fn counted(identifier: &str) -> String {
    format!("{}{identifier}", identifier.len())
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::chance::Stream;

    fn symbols(language: Language) -> Vec<String> {
        let mut chance = Chance::new(3, Stream::Stacks);
        (0..500).map(|_| function(&mut chance, language, "quartz", true).symbol).collect()
    }

    /// Reads the `<length><identifier>` parts at the front of `rest`.
    fn identifiers(mut rest: &str) -> Vec<&str> {
        let mut found = Vec::new();
        while let Some(digits) = rest.find(|letter: char| !letter.is_ascii_digit()).filter(|&digits| digits > 0) {
            let length: usize = rest[..digits].parse().expect("a length");
            found.push(&rest[digits..digits + length]);
            rest = &rest[digits + length..];
        }
        found
    }

    #[test]
    fn c_symbols_are_plain_identifiers() {
        assert!(symbols(Language::C).iter().all(|symbol| !symbol.starts_with("_Z") && !symbol.contains(' ')));
    }

    #[test]
    fn cpp_symbols_nest_counted_identifiers() {
        let nested: Vec<_> =
            symbols(Language::Cpp).into_iter().filter(|symbol| symbol.starts_with("_ZN6quartz")).collect();
        assert!(nested.len() > 200);
        assert!(nested.iter().all(|symbol| identifiers(&symbol[3..]).len() >= 2), "{nested:?}");
    }

    #[test]
    fn legacy_rust_symbols_end_with_their_hash() {
        for symbol in symbols(Language::RustLegacy) {
            let parts = identifiers(&symbol[3..]);
            let hash = parts.last().expect("parts");
            assert!(hash.len() == 17 && hash.starts_with('h') && symbol.ends_with('E'), "{symbol}");
        }
    }

    #[test]
    fn present_rust_symbols_name_their_crate() {
        assert!(symbols(Language::RustV0).iter().all(|symbol| symbol.starts_with("_R") && symbol.contains("_6quartz")));
    }

    #[test]
    fn names_go_on_when_the_plain_ones_are_used_up() {
        assert_eq!(stem(0), "amber");
        assert_eq!(stem(STEMS.len()), "amber2");
    }
}
