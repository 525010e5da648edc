//! RFC 6455 as simply as it can be written: the whole stream at once, everything copied.

use supportal::transport::{Limits, ViolationKind};

/// What a receiver gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A whole text message.
    Text(Vec<u8>),
    /// A whole binary message.
    Binary(Vec<u8>),
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame; nothing comes after it.
    Close(Option<u16>, String),
}

/// The events, and the rule that ended them.
pub(crate) type Outcome = (Vec<Event>, Option<ViolationKind>);

/// A message whose last fragment has not come.
struct Open {
    text: bool,
    payload: Vec<u8>,
    fragments: usize,
}

/// Why reading ends.
enum End {
    /// The bytes do.
    Bytes,
    Closed,
    Broken(ViolationKind),
}

/// What a stream of bytes means.
pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Outcome {
    let mut events = Vec::new();
    let mut open = None;
    let mut rest = bytes;
    loop {
        match read_frame(&mut rest, limits, &mut open, &mut events) {
            Ok(()) => {}
            Err(End::Bytes | End::Closed) => return (events, None),
            Err(End::Broken(kind)) => return (events, Some(kind)),
        }
    }
}

fn rule(holds: bool, kind: ViolationKind) -> Result<(), End> {
    if holds {
        Ok(())
    } else {
        Err(End::Broken(kind))
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], End> {
    let (taken, left) = rest.split_at_checked(count).ok_or(End::Bytes)?;
    *rest = left;
    Ok(taken)
}

/// RFC 6455 §5.2: seven bits, or the shortest of two longer forms.
fn read_length(rest: &mut &[u8], short: u8, control: bool) -> Result<u64, End> {
    rule(!control || short <= 125, ViolationKind::Control)?;
    let mut long = |bytes| {
        let digits = take(rest, bytes)?;
        Ok(digits
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    match short {
        126 => {
            let length = long(2)?;
            rule(length >= 126, ViolationKind::Length)?;
            Ok(length)
        }
        127 => {
            let length = long(8)?;
            rule((65_536..1 << 63).contains(&length), ViolationKind::Length)?;
            Ok(length)
        }
        short => Ok(u64::from(short)),
    }
}

fn read_frame(
    rest: &mut &[u8],
    limits: &Limits,
    open: &mut Option<Open>,
    events: &mut Vec<Event>,
) -> Result<(), End> {
    let first = take(rest, 1)?[0];
    let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
    let control = opcode >= 8;
    rule(first & 0x70 == 0, ViolationKind::Reserved)?;
    rule(matches!(opcode, 0..=2 | 8..=10), ViolationKind::Opcode)?;
    rule(fin || !control, ViolationKind::Control)?;
    if !control {
        rule((opcode == 0) == open.is_some(), ViolationKind::Sequence)?;
    }
    let (held, fragments) = open
        .as_ref()
        .map_or((0, 0), |o| (o.payload.len(), o.fragments));
    if opcode == 0 {
        rule(fragments < limits.fragments, ViolationKind::Fragments)?;
    }
    let second = take(rest, 1)?[0];
    rule(second & 0x80 != 0, ViolationKind::Mask)?;
    let length = read_length(rest, second & 0x7f, control)?;
    let left = limits.message_bytes.saturating_sub(held) as u64;
    rule(control || length <= left, ViolationKind::Size)?;
    let mask = take(rest, 4)?;
    let arrived = rest.len().min(length as usize);
    let payload: Vec<u8> = take(rest, arrived)?
        .iter()
        .zip(mask.iter().cycle())
        .map(|(byte, mask)| byte ^ mask)
        .collect();
    let whole = arrived as u64 == length;
    if control {
        return if whole {
            read_control(opcode, payload, events)
        } else {
            Err(End::Bytes)
        };
    }
    let message = open.get_or_insert_with(|| Open {
        text: opcode == 1,
        payload: Vec::new(),
        fragments: 0,
    });
    message.payload.extend(payload);
    message.fragments += 1;
    if message.text
        && let Err(error) = std::str::from_utf8(&message.payload)
    {
        // Half a character at the end may still become one.
        let hopeless = error.error_len().is_some() || (whole && fin);
        rule(!hopeless, ViolationKind::Utf8)?;
    }
    if !whole {
        return Err(End::Bytes);
    }
    if fin && let Some(message) = open.take() {
        events.push(if message.text {
            Event::Text(message.payload)
        } else {
            Event::Binary(message.payload)
        });
    }
    Ok(())
}

fn read_control(opcode: u8, payload: Vec<u8>, events: &mut Vec<Event>) -> Result<(), End> {
    match opcode {
        9 => events.push(Event::Ping(payload)),
        10 => events.push(Event::Pong(payload)),
        _ => {
            let (code, reason) = match &payload[..] {
                [] => (None, String::new()),
                [_] => return Err(End::Broken(ViolationKind::Close)),
                [high, low, reason @ ..] => {
                    let code = u16::from(*high) << 8 | u16::from(*low);
                    let unsendable = [1004, 1005, 1006, 1015].contains(&code);
                    let sendable = (1000..=1014).contains(&code) && !unsendable;
                    let ours = (3000..5000).contains(&code);
                    rule(sendable || ours, ViolationKind::Close)?;
                    let reason = String::from_utf8(reason.to_vec());
                    let reason = reason.map_err(|_| End::Broken(ViolationKind::Utf8))?;
                    (Some(code), reason)
                }
            };
            events.push(Event::Close(code, reason));
            return Err(End::Closed);
        }
    }
    Ok(())
}
