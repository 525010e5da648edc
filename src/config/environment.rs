//! Which variables of the environment are settings, which are somebody else's, and which are slips.

use super::key::{ENVIRONMENT_PREFIX, Key};
use super::keys::{self, nearest};

/// The variable of hosting platforms for the port to listen on.
pub(super) const PORT: &str = "PORT";
/// The guide's variable for the address of Redis.
pub(super) const REDIS_URL: &str = "REDIS_URL";

/// What an orchestrator adds behind the name of a service or a link for each of its ports.
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
/// What Kubernetes and Docker add behind the protocol; the last four are Docker's, for a range of ports.
const PORT_PARTS: [&[&str]; 8] = [
    &[],
    &["ADDR"],
    &["PORT"],
    &["PROTO"],
    &["START"],
    &["END"],
    &["PORT", "START"],
    &["PORT", "END"],
];

/// Is anything given? An empty variable is how deployment tools write "not given"; to empty a list, write `[]`.
pub(super) fn is_given(text: &str) -> bool {
    !text.trim().is_empty()
}

/// Does the name look like one of ours? In lower case as well: the system tells the cases apart, people do not.
pub(super) fn is_ours(name: &str) -> bool {
    name.get(..ENVIRONMENT_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(ENVIRONMENT_PREFIX))
}

/// Kubernetes' service variables and Docker's links describe a service whose name begins with `supportal` in variables
/// that begin like ours; they are no settings. Told by their exact forms: kubernetes.io, "Discovering services" and
/// docs.docker.com, "Legacy container links".
pub(super) fn is_service_link(name: &str, text: &str) -> bool {
    // `SUPPORTAL_ENV_PATH`: the environment of a linked container, which may be another node of ours.
    if name.contains("_ENV_") || name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT")
    {
        return true;
    }
    // A named port: `SUPPORTAL_SERVICE_PORT_HTTP`.
    if name
        .split_once("_SERVICE_PORT_")
        .is_some_and(|(_, port)| !port.is_empty())
    {
        return true;
    }
    if name.ends_with("_PORT") && text.contains("://") {
        return true;
    }
    // Docker: `SUPPORTAL_NAME=/web/supportal`.
    name.ends_with("_NAME") && text.starts_with('/') || is_port_of_service(name)
}

/// `SUPPORTAL_PORT_8000_TCP` and what hangs on it.
fn is_port_of_service(name: &str) -> bool {
    let words: Vec<&str> = name.split('_').collect();
    words.windows(3).enumerate().any(|(at, window)| {
        let [port, number, protocol] = window else {
            return false;
        };
        *port == "PORT"
            && number.parse::<u16>().is_ok()
            && PROTOCOLS.contains(protocol)
            && words
                .get(at + 3..)
                .is_some_and(|rest| PORT_PARTS.contains(&rest))
    })
}

/// The path of the key that a variable sets, by its name of today or from before it moved.
pub(super) fn path_of(name: &str) -> Option<String> {
    let path = name.strip_prefix(ENVIRONMENT_PREFIX)?.replace("__", ".");
    let is_upper = !path.bytes().any(|byte| byte.is_ascii_lowercase());
    let path = path.to_ascii_lowercase();
    (is_upper && keys::find(keys::today(&path)).is_some()).then_some(path)
}

/// The setting that a name with a slip in it was probably meant for.
pub(super) fn guess(name: &str) -> Option<&'static Key> {
    let rest = name.get(ENVIRONMENT_PREFIX.len()..).unwrap_or_default();
    let word = rest.trim_matches('_').to_ascii_lowercase();
    // One underscore for two, or the reverse, is the usual slip.
    let flat = |path: &str| path.replace(['.', '_'], "");
    let path = word.replace("__", ".");
    let flat_word = flat(&word);
    let moved = flat_word.strip_prefix("bridge");
    keys::all()
        .find(|key| {
            let flat_path = flat(key.path);
            let is_moved = key.section() == "channels" && moved == Some(&flat_path);
            is_moved || flat_path == flat_word
        })
        .or_else(|| {
            let path = nearest(&path)?;
            keys::all().find(|key| key.path == path)
        })
}
