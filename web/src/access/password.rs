//! Hashes of passwords, argon2id: how they are made, which ones are taken, and whether a password fits one.

use argon2::Config;
use ring::rand::{SecureRandom, SystemRandom};

/// Shortest password that is taken, in characters.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Longest password, in bytes: a longer one that somebody sends is not even looked at.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// Most memory that a hash in a file may ask for, in KiB. The hashes that are made here take 19,456.
const MEMORY_KIB_MAX: u32 = 65_536;
/// Most passes over the memory that a hash in a file may ask for. The hashes that are made here take 2.
const PASSES_MAX: u32 = 10;
/// Most lanes that a hash in a file may ask for. The hashes that are made here have 1.
const LANES_MAX: u32 = 4;
const SALT_BYTES: usize = 16;
/// What every hash that is taken begins with: the kind of argon2, and its version.
const BEGIN: &str = "$argon2id$v=19$";
/// What follows the parameters has so many characters at most, 64 bytes each of salt and hash.
const REST_CHARS_MAX: usize = 2 * 86 + 1;

/// A hash that no password fits: what a name that nobody has is compared with, so that it takes as long as any other.
const OF_NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5LW5vYm9keSE$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Whether `password` may become somebody's.
///
/// # Errors
/// What it has to be, as the end of a sentence about it.
pub fn check(password: &str) -> Result<(), String> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(format!("must have at least {PASSWORD_CHARS_MIN} characters"));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(format!("must have at most {PASSWORD_BYTES_MAX} bytes"));
    }
    if password.contains(char::is_control) {
        return Err("must have no control characters".to_owned());
    }
    Ok(())
}

/// The hash of `password` with a new salt, as the file of users holds it.
///
/// # Errors
/// When the system has no randomness.
pub fn hash(password: &str) -> Result<String, String> {
    let mut salt = [0; SALT_BYTES];
    SystemRandom::new().fill(&mut salt).map_err(|_| "the system gives no random numbers".to_owned())?;
    argon2::hash_encoded(password.as_bytes(), &salt, &Config::owasp2()).map_err(|error| error.to_string())
}

/// Whether `hash` is one that [`is_of`] can use, and that costs no more than it may.
///
/// # Errors
/// What it has to be, as the end of a sentence about it.
pub fn check_hash(hash: &str) -> Result<(), String> {
    let none = || format!("must be as {BEGIN}m=19456,t=2,p=1$salt$hash");
    let (parameters, rest) = hash.strip_prefix(BEGIN).and_then(|rest| rest.split_once('$')).ok_or_else(none)?;
    let numbers =
        parameters.split(',').zip(["m=", "t=", "p="]).map(|(text, name)| text.strip_prefix(name)?.parse().ok());
    let numbers: Vec<u32> =
        numbers.collect::<Option<_>>().filter(|_| parameters.matches(',').count() == 2).ok_or_else(none)?;
    let limits = [MEMORY_KIB_MAX, PASSES_MAX, LANES_MAX];
    if numbers.iter().zip(limits).any(|(number, max)| *number == 0 || *number > max) {
        let [memory, passes, lanes] = limits;
        return Err(format!("costs too much: m may be {memory}, t {passes} and p {lanes} at most"));
    }
    let is_base64 =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "+/".contains(c));
    let (salt, digest) = rest.split_once('$').ok_or_else(none)?;
    if is_base64(salt) && is_base64(digest) && rest.len() <= REST_CHARS_MAX { Ok(()) } else { Err(none()) }
}

/// Whether `password` is the one of `hash`; with none, it takes as long and is not. Takes some ten milliseconds of one
/// processor, and the memory that the hash asks for.
#[must_use]
pub fn is_of(hash: Option<&str>, password: &[u8]) -> bool {
    let is_right = argon2::verify_encoded(hash.unwrap_or(OF_NOBODY), password).unwrap_or(false);
    is_right && hash.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_fits_its_password_and_no_other() {
        let hash = hash("correct horse").expect("a hash");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_eq!(check_hash(&hash), Ok(()));
        assert!(is_of(Some(&hash), b"correct horse"));
        assert!(!is_of(Some(&hash), b"correct horsE") && !is_of(Some(&hash), b""));
        assert!(!is_of(None, b"correct horse"));
        assert_ne!(hash, super::hash("correct horse").expect("a hash"), "each has a salt of its own");
    }

    #[test]
    fn hashes_of_other_programs_are_taken() {
        // A test vector of the reference implementation.
        let hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert_eq!(check_hash(hash), Ok(()));
        assert!(is_of(Some(hash), b"password") && !is_of(Some(hash), b"Password"));
    }

    #[test]
    fn the_hash_of_nobody_costs_what_others_cost() {
        assert_eq!(check_hash(OF_NOBODY), Ok(()));
        let cost = |hash: &str| hash.split('$').nth(3).map(str::to_owned);
        assert_eq!(cost(OF_NOBODY), cost(&hash("correct horse").expect("a hash")));
    }

    #[test]
    fn passwords_are_limited_at_both_edges() {
        assert!(check(&"ü".repeat(PASSWORD_CHARS_MIN)).is_ok() && check(&"x".repeat(PASSWORD_BYTES_MAX)).is_ok());
        let long = "x".repeat(PASSWORD_BYTES_MAX + 1);
        for bad in ["", "1234567", &long, "12345678\t"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hashes_that_are_none_or_cost_too_much_are_refused() {
        let with = |algorithm: &str, cost: &str| OF_NOBODY.replace("argon2id", algorithm).replace("m=19456,t=2", cost);
        assert!(check_hash(&with("argon2id", "m=65536,t=10")).is_ok());
        for bad in [
            "secret",
            "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5LW5vYm9keSE",
            &with("argon2id", "m=65537,t=2"),
            &with("argon2id", "m=19456,t=11"),
            &with("argon2id", "m=19456,t=2,p=1,x=1"),
            &with("argon2id", "m=19456,t=2").replace("p=1", "p=5"),
            &with("argon2id", "m=19456,t=0"),
            &with("argon2id", "t=2,m=19456"),
            &with("argon2i", "m=19456,t=2"),
            &with("argon2id", "m=19456,t=2").replace("v=19", "v=16"),
        ] {
            assert!(check_hash(bad).is_err(), "{bad}");
        }
    }
}
