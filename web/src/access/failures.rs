//! How often an address may be wrong: what is tried counts until it turns out to be right.
//!
//! Each attempt moves the instant at which an address has paid for all of them; who is too far ahead has to wait.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::US_PER_S;

use crate::error::WebError;

/// Wrong attempts that an address may make at once.
pub const ATTEMPTS_MAX: i64 = 10;
/// How long it takes until one of them is forgotten, in seconds.
pub const ATTEMPT_S: i64 = 6;
/// Addresses that are remembered, at 60 bytes or so; more make those forgotten that have least to wait for.
const SOURCES_MAX: usize = 10_000;
const ATTEMPT_US: i64 = ATTEMPT_S * US_PER_S;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Failures {
    paid_at: Mutex<HashMap<IpAddr, i64>>,
}

impl Failures {
    /// Whether one more attempt from there may be made.
    ///
    /// # Errors
    /// [`WebError::TooOften`] with the seconds to wait.
    pub(super) fn check(&self, from: IpAddr, now: TimestampUs) -> Result<(), WebError> {
        let paid_at = self.lock().get(&source(from)).copied().unwrap_or(now.0);
        let ahead_us = paid_at.saturating_sub(now.0).min(ATTEMPTS_MAX * ATTEMPT_US);
        let over_us = ahead_us - (ATTEMPTS_MAX - 1) * ATTEMPT_US;
        if over_us <= 0 {
            return Ok(());
        }
        Err(WebError::TooOften { seconds: (over_us.unsigned_abs()).div_ceil(US_PER_S.unsigned_abs()) })
    }

    /// Counts an attempt that may turn out to be wrong.
    ///
    /// # Errors
    /// As [`Failures::check`]; it is not counted then.
    pub(super) fn begin(&self, from: IpAddr, now: TimestampUs) -> Result<(), WebError> {
        self.check(from, now)?;
        let mut sources = self.lock();
        if sources.len() >= SOURCES_MAX && !sources.contains_key(&source(from)) {
            sources.retain(|_, paid_at| *paid_at > now.0);
            let first = sources.iter().min_by_key(|(_, paid_at)| **paid_at).map(|(source, _)| *source);
            if let Some(first) = first.filter(|_| sources.len() >= SOURCES_MAX) {
                sources.remove(&first);
            }
        }
        let paid_at = sources.entry(source(from)).or_insert(now.0);
        // A clock that goes back makes nobody wait longer than all attempts do.
        *paid_at = (*paid_at).clamp(now.0, now.0.saturating_add((ATTEMPTS_MAX - 1) * ATTEMPT_US)) + ATTEMPT_US;
        Ok(())
    }

    /// The attempt was right.
    pub(super) fn forget_one(&self, from: IpAddr) {
        if let Some(paid_at) = self.lock().get_mut(&source(from)) {
            *paid_at -= ATTEMPT_US;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, i64>> {
        // Every change is one assignment.
        self.paid_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who has one address of IPv6 has all of its network of 64 bits.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn from(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    fn wait(failures: &Failures, from: IpAddr, at_us: i64) -> Option<u64> {
        match failures.begin(from, TimestampUs(at_us)) {
            Ok(()) => None,
            Err(WebError::TooOften { seconds }) => Some(seconds),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn one_attempt_too_many_waits_until_one_is_forgotten() {
        let failures = Failures::default();
        for _ in 0..ATTEMPTS_MAX {
            assert_eq!(wait(&failures, from(1), 0), None);
        }
        assert_eq!(wait(&failures, from(1), 0), Some(6));
        assert_eq!(wait(&failures, from(2), 0), None, "others are not meant");
        assert_eq!(wait(&failures, from(1), ATTEMPT_US - 1), Some(1));
        assert_eq!(wait(&failures, from(1), ATTEMPT_US), None);
        assert_eq!(wait(&failures, from(1), ATTEMPT_US), Some(6));
        failures.forget_one(from(1));
        assert_eq!(wait(&failures, from(1), ATTEMPT_US), None);
    }

    #[test]
    fn a_clock_that_goes_back_makes_nobody_wait_for_ever() {
        let failures = Failures::default();
        for _ in 0..ATTEMPTS_MAX {
            assert_eq!(wait(&failures, from(1), 1_000_000 * ATTEMPT_US), None);
        }
        assert_eq!(wait(&failures, from(1), 0), Some(6));
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let address = |text: &str| source(text.parse().expect(text));
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert_ne!(address("192.0.2.2"), address("192.0.2.1"));
    }

    #[test]
    fn what_is_remembered_is_limited() {
        let failures = Failures::default();
        for number in 0..=u32::try_from(SOURCES_MAX).expect("few") {
            assert_eq!(wait(&failures, from(number), 0), None);
            // One that has more to wait for than the others is not the one that is forgotten.
            let _ = wait(&failures, from(0), 0);
        }
        assert_eq!(failures.lock().len(), SOURCES_MAX);
        assert!(wait(&failures, from(0), 0).is_some());
    }
}
