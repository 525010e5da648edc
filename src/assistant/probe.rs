//! `supportal check --model`: does whoever is to answer answer, with these settings?
//!
//! Asks one short question as a customer's is asked: same key, same prompt, same times, same retries. Only what is known about a
//! question ([`Retrieve`](super::Retrieve)) and what was said before are not there. Called by the command line, without a
//! running node.

use super::{Assistant, Error, OpenAi, Piece, Question, Webhook};
use crate::config::{AssistantKind, Config};
use crate::metrics::Metrics;
use crate::name::RoomName;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// What is asked. A model needs no knowledge for it, and a person who reads it in a site's table sees what it is.
const QUESTION: &str = "This is a test by `supportal check`. Please answer with one word.";
/// The session in which that is asked, of business 0: nobody's.
const SESSION: &str = "supportal-check";
/// Most characters of the answer that are shown.
const SHOWN_CHARACTERS: usize = 200;

/// What came of the question.
#[derive(Debug)]
pub struct ProbedAnswer {
    /// Who was asked, and where.
    pub asked: String,
    /// The model's name, if one was asked and that is known.
    pub model: Option<Arc<str>>,
    /// What became of it, or why there is no answer.
    pub outcome: Result<ProbeOutcome, String>,
    /// From the question to the end.
    pub took: Duration,
}

/// What became of a question that did not fail.
#[derive(Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// This answer, shortened, in characters that a terminal shows; the first of it came after so long.
    Answer(String, Duration),
    /// The site answers later, by another way.
    Later,
    /// The site wants no answer to be given.
    Unwanted,
}

/// Asks once; `None` if nobody is asked over the network. Blocks, at most for `assistant.timeout`.
///
/// # Errors
/// When the settings name what cannot be used, or the system gives no runtime.
pub fn probe(config: &Config) -> Result<Option<ProbedAnswer>, Error> {
    let (settings, metrics) = (&config.assistant, Arc::new(Metrics::new()));
    let runtime = || {
        let built = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        built.map_err(Error::Runtime)
    };
    let probed = match settings.kind {
        AssistantKind::None | AssistantKind::Faq => return Ok(None),
        AssistantKind::OpenAi => {
            let assistant = OpenAi::new(settings, &metrics, None)?;
            let (outcome, took) = runtime()?.block_on(ask(&assistant, settings.timeout));
            ProbedAnswer {
                asked: format!("openai {}", settings.openai.base_url),
                model: assistant.model(),
                outcome: outcome.map_err(|why| assistant.last_fault().unwrap_or(why)),
                took,
            }
        }
        AssistantKind::Webhook => {
            let assistant = Webhook::new(settings, &metrics)?;
            let (outcome, took) = runtime()?.block_on(ask(&assistant, settings.timeout));
            let url = settings.webhook.url.as_deref().unwrap_or_default();
            ProbedAnswer {
                asked: format!("webhook {url}"),
                model: None,
                outcome: outcome.map_err(|why| assistant.last_fault().unwrap_or(why)),
                took,
            }
        }
    };
    Ok(Some(probed))
}

async fn ask(
    assistant: &dyn Assistant,
    longest: Duration,
) -> (Result<ProbeOutcome, String>, Duration) {
    let began = Instant::now();
    let Some(room) = RoomName::chat("0", SESSION) else {
        return (Err("no such room".to_owned()), Duration::ZERO);
    };
    let question = Question {
        room,
        user: None,
        text: QUESTION.to_owned(),
        past: Vec::new(),
    };
    let answered = timeout(longest, read(assistant, question, began)).await;
    let outcome =
        answered.unwrap_or_else(|_elapsed| Err("no reply within assistant.timeout".to_owned()));
    (outcome, began.elapsed())
}

async fn read(
    assistant: &dyn Assistant,
    question: Question,
    began: Instant,
) -> Result<ProbeOutcome, String> {
    let mut replies = assistant.answer(question);
    let (mut text, mut first) = (String::new(), None);
    loop {
        match replies.next().await {
            Some(Ok(Piece::Text(piece))) => {
                first.get_or_insert_with(|| began.elapsed());
                // Beyond what is shown it is only waited for.
                let left = SHOWN_CHARACTERS.saturating_sub(text.chars().count());
                text.extend(piece.chars().take(left));
            }
            Some(Ok(Piece::Meta(_))) => {}
            Some(Ok(Piece::End)) => {
                let shown = text.trim().escape_debug().to_string();
                return match first {
                    Some(first) => Ok(ProbeOutcome::Answer(shown, first)),
                    None => Err("the answer was empty".to_owned()),
                };
            }
            Some(Ok(Piece::Later)) => return Ok(ProbeOutcome::Later),
            Some(Ok(Piece::Unwanted)) => return Ok(ProbeOutcome::Unwanted),
            Some(Err(failure)) => return Err(failure.to_string()),
            None => return Err("the answer broke off".to_owned()),
        }
    }
}
