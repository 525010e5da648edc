//! The parser of commands, both dialects: the guide's agrees with `serde_json` about what is JSON
//! and what it says, the other gives the same text wherever both accept, and what is written
//! parses to what was said.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::cell::RefCell;
use supportal::config::Dialect;
use supportal::protocol::command::is_blank;
use supportal::protocol::{Command, ErrorCode, Kind, Parser, Rejected, Sender, Stamp, Writer};

const TEXT_BYTES_MAX: usize = 4096;

type Outcome = Result<(Kind, String), Rejected>;

thread_local! {
    /// One parser for all inputs, as a worker has.
    static PARSER: RefCell<Parser> = RefCell::new(Parser::new());
}

fn said(command: &Command<'_>) -> (Kind, String) {
    (command.kind, command.text.clone().into_owned())
}

/// What the guide's contract makes of a payload, by another parser. `None`: the two may differ.
fn expected(payload: &[u8]) -> Option<Outcome> {
    let format = Err(ErrorCode::Format.into());
    let Ok(text) = std::str::from_utf8(payload) else {
        return Some(format);
    };
    if is_blank(text) {
        return Some(Err(ErrorCode::Empty.into()));
    }
    if may_differ(payload) {
        return None;
    }
    let Ok(Value::Object(fields)) = serde_json::from_str(text) else {
        return Some(format);
    };
    let text = match fields.get("message") {
        None => return Some(Err(ErrorCode::MissingField.into())),
        Some(Value::String(text)) => text.clone(),
        Some(_) => return Some(format),
    };
    let kind = match fields.get("type") {
        None => Kind::User,
        Some(Value::String(kind)) if kind == "user" => Kind::User,
        Some(Value::String(kind)) if kind == "system" => Kind::System,
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

/// Nesting and numbers at whose limits two correct parsers part: `serde_json` stops at 128 levels,
/// simd-json at integers above 64 bits.
fn may_differ(payload: &[u8]) -> bool {
    let open = payload.iter().filter(|byte| matches!(byte, b'[' | b'{'));
    let number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let runs = payload.split(|byte| !number(byte));
    let long = |run: &[u8]| run.len() >= 19 || run.iter().any(|byte| b"eE".contains(byte));
    open.count() > 120
        || runs
            .filter(|run| run.iter().any(u8::is_ascii_digit))
            .any(long)
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// An event is JSON that says what was said.
fn check_echo(dialect: Dialect, command: &Command<'_>) {
    let stamp = Stamp::new(1_704_110_400, 97_401);
    let writer = Writer::new(dialect);
    let mut event = written(|out| writer.echo(out, command, &stamp));
    if command.json.is_some() {
        // Numbers of Python: NaN and Infinity are no JSON.
        return;
    }
    let value: Value = serde_json::from_slice(&event).expect("an event is JSON");
    let system = command.kind == Kind::System;
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
        assert_eq!(again, Ok((Kind::User, shown)), "an event is a command");
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
    if let Some(expected) = expected(payload) {
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
    }
});
