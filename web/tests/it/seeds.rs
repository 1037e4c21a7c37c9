//! Records that differ in everything that can be filtered, and the filters with what they have to find.

use telemetrics_testkit::{Post, Server};

use crate::servers::accepted;

/// How many there are.
pub(crate) const SEEDS: usize = 30;

const CLASSES: [&str; 5] = [
    "org.clearlinux/crash/clr",
    "org.clearlinux/crash/unknown",
    "org.clearlinux/heartbeat/ping",
    "org.clearlinux-other/crash/clr",
    "//",
];
/// Texts that a store could read differently: escapes, wildcards, nothing.
pub(crate) const MACHINES: [&str; 4] = ["4e6f7468696e67", r"\' OR 1=1 --", "per%cent_é", ""];
const SYSTEMS: [(&str, [&str; 2]); 3] =
    [("clear-linux-os", ["33010", "33020"]), ("debian", ["12", "12.10"]), ("arch", ["rolling", "33010"])];
const ARCHITECTURES: [&str; 2] = ["x86_64", "riscv64"];
const KERNELS: [&str; 2] = ["6.18.44-native1", "6.18.45-native1"];
const HOST_TYPES: [&str; 2] = ["vendor|product|version", "other|product|1"];
/// Capture time of the first one, Unix seconds.
const CAPTURED_S: u64 = 1_795_000_000;

/// One record as it was posted.
#[derive(Debug, Clone)]
pub(crate) struct Seed {
    pub(crate) id: u64,
    pub(crate) number: usize,
    pub(crate) classification: &'static str,
    pub(crate) severity: usize,
    pub(crate) machine_id: &'static str,
    pub(crate) system_name: &'static str,
    pub(crate) build: &'static str,
    pub(crate) event_id: String,
    pub(crate) captured_s: u64,
    pub(crate) arch: &'static str,
    pub(crate) kernel_version: &'static str,
    pub(crate) host_type: &'static str,
    pub(crate) is_external: bool,
    pub(crate) payload: String,
}

/// A query and what it has to let pass.
pub(crate) type Filter = (&'static str, fn(&Seed) -> bool);

/// Every filter alone, at its edges, and some together.
pub(crate) const FILTERS: [Filter; 50] = [
    ("", |_| true),
    ("classification=org.clearlinux/crash/clr", |seed| seed.classification == "org.clearlinux/crash/clr"),
    ("classification=org.clearlinux/crash/*", |seed| seed.classification.starts_with("org.clearlinux/crash/")),
    ("classification=org.clearlinux/*", |seed| seed.classification.starts_with("org.clearlinux/")),
    ("classification=org.clearlinux/%25", |seed| seed.classification.starts_with("org.clearlinux/")),
    ("classification=%2F%2F", |seed| seed.classification == "//"),
    ("classification=*", |_| true),
    ("classification=org.clearlinux", |_| false),
    ("severity=2", |seed| seed.severity == 2),
    ("severity=1,4", |seed| matches!(seed.severity, 1 | 4)),
    ("machine_id=4e6f7468696e67", |seed| seed.machine_id == MACHINES[0]),
    ("machine_id=%5C%27%20OR%201%3D1%20--", |seed| seed.machine_id == MACHINES[1]),
    ("machine_id=per%25cent_%C3%A9", |seed| seed.machine_id == MACHINES[2]),
    ("machine_id=per%25", |_| false),
    ("build=33010", |seed| seed.build == "33010"),
    ("build=12,rolling", |seed| matches!(seed.build, "12" | "rolling")),
    ("system_name=debian", |seed| seed.system_name == "debian"),
    ("os_name=debian", |seed| seed.system_name == "debian"),
    ("event_id=00000000000000000000000000000003", |seed| seed.event_id.ends_with("03")),
    ("arch=riscv64", |seed| seed.arch == "riscv64"),
    ("kernel_version=6.18.45-native1", |seed| seed.kernel_version.contains(".45")),
    ("host_type=other%7Cproduct%7C1", |seed| seed.host_type.starts_with("other")),
    ("host_type=other", |_| false),
    ("data_source=external", |seed| seed.is_external),
    ("data_source=internal", |seed| !seed.is_external),
    ("payload=record%201%5B0-9%5D", |seed| (10..20).contains(&seed.number)),
    ("payload=%5Erecord%207%5Cn", |seed| seed.number == 7),
    ("payload=%28%3Fm%29%5Eof%20%5Cd%2B%24", |_| true),
    ("payload=%5Eof", |_| false),
    ("payload=record.of", |_| false),
    ("payload=%28%3Fis%29RECORD%202.OF", |seed| seed.number == 2),
    ("payload=", |_| true),
    ("not_payload=record%201", |seed| seed.number != 1 && !(10..20).contains(&seed.number)),
    ("payload=record%201&not_payload=%5B3-9%5D%5Cn", |seed| seed.number == 1 || (10..13).contains(&seed.number)),
    // The first one was captured at 11:06:40 on 2026-11-18, the last one at midnight.
    ("from_date=2026-11-18", |_| true),
    ("from_date=2026-11-19", |seed| seed.captured_s >= 1_795_046_400),
    ("to_date=2026-11-19", |seed| seed.captured_s < 1_795_046_400),
    ("from_date=2026-11-19&to_date=2026-11-19", |_| false),
    ("received_after=2026-01-01T00:00:00Z", |_| true),
    ("received_after=2299-12-31T23:59:59Z", |_| false),
    ("received_before=2026-01-01T01:00:00%2B01:00", |_| false),
    ("ts_capture=1795008000", |seed| seed.captured_s > 1_795_008_000),
    ("ts_capture=1795007999", |seed| seed.captured_s > 1_795_007_999),
    ("ts_capture=0", |_| true),
    ("created_in_days=1", |_| true),
    ("created_in_sec=100000", |_| true),
    ("created_in_days=0", |_| false),
    ("created_in_days=0&created_in_sec=100000", |_| false),
    ("created_in_sec=0&created_in_days=1", |_| true),
    ("severity=1,2,3&system_name=clear-linux-os&classification=org.clearlinux/*&build=33010,33020", |seed| {
        seed.severity < 4 && seed.system_name == "clear-linux-os" && seed.classification.starts_with("org.clearlinux/")
    }),
];

/// Posts them to a server without records; they come back in the order of their ids.
pub(crate) fn post(server: &Server) -> Vec<Seed> {
    (0..SEEDS).map(|number| post_one(server, number)).collect()
}

fn post_one(server: &Server, number: usize) -> Seed {
    let (system_name, builds) = SYSTEMS[number % SYSTEMS.len()];
    let seed = Seed {
        id: 0,
        number,
        classification: CLASSES[number % CLASSES.len()],
        severity: number % 4 + 1,
        machine_id: MACHINES[number / 2 % MACHINES.len()],
        system_name,
        build: builds[number / 3 % 2],
        event_id: format!("{:032x}", number / 2),
        captured_s: CAPTURED_S + 1_600 * number as u64,
        arch: ARCHITECTURES[number / 4 % 2],
        kernel_version: KERNELS[number / 5 % 2],
        host_type: HOST_TYPES[number / 6 % 2],
        is_external: number % 7 == 5,
        payload: format!("record {number}\nof {SEEDS}\n"),
    };
    Seed { id: accepted(server, &seed.request()), ..seed }
}

impl Seed {
    fn request(&self) -> Post {
        let post = if self.is_external { Post::default().header("X-CLR-External", "true") } else { Post::default() };
        post.with("classification", self.classification)
            .with("severity", self.severity.to_string())
            .with("machine_id", self.machine_id)
            .with("system_name", self.system_name)
            .with("build", self.build)
            .with("event_id", &self.event_id)
            .with("creation_timestamp", self.captured_s.to_string())
            .with("arch", self.arch)
            .with("kernel_version", self.kernel_version)
            .with("host_type", self.host_type)
            .payload(&self.payload)
    }
}

/// The ids of those that pass, newest first.
pub(crate) fn ids_that(seeds: &[Seed], passes: impl Fn(&Seed) -> bool) -> Vec<u64> {
    seeds.iter().rev().filter(|seed| passes(seed)).map(|seed| seed.id).collect()
}
