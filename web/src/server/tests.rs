//! Connections: how they are counted, how many there are, and what becomes of clients that take nothing.

use axum::Router;
use axum::routing::get;
use futures::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::{sleep, timeout};

use super::*;

/// Bytes of an answer; far more than is between the ends of a connection of these tests.
const ANSWER_BYTES: usize = 200_000;
/// Bytes between the ends of a connection.
const BETWEEN_BYTES: usize = 1_024;
/// The clock of most tests is their own.
const LIMIT: Duration = Duration::from_mins(1);
/// How long a connection of these tests may be without a request.
const IDLE: Duration = Duration::from_mins(2);
/// Most of what a client may take nothing for, and less than the time in which one of HTTP/2 has to say that it is there.
const PAUSE: Duration = Duration::from_secs(40);

fn routes() -> Routes {
    let large = async || vec![b'x'; ANSWER_BYTES];
    let piece = |piece: &'static str| async move {
        sleep(LIMIT * 3).await;
        Ok::<_, Infallible>(piece)
    };
    let slow = move || async move { Body::from_stream(stream::iter(["one", "two"]).then(piece)) };
    let router = Router::new().route("/", get(large)).route("/slow", get(slow));
    Routes::of(router.route("/small", get(async || "small")))
}

/// The client's end of a connection, and what ends with the connection.
fn connect() -> (DuplexStream, tokio::task::JoinHandle<()>) {
    let (client, stream) = duplex(BETWEEN_BYTES);
    let limits = ConnectionLimits { stall: LIMIT, idle: IDLE, ..ConnectionLimits::default() };
    let front = Front { limits, ..Front::default() };
    let (counted, stop) = (Connections::default(), CancellationToken::new());
    let serving = Serving { front, routes: routes(), counted, protocol: protocol(), stop };
    let peer = Peer { address: IpAddr::from([127, 0, 0, 1]), is_encrypted: None };
    let task = async move { connection(stream, peer, Arc::new(serving)).await };
    (client, tokio::spawn(task))
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_of_an_answer_is_cut_off() {
    let (mut client, connection) = connect();
    client.write_all(REQUEST).await.expect("room");
    client.read_exact(&mut [0; 100]).await.expect("the beginning");
    timeout(LIMIT * 3, connection).await.expect("cut off").expect("no panic");
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.expect("what was sent before");
    assert!(rest.len() <= BETWEEN_BYTES, "{}", rest.len());
}

#[tokio::test(start_paused = true)]
async fn who_takes_little_and_goes_on_gets_all_of_it() {
    let (mut client, connection) = connect();
    client.write_all(REQUEST).await.expect("room");
    let (mut bytes, mut step) = (Vec::<u8>::new(), [0; BETWEEN_BYTES]);
    loop {
        sleep(PAUSE).await;
        match client.read(&mut step).await.expect("an answer") {
            0 => break,
            count => bytes.extend(&step[..count]),
        }
    }
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    assert_eq!(bytes.len() - head, ANSWER_BYTES);
    connection.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_us_is_not_taken_for_one_who_takes_nothing() {
    let (mut client, connection) = connect();
    client.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("room");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("an answer");
    let answer = String::from_utf8(answer).expect("text");
    assert!(answer.ends_with("\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"), "{answer}");
    connection.await.expect("no panic");
}

/// A client of HTTP/2 that says what it is told to, and answers whether it is there.
struct Http2 {
    stream: DuplexStream,
    /// Whether it says nothing to what it is asked before it is told to leave.
    is_stubborn: bool,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
/// What a server asks a client that it wants to be rid of; other questions are whether it is there.
const PING_BEFORE_LEAVING: [u8; 8] = [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];
const WINDOW_UPDATE: u8 = 8;
/// The flag of an acknowledgement.
const ACK: u8 = 1;
/// The flag of the last frame of a stream.
const END_STREAM: u8 = 1;
/// The flags of a request that is one frame.
const WHOLE: u8 = 0b101;
/// `:method: GET`, `:scheme: http`, `:path: /`, `:authority: x`.
const ASKED: [u8; 6] = [0x82, 0x86, 0x84, 0x01, 0x01, b'x'];

impl Http2 {
    /// Asks for the large answer, of which it takes `window` bytes without a word.
    async fn ask(stream: DuplexStream, window: u32) -> Self {
        let mut client = Self { stream, is_stubborn: false };
        client.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("room");
        // The fourth setting is the window of a stream.
        let [a, b, c, d] = window.to_be_bytes();
        client.send(SETTINGS, 0, 0, &[0, 4, a, b, c, d]).await;
        client.send(HEADERS, WHOLE, 1, &ASKED).await;
        client
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u8, payload: &[u8]) {
        self.answer(kind, flags, stream, payload).await.expect("room");
    }

    /// As [`Self::send`], where the connection may have ended.
    async fn answer(&mut self, kind: u8, flags: u8, stream: u8, payload: &[u8]) -> std::io::Result<()> {
        let length = u8::try_from(payload.len()).expect("small");
        let frame = [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat();
        self.stream.write_all(&frame).await
    }

    /// The next frame that is not about the connection: its kind, its flags, and the length of its payload; `None` at the
    /// end of the connection.
    async fn next(&mut self) -> Option<(u8, u8, usize)> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload).await.ok()?;
            if self.is_stubborn && payload == PING_BEFORE_LEAVING {
                continue;
            }
            match (head[3], head[4] & ACK) {
                (kind @ (SETTINGS | PING), 0) => {
                    let payload = if kind == PING { payload.as_slice() } else { &[] };
                    self.answer(kind, ACK, 0, payload).await.ok()?;
                }
                (DATA | HEADERS, _) => return Some((head[3], head[4], length)),
                _ => {}
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_closes_its_window_is_cut_off_whatever_else_it_answers() {
    for window in [0, 1_000] {
        let (client, connection) = connect();
        let mut client = Http2::ask(client, window).await;
        let ends = async { while client.next().await.is_some() {} };
        timeout(LIMIT * 4, ends).await.expect("cut off");
        connection.await.expect("no panic");
    }
}

/// How long a connection lasts whose client takes one answer, asks nothing more, and says that it is there.
async fn lasts(is_stubborn: bool) -> Duration {
    let begin = tokio::time::Instant::now();
    let (client, connection) = connect();
    // All of the answer fits.
    let mut client = Http2::ask(client, 1 << 20).await;
    client.send(WINDOW_UPDATE, 0, 0, &(1_u32 << 20).to_be_bytes()).await;
    client.is_stubborn = is_stubborn;
    let ends = async { while client.next().await.is_some() {} };
    timeout(IDLE * 6, ends).await.expect("ended");
    connection.await.expect("no panic");
    begin.elapsed()
}

#[tokio::test(start_paused = true)]
async fn who_asks_nothing_more_is_asked_to_leave_whatever_else_it_answers() {
    let lasted = lasts(false).await;
    assert!((IDLE..=IDLE * 2).contains(&lasted), "{lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_leave_when_it_is_asked_to_is_cut_off() {
    let lasted = lasts(true).await;
    assert!((IDLE * 2..=IDLE * 4).contains(&lasted), "{lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn who_opens_its_window_little_by_little_gets_all_of_it() {
    const STEP: u32 = 4_000;
    let (client, _connection) = connect();
    let mut client = Http2::ask(client, STEP).await;
    // That of the connection would be too small, too.
    client.send(WINDOW_UPDATE, 0, 0, &(1_u32 << 20).to_be_bytes()).await;
    let (mut bytes, mut until) = (0, STEP as usize);
    loop {
        let (kind, flags, length) = client.next().await.expect("a frame");
        bytes += if kind == DATA { length } else { 0 };
        if flags & END_STREAM != 0 {
            break;
        }
        if bytes == until {
            sleep(PAUSE).await;
            until += STEP as usize;
            client.send(WINDOW_UPDATE, 0, 1, &STEP.to_be_bytes()).await;
        }
    }
    assert_eq!(bytes, ANSWER_BYTES);
}

/// One answer to a small request on a connection that stays open.
async fn small(stream: &mut TcpStream) {
    stream.write_all(b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("room");
    let mut answer = Vec::new();
    while !answer.ends_with(b"small") {
        assert!(stream.read_buf(&mut answer).await.expect("an answer") > 0);
    }
}

#[tokio::test]
async fn one_connection_too_many_waits_until_another_ends() {
    const CONNECTIONS: usize = 3;
    let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    let address = listener.local_addr().expect("an address");
    let limits = ConnectionLimits { connections: CONNECTIONS, ..ConnectionLimits::default() };
    let (counted, stop) = (Connections::default(), CancellationToken::new());
    let front = Front { limits, ..Front::default() };
    let server = tokio::spawn(run(listener, front, routes(), counted.clone(), stop.clone()));
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        held.push(TcpStream::connect(address).await.expect("a connection"));
    }
    let mut waiting = TcpStream::connect(address).await.expect("the system holds it");
    // Whoever is served is served on, and meanwhile it would have been accepted.
    for _ in 0..10 {
        for stream in &mut held {
            small(stream).await;
        }
    }
    assert_eq!((counted.open(), counted.accepted()), (3, 3));
    held.pop();
    small(&mut waiting).await;
    assert_eq!((counted.open(), counted.accepted()), (3, 4));
    stop.cancel();
    drop((held, waiting));
    server.await.expect("no panic");
}

#[test]
fn a_connection_is_open_until_it_ends_and_accepted_forever() {
    let connections = Connections::default();
    let (first, second) = (connections.begin(), connections.clone().begin());
    assert_eq!((connections.open(), connections.accepted()), (2, 2));
    drop(first);
    assert_eq!((connections.open(), connections.accepted()), (1, 2));
    drop(second);
    assert_eq!(connections.open(), 0);
}

#[test]
fn answers_are_counted_by_their_class() {
    let connections = Connections::default();
    for status in [200, 201, 302, 400, 404, 503, 999] {
        connections.answered(StatusCode::from_u16(status).expect("a status"));
    }
    let expected = [("1xx", 0), ("2xx", 2), ("3xx", 1), ("4xx", 2), ("5xx", 1)];
    assert_eq!(connections.answers().collect::<Vec<_>>(), expected);
}
