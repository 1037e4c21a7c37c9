//! The retention policy as the TTL of the table.

use telemetrics_schema::columns::RECORDS;
use telemetrics_schema::ddl;
use telemetrics_schema::retention::RetentionPolicy;
use tracing::info;

use super::connection::Connection;
use super::setup::SetupError;

/// Gives the table the TTL of `policy`, where it has another one.
///
/// The change is one statement: at no time is there another TTL than the one before and the one after. Afterwards the
/// server notes the new dates in the parts by itself, which reads a few columns and rewrites nothing; until a part has
/// them, the server looks at each of its rows before it deletes one (see [`ddl::ttl`]).
pub(super) async fn apply(connection: &Connection, policy: &RetentionPolicy) -> Result<(), SetupError> {
    let sql =
        format!("SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = '{RECORDS}'");
    let engine: Vec<String> = connection.fetch(&sql).await?;
    let current = engine.first().and_then(|engine| ttl_in(engine));
    let statement = match (current, ddl::ttl(policy)) {
        (current, wanted) if current == wanted.as_deref() => return Ok(()),
        (_, Some(wanted)) => format!("ALTER TABLE `{RECORDS}` MODIFY TTL {wanted}"),
        (_, None) => format!("ALTER TABLE `{RECORDS}` REMOVE TTL"),
    };
    // Not waited for: it takes as long as there is data, and records would wait in the journal meanwhile.
    let settings = [("materialize_ttl_after_modify", "1"), ("mutations_sync", "0"), ("alter_sync", "0")];
    let connection = settings.iter().fold(connection.clone(), |to, (name, value)| to.with_setting(name, value));
    connection.execute(&statement).await?;
    info!("the retention policy of the table has changed");
    Ok(())
}

/// The TTL clause in what the server says of a table. Texts of rules may hold any word, but all stand in this clause.
fn ttl_in(engine: &str) -> Option<&str> {
    let (_, rest) = engine.split_once(" TTL ")?;
    Some(rest.rsplit_once(" SETTINGS ").map_or(rest, |(ttl, _)| ttl))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clause_is_found_whatever_rules_say() {
        assert_eq!(ttl_in("MergeTree ORDER BY id SETTINGS a = 1"), None);
        assert_eq!(ttl_in("MergeTree ORDER BY id TTL x + 1 SETTINGS a = 1"), Some("x + 1"));
        assert_eq!(
            ttl_in("MergeTree ORDER BY id TTL x = ' TTL  SETTINGS ' SETTINGS a = 1"),
            Some("x = ' TTL  SETTINGS '")
        );
    }
}
