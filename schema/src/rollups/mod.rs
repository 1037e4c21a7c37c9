//! Rollups: records counted by a few of their columns and by the hour or day of their reception.
//!
//! A rollup is a logical table whose rows are counts. Several rows may have equal keys: counts are summed by who asks,
//! of [`Rollup::DailyMachine`] the distinct machines are counted, and of [`Rollup::Stacks`] one payload is taken, the
//! smallest, so that every store gives the same. Where a store does not have a rollup, its rows can
//! be had from a finer one or from the records.

mod builder;

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::columns::{COLUMNS, Column, Kind, column};
use crate::time::{TimestampUs, US_PER_DAY, US_PER_HOUR};

pub use builder::RollupBuilder;

/// The classification of the records that say that a machine is there.
pub const HEARTBEAT: &str = "org.clearlinux/heartbeat/ping";
/// The column of a rollup that counts.
pub const RECORDS_COUNT: &str = "records";
/// The column of the records, and of rollups about stacks, that tells stacks apart; 0 where a record has none.
pub const STACK_ID: &str = "stack_id";
/// The column of the records, and of [`Rollup::Stacks`], that has the frames of a stack.
pub const PAYLOAD: &str = "payload";

/// One rollup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i8)]
pub enum Rollup {
    /// Records of an hour by what most questions group by.
    Hourly = 0,
    /// The same by day: of a long time there is little to read.
    Daily = 1,
    /// Records of an hour by system, class and hardware.
    HourlyPlatform = 2,
    /// The same by day.
    DailyPlatform = 3,
    /// Which machines sent a heartbeat on a day; a set, without counts.
    DailyMachine = 4,
    /// Records of a day that have a stack, by what most questions group by and by their stack.
    CrashDaily = 5,
    /// An example of each stack of a day: the smallest payload that has it. It serves to learn the frames of a stack.
    Stacks = 6,
}

/// Which records a rollup is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    All,
    /// Those with this classification.
    Class(&'static str),
    /// Those that have a stack.
    Stacks,
}

/// What a rollup says about the records of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// How many they are.
    Records,
    /// That there are some.
    Nothing,
    /// The smallest of their payloads.
    Example,
}

// Every rollup has what retention policies look at, but for the machine: a policy shows some records of a bucket and not
// others.
const BY_BUILD: &[&str] = &["system_name", "build", "classification", "severity", "external"];
const BY_PLATFORM: &[&str] = &["system_name", "classification", "severity", "host_type"];
const BY_MACHINE: &[&str] = &["system_name", "build", "classification", "severity", "external", "machine_id"];

const BY_STACK: &[&str] = &["system_name", "build", "classification", "severity", "external", STACK_ID];
const BY_STACK_ALONE: &[&str] = &["classification", "severity", STACK_ID];

const HOUR: Column = column("hour", Kind::Instant, "microseconds, UTC", 0, "Beginning of the hour of reception.");
const DAY: Column = column("day", Kind::Instant, "microseconds, UTC", 0, "Midnight of the day of reception.");
const COUNT: Column = column(RECORDS_COUNT, Kind::Int64, "", 0, "How many records there are.");

impl Rollup {
    /// Every rollup.
    pub const ALL: [Self; 7] = [
        Self::Hourly,
        Self::Daily,
        Self::HourlyPlatform,
        Self::DailyPlatform,
        Self::DailyMachine,
        Self::CrashDaily,
        Self::Stacks,
    ];

    /// Its name as a table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::HourlyPlatform => "hourly_platform",
            Self::DailyPlatform => "daily_platform",
            Self::DailyMachine => "daily_machine",
            Self::CrashDaily => "crash_daily",
            Self::Stacks => "stacks",
        }
    }

    /// What stands for it in the column [`FILE_ROLLUP`] of a rollup file.
    #[must_use]
    pub fn number(self) -> i8 {
        self as i8
    }

    /// The rollup with the same keys and smaller buckets, of which the rows of this one can be made.
    #[must_use]
    pub fn finer(self) -> Option<Self> {
        match self {
            Self::Daily => Some(Self::Hourly),
            Self::DailyPlatform => Some(Self::HourlyPlatform),
            Self::Hourly | Self::HourlyPlatform | Self::DailyMachine | Self::CrashDaily | Self::Stacks => None,
        }
    }

    /// The length of a bucket in microseconds; buckets begin at whole multiples of it since the epoch.
    #[must_use]
    pub fn bucket_us(self) -> i64 {
        if self.is_hourly() { US_PER_HOUR } else { US_PER_DAY }
    }

    /// The beginning of the bucket that an instant belongs to.
    #[must_use]
    pub fn bucket_of(self, time: TimestampUs) -> TimestampUs {
        TimestampUs(time.0.div_euclid(self.bucket_us()).saturating_mul(self.bucket_us()))
    }

    /// The column with the beginning of the bucket: `hour` or `day`, which is its unit too.
    #[must_use]
    pub fn bucket(self) -> &'static str {
        if self.is_hourly() { HOUR.name } else { DAY.name }
    }

    /// The columns of the records that are columns here too.
    #[must_use]
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Hourly | Self::Daily => BY_BUILD,
            Self::HourlyPlatform | Self::DailyPlatform => BY_PLATFORM,
            Self::DailyMachine => BY_MACHINE,
            Self::CrashDaily => BY_STACK,
            Self::Stacks => BY_STACK_ALONE,
        }
    }

    /// What it says about the records of a row.
    #[must_use]
    pub fn measure(self) -> Measure {
        match self {
            Self::DailyMachine => Measure::Nothing,
            Self::Stacks => Measure::Example,
            _ => Measure::Records,
        }
    }

    /// Which records it is about.
    #[must_use]
    pub fn scope(self) -> Scope {
        match self {
            Self::DailyMachine => Scope::Class(HEARTBEAT),
            Self::CrashDaily | Self::Stacks => Scope::Stacks,
            _ => Scope::All,
        }
    }

    /// Its columns in their order: the bucket, the keys, what is measured.
    pub fn columns(self) -> impl Iterator<Item = Column> {
        let bucket = if self.is_hourly() { HOUR } else { DAY };
        let keys = self.keys().iter().filter_map(|name| column_of_records(name));
        let measure = match self.measure() {
            Measure::Records => Some(COUNT),
            Measure::Nothing => None,
            Measure::Example => column_of_records(PAYLOAD),
        };
        [bucket].into_iter().chain(keys).chain(measure)
    }

    /// Its Arrow schema.
    #[must_use]
    pub fn schema(self) -> SchemaRef {
        Arc::new(Schema::new(self.columns().map(field).collect::<Vec<_>>()))
    }

    fn is_hourly(self) -> bool {
        matches!(self, Self::Hourly | Self::HourlyPlatform)
    }
}

/// The column of a rollup file that says which rollup a row is of.
pub const FILE_ROLLUP: &str = "rollup";
/// The column of a rollup file with the beginning of the bucket.
pub const FILE_BUCKET: &str = "bucket";
/// The columns of a rollup file that are columns of records; what a rollup does not have is empty, 0 or false in its rows.
/// The last one is no key.
pub const FILE_COLUMNS: [&str; 9] =
    ["system_name", "build", "classification", "severity", "external", "host_type", "machine_id", STACK_ID, PAYLOAD];

static FILE_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let rollup = Field::new(FILE_ROLLUP, Kind::Int8.arrow(), false);
    let bucket = Field::new(FILE_BUCKET, Kind::Instant.arrow(), false);
    let columns = FILE_COLUMNS.into_iter().filter_map(column_of_records).map(field);
    Arc::new(Schema::new([rollup, bucket].into_iter().chain(columns).chain([field(COUNT)]).collect::<Vec<_>>()))
});

/// The Arrow schema of a rollup file, which has the rows of all rollups of one data file of the embedded store.
#[must_use]
pub fn file_schema() -> SchemaRef {
    Arc::clone(&FILE_SCHEMA)
}

fn column_of_records(name: &str) -> Option<Column> {
    COLUMNS.into_iter().find(|column| column.name == name)
}

fn field(column: Column) -> Field {
    Field::new(column.name, column.kind.arrow(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rollups_have_their_columns() {
        let names = |rollup: Rollup| rollup.columns().map(|column| column.name).collect::<Vec<_>>().join(" ");
        assert_eq!(names(Rollup::Hourly), "hour system_name build classification severity external records");
        assert_eq!(names(Rollup::Daily), "day system_name build classification severity external records");
        assert_eq!(names(Rollup::DailyPlatform), "day system_name classification severity host_type records");
        assert_eq!(names(Rollup::DailyMachine), "day system_name build classification severity external machine_id");
        assert_eq!(
            names(Rollup::CrashDaily),
            "day system_name build classification severity external stack_id records"
        );
        assert_eq!(names(Rollup::Stacks), "day classification severity stack_id payload");
        assert_eq!(file_schema().fields().len(), FILE_COLUMNS.len() + 3);
    }

    #[test]
    fn a_finer_rollup_has_the_same_keys_in_smaller_buckets() {
        for rollup in Rollup::ALL {
            if let Some(finer) = rollup.finer() {
                assert_eq!(
                    (finer.keys(), finer.scope(), finer.measure()),
                    (rollup.keys(), rollup.scope(), rollup.measure())
                );
                assert!(finer.bucket_us() < rollup.bucket_us() && rollup.bucket_us() % finer.bucket_us() == 0);
            }
            assert!(rollup.keys().iter().all(|key| FILE_COLUMNS.contains(key)));
            assert!(["classification", "severity"].iter().all(|looked_at| rollup.keys().contains(looked_at)));
        }
    }

    #[test]
    fn buckets_before_the_epoch_begin_before_their_instants() {
        assert_eq!(Rollup::Hourly.bucket_of(TimestampUs(-1)), TimestampUs(-US_PER_HOUR));
        assert_eq!(Rollup::Daily.bucket_of(TimestampUs(US_PER_DAY)), TimestampUs(US_PER_DAY));
        assert_eq!(Rollup::Daily.bucket_of(TimestampUs(US_PER_DAY - 1)), TimestampUs(0));
    }
}
