//! What a client says, what becomes of it, and what is said to one: without frames.

use crate::protocol::CloseReason;

/// One message of a client, whole and within `limits.message_bytes`.
#[derive(Debug)]
pub struct Message<'a> {
    is_text: bool,
    payload: &'a mut [u8],
}

impl<'a> Message<'a> {
    /// A message; a text is valid UTF-8.
    pub(crate) fn new(is_text: bool, payload: &'a mut [u8]) -> Self {
        Self { is_text, payload }
    }

    /// Is it a text message? If not, it is a binary one.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.is_text
    }

    /// The message's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.payload
    }

    /// The message's text; `None` for a binary message.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.is_text
            .then(|| str::from_utf8(self.payload).ok())
            .flatten()
    }

    /// The message's bytes, for a reader that changes them in place.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.payload
    }
}

/// What is sent: a text or bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
}

impl<'a> From<&'a str> for Payload<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Payload<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Binary(bytes)
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Dealt with.
    Done,
    /// The next message must wait for a reply to this one. Who replies has to resume the connection, so only the
    /// consumers that the node comes with return it: a program cannot make it.
    ///
    /// ```compile_fail,E0603
    /// let verdict = supportal::Verdict::Await;
    /// ```
    #[non_exhaustive]
    Await,
    /// The connection ends.
    Close(CloseReason),
}

impl Verdict {
    /// The connection ends with this close code, without a reason ([`Context::close`](super::Context::close) has one): 1000 to 1003, 1007 to 1014, or 3000 to 4999
    /// (RFC 6455 §7.4). Any other code becomes 1011, as a close frame may not carry it.
    #[must_use]
    pub const fn close(code: u16) -> Self {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Self::Close(CloseReason::Asked(code)),
            _ => Self::Close(CloseReason::Internal),
        }
    }
}
