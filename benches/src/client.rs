//! A client that takes answers as they come and keeps nothing of them: one connection, which stays open.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use telemetrics_testkit::http::Answer;

use crate::Failure;

/// Bytes that are taken at a time: the client shares the processors with what it measures.
const TAKE_BYTES: usize = 256 << 10;
/// How long a server may be silent: longer than an export waits for its turn.
const SILENCE_LIMIT: Duration = Duration::from_mins(5);
/// Bytes that are kept of an answer that says why there is none.
const REASON_BYTES: usize = 2_000;

/// See the module.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

/// What an answer was like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// From before the request to the first byte of the answer.
    pub first_byte: Duration,
    /// To its last byte.
    pub whole: Duration,
    /// Bytes of the body.
    pub bytes: u64,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When nothing listens there.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_LIMIT))?;
        Ok(Self { address, stream: BufReader::with_capacity(TAKE_BYTES, stream) })
    }

    /// Asks for `path` and hands the body to `take`, piece by piece.
    ///
    /// # Errors
    /// When the answer is not 200 or breaks off, or `take` fails.
    pub fn get(&mut self, path: &str, take: impl FnMut(&[u8]) -> io::Result<()>) -> Result<Received, Failure> {
        self.ask("GET", path, b"", take)
    }

    /// As [`Client::get`], for a request with a body.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn post(
        &mut self,
        path: &str,
        body: &[u8],
        take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Received, Failure> {
        self.ask("POST", path, body, take)
    }

    /// The body of the answer to `GET path`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn body(&mut self, path: &str) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        self.get(path, |bytes| {
            body.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(body)
    }

    fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Received, Failure> {
        let (address, length) = (self.address, body.len());
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n");
        let request = [head.as_bytes(), body].concat();
        let begin = Instant::now();
        self.stream.get_mut().write_all(&request)?;
        self.stream.fill_buf()?;
        let first_byte = begin.elapsed();
        let answer = self.head()?;
        if answer.status != 200 {
            let mut reason = Vec::new();
            self.take_body(&answer, |bytes| {
                reason.extend(bytes.iter().take(REASON_BYTES));
                Ok(())
            })?;
            let reason = String::from_utf8_lossy(&reason).into_owned();
            return Err(format!("{method} {path} was answered {}: {reason}", answer.status).into());
        }
        let bytes = self.take_body(&answer, &mut take)?;
        Ok(Received { first_byte, whole: begin.elapsed(), bytes })
    }

    fn head(&mut self) -> io::Result<Answer> {
        let line = self.line()?;
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| invalid("no status", &line))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Answer { interim: Vec::new(), status, headers, body: Vec::new() });
            }
            let (name, value) = line.split_once(':').ok_or_else(|| invalid("no header", &line))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn take_body(&mut self, answer: &Answer, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<u64> {
        if let Some(length) = answer.header("content-length") {
            let length = length.parse().map_err(|_| invalid("no length", length))?;
            self.take_bytes(length, &mut take)?;
            return Ok(length);
        }
        let mut bytes = 0;
        loop {
            let line = self.line()?;
            let length = u64::from_str_radix(&line, 16).map_err(|_| invalid("no length of a chunk", &line))?;
            self.take_bytes(length, &mut take)?;
            self.line()?;
            bytes += length;
            if length == 0 {
                return Ok(bytes);
            }
        }
    }

    fn take_bytes(&mut self, mut length: u64, take: &mut impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        while length > 0 {
            let buffered = self.stream.fill_buf()?;
            if buffered.is_empty() {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer broke off"));
            }
            let some = usize::try_from(length).map_or(buffered.len(), |length| length.min(buffered.len()));
            take(&buffered[..some])?;
            self.stream.consume(some);
            length -= some as u64;
        }
        Ok(())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let whole = line.strip_suffix("\r\n").map(str::to_owned);
        whole.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the answer broke off"))
    }
}

/// Takes what comes and does nothing with it.
///
/// # Errors
/// Never.
pub fn nowhere(_bytes: &[u8]) -> io::Result<()> {
    Ok(())
}

fn invalid(what: &str, text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {text:?}"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Gives `answers` in turn, over one connection, each to a request with a head alone.
    fn server(answers: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            for answer in answers {
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") {
                    stream.read_exact(&mut byte).expect("a request");
                    request.extend(byte);
                }
                stream.write_all(answer.as_bytes()).expect("sent");
            }
        });
        address
    }

    #[test]
    fn answers_of_both_kinds_come_over_one_connection() {
        let address = server(&[
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone",
        ]);
        let mut client = Client::open(address).expect("a connection");
        let received = client.get("/", nowhere).expect("an answer");
        assert!(received.bytes == 3 && received.first_byte <= received.whole);
        assert_eq!(client.body("/").expect("an answer"), b"def");
        let error = client.body("/x").expect_err("no answer").to_string();
        assert_eq!(error, "GET /x was answered 404: none");
    }

    #[test]
    fn an_answer_that_breaks_off_is_none() {
        for answer in [
            &["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"],
            &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n"],
        ] {
            let mut client = Client::open(server(answer)).expect("a connection");
            assert!(client.get("/", nowhere).is_err());
        }
    }
}
