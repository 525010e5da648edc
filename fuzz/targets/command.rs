//! The parser of commands, both dialects: the guide's agrees with `serde_json` about what is JSON
//! and what it says, the other gives the same text wherever both accept, and what is written
//! parses to what was said.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::cell::RefCell;
use supportal::config::Dialect;
use supportal::internal::protocol::is_blank;
use supportal::internal::protocol::{
    Command, CommandKind, ErrorCode, EventWriter, Parser, Rejected, Sender, Stamp,
};

const TEXT_BYTES_MAX: usize = 4096;

type Outcome = Result<(CommandKind, String), Rejected>;

thread_local! {
    /// One parser for all inputs, as a worker has.
    static PARSER: RefCell<Parser> = RefCell::new(Parser::new());
}

fn said(command: &Command<'_>) -> (CommandKind, String) {
    (command.kind, command.text.clone().into_owned())
}

/// What the guide's contract makes of a payload, by another parser. `None`: JSON that the other one
/// only judges.
fn expected(payload: &[u8]) -> Option<Outcome> {
    let format = Err(ErrorCode::Format.into());
    let Ok(text) = std::str::from_utf8(payload) else {
        return Some(format);
    };
    if is_blank(text) {
        return Some(Err(ErrorCode::Empty.into()));
    }
    // Numbers of any size, half a surrogate pair, any nesting: all that is legal.
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Some(format);
    }
    let fields = match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return Some(format),
        Err(_) => return None,
    };
    let text = match fields.get("message") {
        None => return Some(Err(ErrorCode::MissingField.into())),
        Some(Value::String(text)) => text.clone(),
        Some(_) => return Some(format),
    };
    let kind = match fields.get("type") {
        None => CommandKind::User,
        Some(Value::String(kind)) if kind == "user" => CommandKind::User,
        Some(Value::String(kind)) if kind == "system" => CommandKind::System,
        Some(_) => return Some(Err(ErrorCode::UnknownType.into())),
    };
    Some(if is_blank(&text) {
        Err(ErrorCode::Empty.into())
    } else if text.len() > TEXT_BYTES_MAX {
        Err(ErrorCode::TooLong.into())
    } else {
        Ok((kind, text))
    })
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// An event is JSON that says what was said.
fn check_echo(dialect: Dialect, command: &Command<'_>) {
    let mut stamp = Stamp::new(1_704_110_400, 97_401);
    let writer = EventWriter::new(dialect);
    let spoken = command.event(stamp.moment());
    let mut event = written(|out| writer.event(out, &spoken, &mut stamp));
    if command.json.is_some() {
        // Numbers of Python: NaN and Infinity are no JSON.
        return;
    }
    let value: Value = serde_json::from_slice(&event).expect("an event is JSON");
    let system = command.kind == CommandKind::System;
    let prefix = if system && dialect == Dialect::Django {
        "System message: "
    } else {
        ""
    };
    let shown = format!("{prefix}{}", command.text);
    let sender = if system { Sender::System } else { Sender::User };
    assert_eq!(value["message"].as_str(), Some(shown.as_str()));
    assert_eq!(value["sender"].as_str(), Some(sender.as_str()));
    if !is_blank(&shown) {
        let again = Parser::new()
            .parse(dialect, usize::MAX, &mut event)
            .map(|c| said(&c));
        assert_eq!(
            again,
            Ok((CommandKind::User, shown)),
            "an event is a command"
        );
    }
}

fn parse(dialect: Dialect, payload: &[u8]) -> Outcome {
    let mut fresh = payload.to_vec();
    let mut parser = Parser::new();
    let command = parser.parse(dialect, TEXT_BYTES_MAX, &mut fresh);
    if let Ok(command) = &command {
        check_echo(dialect, command);
    }
    let fresh = command.map(|command| said(&command));
    let mut again = payload.to_vec();
    let used = PARSER.with_borrow_mut(|parser| {
        let command = parser.parse(dialect, TEXT_BYTES_MAX, &mut again);
        command.map(|command| said(&command))
    });
    assert_eq!(used, fresh, "a parser remembers what it parsed");
    fresh
}

fuzz_target!(|payload: &[u8]| {
    let guide = parse(Dialect::Guide, payload);
    let django = parse(Dialect::Django, payload);
    let Some(expected) = expected(payload) else {
        // Legal, and what it says is known to nobody else; but a text is a text in both dialects,
        // unless Python cannot store it.
        if let (Ok(guide), Ok(django)) = (&guide, &django) {
            assert_eq!(guide, django, "the dialects differ");
        }
        return;
    };
    assert_eq!(guide, expected, "guide and serde_json differ");
    match expected {
        Ok(_) => assert_eq!(django, guide, "the dialects differ"),
        Err(Rejected::Error(code @ (ErrorCode::MissingField | ErrorCode::TooLong))) => {
            assert_eq!(django, Err(code.into()), "the dialects differ");
        }
        Err(Rejected::Error(ErrorCode::UnknownType)) => {
            assert_eq!(django, Err(Rejected::Ignored), "the dialects differ");
        }
        Err(_) => {}
    }
});
