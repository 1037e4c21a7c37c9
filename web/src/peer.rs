//! Where a request comes from: the other end of its connection, or what a proxy says that is trusted.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Where a request comes from; the server puts it into every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Address of the client.
    pub address: IpAddr,
    /// Whether the client speaks TLS, with us or with a proxy; `None` where a proxy may be that nobody told us of.
    pub is_encrypted: Option<bool>,
}

/// The proxies that are believed.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Arc<[IpNet]>);

impl Proxies {
    /// Those in these networks.
    #[must_use]
    pub fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    fn have(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether what the other end of a connection says about a request is believed.
    #[must_use]
    pub fn trust(&self, peer: Peer) -> bool {
        self.have(peer.address)
    }

    /// Who is behind `peer`, as far as trusted proxies say it.
    #[must_use]
    pub fn behind(&self, peer: Peer, headers: &HeaderMap) -> Peer {
        if !self.have(peer.address) {
            return peer;
        }
        Peer { address: self.client(peer.address, headers), is_encrypted: encrypted(headers).or(peer.is_encrypted) }
    }

    /// Each proxy adds who it heard from at the end: the last one that is no proxy of ours is the client. What stands
    /// before it is what the client says about itself.
    fn client(&self, proxy: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = proxy;
        let lines: Vec<&str> =
            headers.get_all(FORWARDED_FOR).iter().map(|line| line.to_str().unwrap_or_default()).collect();
        for address in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            let Some(address) = read(address.trim()) else { return client };
            client = address;
            if !self.have(client) {
                return client;
            }
        }
        client
    }
}

/// An address, which some proxies write with a port.
fn read(text: &str) -> Option<IpAddr> {
    let address = text.parse().ok().or_else(|| text.parse().ok().map(|with_port: std::net::SocketAddr| with_port.ip()));
    address.map(|address| address.to_canonical())
}

/// What the last proxy says about its client.
fn encrypted(headers: &HeaderMap) -> Option<bool> {
    let last = headers.get_all(FORWARDED_PROTO).iter().next_back()?.to_str().ok()?.rsplit(',').next()?.trim();
    match last {
        _ if last.eq_ignore_ascii_case("https") => Some(true),
        _ if last.eq_ignore_ascii_case("http") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn behind(from: &str, lines: &[(&'static str, &str)]) -> (String, Option<bool>) {
        let proxies = Proxies::new(&["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().expect(network)));
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        let peer = proxies.behind(Peer { address: address(from), is_encrypted: None }, &headers);
        (peer.address.to_string(), peer.is_encrypted)
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let lines = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")];
        assert_eq!(behind("10.1.2.3", &lines), ("192.0.2.1".into(), Some(true)));
        assert_eq!(behind("2001:db8::1", &lines), ("192.0.2.1".into(), Some(true)));
        assert_eq!(behind("192.0.2.9", &lines), ("192.0.2.9".into(), None));
        assert_eq!(behind("127.0.0.1", &lines), ("127.0.0.1".into(), None));
    }

    #[test]
    fn the_last_one_that_is_no_proxy_is_the_client() {
        for (line, client) in [
            ("203.0.113.5, 192.0.2.1", "192.0.2.1"),
            ("203.0.113.5,192.0.2.1 , 10.0.0.7", "192.0.2.1"),
            ("10.0.0.8", "10.0.0.8"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("[2001:db9::5]:80", "2001:db9::5"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("192.0.2.1, unknown", "10.1.2.3"),
            ("192.0.2.1, unknown, 10.0.0.7", "10.0.0.7"),
            ("", "10.1.2.3"),
            ("\u{fc}", "10.1.2.3"),
        ] {
            assert_eq!(behind("10.1.2.3", &[("x-forwarded-for", line)]).0, client, "{line}");
        }
        let two = [("x-forwarded-for", "203.0.113.5"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(behind("10.1.2.3", &two).0, "192.0.2.1");
    }

    #[test]
    fn what_the_last_proxy_says_about_the_protocol_counts() {
        for (value, is_encrypted) in
            [("https", Some(true)), ("HTTP", Some(false)), ("https, http", Some(false)), ("ftp", None), ("", None)]
        {
            assert_eq!(behind("10.1.2.3", &[("x-forwarded-proto", value)]).1, is_encrypted, "{value}");
        }
    }
}
