//! Who may do what: users with passwords and programs with tokens, each with scopes.
//!
//! Looking at a password is made expensive on purpose, so it is bounded: one at a time, few who wait for it, few wrong
//! ones from an address, and what was right is remembered for a while. Whatever is sent here, records are accepted.

pub mod book;
mod credentials;
pub mod failures;
pub mod guard;
pub mod password;
pub mod patient;
mod remembered;
pub mod scope;

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::HeaderMap;
use telemetrics_schema::time::Clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{Span, warn};

use crate::config;
use crate::error::{Challenge, WebError};
use book::Book;
use credentials::Credentials;
use failures::Failures;
use remembered::Remembered;
use scope::Scopes;

/// Target of the log lines that say who changed what, and who was not let in.
pub const AUDIT: &str = "audit";

/// Requests that wait until their password is looked at; more are answered 503.
const WAITING_MAX: usize = 64;

/// Somebody who signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Name of the user or of the token.
    pub name: Arc<str>,
    /// What he may do.
    pub scopes: Scopes,
}

/// Knows who has access; clones share what they know.
#[derive(Clone)]
pub struct Access {
    shared: Arc<Shared>,
}

struct Shared {
    book: RwLock<Arc<Book>>,
    remembered: Remembered,
    failures: Failures,
    /// The one who looks at a password, so that others keep the processors.
    turn: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
}

/// A password whose user is known or not, on its way to be looked at.
struct Attempt {
    name: String,
    /// Hash and scopes of the user, where there is one of that name.
    user: Option<(Scopes, String)>,
    password: Vec<u8>,
    from: IpAddr,
}

impl Access {
    /// Reads the files of the configuration.
    ///
    /// # Errors
    /// Which file cannot be used and what to do, as a sentence for the operator.
    pub fn open(files: &config::Access, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let book = Book::read(files)?;
        if !book.is_open() && book.sizes() == (0, 0) {
            warn!("nobody has access: the files of users and tokens are empty");
        }
        Self::of(book, clock)
    }

    /// Lets in who has the token, and nobody else.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn of_one(token: &str, clock: Arc<dyn Clock>) -> Result<Self, String> {
        Self::of(Book::of_one(token), clock)
    }

    fn of(book: Book, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let shared = Shared {
            book: RwLock::new(Arc::new(book)),
            remembered: Remembered::new()?,
            failures: Failures::default(),
            turn: Arc::new(Semaphore::new(1)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            clock,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Takes what the files say now.
    ///
    /// # Errors
    /// As [`Access::open`]; then everything stays as it was.
    pub fn reload(&self, files: &config::Access) -> Result<(), String> {
        let book = Arc::new(Book::read(files)?);
        *self.shared.book.write().unwrap_or_else(PoisonError::into_inner) = book;
        Ok(())
    }

    fn book(&self) -> Arc<Book> {
        Arc::clone(&self.shared.book.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who sent a request with these headers from there; nobody where everybody may do everything.
    ///
    /// # Errors
    /// 401 when it says nothing or something wrong, 429 after too many wrong ones, 503 when too many wait.
    pub async fn identify(&self, headers: &HeaderMap, from: IpAddr) -> Result<Option<Identity>, WebError> {
        let book = self.book();
        if book.is_open() {
            return Ok(None);
        }
        let unknown = || WebError::Unidentified(Challenge { has_users: book.has_users() });
        let found = match Credentials::of(headers) {
            Credentials::None => return Err(unknown()),
            Credentials::Unreadable => self.refused(None, from)?,
            Credentials::Token(token) => match book.token(&token) {
                Some((name, scopes)) => Some(Identity { name: name.into(), scopes }),
                None => self.refused(None, from)?,
            },
            Credentials::Password { name, password } => {
                let user = book.user(&name).map(|(scopes, hash)| (scopes, hash.to_owned()));
                self.of_password(Attempt { name, user, password, from }).await?
            }
        };
        found.map(Some).ok_or_else(unknown)
    }

    /// Nobody, and that counts.
    fn refused(&self, name: Option<&str>, from: IpAddr) -> Result<Option<Identity>, WebError> {
        self.shared.failures.begin(from, self.shared.clock.now())?;
        say_refused(name, from);
        Ok(None)
    }

    async fn of_password(&self, attempt: Attempt) -> Result<Option<Identity>, WebError> {
        let shared = &self.shared;
        if let Some(known) = shared.known(&attempt) {
            return Ok(Some(known));
        }
        shared.failures.check(attempt.from, shared.clock.now())?;
        let Ok(_waiting) = Arc::clone(&shared.waiting).try_acquire_owned() else { return Err(overloaded()) };
        let Ok(turn) = Arc::clone(&shared.turn).acquire_owned().await else { return Err(overloaded()) };
        // Who waited may have waited for an equal one.
        if let Some(known) = shared.known(&attempt) {
            return Ok(Some(known));
        }
        shared.failures.begin(attempt.from, shared.clock.now())?;
        let (looking, span) = (Arc::clone(shared), Span::current());
        // To its end, also when nobody waits for it any more: what was begun is counted.
        tokio::task::spawn_blocking(move || span.in_scope(|| looking.look(&attempt, turn)))
            .await
            .map_err(|_| overloaded())
    }
}

impl Shared {
    /// Who it is, where that was found out a moment ago.
    fn known(&self, attempt: &Attempt) -> Option<Identity> {
        let (scopes, hash) = attempt.user.as_ref()?;
        let proof = self.remembered.proof(&attempt.name, hash, &attempt.password);
        let is_known = self.remembered.has(proof, self.clock.now());
        is_known.then(|| Identity { name: attempt.name.as_str().into(), scopes: *scopes })
    }

    fn look(&self, attempt: &Attempt, _turn: OwnedSemaphorePermit) -> Option<Identity> {
        let hash = attempt.user.as_ref().map(|(_, hash)| hash.as_str());
        if !password::is_of(hash, &attempt.password) {
            say_refused(hash.map(|_| attempt.name.as_str()), attempt.from);
            return None;
        }
        self.failures.forget_one(attempt.from);
        let (scopes, hash) = attempt.user.as_ref()?;
        let proof = self.remembered.proof(&attempt.name, hash, &attempt.password);
        self.remembered.add(proof, self.clock.now());
        Some(Identity { name: attempt.name.as_str().into(), scopes: *scopes })
    }
}

/// A name that nobody has is not repeated: it may be a password in the wrong field.
fn say_refused(name: Option<&str>, from: IpAddr) {
    warn!(target: AUDIT, who = name.unwrap_or("unknown"), %from, "a sign-in was refused");
}

fn overloaded() -> WebError {
    WebError::Unavailable("Too many people sign in at the same time".to_owned())
}

#[cfg(test)]
mod tests;
