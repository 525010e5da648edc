//! Our own server as this program starts it.

use std::path::{Path, PathBuf};

/// The server's flags in a comparison: no limits the other peers do not have, no assistant. Fewer handshakes at a time than by default (the
/// generator has 100 under way) leave their descriptors to connections: 19,000 of them fit where 20,000 descriptors are allowed.
pub(crate) const OURS: &str = "--listen 127.0.0.1:{port} --admin 127.0.0.1:{admin} --workers {workers} \
    --set assistant.kind=none --set limits.connections_per_ip=0 --set limits.messages_per_second=0 \
    --set limits.bytes_per_second=0 --set limits.handshakes=512";

/// The server's flags in a comparison, still with `{port}` and `{admin}`; one worker.
pub(crate) fn our_flags() -> String {
    OURS.replace("{workers}", "1")
}

/// This server, beside the running program unless told otherwise.
///
/// # Errors
/// It is not there.
pub(crate) fn our_server(given: Option<&Path>) -> Result<PathBuf, String> {
    let program = match given {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()
            .map_err(|error| error.to_string())?
            .with_file_name("supportal"),
    };
    let name = program.display();
    let whole = program.canonicalize();
    whole.map_err(|error| format!("{name}: {error}; build it, or say --supportal"))
}

/// A path for `sh`.
pub(crate) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
