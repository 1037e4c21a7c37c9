//! What the configuration takes and refuses, and how it says so.

use std::fs;
use std::num::NonZeroU32;
use std::path::PathBuf;

use proptest::prelude::*;
use telemetrics_schema::expiry::RULES_MAX;
use telemetrics_schema::retention::{Matcher, RetentionRule};

use super::settings::{BATCH_ROWS_MAX, Kind, SETTINGS, Setting, TELEMETRY_ID_CHARS, TELEMETRY_IDS_MAX};
use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::from_text("t.toml", text, Vec::new())
}

/// The whole message of a refusal.
fn refusal(text: &str) -> String {
    match parse(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

/// The file that sets `key`, which may stand in a section, to `value`.
fn setting(key: &str, value: &str) -> String {
    format!("{key} = {value}\n")
}

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(parse("").expect("valid"), Config::default());
}

#[test]
fn every_setting_of_a_file_arrives() {
    let text = r#"
        listen = "[::1]:9090"
        allow_anonymous = false
        trusted_proxies = ["192.0.2.1", "10.1.2.3/8"]
        data_dir = "/srv/t"
        views_dir = "/etc/t/views"
        telemetry_ids = ["one", "two"]
        strict_fields = true
        on_invalid = "quarantine"
        body_limit_bytes = 65_536
        batch_limit_bytes = 1_048_576
        answer_stall_s = 12
        collector_number = 7
        parsers_dir = "/etc/parsers"
        read_wait_ms = 250
        pages_age_s = 0
        [store.clickhouse]
        url = "https://db.example:8443"
        database = "telemetry"
        user = "writer"
        password_file = "/run/secret"
        sql_user = "reader"
        sql_password_file = "/run/sql"
        ca_file = "/etc/ca.pem"
        request_timeout_ms = 5_000
        compression = "none"
        [tls]
        certificate_file = "/etc/cert.pem"
        key_file = "/etc/key.pem"
        [access]
        users_file = "/etc/users"
        tokens_file = "/etc/tokens"
        [journal]
        segment_bytes = 0x400000
        quota_bytes = 8_388_608
        [quarantine]
        quota_bytes = 3_145_728
        entries = 5
        age_days = 7
        [redelivery]
        records = 1_000
        [rate_limit]
        records_per_s = 100
        burst_records = 500
        ids = [{ telemetry_id = "two", records_per_s = 0 }]
        [drain]
        batch_rows = 10
        batch_bytes = 100_000
        batch_age_ms = 20
        memory_bytes = 2_097_152
        [maintenance]
        file_target_bytes = 1_048_576
        sweep_interval_s = 60
        removed_grace_s = 61
        cpu_share_percent = 10
        [datasets]
        quota_bytes = 1_048_576
        [sql]
        statements = 3
        threads = 5
        memory_bytes = 1_048_576
        rows = 7
        time_s = 9
        [log]
        format = "json"
        [retention]
        default_days = 0
        rules = [
            { severity = 1, days = 7 },
            { classification = "a/b/*", days = 0 },
            { days = 3, machine_id = "m" },
        ]
    "#;
    let config = parse(text).expect("valid");
    let url = url::Url::parse("https://db.example:8443").expect("a url");
    let server = ClickHouse {
        database: "telemetry".into(),
        user: "writer".into(),
        password_file: Some(PathBuf::from("/run/secret")),
        sql_user: Some("reader".into()),
        sql_password_file: Some(PathBuf::from("/run/sql")),
        ca_file: Some(PathBuf::from("/etc/ca.pem")),
        request_timeout_ms: 5_000,
        is_compressed: false,
        ..ClickHouse::at(url)
    };
    let expected = Config {
        listen: "[::1]:9090".parse().expect("an address"),
        allow_anonymous: false,
        access: Access { users_file: Some("/etc/users".into()), tokens_file: Some("/etc/tokens".into()) },
        tls: Some(Tls { certificate_file: "/etc/cert.pem".into(), key_file: "/etc/key.pem".into() }),
        trusted_proxies: ["192.0.2.1/32", "10.0.0.0/8"].map(|network| network.parse().expect("a network")).to_vec(),
        data_dir: "/srv/t".into(),
        telemetry_ids: vec!["one".into(), "two".into()],
        strict_fields: true,
        on_invalid: OnInvalid::Quarantine,
        body_limit_bytes: 65_536,
        batch_limit_bytes: 1_048_576,
        answer_stall_s: 12,
        collector_number: CollectorNumber::new(7).expect("below 64"),
        parsers_dir: Some("/etc/parsers".into()),
        read_wait_ms: 250,
        pages_age_s: 0,
        store: Store::ClickHouse(Box::new(server)),
        journal: Journal { segment_bytes: 4_194_304, quota_bytes: 8_388_608 },
        quarantine: Quarantine { quota_bytes: 3_145_728, entries: 5, age_days: 7 },
        redelivery: Redelivery { records: 1_000 },
        rate_limit: RateLimit {
            records_per_s: 100,
            burst_records: NonZeroU32::new(500).expect("positive"),
            ids: vec![IdLimit { telemetry_id: "two".into(), records_per_s: 0, burst_records: None }],
        },
        drain: Drain { batch_rows: 10, batch_bytes: 100_000, batch_age_ms: 20, memory_bytes: 2_097_152 },
        maintenance: Maintenance {
            file_target_bytes: 1_048_576,
            sweep_interval_s: 60,
            removed_grace_s: 61,
            cpu_share_percent: 10,
        },
        datasets: Datasets { quota_bytes: 1_048_576 },
        log: Log { format: LogFormat::Json },
        sql: Sql { statements: 3, threads: 5, memory_bytes: 1_048_576, rows: 7, time_s: 9 },
        views_dir: Some("/etc/t/views".into()),
        retention: RetentionPolicy {
            default_days: 0,
            rules: vec![
                rule(Matcher::Severity(1), 7),
                rule(Matcher::Classification("a/b/*".into()), 0),
                rule(Matcher::Machine("m".into()), 3),
            ],
        },
    };
    assert_eq!(config, expected);
    for setting in SETTINGS.iter().filter(|setting| !is_a_word(setting)) {
        assert!(
            text.contains(setting.key.rsplit('.').next().unwrap_or_default()),
            "{} is not in this test",
            setting.key
        );
    }
}

fn rule(matcher: Matcher, days: u32) -> RetentionRule {
    RetentionRule { matcher, days }
}

#[test]
fn retention_can_be_switched_off_or_be_shown_again() {
    assert_eq!(parse("retention = \"off\"").expect("valid").retention, RetentionPolicy::off());
    let mut config = Config::default();
    let rules = vec![rule(Matcher::Classification("a\"b\\c".into()), 2), rule(Matcher::Severity(4), 0)];
    config.retention.rules.clone_from(&rules);
    let shown = Setting::named("retention.rules").expect("a setting").shown(&config);
    assert_eq!(parse(&setting("retention.rules", &shown)).expect(&shown).retention.rules, rules);
    assert_eq!(parse("retention.rules = []").expect("valid").retention.rules, []);
}

#[test]
fn a_wrong_rule_is_named() {
    for (rules, expected) in [
        ("[1]", "t.toml:1: `retention.rules` has a wrong rule 1: it must be as { severity = 1, days = 7 }, not 1"),
        ("[{ severity = 1, days = 1 }, { severity = 5, days = 1 }]", "wrong rule 2: `severity` must be 1 to 4, not 5"),
        ("[{ severity = 1 }]", "`days` must be a whole number from 0 to 36500"),
        ("[{ severity = 1, days = 36501 }]", "`days` must be a whole number from 0 to 36500"),
        ("[{ severity = 1, days = -1 }]", "`days` must be a whole number"),
        ("[{ days = 1 }]", "one of `classification`, `severity` and `machine_id`"),
        ("[{ severity = 1, machine_id = \"m\", days = 1 }]", "one of `classification`"),
        ("[{ classification = \"a/*/c\", days = 1 }]", "`classification` may have a * only at its end"),
        ("[{ classification = 1, days = 1 }]", "`classification` cannot be 1"),
        ("[{ build = \"1\", days = 1 }]", "it has no key `build`"),
        ("[{ severity = 1, days = 1 }, { severity = 1, days = 2 }]", "two rules for severity 1"),
        ("\"off\"", "`retention.rules` must be a list of at most 200 rules"),
    ] {
        let message = refusal(&setting("retention.rules", rules));
        assert!(message.contains(expected), "{message}");
    }
    assert!(refusal("retention = \"on\"").contains("`retention` must be \"off\", not \"on\""));
}

#[test]
fn limits_of_ids_are_shown_as_they_were_read() {
    let text = r#"[{ telemetry_id = "a\"b\\c", records_per_s = 0 }, { telemetry_id = "d", records_per_s = 1000000, burst_records = 1 }]"#;
    let file = format!("telemetry_ids = [\"a\\\"b\\\\c\", \"d\"]\n{}", setting("rate_limit.ids", text));
    let config = parse(&file).expect("valid");
    assert_eq!(config.rate_limit.ids.len(), 2);
    assert_eq!(Setting::named("rate_limit.ids").expect("a setting").shown(&config), text);
}

#[test]
fn a_wrong_limit_of_an_id_is_named() {
    let id = "telemetry_id = \"a\"";
    for (limits, expected) in [
        ("[1]".to_owned(), "`rate_limit.ids` has a wrong limit 1: it must be as { telemetry_id"),
        (format!("[{{ {id} }}]"), "it must have `telemetry_id` and `records_per_s`"),
        ("[{ records_per_s = 1 }]".to_owned(), "it must have `telemetry_id` and `records_per_s`"),
        (
            format!("[{{ {id}, records_per_s = -1 }}]"),
            "`records_per_s` must be a whole number from 0 to 1000000, not -1",
        ),
        (format!("[{{ {id}, records_per_s = 1000001 }}]"), "not 1000001"),
        (
            format!("[{{ {id}, records_per_s = 1, burst_records = 0 }}]"),
            "`burst_records` must be a whole number from 1",
        ),
        (format!("[{{ {id}, records_per_s = 1, burst_records = 100000001 }}]"), "to 100000000, not 100000001"),
        (format!("[{{ {id}, records_per_s = true }}]"), "`records_per_s` cannot be true"),
        (format!("[{{ {id}, rate = 1 }}]"), "it has no key `rate`"),
        ("[{ telemetry_id = \"\", records_per_s = 1 }]".to_owned(), "`telemetry_id` cannot be \"\""),
        (format!("[{{ {id}, records_per_s = 1 }}, {{ {id}, records_per_s = 2 }}]"), "has two limits for a"),
        ("\"off\"".to_owned(), "`rate_limit.ids` must be a list of at most 1000 limits"),
    ] {
        let message = refusal(&format!("telemetry_ids = [\"a\"]\n{}", setting("rate_limit.ids", &limits)));
        assert!(message.contains(expected), "{limits}: {message}");
    }
    let stranger = refusal(&setting("rate_limit.ids", &format!("[{{ {id}, records_per_s = 1 }}]")));
    assert!(stranger.contains("`rate_limit.ids` limits a, which `telemetry_ids` does not have"), "{stranger}");
}

#[test]
fn limits_of_ids_are_limited_in_number() {
    let limits = |count: usize| {
        let limits: Vec<String> =
            (0..count).map(|n| format!("{{ telemetry_id = \"{n}\", records_per_s = 1 }}")).collect();
        refusal(&setting("rate_limit.ids", &format!("[{}]", limits.join(", "))))
    };
    assert!(limits(TELEMETRY_IDS_MAX).contains("`telemetry_ids` does not have"));
    assert!(limits(TELEMETRY_IDS_MAX + 1).contains("not 1001"));
}

#[test]
fn rules_are_limited_in_number() {
    let rules = |count: usize| {
        let rules: Vec<String> = (0..count).map(|n| format!("{{ machine_id = \"{n}\", days = 1 }}")).collect();
        parse(&setting("retention.rules", &format!("[{}]", rules.join(", "))))
    };
    assert!(rules(RULES_MAX).is_ok());
    assert!(rules(RULES_MAX + 1).expect_err("too many").to_string().contains("not 201"));
}

#[test]
fn what_a_setting_shows_is_what_the_file_may_say() {
    for setting in SETTINGS.iter().filter(|setting| !setting.default_text().is_empty() && !is_of_server(setting)) {
        let text = format!("{} = {}\n", setting.key, setting.default_text());
        assert_eq!(parse(&text).expect(setting.key), Config::default());
    }
}

#[test]
fn texts_with_quotes_are_shown_as_the_file_may_say_them() {
    let text = "telemetry_ids = [\"a\\\"b\\\\c\"]\n";
    let config = parse(text).expect("a text with a quote and a backslash");
    let shown = Setting::named("telemetry_ids").expect("a setting").shown(&config);
    assert_eq!(parse(&format!("telemetry_ids = {shown}\n")).expect(&shown), config);
}

/// These keys stand where a section of the same name could.
fn is_a_word(setting: &Setting) -> bool {
    ["store", "retention"].contains(&setting.key)
}

fn is_of_server(setting: &Setting) -> bool {
    setting.key.starts_with("store.clickhouse.")
}

#[test]
fn every_number_is_limited_at_both_edges() {
    for setting in SETTINGS {
        let Kind::Number { min, max, .. } = setting.kind else { continue };
        for allowed in [min, max] {
            let mut config = Config::default();
            if is_of_server(setting) {
                config.store = Store::ClickHouse(Box::new(ClickHouse::at(url::Url::parse("http://h").expect("a url"))));
            }
            setting.apply(&mut config, &Value::Number(i128::from(allowed))).expect(setting.key);
            assert_eq!(setting.shown(&config), allowed.to_string());
        }
        for refused in [i128::from(min) - 1, i128::from(max) + 1] {
            let message = setting.apply(&mut Config::default(), &Value::Number(refused)).expect_err(setting.key);
            assert!(message.contains(setting.key) && message.contains(&setting.allowed()), "{message}");
        }
    }
}

#[test]
fn ranges_are_those_of_the_types_behind_them() {
    let max = |key| match Setting::named(key).expect(key).kind {
        Kind::Number { max, .. } => max,
        _ => panic!("{key} is no number"),
    };
    assert_eq!(max("collector_number"), 63);
    assert_eq!(max("drain.batch_rows"), BATCH_ROWS_MAX);
}

#[test]
fn a_number_beyond_64_bits_is_refused_with_its_line() {
    let message = refusal("\nread_wait_ms = 99999999999999999999999999999999999999999\n");
    assert!(message.starts_with("t.toml:2: "), "{message}");
}

#[test]
fn a_list_of_ids_is_limited_at_both_edges() {
    let ids = |count: usize| {
        let ids: Vec<String> = (0..count).map(|n| format!("\"id{n}\"")).collect();
        setting("telemetry_ids", &format!("[{}]", ids.join(",")))
    };
    assert_eq!(parse(&ids(TELEMETRY_IDS_MAX)).expect("valid").telemetry_ids.len(), TELEMETRY_IDS_MAX);
    for bad in [ids(0), ids(TELEMETRY_IDS_MAX + 1), setting("telemetry_ids", "[\"a\", \"a\"]")] {
        assert!(refusal(&bad).contains("`telemetry_ids` must be a list of"));
    }
}

#[test]
fn an_id_is_limited_at_both_edges() {
    let id = |chars: usize| setting("telemetry_ids", &format!("[\"{}\"]", "ü".repeat(chars)));
    assert!(parse(&id(1)).is_ok() && parse(&id(TELEMETRY_ID_CHARS)).is_ok());
    for bad in ["[\"\"]", "[\" a\"]", "[\"a\\u0000\"]", "[1]", "\"a\""] {
        assert!(refusal(&setting("telemetry_ids", bad)).contains("`telemetry_ids`"), "{bad}");
    }
    assert!(refusal(&id(TELEMETRY_ID_CHARS + 1)).contains("1 to 256 characters"));
}

#[test]
fn a_wrong_type_names_the_key_its_line_and_what_is_allowed() {
    for (text, expected) in [
        ("strict_fields = 1", "t.toml:1: `strict_fields` must be true or false, not 1"),
        (
            "body_limit_bytes = \"1M\"",
            "`body_limit_bytes` must be a whole number of bytes from 65536 to 16777216, not \"1M\"",
        ),
        ("read_wait_ms = 1.5", "not a number with a fraction"),
        ("read_wait_ms = -1", "from 0 to 60000, not -1"),
        ("data_dir = 5", "`data_dir` must be a path, not 5"),
        ("data_dir = \"\"", "`data_dir` must be a path"),
        ("listen = \"localhost\"", "`listen` must be an IP address and a port as \"127.0.0.1:8080\""),
        ("on_invalid = \"ignore\"", "`on_invalid` must be \"auto\" or \"reject\" or \"quarantine\", not \"ignore\""),
        ("\n\nstore = \"clickhouse\"", "t.toml:3: `store` must be \"embedded\", not \"clickhouse\""),
        ("data_dir = 2026-11-22", "not a date"),
    ] {
        let message = refusal(text);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn an_unknown_key_names_the_nearest_known_one_and_its_line() {
    for (text, line, nearest) in [
        ("listne = 1", 1, "listen"),
        ("\ndatadir = 1", 2, "data_dir"),
        ("[journal]\nsegment_byte = 1", 2, "journal.segment_bytes"),
        ("[jurnal]\nquota_bytes = 1", 2, "journal.quota_bytes"),
        ("segment_bytes = 1", 1, "journal.segment_bytes"),
        ("[drain]\n\nbatch_age = 1", 3, "drain.batch_age_ms"),
        ("[store.clickhouse]\nurl = \"http://h\"\npassword = \"x\"", 3, "store.clickhouse.password_file"),
        ("[nothing_like_it]", 1, "on_invalid"),
    ] {
        let message = refusal(text);
        assert!(message.starts_with(&format!("t.toml:{line}: unknown key `")), "{message}");
        assert!(message.contains(&format!("`{nearest}`")) || text.starts_with("[nothing"), "{message}");
    }
}

#[test]
fn a_section_that_is_given_a_value_says_what_belongs_into_it() {
    assert!(refusal("journal = 5").contains("`journal` is a section; its keys are journal.segment_bytes"));
}

#[test]
fn all_problems_are_told_at_once() {
    let message = refusal("listne = 1\nstrict_fields = 2\n[drain]\nbatch_rows = 0\n");
    assert_eq!(message.lines().count(), 3, "{message}");
}

#[test]
fn what_is_no_toml_is_refused_with_its_line() {
    assert!(refusal("listen = \"a\"\nlisten = \"b\"\n").starts_with("t.toml:2: duplicate key"));
    assert!(refusal("strict_fields = true\n=\n").starts_with("t.toml:2: "));
}

#[test]
fn who_is_reached_by_others_has_to_say_who_may_do_what() {
    for (text, is_valid) in [
        ("listen = \"127.8.8.8:1\"", true),
        ("listen = \"[::ffff:127.0.0.1]:1\"", true),
        ("listen = \"0.0.0.0:1\"", false),
        ("listen = \"[::]:1\"", false),
        ("listen = \"192.0.2.1:1\"\nallow_anonymous = true", true),
        ("listen = \"192.0.2.1:1\"\n[access]\nusers_file = \"u\"", true),
        ("listen = \"192.0.2.1:1\"\n[access]\ntokens_file = \"t\"", true),
        ("allow_anonymous = true\n[access]\ntokens_file = \"t\"", false),
    ] {
        let said = parse(text).map_err(|error| error.to_string());
        assert_eq!(said.is_ok(), is_valid, "{text}: {said:?}");
        assert!(said.is_ok() || said.is_err_and(|message| message.contains("`allow_anonymous")), "{text}");
    }
    let given = Given { origin: "--listen".into(), key: "listen", value: Value::Text("0.0.0.0:1".into()) };
    let message = Config::from_text("", "", vec![given]).expect_err("open").to_string();
    assert!(message.starts_with("`listen` (0.0.0.0:1) is reached from other machines"), "{message}");
}

#[test]
fn networks_are_limited_and_different() {
    let proxies = |list: &str| parse(&setting("trusted_proxies", list)).map(|config| config.trusted_proxies.len());
    let many =
        |count: usize| format!("[{}]", (0..count).map(|n| format!("\"10.0.{n}.0/24\"")).collect::<Vec<_>>().join(","));
    assert_eq!(proxies(&many(door::PROXIES_MAX)).ok(), Some(door::PROXIES_MAX));
    assert_eq!(proxies("[\"::1\", \"2001:db8::/32\"]").ok(), Some(2));
    let same = "[\"10.0.0.0/8\", \"10.1.0.0/8\"]";
    for bad in [&many(door::PROXIES_MAX + 1), same, "[]", "[\"localhost\"]", "[\"10.0.0.0/33\"]", "\"::1\""] {
        assert!(
            refusal(&setting("trusted_proxies", bad)).contains("`trusted_proxies` must be a list of 1 to 100"),
            "{bad}"
        );
    }
}

#[test]
fn a_certificate_and_its_key_need_each_other() {
    for key in ["certificate_file", "key_file"] {
        assert!(refusal(&format!("[tls]\n{key} = \"x\"\n")).contains("need each other"), "{key}");
    }
}

#[test]
fn sizes_that_contradict_each_other_are_refused_at_their_edges() {
    let sizes = |segment: u64, quota: u64, body: u64| {
        parse(&format!("body_limit_bytes={body}\n[journal]\nsegment_bytes={segment}\nquota_bytes={quota}\n"))
    };
    assert!(sizes(4 * MIB, 8 * MIB, MIB).is_ok());
    let message = sizes(4 * MIB, 8 * MIB, MIB + 1).expect_err("a segment that is too small").to_string();
    assert!(message.contains("`journal.segment_bytes` (4194304) must be at least 4 times"), "{message}");
    let message = sizes(5 * MIB, 10 * MIB - 1, MIB).expect_err("a quota that is too small").to_string();
    assert!(message.contains("`journal.quota_bytes` (10485759) must be at least 2 times"), "{message}");
}

#[test]
fn a_quarantine_that_cannot_hold_a_request_is_refused_at_its_edge() {
    let sizes = |quota: u64| parse(&format!("body_limit_bytes={MIB}\n[quarantine]\nquota_bytes={quota}\n"));
    assert!(sizes(48 * MIB).is_ok());
    let message = sizes(48 * MIB - 1).expect_err("a quota that is too small").to_string();
    assert!(message.contains("`quarantine.quota_bytes` (50331647) must be at least 48 times"), "{message}");
}

#[test]
fn every_way_to_treat_invalid_records_has_its_word() {
    let on_invalid = |word: &str| parse(&setting("on_invalid", &format!("\"{word}\""))).expect(word).on_invalid;
    assert_eq!(on_invalid("auto"), OnInvalid::Auto);
    assert_eq!(on_invalid("reject"), OnInvalid::Reject);
    assert_eq!(on_invalid("quarantine"), OnInvalid::Quarantine);
}

#[test]
fn a_server_needs_its_address() {
    assert_eq!(refusal("[store.clickhouse]\nuser = \"x\"\n"), "t.toml:2: `store.clickhouse.url` is missing");
    assert!(refusal("[store.clickhouse]\n").ends_with("`store.clickhouse.url` is missing"));
}

#[test]
fn an_address_of_a_server_is_only_that() {
    for bad in ["ftp://h", "h:8123", "http://u:p@h", "http://h/db", "http://h?database=d", "http://", "http://h/#x"] {
        let message = refusal(&format!("[store.clickhouse]\nurl = \"{bad}\"\n"));
        assert!(message.contains("`store.clickhouse.url` must"), "{message}");
        assert!(!message.contains("u:p"), "{message}");
    }
}

#[test]
fn a_password_comes_from_its_file_and_shows_itself_nowhere() {
    let dir = tempfile::tempdir().expect("a directory");
    let secret = dir.path().join("secret");
    let file = dir.path().join("t.toml");
    fs::write(&secret, "geheim \n").expect("written");
    let text = format!("[store.clickhouse]\nurl='http://h'\npassword_file='{}'\n", secret.display());
    fs::write(&file, text).expect("written");
    let config = Config::load(Some(&file), Overrides::default()).expect("valid");
    assert_eq!(config.store.clickhouse().expect("a server").password.reveal(), "geheim ");
    assert!(!format!("{config:?}").contains("geheim"));
    fs::remove_file(&secret).expect("removed");
    let error = Config::load(Some(&file), Overrides::default()).expect_err("no password file");
    assert!(matches!(error, ConfigError::Unreadable { path, .. } if path == secret));
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Some("no/such.toml".as_ref()), Overrides::default()).expect_err("no file");
    assert!(error.to_string().starts_with("cannot read no/such.toml: "));
}

#[test]
fn the_sample_holds_every_setting_with_its_default() {
    let sample = include_str!("../../../deploy/telemetrics.toml");
    assert_eq!(parse(sample).expect("valid"), Config::default());
    let without_comments = sample.replace("#| ", "").replace("store = \"embedded\"\n", "");
    let with_server = parse(&without_comments).expect("valid without comment signs");
    assert!(with_server.store.clickhouse().is_some());
    let keys: Vec<String> = file::entries(&sample.replace("#| ", "").replace("store = \"embedded\"\n", ""))
        .expect("entries")
        .into_iter()
        .map(|e| e.key)
        .collect();
    for setting in SETTINGS.iter().filter(|setting| !is_a_word(setting)) {
        assert!(keys.iter().any(|key| key == setting.key), "{} is not in the sample", setting.key);
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,60}", key in "[a-z_.]{1,20}", value in "[\\[\\]{}\"0-9a-z.=, -]{0,20}") {
        let _ = parse(&text);
        let _ = parse(&format!("{key} = {value}"));
    }
}
