//! TLS of the public listener, without I/O of its own: whose certificates are shown ([`TlsServer`]), and one
//! connection's state ([`TlsSession`]), which reads and writes whatever it is lent.
//!
//! Sessions are rustls' unbuffered ones: an established connection that says nothing holds keys and no buffer.
//! Called by `worker`'s port on the data plane and by `server` on the control plane: the same session goes from one
//! to the other.

mod certificate;
mod files;
mod fragments;
mod open_session;
mod preamble;
mod scratch;
mod server;
mod session;
mod sites;

#[cfg(test)]
mod tests;

pub use certificate::CertificateFault;
pub use preamble::BadPreamble;
pub(crate) use scratch::SCRATCH_BYTES;
pub use server::TlsServer;
pub use session::TlsSession;
pub(crate) use session::{HANDSHAKE_BYTES, HELD_BYTES, SESSION_BYTES};

use rustls::crypto::CryptoProvider;
use std::sync::Arc;

/// The cryptography of every TLS connection of this process, in and out.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
