//! What a server speaks inside its frames: the chat contract as it is, or wrapped in Socket.IO's packets (`peers/README.md` has the bytes).
//! In Socket.IO a first digit is the type of Engine.IO's packet, a second that of Socket.IO's.

/// The transport Engine.IO must be told about; without it its answer is 400.
const QUERY: &str = "EIO=4&transport=websocket";
/// Before a command or an event.
const EVENT_START: &[u8] = b"42[\"message\",";
/// After it.
const EVENT_END: &[u8] = b"]";
/// Joins the default namespace.
pub(crate) const CONNECT: &[u8] = b"40";
/// Answers a ping.
pub(crate) const PONG: &[u8] = b"3";

/// How a chat frame travels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Contract {
    /// As one text frame of JSON.
    #[default]
    Chat,
    /// As a Socket.IO event named `message`, WebSocket transport only.
    Socketio,
}

/// One text frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// JSON of the chat contract.
    Chat(&'a [u8]),
    /// Engine.IO is there: now [`CONNECT`].
    Open,
    /// The connection can be used.
    Connected,
    /// Wants [`PONG`].
    Ping,
    /// No connection, or not any more.
    Ended,
    /// Nothing this program knows.
    Other,
}

impl Contract {
    /// The request's path: with what the contract wants to see after it.
    pub(crate) fn path(self, path: &str) -> String {
        match self {
            Self::Socketio if !path.contains("EIO=") => {
                let sign = if path.contains('?') { '&' } else { '?' };
                format!("{path}{sign}{QUERY}")
            }
            Self::Chat | Self::Socketio => path.to_owned(),
        }
    }

    /// The connection can be used as soon as it is upgraded.
    pub(crate) fn open_at_once(self) -> bool {
        self == Self::Chat
    }

    /// One command in the parts of its payload.
    pub(crate) fn wrap(self, json: &[u8]) -> [&[u8]; 3] {
        match self {
            Self::Chat => [b"", json, b""],
            Self::Socketio => [EVENT_START, json, EVENT_END],
        }
    }

    /// What the payload of a whole text frame holds.
    pub(crate) fn read(self, payload: &[u8]) -> Packet<'_> {
        if self == Self::Chat {
            return Packet::Chat(payload);
        }
        let event = payload.strip_prefix(EVENT_START);
        if let Some(json) = event.and_then(|rest| rest.strip_suffix(EVENT_END)) {
            return Packet::Chat(json);
        }
        match payload {
            b"2" => Packet::Ping,
            [b'0', ..] => Packet::Open,
            [b'4', b'0', ..] => Packet::Connected,
            [b'1'] | [b'4', b'1' | b'4', ..] => Packet::Ended,
            _ => Packet::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chat_contract_is_left_alone_and_a_socketio_event_is_wrapped_byte_for_byte() {
        let json = br#"{"message":"TEXT","type":"user"}"#;
        let event = br#"42["message",{"message":"TEXT","type":"user"}]"#;
        for (contract, wire) in [(Contract::Chat, &json[..]), (Contract::Socketio, event)] {
            assert_eq!(contract.wrap(json).concat(), wire);
            assert_eq!(contract.read(wire), Packet::Chat(json));
        }
    }

    #[test]
    fn socketio_packets_are_told_apart() {
        for (payload, packet) in [
            (&br#"0{"sid":"a","upgrades":[]}"#[..], Packet::Open),
            (br#"40{"sid":"b"}"#, Packet::Connected),
            (b"2", Packet::Ping),
            (b"1", Packet::Ended),
            (b"41", Packet::Ended),
            (br#"44{"message":"no"}"#, Packet::Ended),
            (b"6", Packet::Other),
            (br#"42["other",1]"#, Packet::Other),
            (br#"42["message",{"message":"cut"#, Packet::Other),
            (b"", Packet::Other),
        ] {
            assert_eq!(Contract::Socketio.read(payload), packet, "{payload:?}");
        }
    }

    #[test]
    fn the_query_follows_the_path_once() {
        for (path, with) in [
            ("/ws/", "/ws/?EIO=4&transport=websocket"),
            (
                "/ws/?EIO=4&transport=websocket",
                "/ws/?EIO=4&transport=websocket",
            ),
            ("/a/?b=1", "/a/?b=1&EIO=4&transport=websocket"),
        ] {
            assert_eq!(Contract::Socketio.path(path), with);
            assert_eq!(Contract::Chat.path(path), path);
        }
    }
}
