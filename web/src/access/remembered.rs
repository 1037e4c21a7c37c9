//! Passwords that were right a moment ago, so that a page of many parts costs one look at a hash.
//!
//! What is kept is a keyed hash of name and password; the key is made at the start and is nowhere else.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ring::hmac;
use ring::rand::SystemRandom;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::US_PER_S;

/// How long a password that was right is right without another look, in seconds.
pub(super) const REMEMBERED_S: i64 = 300;
/// Most passwords that are remembered; above, those that are over are forgotten, and then all.
const REMEMBERED_MAX: usize = 1_000;

/// See the module.
pub(super) struct Remembered {
    key: hmac::Key,
    /// When each of them is over.
    until: Mutex<HashMap<[u8; 32], TimestampUs>>,
}

/// The keyed hash of a name and a password.
#[derive(Clone, Copy)]
pub(super) struct Proof([u8; 32]);

impl Remembered {
    /// # Errors
    /// When the system has no randomness.
    pub(super) fn new() -> Result<Self, String> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let key = key.map_err(|_| "the system gives no random numbers".to_owned())?;
        Ok(Self { key, until: Mutex::default() })
    }

    /// What a password is remembered by. `hash` is that of the user now: with another one, nothing is remembered.
    pub(super) fn proof(&self, name: &str, hash: &str, password: &[u8]) -> Proof {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [name.as_bytes(), hash.as_bytes(), password] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut proof = [0; 32];
        for (to, from) in proof.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        Proof(proof)
    }

    pub(super) fn has(&self, proof: Proof, now: TimestampUs) -> bool {
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that goes back makes nothing last longer.
        until.get(&proof.0).is_some_and(|until| now < *until && until.0 - now.0 <= REMEMBERED_S * US_PER_S)
    }

    pub(super) fn add(&self, proof: Proof, now: TimestampUs) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= REMEMBERED_MAX {
            until.retain(|_, until| now < *until);
        }
        if until.len() >= REMEMBERED_MAX {
            until.clear();
        }
        until.insert(proof.0, TimestampUs(now.0.saturating_add(REMEMBERED_S * US_PER_S)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_remembered_for_its_time_and_no_other_one_is() {
        let remembered = Remembered::new().expect("randomness");
        let proof = remembered.proof("ann", "hash", b"password");
        assert!(!remembered.has(proof, TimestampUs(0)));
        remembered.add(proof, TimestampUs(0));
        assert!(remembered.has(remembered.proof("ann", "hash", b"password"), TimestampUs(REMEMBERED_S * US_PER_S - 1)));
        assert!(!remembered.has(proof, TimestampUs(REMEMBERED_S * US_PER_S)));
        assert!(!remembered.has(proof, TimestampUs(-1)));
        for (name, hash, password) in [("ann", "other", "password"), ("annh", "ash", "password"), ("ann", "hash", "x")]
        {
            assert!(
                !remembered.has(remembered.proof(name, hash, password.as_bytes()), TimestampUs(0)),
                "{name} {hash}"
            );
        }
    }

    #[test]
    fn what_is_remembered_is_limited() {
        let remembered = Remembered::new().expect("randomness");
        for number in 0..=REMEMBERED_MAX {
            remembered.add(remembered.proof(&number.to_string(), "", b""), TimestampUs(0));
        }
        assert_eq!(remembered.until.lock().expect("no panic").len(), 1);
    }
}
