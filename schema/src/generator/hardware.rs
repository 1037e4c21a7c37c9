//! The hardware that machines are: what it calls itself, and how often it fails.

/// A model of machines.
#[derive(Debug)]
pub(super) struct Hardware {
    pub(super) arch: &'static str,
    pub(super) host_type: &'static str,
    pub(super) board_name: &'static str,
    pub(super) cpu_model: &'static str,
    pub(super) bios_version: &'static str,
    /// How many of 1,000 machines are of this model.
    pub(super) share: u32,
    /// Proneness to machine checks; 1 is ordinary.
    pub(super) checks: u32,
    /// Proneness to thermal events; 1 is ordinary.
    pub(super) heat: u32,
    /// Whether it stands on a desk and is off on most weekends.
    pub(super) office: bool,
}

const X86: &str = "x86_64";
const ARM: &str = "aarch64";
const NOTHING: &str = crate::record::NOT_AVAILABLE;
const NO_HOST: &str = "no_sv_file|no_pn_file|no_pvr_file";
const NO_BOARD: &str = "no_bn_file|no_bv_file";
const NO_BIOS: &str = "no_bv_file";

type Texts = [&'static str; 5];

const fn model(texts: Texts, share: u32, [checks, heat]: [u32; 2], office: bool) -> Hardware {
    let [arch, host_type, board_name, cpu_model, bios_version] = texts;
    Hardware { arch, host_type, board_name, cpu_model, bios_version, share, checks, heat, office }
}

const DESK: bool = true;
const RACK: bool = false;

/// Every model; the shares add up to 1,000.
///
/// `Foehn` laptops run hot, `Granit 2U` machines have bad memory: what the machine check and thermal pages should show.
pub(super) const MODELS: &[Hardware] = &[
    model(
        [X86, "Norvik|NV-4410|A2", "NV44X|Norvik", "Intel(R) Core(TM) i7-8650U CPU @ 1.90GHz", "NV44 1.30"],
        120,
        [1, 1],
        DESK,
    ),
    model(
        [X86, "Norvik|NV-5520 Pro|B1", "NV55P|Norvik", "Intel(R) Core(TM) i5-1240P", "NV55 2.07 (Mär 2025)"],
        95,
        [1, 2],
        DESK,
    ),
    model(
        [X86, "Foehn|Airlight 13|1.0", "AL13-MB|Foehn", "Intel(R) Core(TM) i7-1165G7 @ 2.80GHz", "F.22"],
        80,
        [1, 14],
        DESK,
    ),
    model(
        [X86, "Foehn|Airlight 15|1.1", "AL15-MB|Foehn", "AMD Ryzen 7 5800U with Radeon Graphics", "F.31"],
        60,
        [1, 9],
        DESK,
    ),
    model(
        [
            X86,
            "Granit Systems|Granit 2U|R3",
            "GR2U-X11|Granit Systems",
            "Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz",
            "3.4a",
        ],
        70,
        [18, 1],
        RACK,
    ),
    model(
        [X86, "Granit Systems|Granit 1U|R5", "GR1U-H12|Granit Systems", "AMD EPYC 7302P 16-Core Processor", "2.8"],
        80,
        [2, 1],
        RACK,
    ),
    model(
        [X86, "Kältewerk GmbH|KW-200|Rev. é", "KW200|Kältewerk GmbH", "AMD EPYC 9354 32-Core Processor", "1.0.9"],
        35,
        [1, 1],
        RACK,
    ),
    model(
        [
            X86,
            "Société Ampère|Poste 7|v2",
            "P7-CM|Société Ampère",
            "Intel(R) Core(TM) i5-9500 CPU @ 3.00GHz",
            "P7.1.12",
        ],
        45,
        [1, 1],
        DESK,
    ),
    model(
        [X86, "青松电脑|松针 14|1.0", "SZ14|青松电脑", "AMD Ryzen 5 PRO 4650U with Radeon Graphics", "SZ1.06"],
        30,
        [1, 3],
        DESK,
    ),
    model(
        [X86, "QEMU|Standard PC (Q35 + ICH9, 2009)|pc-q35-7.2", NO_BOARD, "QEMU Virtual CPU version 2.5+", "1.16.2-1"],
        110,
        [0, 0],
        RACK,
    ),
    model(
        [X86, "Cumulus|c2.large|1", NO_BOARD, "Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz", "1.0"],
        75,
        [0, 0],
        RACK,
    ),
    model([X86, NO_HOST, NO_BOARD, "AMD EPYC", NO_BIOS], 40, [0, 0], RACK),
    model([X86, "Kestrel|MiniBox N100|1.0", "MBN100|Kestrel", "Intel(R) N100", "5.26"], 50, [1, 4], DESK),
    model(
        [
            X86,
            "To be filled by O.E.M.|To be filled by O.E.M.|To be filled by O.E.M.",
            "H77-ITX|",
            "Intel(R) Core(TM) i3-3220 CPU @ 3.30GHz",
            "P1.90",
        ],
        25,
        [3, 2],
        DESK,
    ),
    model([X86, "blank|blank|blank", "blank|blank", NOTHING, "blank"], 10, [1, 1], RACK),
    model([ARM, NO_HOST, NO_BOARD, NOTHING, NO_BIOS], 30, [0, 0], RACK),
    model([ARM, "Auster|Ridge A80|EVT2", "RDG-A80|Auster", "Neoverse-N1", "2.10.20"], 20, [2, 1], RACK),
    model(["armv7l", NO_HOST, NO_BOARD, NOTHING, NOTHING], 10, [0, 0], RACK),
    model(
        ["i686", "Norvik|NV-110|", "NV11|Norvik", "Intel(R) Atom(TM) CPU N270   @ 1.60GHz", "NV11 0.9"],
        8,
        [1, 1],
        DESK,
    ),
    model(["riscv64", "Mirabel|Vega 2|1.3B", NO_BOARD, NOTHING, "2021.10"], 7, [0, 0], RACK),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_one_model_has_bad_memory() {
        assert_eq!(MODELS.iter().map(|model| model.share).sum::<u32>(), 1_000);
        assert!(MODELS.iter().any(|model| model.checks >= 10));
        assert!(MODELS.iter().any(|model| model.heat >= 10));
    }

    #[test]
    fn some_names_are_latin_1_and_some_are_beyond() {
        let names: String = MODELS.iter().map(|model| model.host_type).collect();
        assert!(names.contains('é'));
        assert!(names.chars().any(|letter| u32::from(letter) > 0xff));
    }

    #[test]
    fn texts_keep_the_lengths_of_the_wire_contract() {
        for model in MODELS {
            assert!(model.host_type.chars().count() < 250);
            for text in [model.board_name, model.cpu_model, model.bios_version] {
                assert!(!text.is_empty() && text.chars().count() < 200);
                assert!(!text.chars().any(char::is_control));
            }
        }
    }
}
