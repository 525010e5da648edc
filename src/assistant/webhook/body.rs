//! What the site says: the JSON of one piece, or of a whole answer.

use super::super::remote::{AnswerFault, AnswerForm, AnswerWords};
use super::super::{META_BYTES_MAX, ReplyMeta};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// Longest `meta` as the site writes it, with its spaces: a value that is read takes many times its bytes.
const WRITTEN_META_BYTES_MAX: usize = 4 * META_BYTES_MAX;

/// How answers are written.
pub(super) const FORM: AnswerForm = AnswerForm {
    read_event: read_piece,
    read_whole,
    error_code: |_refusal| None,
    has_lines: true,
    may_be_untyped: false,
    may_think_aloud: false,
};

#[derive(Deserialize)]
struct WholeAnswer<'j> {
    message: Option<String>,
    #[serde(borrow)]
    meta: Option<&'j RawValue>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct AnswerPiece<'j> {
    delta: Option<String>,
    #[serde(default)]
    done: bool,
    #[serde(borrow)]
    meta: Option<&'j RawValue>,
    error: Option<IgnoredAny>,
}

fn read<'j, T: Deserialize<'j>>(json: &'j [u8]) -> Result<T, AnswerFault> {
    // A struct may stand as an array in serde's eyes, and not in this contract's.
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(AnswerFault::Malformed);
    }
    serde_json::from_slice(json).map_err(|_no_answer| AnswerFault::Malformed)
}

fn read_meta(meta: Option<&RawValue>) -> Result<Option<ReplyMeta>, AnswerFault> {
    let read = |written: &str| {
        if written.len() > WRITTEN_META_BYTES_MAX {
            return Err(AnswerFault::TooLong);
        }
        let object = serde_json::from_str(written).map_err(|_no_object| AnswerFault::Malformed)?;
        ReplyMeta::of(object).ok_or(AnswerFault::TooLong)
    };
    meta.map(RawValue::get).map(read).transpose()
}

/// `{"delta": "…"}`, `{"done": true}` or both; `{"error": …}`.
fn read_piece(data: &str) -> Result<AnswerWords, AnswerFault> {
    let piece: AnswerPiece<'_> = read(data.as_bytes())?;
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
    let whole: WholeAnswer<'_> = read(body)?;
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
        let spaces = |count| format!(r#"{{"done":true,"meta":{{"a":{}1}}}}"#, " ".repeat(count));
        let (spaced, too_spaced) = (spaces(4_000), spaces(5_000));
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
            (&spaced, words("", Some(r#"{"a":1}"#), true)),
            (&too_spaced, Err(AnswerFault::TooLong)),
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
