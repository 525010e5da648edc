//! What the decoder gives a receiver, written down: one way for its tests and its fuzz target, which import what is
//! named here beside this file.

use super::{Decoder, Event, Incoming, Input, Limits, MessageKind, Violation};

/// Takes some of what is in `bytes`, data for as long as `takes_data`, up to a message at which it `stops`.
/// How many bytes were used.
pub(super) fn decode(
    (decoder, limits): (&mut Decoder, &Limits),
    bytes: &mut [u8],
    events: &mut Vec<Event>,
    mut takes_data: impl FnMut() -> bool,
    mut stops: impl FnMut() -> bool,
) -> Result<usize, Violation> {
    let length = bytes.len();
    let mut input = Input::new(bytes);
    while let Some(incoming) = decoder.next(limits, &mut input, &mut takes_data) {
        let incoming = incoming?;
        let is_message = matches!(incoming, Incoming::Message(..));
        events.push(match incoming {
            Incoming::Message(kind, payload) => {
                let copy = payload.to_vec();
                // Whoever is lent a payload may overwrite it.
                payload.fill(0xaa);
                match kind {
                    MessageKind::Text => Event::Text(copy),
                    MessageKind::Binary => Event::Binary(copy),
                }
            }
            Incoming::Ping(payload) => Event::Ping(payload.to_vec()),
            Incoming::Pong(payload) => Event::Pong(payload.to_vec()),
            Incoming::Close(code, reason) => Event::Close(code, reason.to_owned()),
        });
        if is_message && stops() {
            break;
        }
    }
    Ok(length - input.rest().len())
}
