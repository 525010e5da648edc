//! What a model says: the JSON of one event, or of a whole answer.

use super::super::remote::{AnswerFault, AnswerForm, AnswerWords};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The data of the event that ends an answer.
const DONE: &str = "[DONE]";

/// How Chat Completions are written.
pub(super) const FORM: AnswerForm = AnswerForm {
    read_event,
    read_whole,
    error_code,
    has_lines: false,
};

/// One event's, or a whole answer's.
#[derive(Deserialize)]
struct Completion {
    choices: Option<Vec<Choice>>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    #[serde(alias = "message")]
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delta {
    content: Option<String>,
    reasoning: Option<IgnoredAny>,
    reasoning_content: Option<IgnoredAny>,
}

/// What the data of an event says.
fn read_event(data: &str) -> Result<AnswerWords, AnswerFault> {
    if data.trim() == DONE {
        return Ok(AnswerWords {
            is_last: true,
            ..AnswerWords::default()
        });
    }
    read(data.as_bytes())
}

/// What a whole answer says.
fn read_whole(body: &[u8]) -> Result<AnswerWords, AnswerFault> {
    let words = read(body)?;
    Ok(AnswerWords {
        is_last: true,
        ..words
    })
}

fn read(json: &[u8]) -> Result<AnswerWords, AnswerFault> {
    // A struct may stand as an array in serde's eyes, and not in the API's.
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(AnswerFault::Malformed);
    }
    let completion: Completion =
        serde_json::from_slice(json).map_err(|_no_completion| AnswerFault::Malformed)?;
    if completion.error.is_some() {
        return Err(AnswerFault::Reported);
    }
    // None at all, as in the event that only counts tokens, is nothing said.
    let choices = completion.choices.ok_or(AnswerFault::Malformed)?;
    let Some(first) = choices.into_iter().find(|choice| choice.index == 0) else {
        return Ok(AnswerWords::default());
    };
    let delta = first.delta.unwrap_or_default();
    Ok(AnswerWords {
        text: delta.content.unwrap_or_default(),
        meta: None,
        is_thinking: delta.reasoning.is_some() || delta.reasoning_content.is_some(),
        is_last: first.finish_reason.is_some(),
    })
}

/// Names of models, as `GET …/models` lists them: the first.
pub(super) fn read_models(body: &[u8]) -> Result<String, AnswerFault> {
    #[derive(Deserialize)]
    struct Models {
        data: Vec<Model>,
    }
    #[derive(Deserialize)]
    struct Model {
        id: String,
    }
    let models: Models =
        serde_json::from_slice(body).map_err(|_no_models| AnswerFault::Malformed)?;
    let first = models.data.into_iter().next();
    first.map(|model| model.id).ok_or(AnswerFault::NoModel)
}

/// What kind of error a refusal is, in the server's own word, if that is one: never a sentence, in which a key may be.
fn error_code(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        error: Detail,
    }
    #[derive(Deserialize)]
    struct Detail {
        code: Option<serde_json::Value>,
        r#type: Option<serde_json::Value>,
    }
    let is_word = |word: &str| {
        (1..=64).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    let Refusal { error } = serde_json::from_slice(body).ok()?;
    let words = [error.code, error.r#type].into_iter().flatten();
    let mut words = words.filter_map(|word| word.as_str().map(str::to_owned));
    words.find(|word| is_word(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, is_thinking: bool, is_last: bool) -> Result<AnswerWords, AnswerFault> {
        Ok(AnswerWords {
            text: text.to_owned(),
            meta: None,
            is_thinking,
            is_last,
        })
    }

    #[test]
    fn events_are_read_as_servers_write_them() {
        let bad = || Err(AnswerFault::Malformed);
        let error = || Err(AnswerFault::Reported);
        #[rustfmt::skip]
        let table = [
            ("[DONE]", words("", false, true)),
            (" [DONE] ", words("", false, true)),
            (r#"{"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}"#, words("hi", false, false)),
            (r#"{"choices":[{"delta":{"content":"hi"}}]}"#, words("hi", false, false)),
            (r#"{"choices":[{"delta":{"role":"assistant","content":null}}]}"#, words("", false, false)),
            (r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, words("", false, true)),
            (r#"{"choices":[{"delta":{"content":"."},"finish_reason":"length"}]}"#, words(".", false, true)),
            (r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#, words("", true, false)),
            (r#"{"choices":[{"delta":{"reasoning":"hm","content":""}}]}"#, words("", true, false)),
            (r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#, words("", false, false)),
            (r#"{"choices":[{"delta":{"refusal":"no"}}]}"#, words("", false, false)),
            (r#"{"choices":[{"index":1,"delta":{"content":"other"}}]}"#, words("", false, false)),
            (r#"{"choices":[],"usage":{"total_tokens":3}}"#, words("", false, false)),
            (r#"{"choices":[{"delta":null,"finish_reason":"stop"}],"error":null}"#, words("", false, true)),
            (r#"{"error":{"message":"overloaded"}}"#, error()),
            (r#"{"error":"overloaded"}"#, error()),
            (r#"{"choices":[],"error":{}}"#, error()),
            ("{}", bad()),
            (r#"{"choices":null}"#, bad()),
            (r#"{"choices":{}}"#, bad()),
            (r#"{"choices":[5]}"#, bad()),
            (r#"{"choices":[{"delta":{"content":5}}]}"#, bad()),
            (r#"{"choices":[{"delta":{"content":["a"]}}]}"#, bad()),
            (r#"{"choices":[{"delta":"a"}]}"#, bad()),
            (r#"{"choices":[{"index":-1}]}"#, bad()),
            (r#"{"choices":[{"delta":{"content":"\ud83d"}}]}"#, bad()),
            (r#"[[{"delta":{"content":"a"}}],null]"#, bad()),
            ("null", bad()),
            ("", bad()),
            ("<html>", bad()),
            (r#"{"choices":["#, bad()),
        ];
        for (data, expected) in table {
            assert_eq!(read_event(data), expected, "{data}");
        }
        let deep = format!("{{\"x\":{}", "[".repeat(100_000));
        assert_eq!(read_event(&deep), bad());
    }

    #[test]
    fn a_whole_answer_is_the_last_there_is() {
        let body = br#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}"#;
        assert_eq!(read_whole(body), words("hi", false, true));
        assert_eq!(read_whole(b"[DONE]"), Err(AnswerFault::Malformed));
    }

    #[test]
    fn the_first_model_that_is_listed_is_taken() {
        let listed = br#"{"object":"list","data":[{"id":"llama3.2:1b"},{"id":"b"}]}"#;
        assert_eq!(read_models(listed), Ok("llama3.2:1b".to_owned()));
        assert_eq!(read_models(br#"{"data":[]}"#), Err(AnswerFault::NoModel));
        assert_eq!(read_models(b"{}"), Err(AnswerFault::Malformed));
    }

    #[test]
    fn a_refusal_is_logged_by_a_word_and_never_by_a_sentence() {
        let code = |body: &str| error_code(body.as_bytes());
        let key = r#"{"error":{"message":"Incorrect API key provided: sk-1","type":"invalid_request_error","code":"invalid_api_key"}}"#;
        assert_eq!(code(key).as_deref(), Some("invalid_api_key"));
        let ollama =
            r#"{"error":{"message":"model not found","type":"not_found_error","code":null}}"#;
        assert_eq!(code(ollama).as_deref(), Some("not_found_error"));
        for none in [
            r#"{"error":{"code":"sk-Abc 1"}}"#,
            r#"{"error":{"code":401}}"#,
            r#"{"error":"x"}"#,
            "",
        ] {
            assert_eq!(code(none), None, "{none}");
        }
    }
}
