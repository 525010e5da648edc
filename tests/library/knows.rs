//! A program that says what is known about questions, and leaves the asking to `assistant.kind = "openai"`.

use super::Running;
use crate::assistant::{Model, ask};
use supportal::config::AssistantKind;
use supportal::{KnownPassage, Passages, Retrieve};

/// Knows one thing of business 1, something endless of business 2, and panics over business 3.
struct Shelf;

impl Retrieve for Shelf {
    fn passages(&self, business_id: &str, question: &str) -> Passages {
        assert_ne!(business_id, "3", "asked for by a test");
        let found = match business_id {
            "1" => vec![format!("What is known of {question}"), "More.".to_owned()],
            _ => vec!["x".repeat(1024 * 1024)],
        };
        Box::pin(async move { found.into_iter().map(KnownPassage::from).collect() })
    }
}

#[test]
fn what_a_program_knows_about_a_question_is_told_to_the_model_within_its_bounds() {
    let model = Model::parrot();
    let node = Running::start_with(
        |config| {
            config.assistant.kind = AssistantKind::OpenAi;
            let openai = &mut config.assistant.openai;
            openai.base_url = model.base_url();
            openai.prompt = Some("Answer.\n\nKnown:\n{context}".to_owned());
        },
        |builder| builder.retrieve(Shelf),
    );
    for business in [1, 2, 3] {
        let mut client = node.connect(&format!("/ws/chat/{business}/abc/"));
        client.skip_welcome();
        let answer = ask(&mut client, "lamps");
        assert_eq!(answer == "re: lamps", business != 3, "{answer}");
    }
    let asked = model.asked();
    let told: Vec<_> = asked
        .iter()
        .map(|asked| &asked["messages"][0]["content"])
        .collect();
    assert_eq!(
        told,
        [
            "Answer.\n\nKnown:\nWhat is known of lamps\n\nMore.",
            "Answer."
        ]
    );
}
