//! The site behind this node (`http.upstream`): whatever is not this node's own goes there and back, streamed both ways.
//!
//! A request's head is judged and made anew (`outgoing`), its body passed on as it comes (`upload`), and so is the
//! answer's (`download`); opening handshakes of WebSockets go the same way, and what the site accepts is passed
//! through (`websocket`). Called by the server for what is no route, no page and no API of ours.
//!
//! Bounded by `http.upstream_requests` and `http.upstream_websockets` in number (and of one address by the same keys with
//! `_per_ip`), by `http.upstream_buffer_bytes` each in
//! memory, and in time by the timeouts of `[http]`: for the connection, for the answer's head, between two pieces of a body
//! in either direction, and for the client by a least rate (`http.client_bytes_per_second`).

mod answer_counters;
mod download;
mod exchange;
mod fault;
mod fields;
mod forward;
pub(crate) mod memory;
mod outgoing;
mod passed_socket;
mod places;
mod pool;
mod site;
mod upload;
mod websocket;

pub use forward::Upstream;
pub(super) use outgoing::Provenance;
pub(super) use websocket::SiteSocket;
