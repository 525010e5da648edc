//! What is found, what is not, and what the file may say.

use super::*;
use crate::name::RoomName;

const SHOP: &str = r#"
unknown = "No idea."

[[entry]]
question = "What are your opening hours?"
answer = "We are open from nine to five."
keywords = ["closing time"]

[[entry]]
question = "How can I pay?"
answer = "By card or cash."
keywords = ["payment methods", "credit card"]

[[entry]]
question = "How do I return a parcel?"
answer = "Send it back within 30 days, open or not."
keywords = ["refund"]

[[entry]]
question = "Who are you?"
answer = "A program."

[[entry]]
question = "Do you deliver abroad?"
answer = "Yes, to all of Europe."
keywords = ["shipping", "international delivery"]

[[entry]]
question = "How can I pay?"
answer = "Only in gold."
business = 7

[business.8]
unknown = "Ask at the desk."
[[business.8.entry]]
question = "Where is the desk?"
answer = "On the quay."
"#;

fn index(text: &str) -> Index {
    Index::new(knowledge::from_toml(text).expect("legal"))
}

#[test]
fn the_entry_that_shares_the_telling_words_wins() {
    let shop = index(SHOP);
    for (question, answer) in [
        ("When do you open?", "We are open from nine to five."),
        ("hours", "We are open from nine to five."),
        (
            "opening hours on christmas day",
            "We are open from nine to five.",
        ),
        ("what CREDIT CARDS do you take??", "By card or cash."),
        ("paying", "By card or cash."),
        (
            "I want a refund for my parcel",
            "Send it back within 30 days, open or not.",
        ),
        ("do you ship internationally", "Yes, to all of Europe."),
    ] {
        assert_eq!(shop.find("1", question), answer, "{question}");
    }
}

#[test]
fn a_question_of_stop_words_is_found_word_by_word() {
    assert_eq!(index(SHOP).find("1", "  WHO are you  "), "A program.");
}

#[test]
fn what_the_file_does_not_know_is_said_to_be_unknown() {
    let shop = index(SHOP);
    for question in [
        "",
        "?!",
        "the of and",
        "my printer burns and the cat sits on the card",
        "Donaudampfschifffahrt",
        "what is the meaning of life within europe",
    ] {
        assert_eq!(shop.find("1", question), "No idea.", "{question}");
    }
}

#[test]
fn answers_of_a_business_stay_with_it_and_come_first_there() {
    let shop = index(SHOP);
    assert_eq!(shop.find("7", "how can i pay"), "Only in gold.");
    assert_eq!(
        shop.find("7", "which payments?"),
        "By card or cash.",
        "keywords are for all"
    );
    assert_eq!(shop.find("1", "how can i pay"), "By card or cash.");
    assert_eq!(shop.find("8", "the desk?"), "On the quay.");
    assert_eq!(shop.find("1", "the desk?"), "No idea.");
    assert_eq!(shop.find("8", "zebra"), "Ask at the desk.");
}

#[test]
fn equals_are_decided_by_the_order_in_the_file() {
    let text = "[[entry]]\nquestion='red apple'\nanswer='first'\n\
        [[entry]]\nquestion='red apple'\nanswer='other'\n";
    for _ in 0..20 {
        assert_eq!(index(text).find("1", "an apple that is red"), "first");
    }
}

#[test]
fn the_embedded_file_answers_greetings_and_admits_the_rest() {
    let faq = Faq::load(None).expect("ships with the binary");
    for (question, begin) in [
        ("hi", "Hello!"),
        ("Good morning!", "Hello!"),
        ("thanks", "You're welcome"),
        ("Thank you so much", "You're welcome"),
        ("What can you do?", "I answer from"),
        ("when do you open", "I do not know this business's"),
        ("how do I send messages", "Write it"),
        ("tell me a joke about tigers", "Sorry, I don't know"),
    ] {
        let answer = faq.0.find("1", question);
        assert!(answer.starts_with(begin), "{question}: {answer}");
    }
}

#[test]
fn a_page_of_text_is_answered_as_its_first_words() {
    let shop = index(SHOP);
    let text = "refund ".repeat(5_000);
    assert_eq!(
        shop.find("1", &text),
        "Send it back within 30 days, open or not."
    );
    assert_eq!(
        shop.find("1", &"\u{e9}\u{301}x ".repeat(10_000)),
        "No idea."
    );
}

#[test]
fn a_bad_file_is_refused_with_its_path_and_line() {
    let folder = tempfile::tempdir().expect("folder");
    let refused = |path: &Path| Faq::load(Some(path)).expect_err("refused").to_string();

    let absent = folder.path().join("absent.toml");
    assert!(
        refused(&absent).contains("cannot read"),
        "{}",
        refused(&absent)
    );
    assert!(refused(folder.path()).contains("is not a file"), "a folder");

    let large = folder.path().join("large.md");
    std::fs::write(&large, "x".repeat(KNOWLEDGE_BYTES_MAX + 1)).expect("written");
    assert!(
        refused(&large).contains("at most 1048576 bytes"),
        "{}",
        refused(&large)
    );

    let broken = folder.path().join("broken.toml");
    std::fs::write(&broken, "\n\n[[entry]]\nquestion = 'q'\nanswer = ''\n").expect("written");
    let error = refused(&broken);
    assert!(
        error.ends_with("broken.toml:5: `answer` is empty"),
        "{error}"
    );

    let markdown = folder.path().join("shop.md");
    std::fs::write(&markdown, "## Where is the desk?\nOn the quay.\n").expect("written");
    let faq = Faq::load(Some(&markdown)).expect("legal");
    assert_eq!(faq.0.find("1", "the desk?"), "On the quay.");
}

#[tokio::test]
async fn it_answers_in_one_piece_and_an_end() {
    let faq = Faq::parse(Path::new("shop.toml"), SHOP).expect("legal");
    let mut replies = faq.answer(Question {
        room: RoomName::chat("8", "a").expect("legal"),
        user: None,
        text: "desk".to_owned(),
        past: Vec::new(),
    });
    assert_eq!(
        replies.next().await,
        Some(Ok(Piece::Text("On the quay.".to_owned())))
    );
    assert_eq!(replies.next().await, Some(Ok(Piece::End)));
    assert_eq!(replies.next().await, None);
}

#[test]
fn errors_are_small_enough_to_return_by_value() {
    assert!(size_of::<Error>() <= 64, "{}", size_of::<Error>());
}
