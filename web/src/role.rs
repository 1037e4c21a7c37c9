//! What a process does of all that the program can: collector, pages and database may live on three machines.

use crate::config::Config;

/// The parts that a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// All of them.
    Serve,
    /// Accepts records and brings them into the store; answers no questions.
    Collector,
    /// API and pages; accepts no records.
    Web,
}

impl Role {
    /// Whether it accepts records.
    #[must_use]
    pub const fn collects(self) -> bool {
        matches!(self, Self::Serve | Self::Collector)
    }

    /// Whether it answers questions.
    #[must_use]
    pub const fn answers(self) -> bool {
        matches!(self, Self::Serve | Self::Web)
    }

    /// Checks that the configured store can be used by a process of this role.
    ///
    /// # Errors
    /// The sentence for the operator: the embedded store belongs to one process.
    pub fn check(self, config: &Config) -> Result<(), String> {
        if self == Self::Serve || config.store.clickhouse().is_some() {
            return Ok(());
        }
        let role = if self == Self::Collector { "collector" } else { "web" };
        Err(format!(
            "`telemetrics {role}` needs a ClickHouse server (store.clickhouse.url or --clickhouse): \
             the embedded store belongs to one `telemetrics serve` process"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_server_may_have_the_embedded_store() {
        let embedded = Config::default();
        assert_eq!(Role::Serve.check(&embedded), Ok(()));
        for (role, name) in [(Role::Collector, "telemetrics collector"), (Role::Web, "telemetrics web")] {
            let message = role.check(&embedded).expect_err("embedded");
            assert!(message.contains(name) && message.contains("--clickhouse"), "{message}");
        }
    }
}
