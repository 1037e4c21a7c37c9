//! What a store has, asked for in two ways: through the API, page by page, and in SQL where there is a server for it.

use serde_json::Value;
use telemetrics_testkit::{ClickHouse, Server, wait_until};

use crate::servers::json;

const FIELDS: &str = "id,machine_id,event_id,payload";
const PAGE_RECORDS: usize = 2_000;

/// One stored record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stored {
    pub(crate) id: u64,
    pub(crate) machine_id: String,
    pub(crate) event_id: String,
    pub(crate) payload_crc: u32,
}

impl Stored {
    fn of(record: &Value) -> Self {
        let text = |name: &str| record[name].as_str().unwrap_or_else(|| panic!("{name} in {record}"));
        Self {
            id: record["id"].as_u64().expect("an id"),
            machine_id: text("machine_id").to_owned(),
            event_id: text("event_id").to_owned(),
            payload_crc: crc32fast::hash(text("payload").as_bytes()),
        }
    }
}

/// All records that the API shows, newest first; waits until nothing is pending.
pub(crate) fn in_server(server: &Server) -> Vec<Stored> {
    wait_until("the delivery of everything", || {
        let answer = server.get("/api/records?limit=1");
        answer.status == 200 && answer.header("x-telemetrics-pending").is_none()
    });
    let mut next = Some(format!("/api/records?limit={PAGE_RECORDS}&fields={FIELDS}"));
    let mut stored = Vec::new();
    while let Some(path) = next {
        let page = server.get(&path);
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        stored.extend(json(&page)["records"].as_array().expect("records").iter().map(Stored::of));
        let link = page.header("link").map(|link| link.strip_prefix('<').and_then(|link| link.split_once('>')));
        next = link.map(|link| link.expect("an address").0.to_owned());
    }
    assert!(
        stored.is_sorted_by(|newer, older| newer.id > older.id),
        "pages go from the newest to the oldest, each once"
    );
    stored
}

/// All records in the table of a ClickHouse, newest first.
pub(crate) fn in_clickhouse(clickhouse: &ClickHouse, database: &str) -> Vec<Stored> {
    let sql = format!(
        "SELECT {FIELDS} FROM {database}.records ORDER BY id DESC FORMAT JSONEachRow \
         SETTINGS output_format_json_quote_64bit_integers = 0"
    );
    let rows = clickhouse.query(&sql);
    rows.lines().map(|line| Stored::of(&serde_json::from_str(line).expect("JSON"))).collect()
}
