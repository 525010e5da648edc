//! Who is compared: the peers of `peers.toml`, and those built in: this server and the floor.

use crate::campaign::Compared;
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
    /// Line for `sh` with `{port}`; starts in the file's directory and must stay in the foreground.
    pub(crate) command: String,
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
    fn built_in(name: &str, command: String, versions: Option<String>) -> Self {
        Self {
            name: name.to_owned(),
            command,
            versions,
            path: path(),
            ..Self::default()
        }
    }

    /// How to start it; `workers` matters to this server only.
    pub(crate) fn spec(&self, core: Option<usize>, workers: usize, log: PathBuf) -> Spec {
        Spec {
            command: self.command.replace("{workers}", &workers.to_string()),
            directory: self.directory.clone(),
            ready: self.ready,
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
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    let me = quoted(&me);
    let floor = format!("{me} floor --listen 127.0.0.1:{{port}}");
    let mut peers = vec![
        Peer::built_in("floor", floor.clone(), None),
        Peer::built_in(COALESCE, format!("{floor} --coalesce"), None),
    ];
    if let Ok(program) = our_server(supportal) {
        let program = quoted(&program);
        let version = Some(format!("{program} --version"));
        let mut ours = Peer::built_in("supportal", format!("{program} {OURS}"), version);
        ours.ledger = true;
        peers.insert(0, ours);
    } else if supportal.is_some() {
        our_server(supportal)?;
    }
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(peers),
        Err(error) => return Err(format!("{}: {error}", file.display())),
    };
    let list: List = toml::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
    let directory = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .map(Path::to_owned);
    for mut peer in list.peer {
        if peers.iter().any(|other| other.name == peer.name) {
            return Err(format!("{}: two peers named {}", file.display(), peer.name));
        }
        peer.directory.clone_from(&directory);
        peers.push(peer);
    }
    Ok(peers)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Peer {
        /// One that is never started.
        pub(in crate::compare) fn named(name: &str) -> Self {
            Self::built_in(name, String::new(), None)
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
