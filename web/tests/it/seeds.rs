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
/// Capture time of the first one, Unix seconds.
const CAPTURED_S: u64 = 1_795_000_000;

/// One record as it was posted.
#[derive(Debug, Clone)]
pub(crate) struct Seed {
    pub(crate) id: u64,
    pub(crate) classification: &'static str,
    pub(crate) severity: usize,
    pub(crate) machine_id: &'static str,
    pub(crate) system_name: &'static str,
    pub(crate) build: &'static str,
    pub(crate) event_id: String,
    pub(crate) captured_s: u64,
    pub(crate) payload: String,
}

/// A query and what it has to let pass.
pub(crate) type Filter = (&'static str, fn(&Seed) -> bool);

/// Every filter alone, at its edges, and some together.
pub(crate) const FILTERS: [Filter; 28] = [
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
    ("ts_capture=1795010000", |seed| seed.captured_s > 1_795_010_000),
    ("ts_capture=1795009999", |seed| seed.captured_s > 1_795_009_999),
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
        classification: CLASSES[number % CLASSES.len()],
        severity: number % 4 + 1,
        machine_id: MACHINES[number / 2 % MACHINES.len()],
        system_name,
        build: builds[number / 3 % 2],
        event_id: format!("{:032x}", number / 2),
        captured_s: CAPTURED_S + 1_000 * number as u64,
        payload: format!("record {number}\nof {SEEDS}\n"),
    };
    Seed { id: accepted(server, &seed.request()), ..seed }
}

impl Seed {
    fn request(&self) -> Post {
        Post::default()
            .with("classification", self.classification)
            .with("severity", self.severity.to_string())
            .with("machine_id", self.machine_id)
            .with("system_name", self.system_name)
            .with("build", self.build)
            .with("event_id", &self.event_id)
            .with("creation_timestamp", self.captured_s.to_string())
            .payload(&self.payload)
    }
}

/// The ids of those that pass, newest first.
pub(crate) fn ids_that(seeds: &[Seed], passes: impl Fn(&Seed) -> bool) -> Vec<u64> {
    seeds.iter().rev().filter(|seed| passes(seed)).map(|seed| seed.id).collect()
}
