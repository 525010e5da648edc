//! `[assistant.openai]`: the model that answers, and what may be asked of it.

use super::decimal::Decimal;
use super::http_url::{is_host_and_port, is_open_to_readers, url_fault};
use super::problem::Findings;
use super::secret::Secret;
use super::setting::{BYTES_MAX, CAPACITY_MAX, DAY, WAIT, seconds, section};
use super::units;
use std::path::PathBuf;
use std::time::Duration;

/// Longest prompt in bytes: the whole of it goes along with every question.
const PROMPT_BYTES_MAX: usize = 64 * 1024;
/// No model takes a temperature above this.
const TEMPERATURE_MAX: Decimal = Decimal::thousandths(2_000);
/// What a prompt may have filled in.
pub const PLACEHOLDERS: [&str; 3] = ["{language}", "{context}", "{business_id}"];

section! {
    /// A model that answers, by an API as OpenAI's (Chat Completions): Ollama, vLLM, llama.cpp, OpenAI and most proxies.
    ["assistant.openai"] OpenAiSettings {
        /// Where the API is, up to `/v1`, `http` or `https`.
        base_url: String = "http://127.0.0.1:11434/v1".to_owned(), restart;
        /// File of PEM certificates of the authorities that `https` trusts; unset = the system's.
        ca_file: Option<PathBuf> = None, restart;
        /// The model that answers; unset = the first that the server lists (`GET …/models`) and whose name is not that of one for embeddings, ranking, speech or images.
        model: Option<String> = None, restart;
        /// Sent as `Authorization: Bearer`; unset = nothing. Prefer the environment, or a file of its own.
        api_key: Option<Secret> = None, restart;
        /// File with the key in it, such as a mounted secret; white space around it is cut off.
        api_key_file: Option<PathBuf> = None, restart;
        /// How freely the model chooses its words, 0 to 2; unset = as the server does.
        temperature: Option<Decimal> = None, restart;
        /// Most tokens of an answer; 0 = not sent: the server's own limit.
        max_tokens: u32 = 1_000, restart;
        /// What the model is told before the conversation. `{language}`, `{context}` (what is known about the question) and `{business_id}` are filled in; a paragraph with `{context}` is left out where nothing is known. Empty = nothing; unset = the few sentences inside the binary.
        prompt: Option<String> = None, restart;
        /// What `{language}` stands for.
        language: String = "en".to_owned(), restart;
        /// Messages of the room that go along, the question included.
        turns: usize = 10, restart, in 1..=100;
        /// Most bytes of these, and of what `{context}` stands for; the newest and the best go first.
        context_bytes: usize = 32 * 1024, restart, in 256..=1024 * 1024;
        /// Rooms whose messages are remembered for that; the one that was silent longest goes first.
        rooms: usize = 1_000, restart, in 1..=CAPACITY_MAX;
        /// How long a room's messages are remembered after the last one.
        #[serde(with = "units::duration")]
        remember: Duration = seconds(2 * 3600), restart, in seconds(1)..=DAY;
        /// Address of the site's view that says what was said in a room before, `http` or `https`: asked at a room's first question, with `api.token`; unset = nobody is asked.
        context_url: Option<String> = None, restart;
        /// Value of `Host` in that question, one of the site's ALLOWED_HOSTS; empty = the host of `context_url`.
        context_host: String = String::new(), restart;
        /// Longest wait for its answer; then the model is asked without.
        #[serde(with = "units::duration")]
        context_timeout: Duration = seconds(2), restart, in WAIT;
        /// Longest until the first word of an answer, all tries included.
        #[serde(with = "units::duration")]
        first_token: Duration = seconds(20), restart, in WAIT;
        /// Longest that a server may then be silent between two pieces.
        #[serde(with = "units::duration")]
        between_tokens: Duration = seconds(10), restart, in WAIT;
        /// How often a question is asked again before its first word has come: after a connection that failed, and 408, 409, 429 and 5xx; after half a second, twice as long each time, or when `Retry-After` says.
        retries: usize = 2, restart, in ..=10;
        /// Retries in a row, over all questions; ten answers give one back.
        retry_budget: usize = 10, restart, in ..=1_000;
        /// Questions in a row that failed, their retries included (no answer, one that makes no sense, 429 and 5xx), after which nobody is asked for `breaker_pause`: customers are told at once that nobody answers. Those of one business stop that business alone, and those of one room nobody.
        breaker_failures: usize = 5, restart, in 1..=1_000;
        /// How long that is; then one question tries: its first word is enough.
        #[serde(with = "units::duration")]
        breaker_pause: Duration = seconds(10), restart, in WAIT;
        /// Prompts of one business answered at the same time; its further ones wait and leave `assistant.concurrency` to others.
        concurrency_per_business: usize = 16, restart, in 1..=CAPACITY_MAX;
        /// Prompts of one business that may wait, those being answered not counted; its further ones get the apology and leave `assistant.prompts` to others; 0 = a third of the places that are free, so that a few businesses do not take all; one alone has a quarter.
        prompts_per_business: usize = 0, restart, in ..=CAPACITY_MAX;
        /// Most bytes of one event of an answer, or of an answer that does not come in events.
        event_bytes: usize = 256 * 1024, restart, in 4096..=BYTES_MAX;
        /// Most bytes of an answer with all its events.
        answer_bytes: usize = 16 * 1024 * 1024, restart, in 4096..=BYTES_MAX;
    }
}

/// The address is one, the key is one, and the waits make sense together.
pub(super) fn check(openai: &OpenAiSettings, timeout: Duration, is_on: bool, found: &mut Findings) {
    if let Some((what, fix)) = base_url_fault(&openai.base_url) {
        found.error("assistant.openai.base_url", what, fix);
    }
    check_key(openai, is_on, found);
    if let Some(prompt) = &openai.prompt {
        check_prompt("assistant.openai.prompt", prompt, found);
    }
    check_temperature("assistant.openai.temperature", openai.temperature, found);
    if openai.model.as_deref().is_some_and(str::is_empty) {
        let fix = "write its name, or leave the key out";
        found.error("assistant.openai.model", "is empty", fix);
    }
    if is_on && openai.first_token > timeout {
        let what = "is longer than assistant.timeout, which ends the wait before";
        let fix = "write at most assistant.timeout";
        found.warn("assistant.openai.first_token", what, fix);
    }
    let is_https = openai.base_url.starts_with("https:");
    if openai.ca_file.is_some() && !is_https {
        let fix = "write an https address as assistant.openai.base_url, or remove it";
        found.warn("assistant.openai.ca_file", "has no effect without TLS", fix);
    }
    if !is_on && *openai != OpenAiSettings::default() {
        let fix = "set assistant.kind = \"openai\", or remove it";
        found.warn("assistant.openai", "has no effect with this assistant", fix);
    }
}

/// The site's view has an address, and a token that it knows the node by.
pub(super) fn check_context(
    openai: &OpenAiSettings,
    timeout: Duration,
    has_token: bool,
    found: &mut Findings,
) {
    const KEY: &str = "assistant.openai.context_url";
    let Some(url) = &openai.context_url else {
        if !openai.context_host.is_empty() {
            let fix = "write the address of the view as assistant.openai.context_url, or remove it";
            found.warn(
                "assistant.openai.context_host",
                "has no effect: nobody is asked",
                fix,
            );
        }
        return;
    };
    let example = "write it as \"http://127.0.0.1:8001/supportal-gateway/context/\"";
    let instead = "remove it: the view knows the node by api.token";
    if let Some((what, fix)) = url_fault(url, example, instead) {
        found.error(KEY, what, fix);
    } else if !has_token {
        let fix = "write SUPPORTAL_API__TOKEN=… into the environment, of `openssl rand -hex 32`, and give it to the site too";
        found.error(
            KEY,
            "is set, and the view knows the node by api.token, which is unset",
            fix,
        );
    } else if is_open_to_readers(url) {
        let what = "is off this machine and without TLS: api.token and what was said can be read on the way";
        let fix = "write an https address, or that of a tunnel on this machine";
        found.warn(KEY, what, fix);
    }
    if !openai.context_host.is_empty() && !is_host_and_port(&openai.context_host) {
        let what = format!("{:?} is no host", openai.context_host);
        let fix = "write a name such as \"example.com\"";
        found.error("assistant.openai.context_host", what, fix);
    }
    if openai.turns == 1 {
        let fix = "write at least 2 as assistant.openai.turns, or remove it";
        found.warn(KEY, "has no effect: the question alone goes along", fix);
    }
    if openai.context_timeout >= timeout {
        let what = "is not shorter than assistant.timeout, which ends the answer";
        let fix = "write less, such as \"2s\"";
        found.warn("assistant.openai.context_timeout", what, fix);
    }
}

/// A key is one line of ASCII, of one source, and its server is told what it is asked for.
fn check_key(openai: &OpenAiSettings, is_on: bool, found: &mut Findings) {
    const KEY: &str = "assistant.openai.api_key";
    if let Some(key) = &openai.api_key {
        if key.expose().is_empty() || !key.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            let fix = "write the key alone, without white space";
            found.error(KEY, "is empty, or holds what no key holds", fix);
        }
        if openai.api_key_file.is_some() {
            let what = "is set, and assistant.openai.api_key_file is too";
            found.error(KEY, what, "remove one of the two");
        }
    }
    let has_key = openai.api_key.is_some() || openai.api_key_file.is_some();
    if is_on && has_key && is_open_to_readers(&openai.base_url) {
        let what = "is off this machine and without TLS: the key and what customers write can be read on the way";
        let fix = "write an https address, or that of a tunnel on this machine";
        found.warn("assistant.openai.base_url", what, fix);
    }
    if has_key && openai.model.is_none() {
        let what = "is unset: a server that asks for a key lists many, and the first is not meant";
        let fix = "write the model's name, such as \"gpt-4o-mini\"";
        found.error("assistant.openai.model", what, fix);
    }
}

/// A prompt is of a size that may go along with each question, and what is to be filled in is known.
pub(super) fn check_prompt(key: &str, prompt: &str, found: &mut Findings) {
    if prompt.len() > PROMPT_BYTES_MAX {
        let what = format!("has {} bytes", prompt.len());
        found.error(key, what, format!("write at most {PROMPT_BYTES_MAX}"));
    }
    for (at, _) in prompt.match_indices('{') {
        let rest = prompt.get(at..).unwrap_or_default();
        let Some(end) = rest.find('}') else { continue };
        let placeholder = rest.get(..=end).unwrap_or_default();
        let word = placeholder.get(1..end).unwrap_or_default();
        let is_word = !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if is_word && !PLACEHOLDERS.contains(&placeholder) {
            let what = format!("has {placeholder} in it, which nothing is known for");
            let fix = format!("one of {}", PLACEHOLDERS.join(", "));
            found.warn(key, what, fix);
        }
    }
}

/// A temperature is in the range of every server.
pub(super) fn check_temperature(key: &str, temperature: Option<Decimal>, found: &mut Findings) {
    if temperature.is_some_and(|temperature| temperature > TEMPERATURE_MAX) {
        found.error(key, "is too high", "write a number from 0 to 2");
    }
}

/// What is wrong with the address, and the fix.
fn base_url_fault(url: &str) -> Option<(&'static str, &'static str)> {
    let example = "write it as \"http://127.0.0.1:11434/v1\"";
    let instead = "remove it: a key has a setting of its own";
    url_fault(url, example, instead).or_else(|| {
        if url.contains('?') {
            Some(("has a query", "cut it off"))
        } else if url.ends_with("/completions") {
            Some(("is the address of one call", "cut it off behind /v1"))
        } else {
            None
        }
    })
}
