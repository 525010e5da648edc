//! Who is compared: the peers of `peers.toml`, and those built in: this server and the floor.

use crate::campaign::{Case, Compared};
use crate::contract::Contract;
use crate::ours::{OURS, our_server, quoted};
use crate::server::{PATH, Ready, Spec, shell};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What the server speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The chat contract: JSON in, JSON with sender and timestamp out.
    #[default]
    Contract,
    /// Sends back what it gets; no JSON.
    Raw,
    /// The chat contract in Socket.IO's packets.
    Socketio,
}

impl Kind {
    /// What its clients speak: for who sends back what it gets, anything is right.
    pub(crate) fn contract(self) -> Contract {
        match self {
            Self::Contract | Self::Raw => Contract::Chat,
            Self::Socketio => Contract::Socketio,
        }
    }

    /// For the reader of a table.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Contract => "the chat contract",
            Self::Raw => "no JSON: sends back what it gets",
            Self::Socketio => "the chat contract in Socket.IO's packets",
        }
    }
}

/// One `[[peer]]`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Peer {
    /// Name in tables and for `--peers`.
    pub(crate) name: String,
    /// Line for `sh` with `{port}`; starts in the file's directory and must stay in the foreground. Where it names `{supportal}`, our
    /// server's program and flags stand there, which then listens on `{behind}`.
    #[serde(default)]
    pub(crate) command: Option<String>,
    /// The same where the case is one of TLS.
    #[serde(default)]
    pub(crate) tls: Option<String>,
    /// Line for `sh` that prints what was measured.
    #[serde(default)]
    pub(crate) versions: Option<String>,
    /// When it can be used.
    #[serde(default)]
    pub(crate) ready: Ready,
    /// What it speaks.
    #[serde(default)]
    pub(crate) kind: Kind,
    /// Route.
    #[serde(default = "path")]
    pub(crate) path: String,
    /// Cases it cannot run, by name.
    #[serde(default)]
    pub(crate) skip: Vec<String>,
    /// A sentence for the reader.
    #[serde(default)]
    pub(crate) note: Option<String>,
    /// Left out of `--all` unless named.
    #[serde(default)]
    pub(crate) optional: bool,
    /// The peer has an admin listener with a ledger on `{admin}`.
    #[serde(default)]
    pub(crate) ledger: bool,
    #[serde(skip)]
    directory: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    peer: Vec<Peer>,
}

fn path() -> String {
    PATH.to_owned()
}

impl Peer {
    fn built_in(name: &str, command: Option<String>, tls: Option<String>) -> Self {
        Self {
            name: name.to_owned(),
            command,
            tls,
            path: path(),
            ..Self::default()
        }
    }

    /// Its line for cases with TLS, or without; none if it is not for those.
    pub(crate) fn line(&self, tls: bool) -> Option<&str> {
        let line = if tls { &self.tls } else { &self.command };
        line.as_deref()
    }

    /// How to start it for a case; workers matter to this server only.
    pub(crate) fn spec(&self, case: &Case, core: Option<usize>, log: PathBuf) -> Spec {
        let line = self.line(case.tls).unwrap_or_default();
        Spec {
            command: line.replace("{workers}", &case.workers.max(1).to_string()),
            directory: self.directory.clone(),
            ready: if case.tls { Ready::Tcp } else { self.ready },
            path: self.kind.contract().path(&self.path),
            core,
            log: Some(log),
        }
    }

    /// As the tables show it.
    pub(crate) fn compared(&self) -> Compared {
        Compared {
            name: self.name.clone(),
            version: self.version_text(),
            speaks: self.kind.text().to_owned(),
            note: self.note.clone().unwrap_or_default(),
            ..Compared::default()
        }
    }

    /// What its versions command prints, in one line.
    fn version_text(&self) -> String {
        let Some(line) = &self.versions else {
            return String::new();
        };
        let mut command = shell(line, None);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let Ok(output) = command.output() else {
            return "unknown".to_owned();
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ")
    }
}

/// The second floor.
pub(super) const COALESCE: &str = "floor-coalesce";

/// The built-in ones and those of `file`, if it is there.
/// Errors: The file is wrong, or a name is there twice.
pub(crate) fn load(file: &Path, supportal: Option<&Path>) -> Result<Vec<Peer>, String> {
    let directory = file.parent().unwrap_or(Path::new(""));
    let ours = match our_server(supportal) {
        Ok(program) => Some(quoted(&program)),
        Err(why) if supportal.is_some() => return Err(why),
        Err(_) => None,
    };
    let mut peers = built_in(directory, ours.as_deref())?;
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(peers),
        Err(error) => return Err(format!("{}: {error}", file.display())),
    };
    let list: List = toml::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
    for mut peer in list.peer {
        if peers.iter().any(|other| other.name == peer.name) {
            return Err(format!("{}: two peers named {}", file.display(), peer.name));
        }
        let directory = Some(directory).filter(|directory| !directory.as_os_str().is_empty());
        peer.directory = directory.map(Path::to_owned);
        for line in [&mut peer.command, &mut peer.tls] {
            *line = line.take().and_then(|line| behind(&line, ours.as_deref()));
        }
        peers.push(peer);
    }
    Ok(peers)
}

/// The line with our server for `{supportal}`; none if it is not there.
fn behind(line: &str, ours: Option<&str>) -> Option<String> {
    if !line.contains("{supportal}") {
        return Some(line.to_owned());
    }
    let ours = format!("{} {}", ours?, OURS.replace("{port}", "{behind}"));
    Some(line.replace("{supportal}", &ours))
}

/// Those that need no file: the floors, and our server if it is there.
fn built_in(directory: &Path, ours: Option<&str>) -> Result<Vec<Peer>, String> {
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    let floor = format!("{} floor --listen 127.0.0.1:{{port}}", quoted(&me));
    let [certificate, key] =
        ["tls/certificate.pem", "tls/key.pem"].map(|name| quoted(&directory.join(name)));
    let tls = format!("{floor} --certificate {certificate} --key {key}");
    let coalesce = format!("{floor} --coalesce");
    let mut peers = vec![
        Peer::built_in("floor", Some(floor), None),
        Peer::built_in(COALESCE, Some(coalesce), None),
        Peer::built_in("floor-tls", None, Some(tls)),
    ];
    if let Some(program) = ours {
        let command = format!("{program} {OURS}");
        let tls = format!("{command} --set tls.certificate={certificate} --set tls.key={key}");
        let ours = Peer {
            versions: Some(format!("{program} --version")),
            ledger: true,
            ..Peer::built_in("supportal", Some(command), Some(tls))
        };
        peers.insert(0, ours);
    }
    Ok(peers)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Peer {
        /// One that is never started.
        pub(in crate::compare) fn named(name: &str) -> Self {
            Self::built_in(name, Some(String::new()), None)
        }
    }

    #[test]
    fn the_list_of_peers_that_comes_along_is_good() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/peers.toml");
        let peers = load(&file, None).unwrap();
        let known = crate::campaign::Cases::of_compare();
        for peer in peers {
            for case in &peer.skip {
                assert!(known.iter().any(|known| known.name == *case), "{case}");
            }
        }
    }

    #[test]
    fn what_stands_in_front_of_our_server_is_left_out_where_that_is_not() {
        assert_eq!(behind("a {port}", None).as_deref(), Some("a {port}"));
        assert_eq!(behind("a {supportal}", None), None);
        let line = behind("a {port} {supportal}", Some("'b'")).unwrap();
        let (front, back) = line.split_at("a {port} 'b'".len());
        assert_eq!(front, "a {port} 'b'");
        assert!(back.starts_with(" --listen 127.0.0.1:{behind} "), "{line}");
    }

    #[test]
    fn a_peer_needs_only_its_name_and_command_and_an_unknown_key_is_an_error() {
        let text = "[[peer]]\nname = \"a\"\ncommand = \"a/start {port}\"\n";
        let list: List = toml::from_str(text).unwrap();
        let peer = list.peer.first().unwrap();
        assert_eq!((peer.ready, peer.kind), (Ready::Websocket, Kind::Contract));
        assert_eq!(peer.path, PATH);
        let text = format!("{text}version = \"1\"\n");
        assert!(toml::from_str::<List>(&text).is_err());
    }
}
