//! What the server's own certificate says about itself: until when it is valid, and for whom.

use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::US_PER_S;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

/// The certificate of the server itself, without those that lead to its authority: clients know other ways to an
/// authority, and none around this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// From when on it is valid.
    pub begin: TimestampUs,
    /// The last second at which it is.
    pub end: TimestampUs,
    /// Names and addresses of hosts that it is for. The common name is not among them: no client looks at it.
    pub hosts: Vec<String>,
}

impl Leaf {
    /// What stands in a certificate.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let certificate = Certificate::from_der(certificate).map_err(|error| error.to_string())?;
        let said = certificate.tbs_certificate();
        let names = said.get_extension::<SubjectAltName>().map_err(|error| format!("its names: {error}"))?;
        let names = names.map(|(_, names)| names.0).unwrap_or_default();
        let validity = said.validity();
        let hosts = names.iter().filter_map(host).collect();
        Ok(Self { begin: instant(validity.not_before), end: instant(validity.not_after), hosts })
    }
}

fn instant(time: Time) -> TimestampUs {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    TimestampUs(seconds.saturating_mul(US_PER_S))
}

fn host(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(bytes) => address(bytes.as_bytes()).map(|address| address.to_string()),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = || <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let sixteen = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    four().or_else(|_| sixteen()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_an_error() {
        for bytes in [&b""[..], b"nonsense", &[0x30, 0x80], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]] {
            assert!(Leaf::of(&CertificateDer::from(bytes)).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn addresses_have_two_lengths() {
        assert_eq!(address(&[192, 0, 2, 7]).map(|address| address.to_string()).as_deref(), Some("192.0.2.7"));
        assert_eq!(address(&[0; 16]).map(|address| address.to_string()).as_deref(), Some("::"));
        assert_eq!(address(&[0; 8]), None, "a network is no host");
    }
}
