//! Settings about who is let in, and from where.

use super::setting::{Kind, Setting};
use super::values::quoted;

/// Most networks of proxies.
pub(super) const PROXIES_MAX: usize = 100;

pub(super) const ALLOW_ANONYMOUS: Setting = Setting {
    key: "allow_anonymous",
    unit: "",
    kind: Kind::Flag { set: |config, flag| config.allow_anonymous = flag },
    doc: "Let everybody who reaches the server see and change everything. Without it, a server that other machines \
          reach needs access.users_file or access.tokens_file.",
    show: |config| config.allow_anonymous.to_string(),
};

pub(super) const USERS_FILE: Setting = Setting {
    key: "access.users_file",
    unit: "",
    kind: Kind::Path { set: |config, path| config.access.users_file = Some(path) },
    doc: "File with the users who may see pages and ask the API, with hashes of their passwords; `telemetrics access \
          add-user` writes it. Only its owner and his group may be able to read it.",
    show: |config| config.access.users_file.as_ref().map_or_else(String::new, |path| quoted(path.display())),
};

pub(super) const TOKENS_FILE: Setting = Setting {
    key: "access.tokens_file",
    unit: "",
    kind: Kind::Path { set: |config, path| config.access.tokens_file = Some(path) },
    doc: "File with hashes of the tokens by which programs may ask the API; `telemetrics access add-token` writes it. \
          Only its owner and his group may be able to read it.",
    show: |config| config.access.tokens_file.as_ref().map_or_else(String::new, |path| quoted(path.display())),
};

pub(super) const CERTIFICATE_FILE: Setting = Setting {
    key: "tls.certificate_file",
    unit: "",
    kind: Kind::Path { set: |config, path| config.tls.get_or_insert_default().certificate_file = path },
    doc: "File with the server's certificate (PEM) and those that lead to its authority. With it, nothing but TLS is \
          spoken. The file is read again when it changes.",
    show: |config| config.tls.as_ref().map_or_else(String::new, |tls| quoted(tls.certificate_file.display())),
};

pub(super) const KEY_FILE: Setting = Setting {
    key: "tls.key_file",
    unit: "",
    kind: Kind::Path { set: |config, path| config.tls.get_or_insert_default().key_file = path },
    doc: "File with the key of the certificate (PEM). Only its owner and his group may be able to read it.",
    show: |config| config.tls.as_ref().map_or_else(String::new, |tls| quoted(tls.key_file.display())),
};

pub(super) const TRUSTED_PROXIES: Setting = Setting {
    key: "trusted_proxies",
    unit: "",
    kind: Kind::Networks { max_items: PROXIES_MAX, set: |config, networks| config.trusted_proxies = networks },
    doc: "Addresses and networks of proxies in front of the server. Only what they say in X-Forwarded-For, \
          X-Forwarded-Proto and X-Request-Id is believed.",
    show: |config| match config.trusted_proxies.as_slice() {
        [] => String::new(),
        networks => format!("[{}]", networks.iter().map(quoted).collect::<Vec<_>>().join(", ")),
    },
};
