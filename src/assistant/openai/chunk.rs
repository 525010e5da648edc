//! What a model says: the JSON of one event, or of a whole answer.

use super::super::remote::{AnswerFault, AnswerForm, AnswerWords};
use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::fmt;
use std::marker::PhantomData;

/// The data of the event that ends an answer.
const DONE: &str = "[DONE]";
/// Why an answer ends that has failed.
const FAILED: &str = "error";

/// How Chat Completions are written.
pub(super) const FORM: AnswerForm = AnswerForm {
    read_event,
    read_whole,
    error_code,
    has_lines: false,
    may_be_untyped: true,
    may_think_aloud: true,
};

/// One event's, or a whole answer's.
#[derive(Deserialize)]
struct Completion {
    choices: Option<FirstOf<Choice>>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default, deserialize_with = "read_index")]
    index: u32,
    #[serde(alias = "message")]
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

/// A number, as the API has it, or that in quotes, or `null` for the first.
fn read_index<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let Some(index) = Option::<&RawValue>::deserialize(deserializer)? else {
        return Ok(0);
    };
    let digits = index.get().trim_matches('"');
    digits.parse().map_err(D::Error::custom)
}

impl Listed for Choice {
    fn is_meant(&self) -> bool {
        self.index == 0
    }
}

/// What stands in a list.
trait Listed {
    /// Is this the one that the list is read for?
    fn is_meant(&self) -> bool;
}

/// The first that is meant of a list. No more of the list is kept: in the bytes of one event a server may list many thousands.
struct FirstOf<T>(Option<T>);

impl<'de, T: Listed + Deserialize<'de>> Deserialize<'de> for FirstOf<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Listed + Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = FirstOf<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<FirstOf<T>, A::Error> {
        let mut first = None;
        while let Some(next) = list.next_element::<T>()? {
            if first.is_none() && next.is_meant() {
                first = Some(next);
            }
        }
        Ok(FirstOf(first))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delta {
    content: AnswerContent,
    reasoning: Option<IgnoredAny>,
    reasoning_content: Option<IgnoredAny>,
}

/// Words, or parts of them in a list.
#[derive(Default)]
struct AnswerContent {
    text: String,
    is_thinking: bool,
}

/// One part. Of what is neither words nor thinking nothing is said.
#[derive(Deserialize)]
struct AnswerContentPart {
    r#type: String,
    #[serde(default)]
    text: String,
}

impl<'de> Deserialize<'de> for AnswerContent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnswerContentVisitor)
    }
}

struct AnswerContentVisitor;

impl<'de> Visitor<'de> for AnswerContentVisitor {
    type Value = AnswerContent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of parts")
    }

    fn visit_unit<E>(self) -> Result<AnswerContent, E> {
        Ok(AnswerContent::default())
    }

    fn visit_str<E>(self, text: &str) -> Result<AnswerContent, E> {
        Ok(AnswerContent {
            text: text.to_owned(),
            is_thinking: false,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<AnswerContent, A::Error> {
        let mut content = AnswerContent::default();
        while let Some(part) = list.next_element::<AnswerContentPart>()? {
            match &*part.r#type {
                "text" => content.text.push_str(&part.text),
                "thinking" => content.is_thinking = true,
                _ => {}
            }
        }
        Ok(content)
    }
}

/// What the data of an event says.
fn read_event(data: &str) -> Result<AnswerWords, AnswerFault> {
    let data = data.trim();
    if data == "null" {
        return Ok(AnswerWords::default());
    }
    if data == DONE {
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
    let FirstOf(Some(first)) = choices else {
        return Ok(AnswerWords::default());
    };
    // Some servers write an empty one for none.
    let reason = first.finish_reason.filter(|reason| !reason.is_empty());
    if reason.as_deref() == Some(FAILED) {
        return Err(AnswerFault::Reported);
    }
    let Delta {
        content,
        reasoning,
        reasoning_content,
    } = first.delta.unwrap_or_default();
    Ok(AnswerWords {
        text: content.text,
        meta: None,
        is_thinking: content.is_thinking || reasoning.is_some() || reasoning_content.is_some(),
        is_last: reason.is_some(),
    })
}

/// Words in the names of models that answer no questions: they make vectors, put texts in order, hear, speak, draw or judge.
/// Servers list all of theirs alike.
const OF_ANOTHER_KIND: [&str; 11] = [
    "bge",
    "clip",
    "colbert",
    "dall",
    "diffusion",
    "e5",
    "gte",
    "image",
    "minilm",
    "moderation",
    "transcribe",
];
/// The same as parts of words.
const PART_OF_ANOTHER_KIND: [&str; 4] = ["embed", "rerank", "tts", "whisper"];

/// May a model of this name answer questions?
fn is_for_chat(id: &str) -> bool {
    let name = id.to_ascii_lowercase();
    let mut words = name.split(|character: char| !character.is_ascii_alphanumeric());
    let has_part = |word: &str| PART_OF_ANOTHER_KIND.iter().any(|part| word.contains(part));
    !words.any(|word| OF_ANOTHER_KIND.contains(&word) || has_part(word))
}

/// Names of models, as `GET …/models` lists them: the first that may answer questions.
pub(super) fn read_models(body: &[u8]) -> Result<String, AnswerFault> {
    #[derive(Deserialize)]
    struct Models {
        // Must be there: what has no such field is another API.
        #[serde(deserialize_with = "Option::deserialize")]
        data: Option<FirstOf<Model>>,
    }
    #[derive(Deserialize)]
    struct Model {
        id: String,
    }
    impl Listed for Model {
        fn is_meant(&self) -> bool {
            is_for_chat(&self.id)
        }
    }
    let models: Models =
        serde_json::from_slice(body).map_err(|_no_models| AnswerFault::Malformed)?;
    // Some servers write `null` for an empty list.
    let first = models.data.and_then(|FirstOf(first)| first);
    first.map(|model| model.id).ok_or(AnswerFault::NoModel)
}

/// What kind of error a refusal is, in the server's own word, if that is one: never a sentence, in which a key may be.
fn error_code(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal<'b> {
        #[serde(borrow)]
        error: Detail<'b>,
    }
    #[derive(Deserialize)]
    struct Detail<'b> {
        #[serde(borrow)]
        code: Option<&'b RawValue>,
        #[serde(borrow)]
        r#type: Option<&'b RawValue>,
    }
    let unquoted = |json: &RawValue| {
        let word = json.get().strip_prefix('"')?.strip_suffix('"')?;
        Some(word.to_owned())
    };
    let is_word = |word: &str| {
        (1..=64).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    let Refusal { error } = serde_json::from_slice(body).ok()?;
    let words = [error.code, error.r#type].into_iter().flatten();
    let mut words = words.filter_map(unquoted);
    words.find(|word| is_word(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

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
            ("null", words("", false, false)),
            ("", bad()),
            (r#"{"choices":[{"delta":{"content":"a"},"finish_reason":""}]}"#, words("a", false, false)),
            (r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"error"}]}"#, error()),
            (r#"{"choices":[{"index":null,"delta":{"content":"a"}}]}"#, words("a", false, false)),
            (r#"{"choices":[{"index":"0","delta":{"content":"a"}}]}"#, words("a", false, false)),
            (r#"{"choices":[{"index":"1","delta":{"content":"a"}}]}"#, words("", false, false)),
            (r#"{"choices":[{"index":"x","delta":{"content":"a"}}]}"#, bad()),
            (r#"{"choices":[{"delta":{"content":[{"type":"text","text":"a"},{"type":"image"},{"type":"text","text":"b"}]}}]}"#, words("ab", false, false)),
            (r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}}]}"#, words("", true, false)),
            (r#"{"choices":[{"delta":{"content":[]}}]}"#, words("", false, false)),
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
    fn of_a_list_no_more_is_kept_than_the_one_it_is_read_for() {
        static ALIVE: AtomicUsize = AtomicUsize::new(0);
        static MOST: AtomicUsize = AtomicUsize::new(0);
        struct Counted(u32);
        impl<'de> Deserialize<'de> for Counted {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                MOST.fetch_max(ALIVE.fetch_add(1, SeqCst) + 1, SeqCst);
                u32::deserialize(deserializer).map(Self)
            }
        }
        impl Drop for Counted {
            fn drop(&mut self) {
                ALIVE.fetch_sub(1, SeqCst);
            }
        }
        impl Listed for Counted {
            fn is_meant(&self) -> bool {
                self.0 > 0
            }
        }
        let list = format!("[{}7,8,9]", "0,".repeat(10_000));
        let FirstOf::<Counted>(first) = serde_json::from_str(&list).expect("a list");
        assert_eq!(first.map(|first| first.0), Some(7));
        assert_eq!(MOST.load(SeqCst), 2);
    }

    #[test]
    fn a_whole_answer_is_the_last_there_is() {
        let body = br#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}"#;
        assert_eq!(read_whole(body), words("hi", false, true));
        assert_eq!(read_whole(b"[DONE]"), Err(AnswerFault::Malformed));
    }

    #[test]
    fn the_first_model_that_is_listed_and_answers_questions_is_taken() {
        let listed = br#"{"object":"list","data":[{"id":"llama3.2:1b"},{"id":"b"}]}"#;
        assert_eq!(read_models(listed), Ok("llama3.2:1b".to_owned()));
        let others = [
            "nomic-embed-text:latest",
            "text-embedding-3-small",
            "mxbai-embed-large",
            "bge-m3:567m",
            "all-minilm:22m",
            "BAAI/bge-reranker-v2-m3",
            "Qwen/Qwen3-Reranker-0.6B",
            "jina-reranker-v2",
            "snowflake-arctic-embed2",
            "intfloat/e5-mistral-7b-instruct",
            "whisper-1",
            "faster-whisper-large",
            "gpt-4o-transcribe",
            "tts-1-hd",
            "gpt-4o-mini-tts",
            "omni-moderation-latest",
            "dall-e-3",
            "gpt-image-1",
            "stable-diffusion-3",
            "openai/clip-vit-base",
        ];
        let model = |id: &&str| format!(r#"{{"id":"{id}"}}"#);
        let others: Vec<String> = others.iter().map(model).collect();
        let others = others.join(",");
        for chat in [
            "gpt-4o-mini",
            "mistralai/Mistral-7B-Instruct-v0.3",
            "qwen2.5:0.5b",
            "deepseek-r1",
            "gemma3:1b",
            "phi4",
            "tinyllama",
        ] {
            let list = format!(r#"{{"data":[{others},{{"id":"{chat}"}},{{"id":"other"}}]}}"#);
            assert_eq!(read_models(list.as_bytes()), Ok(chat.to_owned()));
        }
        let alone = format!(r#"{{"data":[{others}]}}"#);
        assert_eq!(read_models(alone.as_bytes()), Err(AnswerFault::NoModel));
        for none in [&br#"{"data":[]}"#[..], br#"{"data":null}"#] {
            assert_eq!(read_models(none), Err(AnswerFault::NoModel));
        }
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
