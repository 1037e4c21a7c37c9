//! Commands of documents that no other test of their subject runs.

use std::fs;

use telemetrics_testkit::{ClickHouse, Post, Server, wait_until};

use super::{shell, under};
use crate::servers::{PROGRAM, accepted, embedded, records};

const SHIPPED_ID: &str = "6907c830-eed9-4ce9-81ae-76daf8d88f0f";

/// The status that a record with this telemetry id is answered with.
fn status(server: &Server, id: &str) -> u16 {
    server.send(&Post::default().header("X-Telemetry-TID", id).in_headers()).status
}

#[test]
fn telemetry_ids_are_made_accepted_and_tried_as_their_page_says() {
    let document = "docs/telemetry-ids.md";
    let server = embedded();
    let made = shell(server.dir(), None, &under(document, "Make one", "sh"));
    assert_eq!(made.trim().len(), SHIPPED_ID.len(), "{made}");
    let toml = under(document, "Accept it", "toml");
    let handed_out = under(document, "Hand it out", "ini");
    let own = handed_out.trim().rsplit(' ').next().expect("an id");
    assert!(toml.contains(own) && toml.contains(SHIPPED_ID), "{toml}");
    assert_eq!((status(&server, SHIPPED_ID), status(&server, own)), (201, 400));
    fs::write(server.dir().join("telemetrics.toml"), toml).expect("written");
    // The first block reloads, the second one posts.
    let both = under(document, "Accept it", "sh");
    let (reload, post) = both.split_once("curl ").expect("a post after the reload");
    shell(server.dir(), Some(&server), reload);
    wait_until("the new id", || status(&server, own) == 201);
    let post = format!("curl {post}").replace("http://127.0.0.1:8080", &server.url(""));
    assert_eq!(shell(server.dir(), None, &post), "201");
    assert_eq!(shell(server.dir(), None, &post.replace(own, "another")), "400");
    assert_eq!((status(&server, SHIPPED_ID), status(&server, "another")), (201, 400));
}

#[test]
fn the_statement_of_the_page_about_sql_is_answered() {
    let server = embedded();
    accepted(&server, &Post::default().with("classification", "org.clearlinux/crash/clr").with("build", "77"));
    accepted(&server, &Post::default().with("build", "78"));
    let ask = under("docs/sql.md", "Statements in SQL", "sh").replace("http://127.0.0.1:8080", &server.url(""));
    let rows: serde_json::Value = serde_json::from_str(&shell(server.dir(), None, &ask)).expect("JSON");
    assert_eq!(rows["rows"], serde_json::json!([{"build": "77", "crashes": 1}]));
}

#[test]
fn statements_of_the_page_about_clickhouse_are_understood() {
    let document = "docs/clickhouse.md";
    let (clickhouse, database) = (ClickHouse::shared(), ClickHouse::shared().create_database());
    let url = format!("{}/{database}", clickhouse.url());
    let server = Server::start_with_config(PROGRAM, "read_wait_ms = 30000\n", &["--clickhouse", &url]);
    accepted(&server, &Post::default());
    assert_eq!(records(&server, "").len(), 1);
    let in_database = |text: &str| text.replace("TABLE records", &format!("TABLE {database}.records"));
    let sizes = under(document, "Rollups", "sql");
    let (repair, sizes) = sizes.split_once("SELECT").expect("statements that repair, and one about sizes");
    for statement in repair.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        clickhouse.query(&in_database(statement));
    }
    let sizes = format!("SELECT{sizes}").replace("'telemetrics'", &format!("'{database}'"));
    let told = clickhouse.query(&sizes);
    for name in ["hourly", "daily", "hourly_platform", "daily_platform"] {
        assert!(told.lines().any(|line| line.starts_with(&format!("{name}\t"))), "{name}: {told}");
    }
    // The user of this server may not make others: it says whether it understands.
    let rights = under(document, "Users and their rights", "sql");
    for statement in rights.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        let understood = clickhouse.query(&format!("EXPLAIN AST {statement}"));
        assert!(understood.starts_with("CreateUserQuery") || understood.starts_with("GrantQuery"), "{understood}");
    }
}

#[test]
fn commands_of_the_page_about_clickhouse_move_a_store_and_make_its_columns_anew() {
    let document = "docs/clickhouse.md";
    let mut server = embedded();
    let id = accepted(&server, &Post::default());
    assert!(server.terminate().status.success());
    let clickhouse = ClickHouse::shared();
    let toml = format!(
        "data_dir = \"{}\"\nread_wait_ms = 30000\n[store.clickhouse]\nurl = \"{}\"\ndatabase = \"{}\"\n",
        server.data_dir().display(),
        clickhouse.url(),
        clickhouse.create_database()
    );
    fs::write(server.dir().join("telemetrics.toml"), toml).expect("written");
    let moved = shell(server.dir(), None, &under(document, "Moving from the embedded store", "sh"));
    assert!(moved.contains("moved 1 of 1 records") && moved.contains("100 %"), "{moved}");
    let made_anew = shell(server.dir(), None, &under(document, "What is derived from payloads", "sh"));
    assert!(made_anew.contains("looked at"), "{made_anew}");
    server.restart();
    assert_eq!(records(&server, "")[0]["id"], id);
}
