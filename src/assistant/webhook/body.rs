//! What the site says: the JSON of one piece, or of a whole answer.

use super::super::ReplyMeta;
use super::super::remote::{AnswerFault, AnswerForm, AnswerWords};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value};

/// How answers are written.
pub(super) const FORM: AnswerForm = AnswerForm {
    read_event: read_piece,
    read_whole,
    error_code: |_refusal| None,
    has_lines: true,
};

#[derive(Deserialize)]
struct WholeAnswer {
    message: Option<String>,
    meta: Option<Map<String, Value>>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct AnswerPiece {
    delta: Option<String>,
    #[serde(default)]
    done: bool,
    meta: Option<Map<String, Value>>,
    error: Option<IgnoredAny>,
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, AnswerFault> {
    // A struct may stand as an array in serde's eyes, and not in this contract's.
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(AnswerFault::Malformed);
    }
    serde_json::from_slice(json).map_err(|_no_answer| AnswerFault::Malformed)
}

fn read_meta(meta: Option<Map<String, Value>>) -> Result<Option<ReplyMeta>, AnswerFault> {
    let read = |meta| ReplyMeta::of(meta).ok_or(AnswerFault::TooLong);
    meta.map(read).transpose()
}

/// `{"delta": "…"}`, `{"done": true}` or both; `{"error": …}`.
fn read_piece(data: &str) -> Result<AnswerWords, AnswerFault> {
    let piece: AnswerPiece = read(data.as_bytes())?;
    if piece.error.is_some() {
        return Err(AnswerFault::Reported);
    }
    // What says nothing that is known is no piece of an answer.
    if piece.delta.is_none() && !piece.done && piece.meta.is_none() {
        return Err(AnswerFault::Malformed);
    }
    Ok(AnswerWords {
        text: piece.delta.unwrap_or_default(),
        meta: read_meta(piece.meta)?,
        is_thinking: false,
        is_last: piece.done,
    })
}

/// `{"message": "…"}`; `{"error": …}`.
fn read_whole(body: &[u8]) -> Result<AnswerWords, AnswerFault> {
    let whole: WholeAnswer = read(body)?;
    if whole.error.is_some() {
        return Err(AnswerFault::Reported);
    }
    Ok(AnswerWords {
        text: whole.message.ok_or(AnswerFault::Malformed)?,
        meta: read_meta(whole.meta)?,
        is_thinking: false,
        is_last: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, meta: Option<&str>, is_last: bool) -> Result<AnswerWords, AnswerFault> {
        Ok(AnswerWords {
            text: text.to_owned(),
            meta: meta.and_then(ReplyMeta::new),
            is_thinking: false,
            is_last,
        })
    }

    #[test]
    fn pieces_are_read_as_the_contract_says() {
        let bad = || Err(AnswerFault::Malformed);
        let error = || Err(AnswerFault::Reported);
        let long = format!(r#"{{"done":true,"meta":{{"a":"{}"}}}}"#, "x".repeat(1024));
        #[rustfmt::skip]
        let table = [
            (r#"{"delta":"hi"}"#, words("hi", None, false)),
            (r#" {"delta":""}"#, words("", None, false)),
            (r#"{"done":true}"#, words("", None, true)),
            (r#"{"delta":".","done":true}"#, words(".", None, true)),
            (r#"{"delta":".","done":false,"other":[]}"#, words(".", None, false)),
            (r#"{"done":true,"meta":{"a": 1}}"#, words("", Some(r#"{"a":1}"#), true)),
            (r#"{"delta":"hi","error":null}"#, words("hi", None, false)),
            (r#"{"error":"no"}"#, error()),
            (r#"{"error":{},"done":true}"#, error()),
            (r#"{"error":false}"#, error()),
            (&long, Err(AnswerFault::TooLong)),
            ("{}", bad()),
            (r#"{"message":"hi"}"#, bad()),
            (r#"{"done":false}"#, bad()),
            (r#"{"delta":5}"#, bad()),
            (r#"{"delta":["a"]}"#, bad()),
            (r#"{"done":"yes"}"#, bad()),
            (r#"{"done":1}"#, bad()),
            (r#"{"done":true,"meta":[]}"#, bad()),
            (r#"{"done":true,"meta":"a"}"#, bad()),
            (r#"{"delta":"\ud83d"}"#, bad()),
            (r#"["hi",true,null,null]"#, bad()),
            (r#"{"delta":"a"}{"delta":"b"}"#, bad()),
            ("[DONE]", bad()),
            ("null", bad()),
            ("\"hi\"", bad()),
            ("", bad()),
            ("<html>", bad()),
            (r#"{"delta":"#, bad()),
        ];
        for (data, expected) in table {
            assert_eq!(read_piece(data), expected, "{data}");
        }
        let deep = format!("{{\"x\":{}", "[".repeat(100_000));
        assert_eq!(read_piece(&deep), bad());
    }

    #[test]
    fn a_whole_answer_has_its_message_in_it() {
        let of = |body: &str| read_whole(body.as_bytes());
        assert_eq!(of(r#"{"message":"hi"}"#), words("hi", None, true));
        let beside = words("hi", Some("{}"), true);
        assert_eq!(of(r#"{"message":"hi","meta":{}}"#), beside);
        assert_eq!(of(r#"{"message":""}"#), words("", None, true));
        assert_eq!(of(r#"{"error":"no"}"#), Err(AnswerFault::Reported));
        for bad in [
            "{}",
            r#"{"message":null}"#,
            r#"{"message":1}"#,
            r#"{"delta":"hi"}"#,
            r#"["hi"]"#,
            "hi",
        ] {
            assert_eq!(of(bad), Err(AnswerFault::Malformed), "{bad}");
        }
    }
}
