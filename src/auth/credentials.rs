//! What a handshake brings.

use crate::transport::handshake::RequestHead;
use std::net::IpAddr;

/// What a handshake brings to say who it comes from, and where it wants to go.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// The request's head.
    pub head: &'a RequestHead<'a>,
    /// The request's target: path and query.
    pub target: &'a str,
    /// The client's address.
    pub client: IpAddr,
    /// Did the client come by TLS?
    pub is_https: bool,
    /// The host that the client has named, with or without a port.
    pub host: Option<&'a str>,
    /// The business that the path names.
    pub business_id: Option<&'a str>,
    /// The session that the path names.
    pub session_id: Option<&'a str>,
}

#[cfg(test)]
impl<'a> Credentials<'a> {
    /// Of somebody on this machine who wants into session `abc` of business 1.
    pub(super) fn into_abc(head: &'a RequestHead<'a>, target: &'a str) -> Self {
        Self {
            head,
            target,
            client: std::net::Ipv4Addr::LOCALHOST.into(),
            is_https: false,
            host: None,
            business_id: Some("1"),
            session_id: Some("abc"),
        }
    }
}
