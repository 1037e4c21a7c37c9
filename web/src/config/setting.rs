//! What a setting is: its key, its unit, what values are allowed, and how one is checked and shown.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use telemetrics_schema::retention::RetentionRule;
use url::Url;

use super::load::Value;
use super::settings::SETTINGS;
use super::store::plain_url;
use super::values::{is_text, networks, quoted, texts};
use super::{Config, IdLimit, id_limits, retention};

/// One setting.
#[derive(Clone, Copy)]
pub struct Setting {
    /// Dotted name in the file: `journal.quota_bytes` is `quota_bytes` in the section `[journal]`.
    pub key: &'static str,
    /// Unit of the value, empty when it has none.
    pub unit: &'static str,
    /// What values are allowed, and where they go.
    pub kind: Kind,
    /// What the setting does, for the reference page.
    pub doc: &'static str,
    /// Its value as the file would say it; empty when it has none there.
    pub(super) show: fn(&Config) -> String,
}

/// What values are allowed, and the field that takes them.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A whole number within limits, both included.
    Number {
        /// Smallest allowed value.
        min: u64,
        /// Largest allowed value.
        max: u64,
        /// Puts it into its field.
        set: fn(&mut Config, u64),
    },
    /// `true` or `false`.
    Flag {
        /// Puts it into its field.
        set: fn(&mut Config, bool),
    },
    /// One of a few words.
    OneOf {
        /// The words.
        words: &'static [&'static str],
        /// Puts it into its field.
        set: fn(&mut Config, &str),
    },
    /// A text without control characters, not empty.
    Text {
        /// Most characters.
        max_chars: usize,
        /// Puts it into its field.
        set: fn(&mut Config, String),
    },
    /// A list of different texts, not empty.
    Texts {
        /// Most texts.
        max_items: usize,
        /// Most characters of one.
        max_chars: usize,
        /// Puts them into their field.
        set: fn(&mut Config, Vec<String>),
    },
    /// A list of different addresses and networks, not empty.
    Networks {
        /// Most of them.
        max_items: usize,
        /// Puts them into their field.
        set: fn(&mut Config, Vec<IpNet>),
    },
    /// IP address and port.
    Address {
        /// Puts it into its field.
        set: fn(&mut Config, SocketAddr),
    },
    /// A path; relative ones begin at the working directory.
    Path {
        /// Puts it into its field.
        set: fn(&mut Config, PathBuf),
    },
    /// Rules of the retention policy.
    Rules {
        /// Puts them into their field.
        set: fn(&mut Config, Vec<RetentionRule>),
    },
    /// Rate limits of some telemetry ids.
    IdLimits {
        /// Puts them into their field.
        set: fn(&mut Config, Vec<IdLimit>),
    },
    /// Address of a ClickHouse server.
    Url {
        /// Puts it into its field.
        set: fn(&mut Config, Url),
    },
}

impl Setting {
    /// The setting of that key.
    #[must_use]
    pub fn named(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// The value in `config` as the file would say it; empty when the setting has no value there.
    #[must_use]
    pub fn shown(&self, config: &Config) -> String {
        (self.show)(config)
    }

    /// The default as the file would say it; empty when there is none.
    #[must_use]
    pub fn default_text(&self) -> String {
        self.shown(&Config::default())
    }

    /// What is allowed, as the end of the sentence "`key` must be ...".
    #[must_use]
    pub fn allowed(&self) -> String {
        match self.kind {
            Kind::Number { min, max, .. } if self.unit.is_empty() => format!("a whole number from {min} to {max}"),
            Kind::Number { min, max, .. } => format!("a whole number of {} from {min} to {max}", self.unit),
            Kind::Flag { .. } => "true or false".to_owned(),
            Kind::OneOf { words, .. } => words.iter().map(quoted).collect::<Vec<_>>().join(" or "),
            Kind::Text { max_chars, .. } => {
                format!("a text of 1 to {max_chars} characters, none a control character")
            }
            Kind::Texts { max_items, max_chars, .. } => format!(
                "a list of 1 to {max_items} different texts of 1 to {max_chars} characters, none of them a \
                 control character or a space at an end"
            ),
            Kind::Networks { max_items, .. } => {
                format!("a list of 1 to {max_items} different addresses or networks as \"192.0.2.1\" or \"10.0.0.0/8\"")
            }
            Kind::Address { .. } => "an IP address and a port as \"127.0.0.1:8080\" or \"[::1]:8080\"".to_owned(),
            Kind::Path { .. } => "a path".to_owned(),
            Kind::Rules { .. } => retention::allowed(),
            Kind::IdLimits { .. } => id_limits::allowed(),
            Kind::Url { .. } => "an address as \"http://127.0.0.1:8123\"".to_owned(),
        }
    }

    /// Checks `value` and puts it into `config`.
    ///
    /// # Errors
    /// A sentence that names the key and what is allowed.
    pub fn apply(&self, config: &mut Config, value: &Value) -> Result<(), String> {
        let refused = || format!("`{}` must be {}, not {}", self.key, self.allowed(), value.shown());
        match (self.kind, value) {
            (Kind::Number { min, max, set }, Value::Number(number)) => {
                let number = u64::try_from(*number).ok().filter(|n| (min..=max).contains(n)).ok_or_else(refused)?;
                set(config, number);
            }
            (Kind::Flag { set }, Value::Flag(flag)) => set(config, *flag),
            (Kind::OneOf { words, set }, Value::Text(word)) if words.contains(&word.as_str()) => set(config, word),
            (Kind::Text { max_chars, set }, Value::Text(text)) if is_text(text, max_chars) => set(config, text.clone()),
            (Kind::Texts { max_items, max_chars, set }, Value::List(items)) => {
                set(config, texts(items, max_items, max_chars).ok_or_else(refused)?);
            }
            (Kind::Networks { max_items, set }, Value::List(items)) => {
                set(config, networks(items, max_items).ok_or_else(refused)?);
            }
            (Kind::Address { set }, Value::Text(text)) => set(config, text.parse().map_err(|_| refused())?),
            (Kind::Path { set }, Value::Text(text)) if !text.is_empty() && !text.contains('\0') => {
                set(config, text.into());
            }
            (Kind::Path { set }, Value::Path(path)) if !path.as_os_str().is_empty() => set(config, path.clone()),
            (Kind::Rules { set }, Value::List(items)) => {
                set(config, retention::rules(items).map_err(|reason| format!("`{}` {reason}", self.key))?);
            }
            (Kind::IdLimits { set }, Value::List(items)) => {
                set(config, id_limits::limits(items).map_err(|reason| format!("`{}` {reason}", self.key))?);
            }
            (Kind::Url { set }, Value::Text(text)) => {
                set(config, plain_url(text).map_err(|reason| format!("`{}` {reason}", self.key))?);
            }
            _ => return Err(refused()),
        }
        Ok(())
    }
}
