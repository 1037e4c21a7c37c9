//! HTTP/1.1 over a connection, plain or with TLS: sends exactly the given bytes and reads one whole answer.
//!
//! Written out here because well-behaved clients cannot send what probes and attackers send.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a server may be silent in the middle of an answer before a test fails instead of hanging.
pub const SILENCE_LIMIT: Duration = Duration::from_mins(1);

/// One answer of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status codes of the interim answers (`100 Continue`) that came first.
    pub interim: Vec<u16>,
    /// Status code.
    pub status: u16,
    /// Names in lower case, and values, in the order of the answer.
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first value of the header `name` (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection that stays open between requests.
pub struct Connection {
    stream: BufReader<Box<dyn Stream>>,
}

/// What a connection is made of.
trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nothing listens there.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(SILENCE_LIMIT))?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    /// Speaks over a connection that is there already.
    pub fn over(stream: impl Read + Write + Send + 'static) -> Self {
        Self { stream: BufReader::new(Box::new(stream)) }
    }

    /// Sends bytes as they are; part of a request is fine.
    ///
    /// # Errors
    /// When the server closed the connection.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads one answer to a request that was not `HEAD`.
    ///
    /// # Errors
    /// When the answer ends early, is not HTTP/1.1, or the server is silent for a minute.
    pub fn receive(&mut self) -> io::Result<Answer> {
        let mut interim = Vec::new();
        loop {
            let (status, headers) = self.head()?;
            if (100..200).contains(&status) {
                interim.push(status);
                continue;
            }
            let mut answer = Answer { interim, status, headers, body: Vec::new() };
            answer.body = self.body(&answer)?;
            return Ok(answer);
        }
    }

    /// Reads one answer to a `HEAD` request: nothing follows its headers.
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub fn receive_head(&mut self) -> io::Result<Answer> {
        let (status, headers) = self.head()?;
        Ok(Answer { interim: Vec::new(), status, headers, body: Vec::new() })
    }

    /// Reads one interim answer, for a client that waits for permission to send its body.
    ///
    /// # Errors
    /// As [`Connection::receive`], and when the answer is a final one.
    pub fn receive_interim(&mut self) -> io::Result<u16> {
        let (status, _) = self.head()?;
        if (100..200).contains(&status) { Ok(status) } else { Err(invalid(format!("a final answer: {status}"))) }
    }

    fn head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let status_line = self.line()?;
        let status =
            status_line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| invalid(format!("not a status line: {status_line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok((status, headers));
            }
            let (name, value) = line.split_once(':').ok_or_else(|| invalid(format!("not a header: {line:?}")))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        if matches!(answer.status, 204 | 304) {
            return Ok(Vec::new());
        }
        if answer.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return self.chunked();
        }
        match answer.header("content-length") {
            Some(length) => self.exactly(length.parse().map_err(|_| invalid(format!("content-length {length:?}")))?),
            None => self.until_closed(),
        }
    }

    fn chunked(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let digits = line.split(';').next().unwrap_or_default();
            let length = usize::from_str_radix(digits, 16).map_err(|_| invalid(format!("chunk size {line:?}")))?;
            body.extend(self.exactly(length)?);
            self.line()?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn until_closed(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ends in the middle of a line"));
        }
        line.pop_if(|byte| *byte == b'\r');
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

/// Sends the bytes of one request on a new connection and reads the answer.
///
/// # Errors
/// As [`Connection::open`] and [`Connection::receive`]. A server that answers early and closes (body too large) may
/// break the sending off: that alone is no error, the answer counts.
pub fn exchange(address: SocketAddr, request: &[u8]) -> io::Result<Answer> {
    let mut connection = Connection::open(address)?;
    let sent = connection.send(request);
    connection.receive().map_err(|error| sent.err().unwrap_or(error))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn answer_to(answer: &'static [u8]) -> io::Result<Answer> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = [0; 4];
            stream.read_exact(&mut request).expect("a request");
            stream.write_all(answer).expect("sent");
        });
        let received = exchange(address, b"PING");
        server.join().expect("the server");
        received
    }

    #[test]
    fn reads_a_body_with_a_length() {
        let answer =
            answer_to(b"HTTP/1.1 201 Created\r\nX-A: b\r\nContent-Length: 2\r\n\r\nokREST").expect("an answer");
        assert_eq!((answer.status, answer.header("x-a"), answer.text().as_str()), (201, Some("b"), "ok"));
    }

    #[test]
    fn reads_chunks() {
        let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n";
        assert_eq!(answer_to(bytes).expect("an answer").text(), "abcd");
    }

    #[test]
    fn reads_until_the_end_and_reports_interim_answers() {
        let answer = answer_to(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nall").expect("an answer");
        assert_eq!((answer.interim, answer.body.as_slice()), (vec![100], b"all".as_slice()));
    }

    #[test]
    fn an_answer_that_ends_early_is_an_error() {
        assert!(answer_to(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc").is_err());
        assert!(answer_to(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").is_err());
        assert!(answer_to(b"HTTP/1.1 200 OK\r\nX-").is_err());
    }
}
