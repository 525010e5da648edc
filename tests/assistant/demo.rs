//! The commands of docs/assistants.md, word for word, but for the address of the model.

use super::{Model, ask, events, pieces};
use crate::manual::lines_of;
use crate::support::Gateway;
use std::sync::{Arc, Mutex, PoisonError};

#[test]
fn the_commands_of_the_chapter_talk_with_a_model() {
    let key: Arc<Mutex<Option<String>>> = Arc::default();
    let noted = Arc::clone(&key);
    let model = Model::start(move |request, _| {
        *noted.lock().unwrap_or_else(PoisonError::into_inner) =
            request.field("authorization").map(str::to_owned);
        request.say(events(pieces("Hello, how can I help?")))
    });
    let mut models = Vec::new();
    for line in lines_of("supportal") {
        let mut words = line.arguments;
        let names_a_model = |word: &&mut String| word.starts_with("assistant.openai.base_url=");
        let Some(address) = words.iter_mut().find(names_a_model) else {
            continue;
        };
        *address = format!("assistant.openai.base_url={}", model.base_url());
        let gateway = Gateway::start_by_words(&line.variables, &words);
        assert_eq!(
            ask(&mut gateway.join("abc"), "hello"),
            "Hello, how can I help?"
        );
        let given = key.lock().unwrap_or_else(PoisonError::into_inner).take();
        let secret = line
            .variables
            .first()
            .map(|(_, value)| format!("Bearer {value}"));
        assert_eq!(given, secret, "{}", line.text);
        let asked = model.asked();
        models.push(asked.last().expect("a question")["model"].clone());
    }
    assert_eq!(
        models,
        ["small:1b", "gpt-4o-mini"],
        "the first of its list, or the one that is named"
    );
}
