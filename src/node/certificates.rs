//! Looks after the files of certificates.

use crate::tls::TlsServer;
use std::sync::Weak;

/// Has certificates read again that have changed, as long as the node's workers run.
pub(super) async fn watch(server: Weak<TlsServer>) {
    while let Some(poll) = server.upgrade().map(|server| server.poll()) {
        tokio::time::sleep(poll).await;
        let server = server.clone();
        // Files may be slow, and a thread for them is there.
        let look = move || server.upgrade().inspect(|server| server.look()).is_some();
        if tokio::task::spawn_blocking(look).await.is_err() {
            return;
        }
    }
}
