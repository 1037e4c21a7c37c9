//! Settings about how much clients may send, and how long they may take.

use super::setting::{Kind, Setting};
use super::values::{to_positive, to_usize};
use super::{GIB, MIB, id_limits};

/// Most records per second of a rate limit.
pub(super) const RATE_MAX: u64 = 1_000_000;
/// Most records that may come at once.
pub(super) const BURST_MAX: u64 = 100_000_000;

pub(super) const BODY_LIMIT_BYTES: Setting = Setting {
    key: "body_limit_bytes",
    unit: "bytes",
    kind: Kind::Number {
        min: 64 * 1024,
        max: 16 * MIB,
        set: |config, number| config.body_limit_bytes = to_usize(number),
    },
    doc: "Largest request body of one record, and largest line of a batch. A larger one is answered 413.",
    show: |config| config.body_limit_bytes.to_string(),
};

pub(super) const BATCH_LIMIT_BYTES: Setting = Setting {
    key: "batch_limit_bytes",
    unit: "bytes",
    kind: Kind::Number { min: MIB, max: GIB, set: |config, number| config.batch_limit_bytes = to_usize(number) },
    doc: "Largest batch of records in one request, decoded. What is above is answered 413; what came before is kept.",
    show: |config| config.batch_limit_bytes.to_string(),
};

pub(super) const ANSWER_STALL_S: Setting = Setting {
    key: "answer_stall_s",
    unit: "seconds",
    kind: Kind::Number { min: 1, max: 86_400, set: |config, number| config.answer_stall_s = number },
    doc: "How long a client may take nothing of its answers. Its connection is closed then, after twice the time at the \
          latest. Who takes some of them every now and then is served for as long as that takes.",
    show: |config| config.answer_stall_s.to_string(),
};

pub(super) const RECORDS_PER_S: Setting = Setting {
    key: "rate_limit.records_per_s",
    unit: "records per second",
    kind: Kind::Number {
        min: 0,
        max: RATE_MAX,
        set: |config, number| config.rate_limit.records_per_s = u32::try_from(number).unwrap_or(u32::MAX),
    },
    doc: "Records that each telemetry id may send in the long run; above it they are answered 429. 0 is no limit.",
    show: |config| config.rate_limit.records_per_s.to_string(),
};

pub(super) const BURST_RECORDS: Setting = Setting {
    key: "rate_limit.burst_records",
    unit: "records",
    kind: Kind::Number {
        min: 1,
        max: BURST_MAX,
        set: |config, number| config.rate_limit.burst_records = to_positive(number),
    },
    doc: "Records that a telemetry id with a rate limit may send at once after a pause.",
    show: |config| config.rate_limit.burst_records.to_string(),
};

pub(super) const OF_IDS: Setting = Setting {
    key: "rate_limit.ids",
    unit: "",
    kind: Kind::IdLimits { set: |config, ids| config.rate_limit.ids = ids },
    doc: "Limits of some telemetry ids, which hold for them instead of the one above. Each id is one of telemetry_ids.",
    show: |config| id_limits::shown(&config.rate_limit.ids),
};
