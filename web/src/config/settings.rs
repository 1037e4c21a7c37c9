//! The one table of settings: key, unit, what is allowed, what it does. Defaults come from `Config::default()`.

use telemetrics_collector::quarantine::QUOTA_MIN_BYTES;
use telemetrics_collector::redelivery::RECORDS_MAX;
use telemetrics_schema::CollectorNumber;
use telemetrics_schema::expiry::DAYS_MAX;
use telemetrics_schema::retention::RetentionPolicy;

pub use super::setting::{Kind, Setting};
use super::store::{CLICKHOUSE_DEFAULT, ClickHouse, REQUEST_TIMEOUT_MS_DEFAULT, Store};
use super::values::{quoted, to_collector, to_days, to_on_invalid, to_percent, to_usize, with_server};
use super::{GIB, LogFormat, MIB, OnInvalid, door, limits, retention};

/// Most telemetry ids that one server accepts.
pub const TELEMETRY_IDS_MAX: usize = 1_000;
/// Longest telemetry id, in characters.
pub const TELEMETRY_ID_CHARS: usize = 256;
/// Largest batch in rows: ClickHouse takes up to 1,048,448 rows as one block, and only one block is inserted whole.
pub const BATCH_ROWS_MAX: u64 = 1_048_448;
/// A segment has to hold the largest record: text that arrives as Latin-1 doubles, and the fields come on top.
pub const SEGMENT_PER_BODY: u64 = 4;
/// One segment is written while the one before it waits for the store.
pub const QUOTA_PER_SEGMENT: u64 = 2;

const NAME_CHARS: usize = 256;

/// Every setting, in the order of the reference page; `store` stands before the keys that refine it.
pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "listen",
        unit: "",
        kind: Kind::Address { set: |config, address| config.listen = address },
        doc: "Address and port of the HTTP server. Port 0 lets the system choose one.",
        show: |config| quoted(config.listen),
    },
    door::ALLOW_ANONYMOUS,
    door::USERS_FILE,
    door::TOKENS_FILE,
    door::CERTIFICATE_FILE,
    door::KEY_FILE,
    door::TRUSTED_PROXIES,
    Setting {
        key: "data_dir",
        unit: "",
        kind: Kind::Path { set: |config, path| config.data_dir = path },
        doc: "Directory of the journal and of the embedded store. It is created when it is missing.",
        show: |config| quoted(config.data_dir.display()),
    },
    Setting {
        key: "views_dir",
        unit: "",
        kind: Kind::Path { set: |config, path| config.views_dir = Some(path) },
        doc: "Directory of the views: each file NAME.toml in it is a page. It may be missing. Without this setting it is views \
              below data_dir.",
        show: |config| config.views_dir.as_ref().map_or_else(String::new, |path| quoted(path.display())),
    },
    Setting {
        key: "telemetry_ids",
        unit: "",
        kind: Kind::Texts {
            max_items: TELEMETRY_IDS_MAX,
            max_chars: TELEMETRY_ID_CHARS,
            set: |config, ids| config.telemetry_ids = ids,
        },
        doc: "Telemetry ids that probes may send. A record with any other id is refused with 400.",
        show: |config| format!("[{}]", config.telemetry_ids.iter().map(quoted).collect::<Vec<_>>().join(", ")),
    },
    Setting {
        key: "strict_fields",
        unit: "",
        kind: Kind::Flag { set: |config, flag| config.strict_fields = flag },
        doc: "Refuse a record without board_name, cpu_model or bios_version instead of storing N/A.",
        show: |config| config.strict_fields.to_string(),
    },
    Setting {
        key: "on_invalid",
        unit: "",
        kind: Kind::OneOf {
            words: &["auto", "reject", "quarantine"],
            set: |config, word| config.on_invalid = to_on_invalid(word),
        },
        doc: "What happens to a record that breaks a rule: reject answers 400 with the reasons, quarantine answers 201 \
              and keeps it aside, auto does that for requests without a User-Agent: those of probes.",
        show: |config| match config.on_invalid {
            OnInvalid::Auto => quoted("auto"),
            OnInvalid::Reject => quoted("reject"),
            OnInvalid::Quarantine => quoted("quarantine"),
        },
    },
    limits::BODY_LIMIT_BYTES,
    limits::BATCH_LIMIT_BYTES,
    limits::ANSWER_STALL_S,
    Setting {
        key: "collector_number",
        unit: "",
        kind: Kind::Number {
            min: 0,
            max: CollectorNumber::COUNT as u64 - 1,
            // The range above is that of the type.
            set: |config, number| config.collector_number = to_collector(number).unwrap_or_default(),
        },
        doc: "Number of this collector, different from that of every other one that writes into the same store.",
        show: |config| config.collector_number.get().to_string(),
    },
    Setting {
        key: "parsers_dir",
        unit: "",
        kind: Kind::Path { set: |config, path| config.parsers_dir = Some(path) },
        doc: "Directory with payload parsers, files that end with .toml. A server that runs takes changed files within a \
              few seconds, and another directory on SIGHUP. No directory: those of the program alone.",
        show: |config| config.parsers_dir.as_ref().map_or_else(String::new, |path| quoted(path.display())),
    },
    Setting {
        key: "read_wait_ms",
        unit: "milliseconds",
        kind: Kind::Number { min: 0, max: 60_000, set: |config, number| config.read_wait_ms = number },
        doc: "Longest time that a query waits for acknowledged records that are not in memory to reach the store.",
        show: |config| config.read_wait_ms.to_string(),
    },
    Setting {
        key: "pages_age_s",
        unit: "seconds",
        kind: Kind::Number { min: 0, max: 3_600, set: |config, number| config.pages_age_s = number },
        doc: "Oldest that what pages count may be: Crashes, pages of numbers, what the start page says of crash rates, and what \
              forms offer to choose from. Pages say when they counted. While people look, the next count is made in the \
              background; what takes less than 50 ms is counted anew for everybody, as all is with 0.",
        show: |config| config.pages_age_s.to_string(),
    },
    Setting {
        key: "store",
        unit: "",
        kind: Kind::OneOf { words: &["embedded"], set: |config, _| config.store = Store::Embedded },
        doc: "Where records are kept: embedded is below data_dir; a section [store.clickhouse] names a server.",
        show: |config| match config.store {
            Store::Embedded => quoted("embedded"),
            Store::ClickHouse(_) => String::new(),
        },
    },
    Setting {
        key: "store.clickhouse.url",
        unit: "",
        kind: Kind::Url { set: |config, url| config.store = Store::ClickHouse(Box::new(ClickHouse::at(url))) },
        doc: "Address of the server's HTTP interface. Required in [store.clickhouse].",
        show: |config| config.store.clickhouse().map_or_else(String::new, |server| quoted(&server.url)),
    },
    Setting {
        key: "store.clickhouse.database",
        unit: "",
        kind: Kind::Text {
            max_chars: NAME_CHARS,
            set: |config, text| with_server(config, |server| server.database = text),
        },
        doc: "Database that holds the table of records.",
        show: |config| quoted(config.store.clickhouse().map_or(CLICKHOUSE_DEFAULT, |server| &server.database)),
    },
    Setting {
        key: "store.clickhouse.user",
        unit: "",
        kind: Kind::Text {
            max_chars: NAME_CHARS,
            set: |config, text| with_server(config, |server| server.user = text),
        },
        doc: "User name at the server.",
        show: |config| quoted(config.store.clickhouse().map_or(CLICKHOUSE_DEFAULT, |server| &server.user)),
    },
    Setting {
        key: "store.clickhouse.password_file",
        unit: "",
        kind: Kind::Path { set: |config, path| with_server(config, |server| server.password_file = Some(path)) },
        doc: "File that holds the user's password, without the line end behind it. No file: no password.",
        show: |config| {
            let file = config.store.clickhouse().and_then(|server| server.password_file.as_ref());
            file.map_or_else(String::new, |path| quoted(path.display()))
        },
    },
    Setting {
        key: "store.clickhouse.sql_user",
        unit: "",
        kind: Kind::Text {
            max_chars: NAME_CHARS,
            set: |config, text| with_server(config, |server| server.sql_user = Some(text)),
        },
        doc: "User name for statements of POST /api/sql, which needs no right but SELECT. Without one, that of user.",
        show: |config| {
            let user = config.store.clickhouse().and_then(|server| server.sql_user.as_ref());
            user.map_or_else(String::new, quoted)
        },
    },
    Setting {
        key: "store.clickhouse.sql_password_file",
        unit: "",
        kind: Kind::Path { set: |config, path| with_server(config, |server| server.sql_password_file = Some(path)) },
        doc: "File that holds the password of sql_user, without the line end behind it. No file: no password.",
        show: |config| {
            let file = config.store.clickhouse().and_then(|server| server.sql_password_file.as_ref());
            file.map_or_else(String::new, |path| quoted(path.display()))
        },
    },
    Setting {
        key: "store.clickhouse.ca_file",
        unit: "",
        kind: Kind::Path { set: |config, path| with_server(config, |server| server.ca_file = Some(path)) },
        doc: "File with the certificates (PEM) of a private CA, for an address with https. The server's certificate has to \
              be signed by one of them; without a file, by a CA that the system trusts.",
        show: |config| {
            let file = config.store.clickhouse().and_then(|server| server.ca_file.as_ref());
            file.map_or_else(String::new, |path| quoted(path.display()))
        },
    },
    Setting {
        key: "store.clickhouse.request_timeout_ms",
        unit: "milliseconds",
        kind: Kind::Number {
            min: 100,
            max: 3_600_000,
            set: |config, number| with_server(config, |server| server.request_timeout_ms = number),
        },
        doc: "How long one request to the server may take. An insert that takes longer is looked for and, where it is \
              missing, sent again; a question fails.",
        show: |config| {
            let server = config.store.clickhouse();
            server.map_or(REQUEST_TIMEOUT_MS_DEFAULT, |server| server.request_timeout_ms).to_string()
        },
    },
    Setting {
        key: "store.clickhouse.compression",
        unit: "",
        kind: Kind::OneOf {
            words: &["lz4", "none"],
            set: |config, word| with_server(config, |server| server.is_compressed = word == "lz4"),
        },
        doc: "How records are compressed on their way to the server and back: lz4, or none where the network is faster.",
        show: |config| quoted(if config.store.clickhouse().is_none_or(|s| s.is_compressed) { "lz4" } else { "none" }),
    },
    Setting {
        key: "journal.segment_bytes",
        unit: "bytes",
        kind: Kind::Number { min: 4 * MIB, max: GIB, set: |config, number| config.journal.segment_bytes = number },
        doc: "Size at which a journal segment is closed. At least four times body_limit_bytes.",
        show: |config| config.journal.segment_bytes.to_string(),
    },
    Setting {
        key: "journal.quota_bytes",
        unit: "bytes",
        kind: Kind::Number { min: 8 * MIB, max: 1024 * GIB, set: |config, number| config.journal.quota_bytes = number },
        doc: "Disk space of the whole journal; when it is used up, records are answered 503. At least two segments.",
        show: |config| config.journal.quota_bytes.to_string(),
    },
    Setting {
        key: "quarantine.quota_bytes",
        unit: "bytes",
        kind: Kind::Number {
            min: QUOTA_MIN_BYTES,
            max: 64 * GIB,
            set: |config, number| config.quarantine.quota_bytes = number,
        },
        doc: "Disk space of the whole quarantine, of which entries take half. At least 48 times body_limit_bytes.",
        show: |config| config.quarantine.quota_bytes.to_string(),
    },
    Setting {
        key: "quarantine.entries",
        unit: "entries",
        kind: Kind::Number { min: 1, max: 200_000, set: |config, number| config.quarantine.entries = to_usize(number) },
        doc: "Most entries of the quarantine. What was answered 400 makes room for what was answered 201.",
        show: |config| config.quarantine.entries.to_string(),
    },
    Setting {
        key: "quarantine.age_days",
        unit: "days",
        kind: Kind::Number {
            min: 1,
            max: 3_650,
            set: |config, number| config.quarantine.age_days = u32::try_from(number).unwrap_or(u32::MAX),
        },
        doc: "Days after which an entry of the quarantine is deleted when no equal one came.",
        show: |config| config.quarantine.age_days.to_string(),
    },
    Setting {
        key: "redelivery.records",
        unit: "records",
        kind: Kind::Number {
            min: 1,
            max: RECORDS_MAX as u64,
            set: |config, number| config.redelivery.records = to_usize(number),
        },
        doc: "Accepted records that are remembered for 24 hours at most, so that one that comes again is stored once. \
              Each takes 20 to 34 bytes of memory and 36 of disk.",
        show: |config| config.redelivery.records.to_string(),
    },
    limits::RECORDS_PER_S,
    limits::BURST_RECORDS,
    limits::OF_IDS,
    Setting {
        key: "drain.batch_rows",
        unit: "records",
        kind: Kind::Number {
            min: 1,
            max: BATCH_ROWS_MAX,
            set: |config, number| config.drain.batch_rows = to_usize(number),
        },
        doc: "Records after which a batch is sent to the store.",
        show: |config| config.drain.batch_rows.to_string(),
    },
    Setting {
        key: "drain.batch_bytes",
        unit: "bytes",
        kind: Kind::Number {
            min: 64 * 1024,
            max: GIB,
            set: |config, number| config.drain.batch_bytes = to_usize(number),
        },
        doc: "Text of records after which a batch is sent to the store.",
        show: |config| config.drain.batch_bytes.to_string(),
    },
    Setting {
        key: "drain.batch_age_ms",
        unit: "milliseconds",
        kind: Kind::Number { min: 10, max: 3_600_000, set: |config, number| config.drain.batch_age_ms = number },
        doc: "Age of its oldest record after which a batch is sent to the store.",
        show: |config| config.drain.batch_age_ms.to_string(),
    },
    Setting {
        key: "drain.memory_bytes",
        unit: "bytes",
        kind: Kind::Number {
            min: 1024 * 1024,
            max: 16 * GIB,
            set: |config, number| config.drain.memory_bytes = to_usize(number),
        },
        doc: "Memory for acknowledged records that the store does not have yet; more of them wait in the journal only.",
        show: |config| config.drain.memory_bytes.to_string(),
    },
    Setting {
        key: "maintenance.file_target_bytes",
        unit: "bytes",
        kind: Kind::Number {
            min: MIB,
            max: 4 * GIB,
            set: |config, number| config.maintenance.file_target_bytes = number,
        },
        doc: "Size of the files of the embedded store that small ones become. Those of half this size stay as they are.",
        show: |config| config.maintenance.file_target_bytes.to_string(),
    },
    Setting {
        key: "maintenance.sweep_interval_s",
        unit: "seconds",
        kind: Kind::Number {
            min: 60,
            max: 4 * 3_600,
            set: |config, number| config.maintenance.sweep_interval_s = number,
        },
        doc: "Time between two looks for expired records and replaced files in the embedded store.",
        show: |config| config.maintenance.sweep_interval_s.to_string(),
    },
    Setting {
        key: "maintenance.removed_grace_s",
        unit: "seconds",
        kind: Kind::Number {
            min: 60,
            max: 12 * 3_600,
            set: |config, number| config.maintenance.removed_grace_s = number,
        },
        doc: "How long a replaced file of the embedded store stays for queries that began before, those of other \
              programs too.",
        show: |config| config.maintenance.removed_grace_s.to_string(),
    },
    Setting {
        key: "maintenance.cpu_share_percent",
        unit: "percent",
        kind: Kind::Number {
            min: 1,
            max: 100,
            set: |config, number| config.maintenance.cpu_share_percent = to_percent(number),
        },
        doc: "Share of one processor that merging and deleting in the embedded store may take.",
        show: |config| config.maintenance.cpu_share_percent.to_string(),
    },
    Setting {
        key: "datasets.quota_bytes",
        unit: "bytes",
        kind: Kind::Number {
            min: MIB,
            max: 16 * 1024 * GIB,
            set: |config, number| config.datasets.quota_bytes = number,
        },
        doc: "Disk space of the files of finished days below /datasets/, beside the one that is being made. What had to \
              make room is made again when it is asked for.",
        show: |config| config.datasets.quota_bytes.to_string(),
    },
    Setting {
        key: "sql.statements",
        unit: "statements",
        kind: Kind::Number { min: 1, max: 64, set: |config, number| config.sql.statements = to_usize(number) },
        doc: "Statements of POST /api/sql that run at the same time. Others wait for their turn, and are answered 503 \
              after sql.time_s.",
        show: |config| config.sql.statements.to_string(),
    },
    Setting {
        key: "sql.threads",
        unit: "threads",
        kind: Kind::Number { min: 1, max: 256, set: |config, number| config.sql.threads = to_usize(number) },
        doc: "Threads that do nothing but work on statements, all of them together.",
        show: |config| config.sql.threads.to_string(),
    },
    Setting {
        key: "sql.memory_bytes",
        unit: "bytes",
        kind: Kind::Number {
            min: MIB,
            max: 64 * GIB,
            set: |config, number| config.sql.memory_bytes = to_usize(number),
        },
        doc: "Memory of one statement, and of each of its queries in a ClickHouse server. Above it, it is answered 422, or \
              broken off when its answer has begun.",
        show: |config| config.sql.memory_bytes.to_string(),
    },
    Setting {
        key: "sql.rows",
        unit: "rows",
        kind: Kind::Number { min: 1, max: 1_000_000_000, set: |config, number| config.sql.rows = to_usize(number) },
        doc: "Most rows of the answer to one statement; /api/export has no such limit.",
        show: |config| config.sql.rows.to_string(),
    },
    Setting {
        key: "sql.time_s",
        unit: "seconds",
        kind: Kind::Number { min: 1, max: 86_400, set: |config, number| config.sql.time_s = number },
        doc: "How long one statement may take, from its beginning to the last byte of its answer.",
        show: |config| config.sql.time_s.to_string(),
    },
    Setting {
        key: "log.format",
        unit: "",
        kind: Kind::OneOf {
            words: &["text", "json"],
            set: |config, word| config.log.format = if word == "json" { LogFormat::Json } else { LogFormat::Text },
        },
        doc: "How a server writes its log to standard error: lines of text, or an object of JSON in each line.",
        show: |config| quoted(if config.log.format == LogFormat::Json { "json" } else { "text" }),
    },
    Setting {
        key: "retention",
        unit: "",
        kind: Kind::OneOf { words: &["off"], set: |config, _| config.retention = RetentionPolicy::off() },
        doc: "off deletes nothing; a section [retention] says how long records live.",
        show: |_| String::new(),
    },
    Setting {
        key: "retention.default_days",
        unit: "days",
        kind: Kind::Number {
            min: 0,
            max: DAYS_MAX as u64,
            set: |config, number| config.retention.default_days = to_days(number),
        },
        doc: "Days from its reception that a record lives which no rule is about. 0 is for ever.",
        show: |config| config.retention.default_days.to_string(),
    },
    Setting {
        key: "retention.rules",
        unit: "",
        kind: Kind::Rules { set: |config, rules| config.retention.rules = rules },
        doc: "Days of some records: the smallest number of days of all rules that match decides, and 0, which is for \
              ever, only where no other does. They replace the rules that are shipped.",
        show: |config| retention::shown(&config.retention.rules),
    },
];
