//! Who is let in, how often one may be wrong, and what a password costs.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use axum::http::{HeaderValue, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use telemetrics_schema::TimestampUs;
use tempfile::TempDir;

use super::book::hash_of_token;
use super::failures::{ATTEMPT_S, ATTEMPTS_MAX};
use super::remembered::REMEMBERED_S;
use super::*;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

#[derive(Default)]
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> TimestampUs {
        TimestampUs::from_s(self.0.load(Relaxed))
    }
}

struct World {
    access: Access,
    clock: Arc<SetClock>,
    files: config::Access,
    _dir: TempDir,
}

fn private(path: PathBuf, text: &str) -> PathBuf {
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    path
}

fn users(dir: &Path, password: &str) -> PathBuf {
    let hash = password::hash(password).expect("a hash");
    private(dir.join("users"), &format!("ann read,sql {hash}\n"))
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let tokens = private(dir.path().join("tokens"), &format!("robot admin {}\n", hash_of_token("tlm_robot")));
        let files = config::Access { users_file: Some(users(dir.path(), "ann's own")), tokens_file: Some(tokens) };
        let clock = Arc::new(SetClock::default());
        let access = Access::open(&files, Arc::clone(&clock) as Arc<dyn Clock>).expect("valid");
        Self { access, clock, files, _dir: dir }
    }

    /// The name, or the status of the refusal.
    async fn sent(&self, authorization: Option<&str>, from: IpAddr) -> Result<String, u16> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).expect("a value"));
        }
        let outcome = self.access.identify(&headers, from).await;
        outcome.map(|who| who.expect("not open").name.to_string()).map_err(|error| error.status().as_u16())
    }

    async fn password(&self, name: &str, password: &str, from: IpAddr) -> Result<String, u16> {
        self.sent(Some(&format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))), from).await
    }
}

#[tokio::test]
async fn who_has_a_password_or_a_token_is_known_by_name() {
    let world = World::new();
    assert_eq!(world.password("ann", "ann's own", HERE).await.as_deref(), Ok("ann"));
    assert_eq!(world.sent(Some("Bearer tlm_robot"), HERE).await.as_deref(), Ok("robot"));
    for bad in [None, Some("Bearer tlm_robo"), Some("Bearer"), Some("Basic YW5uOg==")] {
        assert_eq!(world.sent(bad, HERE).await, Err(401), "{bad:?}");
    }
    assert_eq!(world.password("bob", "ann's own", HERE).await, Err(401));
    assert_eq!(world.password("robot", "tlm_robot", HERE).await, Err(401), "a token is no password");
}

#[tokio::test]
async fn an_address_that_was_wrong_too_often_has_to_wait_and_others_have_not() {
    let world = World::new();
    assert_eq!(world.password("ann", "ann's own", HERE).await.as_deref(), Ok("ann"));
    for _ in 0..ATTEMPTS_MAX {
        assert_eq!(world.sent(Some("Bearer wrong"), HERE).await, Err(401));
    }
    assert_eq!(world.sent(Some("Bearer wrong"), HERE).await, Err(StatusCode::TOO_MANY_REQUESTS.as_u16()));
    assert_eq!(world.password("ann", "wrong one", HERE).await, Err(429));
    assert_eq!(world.sent(None, HERE).await, Err(401), "who says nothing is not wrong");
    assert_eq!(world.password("ann", "ann's own", HERE).await.as_deref(), Ok("ann"), "remembered");
    assert_eq!(world.sent(Some("Bearer tlm_robot"), HERE).await.as_deref(), Ok("robot"));
    assert_eq!(world.password("ann", "wrong one", THERE).await, Err(401));
    world.clock.0.fetch_add(ATTEMPT_S, Relaxed);
    assert_eq!(world.password("ann", "wrong one", HERE).await, Err(401));
}

#[tokio::test]
async fn who_is_right_is_never_counted_as_wrong() {
    let world = World::new();
    for _ in 0..=ATTEMPTS_MAX {
        assert_eq!(world.password("ann", "ann's own", HERE).await.as_deref(), Ok("ann"));
        world.clock.0.fetch_sub(1, Relaxed);
        // What was remembered later than now is not believed, so that each one is looked at.
    }
    for _ in 0..ATTEMPTS_MAX {
        assert_eq!(world.sent(Some("Bearer wrong"), THERE).await, Err(401));
    }
}

#[tokio::test]
async fn a_new_password_holds_at_once_and_a_broken_file_changes_nothing() {
    let world = World::new();
    assert_eq!(world.password("ann", "ann's own", HERE).await.as_deref(), Ok("ann"));
    let path = world.files.users_file.as_ref().expect("a file");
    private(path.clone(), "ann read secret\n");
    let reason = world.access.reload(&world.files).expect_err("no hash");
    assert!(reason.contains("users:1: the hash of ann") && !reason.contains("secret"), "{reason}");
    assert_eq!(world.password("ann", "ann's own", HERE).await.as_deref(), Ok("ann"));
    users(path.parent().expect("a directory"), "another one");
    world.access.reload(&world.files).expect("valid");
    assert_eq!(world.password("ann", "ann's own", HERE).await, Err(401));
    assert_eq!(world.password("ann", "another one", HERE).await.as_deref(), Ok("ann"));
}

#[tokio::test]
async fn what_was_right_is_looked_at_again_after_a_while() {
    let world = World::new();
    assert_eq!(world.password("ann", "ann's own", HERE).await.as_deref(), Ok("ann"));
    let turn = Arc::clone(&world.access.shared.turn).acquire_owned().await.expect("a turn");
    assert_eq!(world.password("ann", "ann's own", HERE).await.as_deref(), Ok("ann"), "without a turn");
    world.clock.0.fetch_add(REMEMBERED_S, Relaxed);
    let places = u32::try_from(WAITING_MAX).expect("few");
    let _waiting = Arc::clone(&world.access.shared.waiting).acquire_many_owned(places).await.expect("places");
    assert_eq!(world.password("ann", "ann's own", HERE).await, Err(503), "it has to be looked at, and too many wait");
    drop(turn);
}
