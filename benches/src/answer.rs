//! The least that has to be read of an answer: its status and where it ends.

/// What the head of an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Bytes of head and body together.
    pub bytes: usize,
}

/// What `bytes`, the beginning of an answer, say about it; `None` when its head is not here whole.
///
/// # Errors
/// When this is no answer of HTTP/1.1 with a `Content-Length`: the sentence says what is missing.
pub fn read_head(bytes: &[u8]) -> Result<Option<Answer>, &'static str> {
    let Some(head_bytes) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = &bytes[..head_bytes];
    let status = head.strip_prefix(b"HTTP/1.1 ").and_then(|rest| number(rest.get(..3)?)).ok_or("no status line")?;
    let body_bytes = content_length(head).ok_or("no Content-Length")?;
    let status = u16::try_from(status).map_err(|_| "no status line")?;
    Ok(Some(Answer { status, bytes: head_bytes + 4 + body_bytes }))
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    let found = lines.filter(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME)).last();
    number(found?[NAME.len()..].trim_ascii())
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_length_are_read() {
        let answer = b"HTTP/1.1 201 Created\r\nContent-Type: a/b\r\ncontent-length: 12\r\ndate: x\r\n\r\n{\"id\"";
        let head = answer.len() - 5;
        assert_eq!(read_head(answer), Ok(Some(Answer { status: 201, bytes: head + 12 })));
    }

    #[test]
    fn a_head_that_is_not_here_whole_is_waited_for() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length:0\r\n\r\n";
        for length in 0..answer.len() {
            assert_eq!(read_head(&answer[..length]), Ok(None), "{length}");
        }
        assert_eq!(read_head(answer), Ok(Some(Answer { status: 503, bytes: answer.len() })));
    }

    #[test]
    fn what_cannot_be_followed_is_an_error() {
        for bad in ["HTTP/2 201\r\n\r\n", "HTTP/1.1 2x1 A\r\nContent-Length: 1\r\n\r\n", "\r\n\r\n"] {
            assert_eq!(read_head(bad.as_bytes()), Err("no status line"), "{bad}");
        }
        for bad in ["", "Content-Length: x\r\n", "Transfer-Encoding: chunked\r\n", "X: Content-Length: 1\r\n"] {
            let answer = format!("HTTP/1.1 201 Created\r\n{bad}\r\n");
            assert_eq!(read_head(answer.as_bytes()), Err("no Content-Length"), "{bad}");
        }
    }
}
