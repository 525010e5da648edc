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
