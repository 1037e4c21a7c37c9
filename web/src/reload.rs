//! What a server that runs takes anew on SIGHUP, and what it says about the rest.

use std::sync::Arc;

use telemetrics_collector::http::{Admission, Admitted};
use telemetrics_schema::retention::PolicyInForce;
use telemetrics_schema::wire::Rules;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::access::{AUDIT, Access};
use crate::config::settings::SETTINGS;
use crate::config::{Config, ConfigError};
use crate::pages::kept::Kept;
use crate::parsers::ParserFiles;
use crate::serve::rate_limits;
use crate::tls::Certificate;

/// Settings that hold at once; others hold from the next start on.
const AT_ONCE: [&str; 14] = [
    "telemetry_ids",
    "strict_fields",
    "rate_limit.records_per_s",
    "rate_limit.burst_records",
    "rate_limit.ids",
    "allow_anonymous",
    "access.users_file",
    "access.tokens_file",
    "tls.certificate_file",
    "tls.key_file",
    "parsers_dir",
    "retention",
    "retention.default_days",
    "retention.rules",
];

/// Reads the configuration as it was read at the start.
pub type Load = Box<dyn Fn() -> Result<Config, ConfigError> + Send>;

/// The parts of a server that can be changed while it runs.
#[derive(Clone)]
pub struct Parts {
    /// Who may do what.
    pub access: Access,
    /// The certificate, where TLS is spoken.
    pub certificate: Option<Certificate>,
    /// What is accepted, where records are.
    pub admission: Option<Admission>,
    /// What is read from payloads, where records are accepted.
    pub parsers: Option<ParserFiles>,
    /// How long records live.
    pub retention: Retention,
    /// Answers that pages show for a while, where there are pages.
    pub kept: Option<Kept>,
}

/// How long records live, for all who look at it and for who has to be told.
#[derive(Clone)]
pub struct Retention {
    /// The policy.
    pub policy: PolicyInForce,
    /// Told when it is another one.
    pub changed: Arc<Notify>,
}

impl Retention {
    /// The policy of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self { policy: config.retention.clone().into(), changed: Arc::default() }
    }
}

/// See the module.
pub struct Reload {
    parts: Parts,
    /// What holds now.
    config: Config,
    load: Load,
}

/// Settings that are another in the file than in the server.
#[derive(Debug, PartialEq, Eq)]
struct Changed {
    at_once: Vec<&'static str>,
    at_next_start: Vec<&'static str>,
}

impl Reload {
    /// A server that was started with `config`, and reads it anew by `load`.
    #[must_use]
    pub fn new(parts: Parts, config: Config, load: Load) -> Self {
        Self { parts, config, load }
    }

    /// Begins to listen for the signal; ends when it is time to stop.
    ///
    /// # Errors
    /// When the system does not let the process listen for signals.
    pub fn start(mut self, stop: CancellationToken) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            while let Some(Some(())) = stop.run_until_cancelled(hangup.recv()).await {
                let running = tokio::task::spawn_blocking(move || {
                    self.run();
                    self
                });
                match running.await {
                    Ok(reload) => self = reload,
                    Err(_) => return,
                }
            }
        });
        Ok(())
    }

    fn run(&mut self) {
        match (self.load)() {
            Ok(new) => self.take(&new),
            Err(reason) => {
                error!(target: AUDIT, %reason, "the configuration is not read anew: everything stays as it was");
            }
        }
    }

    fn take(&mut self, new: &Config) {
        // It may be safe where it says that it listens, and the server listens where it did.
        let here = Config { listen: self.config.listen, ..new.clone() };
        if let Some(reason) = here.open_to_others() {
            error!(target: AUDIT, reason, "the configuration is not read anew: everything stays as it was");
            return;
        }
        let changed = changed(&self.config, new);
        self.take_access(new);
        self.take_certificate(new);
        self.take_rules(new);
        self.take_parsers(new);
        self.take_retention(new);
        info!(target: AUDIT, changed = ?changed.at_once, "the configuration was read anew");
        if !changed.at_next_start.is_empty() {
            warn!(target: AUDIT, settings = ?changed.at_next_start, "settings that changed hold from the next start on");
        }
    }

    /// The files are read also when their names are the same.
    fn take_access(&mut self, new: &Config) {
        match self.parts.access.reload(&new.access) {
            Ok(()) => {
                self.config.access.clone_from(&new.access);
                self.config.allow_anonymous = new.allow_anonymous;
            }
            Err(reason) => error!(target: AUDIT, reason, "users and tokens stay as they were"),
        }
    }

    fn take_certificate(&mut self, new: &Config) {
        let (Some(certificate), Some(files)) = (&self.parts.certificate, &new.tls) else { return };
        match certificate.reload(files) {
            Ok(is_new) => {
                self.config.tls = Some(files.clone());
                info!(target: AUDIT, is_new, "the certificate was read anew");
            }
            Err(reason) => error!(target: AUDIT, reason, "the certificate stays as it was"),
        }
    }

    fn take_parsers(&mut self, new: &Config) {
        let Some(parsers) = &self.parts.parsers else { return };
        match parsers.reload(new.parsers_dir.as_deref()) {
            Ok(is_new) => {
                self.config.parsers_dir.clone_from(&new.parsers_dir);
                info!(target: AUDIT, is_new, "the payload parsers were read anew");
            }
            Err(reason) => error!(target: AUDIT, reason, "the payload parsers stay as they were"),
        }
    }

    fn take_retention(&mut self, new: &Config) {
        if self.config.retention == new.retention {
            return;
        }
        self.config.retention.clone_from(&new.retention);
        self.parts.retention.policy.change(new.retention.clone());
        self.parts.retention.changed.notify_one();
        if let Some(kept) = &self.parts.kept {
            kept.forget();
        }
    }

    fn take_rules(&mut self, new: &Config) {
        let of = |config: &Config| (config.telemetry_ids.clone(), config.strict_fields, config.rate_limit.clone());
        let Some(admission) = self.parts.admission.as_ref().filter(|_| of(&self.config) != of(new)) else { return };
        admission.change(admitted(new));
        (self.config.telemetry_ids, self.config.strict_fields, self.config.rate_limit) = of(new);
    }
}

/// What a configuration accepts.
pub(crate) fn admitted(config: &Config) -> Admitted {
    let rules = Rules { telemetry_ids: config.telemetry_ids.clone(), strict_fields: config.strict_fields };
    Admitted { rules: Arc::new(rules), rate_limits: rate_limits(config) }
}

fn changed(old: &Config, new: &Config) -> Changed {
    let keys = SETTINGS.iter().filter(|setting| setting.shown(old) != setting.shown(new)).map(|setting| setting.key);
    // Whether there is TLS at all is decided at the start.
    let is_same_kind = old.tls.is_some() == new.tls.is_some();
    let (at_once, at_next_start) =
        keys.partition(|key| AT_ONCE.contains(key) && (is_same_kind || !key.starts_with("tls.")));
    Changed { at_once, at_next_start }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::from_text("t.toml", text, Vec::new()).expect("valid")
    }

    #[test]
    fn what_holds_at_once_is_told_from_what_needs_a_start() {
        let old = config("");
        let new = config(
            "telemetry_ids = [\"a\"]\nlisten = \"127.0.0.1:1\"\n[tls]\ncertificate_file = \"c\"\nkey_file = \"k\"",
        );
        let changed = super::changed(&old, &new);
        assert_eq!(changed.at_once, ["telemetry_ids"]);
        assert_eq!(changed.at_next_start, ["listen", "tls.certificate_file", "tls.key_file"]);
        let other = config("[tls]\ncertificate_file = \"d\"\nkey_file = \"k\"");
        assert!(super::changed(&new, &other).at_once.contains(&"tls.certificate_file"));
        assert_eq!(super::changed(&old, &old), Changed { at_once: Vec::new(), at_next_start: Vec::new() });
    }

    #[test]
    fn every_key_is_one_of_a_setting() {
        assert!(AT_ONCE.iter().all(|key| SETTINGS.iter().any(|setting| setting.key == *key)));
    }
}
