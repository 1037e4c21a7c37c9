//! What a request says about who it comes from: a name and a password (HTTP Basic), or a token (Bearer).

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::password::PASSWORD_BYTES_MAX;

/// See the module.
#[derive(PartialEq, Eq)]
pub(super) enum Credentials {
    /// Nothing at all.
    None,
    /// A user.
    Password {
        /// Name, as it was sent.
        name: String,
        /// Password.
        password: Vec<u8>,
    },
    /// A program.
    Token(Vec<u8>),
    /// Something that is neither, or longer than any password.
    Unreadable,
}

impl Credentials {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        match (values.next(), values.next()) {
            (None, _) => Self::None,
            (Some(value), None) => Self::read(value.as_bytes()).unwrap_or(Self::Unreadable),
            // Of two, a proxy in between may have looked at the other one.
            (Some(_), Some(_)) => Self::Unreadable,
        }
    }

    fn read(value: &[u8]) -> Option<Self> {
        let at = value.iter().position(|byte| *byte == b' ')?;
        let (scheme, rest) = (&value[..at], value[at..].trim_ascii());
        if scheme.eq_ignore_ascii_case(b"bearer") {
            return (1..=PASSWORD_BYTES_MAX).contains(&rest.len()).then(|| Self::Token(rest.to_vec()));
        }
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return None;
        }
        let pair = STANDARD.decode(rest).ok()?;
        let at = pair.iter().position(|byte| *byte == b':')?;
        let (name, password) = (std::str::from_utf8(&pair[..at]).ok()?, &pair[at + 1..]);
        let is_short = password.len() <= PASSWORD_BYTES_MAX;
        is_short.then(|| Self::Password { name: name.to_owned(), password: password.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(values: &[&[u8]]) -> Credentials {
        let pair = |value: &&[u8]| (header::AUTHORIZATION, HeaderValue::from_bytes(value).expect("a value"));
        let mut headers = HeaderMap::new();
        for (name, value) in values.iter().map(pair) {
            headers.append(name, value);
        }
        Credentials::of(&headers)
    }

    fn password(name: &str, password: &[u8]) -> Credentials {
        Credentials::Password { name: name.to_owned(), password: password.to_vec() }
    }

    fn basic(pair: &[u8]) -> Vec<u8> {
        [b"Basic ", STANDARD.encode(pair).as_bytes()].concat()
    }

    #[test]
    fn both_kinds_are_read() {
        assert!(of(&[]) == Credentials::None);
        assert!(of(&[&basic("ann:gr\u{fc}n:x".as_bytes())]) == password("ann", "gr\u{fc}n:x".as_bytes()));
        assert!(of(&[b"bASIC   YTo="]) == password("a", b""));
        assert!(of(&[b"bearer  tlm_x "]) == Credentials::Token(b"tlm_x".to_vec()));
    }

    #[test]
    fn what_is_neither_is_told() {
        for bad in [&b""[..], b"Basic", b"Basic ", b"Basic %%", b"Basic YQ==", b"Bearer ", b"Digest x", b"Basic /zo="] {
            assert!(of(&[bad]) == Credentials::Unreadable, "{}", String::from_utf8_lossy(bad));
        }
        assert!(of(&[b"Bearer a", b"Bearer a"]) == Credentials::Unreadable);
    }

    #[test]
    fn what_is_sent_is_limited_at_its_edge() {
        let long = vec![b'x'; PASSWORD_BYTES_MAX];
        assert!(of(&[&basic(&[b"a:", long.as_slice()].concat())]) == password("a", &long));
        assert!(of(&[&basic(&[b"a:x", long.as_slice()].concat())]) == Credentials::Unreadable);
        assert!(of(&[&[b"Bearer x", long.as_slice()].concat()]) == Credentials::Unreadable);
    }
}
