//! Who is at the other end of a connection.

use std::net::IpAddr;

/// Where a request comes from; the server puts it into every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Address of the client.
    pub address: IpAddr,
}
