//! The lines of request heads, as far as it takes to see where a head ends and what of it a reader behind us might
//! read in another way.

use memchr::{memchr, memchr_iter};

/// Bytes of the longest name that is looked for.
const NAME_BYTES: usize = 17;

/// The lines of heads. A line ends with LF, as hyper takes it (RFC 9112 section 2.2). After a head that announces a
/// body no more is looked at: what follows is no line, and the connection ends with the answer.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Bytes of the line that has not ended, CR not counted, and of a field no value.
    length: usize,
    /// A request line has ended, its head has not.
    in_fields: bool,
    /// The last byte was CR.
    is_after_cr: bool,
    /// The name of the field so far, in lower case, and whether it has ended.
    name: [u8; NAME_BYTES],
    is_in_value: bool,
    /// Fields of this head that say where the request ends.
    framing: Framing,
    /// A head has ended that announces a body.
    is_in_body: bool,
    is_ambiguous: bool,
}

/// What the fields of a head say about its body.
#[derive(Debug, Default)]
struct Framing {
    lengths: usize,
    codings: usize,
    /// The value that is read is a Content-Length.
    is_length: bool,
    /// Some length is not zero.
    is_long: bool,
}

impl Lines {
    /// Nothing of a request has come since the last head ended.
    pub(super) fn is_between(&self) -> bool {
        !self.in_fields && self.length == 0
    }

    /// Has any head so far been one that two readers may read in two ways? One line ended with LF alone, two fields say
    /// how long the body is, or the target has a fragment, which is never sent.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.is_ambiguous
    }

    /// False if a request line is longer than `most`.
    pub(super) fn pass(&mut self, mut bytes: &[u8], most: usize) -> bool {
        while !bytes.is_empty() && !self.is_in_body {
            let end = memchr(b'\n', bytes).unwrap_or(bytes.len());
            let (text, rest) = bytes.split_at(end);
            self.take(text);
            if self.length > most && !self.in_fields {
                return false;
            }
            bytes = match rest {
                [_line_feed, next @ ..] => {
                    self.end_line();
                    next
                }
                [] => rest,
            };
        }
        true
    }

    /// An empty line ends a head; one before a request line is nothing (section 2.2).
    fn end_line(&mut self) {
        self.is_ambiguous |= !self.is_after_cr;
        self.is_after_cr = false;
        if self.in_fields && self.length == 0 {
            let framing = std::mem::take(&mut self.framing);
            self.is_ambiguous |= framing.lengths + framing.codings > 1;
            self.is_in_body = framing.is_long || framing.codings > 0;
        }
        self.in_fields = self.length > 0;
        self.length = 0;
        self.is_in_value = false;
        self.framing.is_length = false;
    }

    /// What has come of a line. Of a head's bytes most are values that nobody looks at.
    fn take(&mut self, text: &[u8]) {
        let Some(last) = text.last() else {
            return;
        };
        self.is_after_cr = *last == b'\r';
        if !self.in_fields {
            self.is_ambiguous |= memchr(b'#', text).is_some();
            self.length += text.len() - memchr_iter(b'\r', text).count();
            return;
        }
        let value = match self.is_in_value {
            true => text,
            false => self.take_name(text),
        };
        if self.framing.is_length {
            let is_zero = |byte| matches!(byte, b'0' | b' ' | b'\t' | b'\r');
            self.framing.is_long |= !value.iter().copied().all(is_zero);
        }
    }

    /// The name of a field, up to its colon; what is behind that.
    fn take_name<'t>(&mut self, text: &'t [u8]) -> &'t [u8] {
        let mut rest = text.iter();
        for byte in rest.by_ref().filter(|byte| **byte != b'\r') {
            if *byte == b':' {
                self.is_in_value = true;
                let name = self.name.get(..self.length).unwrap_or_default();
                self.framing.is_length = name == b"content-length";
                self.framing.lengths += usize::from(self.framing.is_length);
                self.framing.codings += usize::from(name == b"transfer-encoding");
                self.length += 1;
                break;
            }
            if let Some(place) = self.name.get_mut(self.length) {
                *place = byte.to_ascii_lowercase();
            }
            self.length += 1;
        }
        rest.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> Lines {
        let mut lines = Lines::default();
        // Byte by byte: no read may make a difference.
        for byte in head.bytes() {
            assert!(lines.pass(&[byte], 1000));
        }
        let mut at_once = Lines::default();
        assert!(at_once.pass(head.as_bytes(), 1000));
        assert_eq!(format!("{at_once:?}"), format!("{lines:?}"));
        lines
    }

    #[test]
    fn what_two_readers_may_read_in_two_ways_is_seen() {
        const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
        for (head, is_ambiguous) in [
            (GET, false),
            ("\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", false),
            ("GET /a HTTP/1.1\nHost: a\r\n\r\n", true),
            ("GET /a HTTP/1.1\r\nHost: a\n\r\n", true),
            ("GET /a HTTP/1.1\r\nHost: a\r\n\n", true),
            ("\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("GET /a HTTP/1.1\r\nReferer: http://a/#b\r\n\r\n", false),
            (
                "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n\n\n#\n\n",
                false,
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\n\n",
                false,
            ),
            ("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n\nGET", true),
            (
                "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
                true,
            ),
            (
                "POST / HTTP/1.1\r\nContent-Length: 0\r\ncontent-LENGTH: 0\r\n\r\n",
                true,
            ),
            (
                "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                true,
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\ncontent-length: 5\r\n\r\n",
                true,
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: a\r\nTRANSFER-ENCODING: b\r\n\r\n",
                true,
            ),
            (
                "POST / HTTP/1.1\r\nx-content-length: 5\r\ncontent-length: 5\r\n\r\n",
                false,
            ),
            (
                "POST / HTTP/1.1\r\ncontent-lengths: 5\r\ncontent-length: 5\r\n\r\n",
                false,
            ),
            (
                "POST / HTTP/1.1\r\na: content-length: 5\r\ncontent-length: 5\r\n\r\n",
                false,
            ),
        ] {
            assert_eq!(read(head).is_ambiguous(), is_ambiguous, "{head:?}");
        }
        let two = [GET, "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"].concat();
        assert!(!read(&two).is_ambiguous(), "each head counts for itself");
        let two = ["POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", GET].concat();
        assert!(!read(&two).is_ambiguous() && read(&two).is_between());
    }
}
