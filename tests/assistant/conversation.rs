//! What a model is asked, what becomes of its answer, and what ends it early.

use super::{
    APOLOGY, EVENTS, Model, answer, ask, chunk, conversation, events, join_business, piece, pieces,
    question,
};
use crate::support::wait::until;
use crate::support::{Gateway, PATIENCE, Signal, user};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

#[test]
fn an_answer_in_many_pieces_is_one_frame_and_without_a_name_the_first_model_answers() {
    let model = Model::parrot();
    let gateway = model.gateway(&[]);
    let mut client = gateway.join("abc");
    assert_eq!(ask(&mut client, "Hello?"), "re: Hello?");
    assert!(client.is_quiet_for(Duration::from_millis(200)));
    assert_eq!(ask(&mut client, "Again"), "re: Again");
    let asked = model.asked();
    assert_eq!(asked[0]["model"], "small:1b");
    assert_eq!(asked[0]["stream"], true);
    assert_eq!(asked[0]["max_tokens"], 1000);
    assert_eq!(asked[0]["temperature"], Value::Null);
    let lists = model.puppet.heads();
    let lists = lists
        .iter()
        .filter(|head| head.starts_with("GET /v1/models "));
    assert_eq!(lists.count(), 1, "asked once");
}

#[test]
fn a_question_goes_with_what_was_said_before_in_its_room_and_nothing_of_others() {
    let model = Model::parrot();
    let gateway = model.gateway(&["assistant.openai.turns=4"]);
    let (mut one, mut other) = (gateway.join("one"), gateway.join("other"));
    for text in ["a", "b", "c"] {
        ask(&mut one, text);
    }
    ask(&mut other, "x");
    let asked: Vec<_> = model.asked().iter().map(conversation).collect();
    let expected: [&[&str]; 4] = [
        &["user: a"],
        &["user: a", "assistant: re: a", "user: b"],
        &["user: b", "assistant: re: b", "user: c"],
        &["user: x"],
    ];
    assert_eq!(asked, expected);
}

#[test]
fn an_apology_is_part_of_the_conversation_as_in_the_package() {
    let model = Model::start(|request, asked| match question(asked) {
        "fail" => request.say("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        _ => request.say(events(pieces("Hi"))),
    });
    let gateway = model.gateway(&[]);
    let mut client = gateway.join("abc");
    assert!(ask(&mut client, "fail").starts_with(APOLOGY));
    assert_eq!(ask(&mut client, "and now?"), "Hi");
    let asked = model.asked();
    let said = conversation(asked.last().expect("a question"));
    assert_eq!(said[0], "user: fail");
    assert!(
        said[1].starts_with(&format!("assistant: {APOLOGY}")),
        "{said:?}"
    );
}

#[test]
fn a_business_may_be_answered_in_its_own_way() {
    let model = Model::parrot();
    let gateway = Gateway::start_with_toml(&format!(
        "[assistant]\nkind = \"openai\"\n\
         [assistant.openai]\nbase_url = \"{}/\"\nmodel = \"all\"\ntemperature = 0.7\nlanguage = \"de\"\n\
         prompt = \"Business {{business_id}} in {{language}}.\\n\\nKnown: {{context}}\"\n\
         [[assistant.businesses]]\nbusiness_id = 2\nmodel = \"own\"\nlanguage = \"fr\"\ntemperature = 1\nmax_tokens = 0\n",
        model.base_url()
    ));
    for business in [1, 2] {
        let mut client = gateway.connect(&format!("/ws/chat/{business}/abc/"));
        client.skip_welcome();
        ask(&mut client, "Hello?");
    }
    let asked = model.asked();
    let told = |at: usize| asked[at]["messages"][0]["content"].as_str().expect("text");
    assert_eq!(
        (told(0), told(1)),
        ("Business 1 in de.", "Business 2 in fr.")
    );
    assert_eq!(
        (&asked[0]["model"], &asked[1]["model"]),
        (&"all".into(), &"own".into())
    );
    assert_eq!(asked[0]["temperature"], 0.7);
    assert_eq!(asked[1]["temperature"], 1.0);
    assert_eq!(
        asked[1]["max_tokens"],
        Value::Null,
        "the server's own limit"
    );
}

#[test]
fn a_key_goes_to_the_server_and_nowhere_else() {
    let model = Model::parrot();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    std::fs::write(&file, "sk-very-secret\n").expect("the file");
    let file = format!("assistant.openai.api_key_file={}", file.display());
    let named = ["assistant.openai.model=m", &file, "log.level=trace"];
    let gateway = model.gateway(&named);
    let mut client = gateway.join("abc");
    assert_eq!(ask(&mut client, "Hello?"), "re: Hello?");
    let heads = model.puppet.heads();
    assert!(heads.iter().all(|head| {
        head.to_lowercase()
            .contains("authorization: bearer sk-very-secret\r\n")
    }));
    assert!(!gateway.log().contains("sk-very-secret"));
    assert!(!gateway.log().contains("Hello?"), "nor what is said");
}

/// A model that says one word, and then waits until it is left; how many have been.
fn endless() -> (Model, Arc<AtomicUsize>) {
    let left = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&left);
    let model = Model::start(move |request, _| {
        request.say(EVENTS);
        request.say(chunk(piece("Well, ")));
        while request.read() {}
        counted.fetch_add(1, Ordering::SeqCst);
        false
    });
    (model, left)
}

#[test]
fn an_answer_that_takes_too_long_is_apologised_for_and_its_request_is_closed() {
    let (model, left) = endless();
    let gateway = model.gateway(&["assistant.timeout=1s"]);
    let mut client = gateway.join("abc");
    assert!(ask(&mut client, "Hello?").starts_with(APOLOGY));
    until("the model is left", PATIENCE, || {
        left.load(Ordering::SeqCst) == 1
    });
    let series = |name: &str| gateway.metric(name) as usize;
    assert_eq!(
        series(r#"supportal_assistant_answers_total{outcome="cancelled"}"#),
        1
    );
    assert_eq!(series(r#"supportal_prompts_total{outcome="timeout"}"#), 1);
}

#[test]
fn a_node_that_stops_apologises_for_what_is_under_way_and_leaves_the_model() {
    let (model, left) = endless();
    let gateway = model.gateway(&["server.drain_grace=3s"]);
    let mut client = gateway.join("abc");
    client.send_text(&user("Hello?"));
    until("the model is asked", PATIENCE, || model.asked().len() == 1);
    gateway.signal(Signal::Term);
    assert!(answer(&mut client).starts_with(APOLOGY));
    until("the model is left", PATIENCE, || {
        left.load(Ordering::SeqCst) == 1
    });
    assert_eq!(gateway.wait_exit(PATIENCE * 4), Some(0));
}

#[test]
fn what_a_customer_says_in_a_row_is_one_question_with_one_answer() {
    let model = Model::parrot();
    let gateway = model.gateway(&["assistant.debounce=1s"]);
    let (mut one, mut other) = (gateway.join("abc"), gateway.join("abc"));
    one.send_text(&user("Hello?"));
    one.send_text(&user("I have a question"));
    one.send_text(&user("about my order"));
    let whole = "Hello?\nI have a question\nabout my order";
    assert_eq!(answer(&mut one), format!("re: {whole}"));
    assert_eq!(answer(&mut other), format!("re: {whole}"));
    // Two customers are two questions.
    one.send_text(&user("a"));
    until("the first is there", PATIENCE, || {
        gateway.admin("/health").json()["assistant"]["open"] == 1
    });
    other.send_text(&user("b"));
    let answers = [answer(&mut one), answer(&mut one)];
    assert_eq!(answers, ["re: a", "re: b"]);
    assert_eq!(model.asked().len(), 3);
    assert_eq!(
        gateway.metric(r#"supportal_prompts_total{outcome="merged"}"#) as usize,
        2
    );
    // Whoever ends its side after a row still hears the answer, and is let go.
    let mut last = gateway.join("last");
    last.send_text(&user("c"));
    last.send_text(&user("d"));
    last.half_close();
    assert_eq!(answer(&mut last), "re: c\nd");
    last.expect_eof();
}

#[test]
fn a_business_that_asks_much_leaves_places_to_others() {
    let is_open = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&is_open);
    let model = Model::start(move |request, asked| {
        if question(asked).starts_with("slow") {
            until("the test goes on", PATIENCE * 4, || {
                opened.load(Ordering::SeqCst)
            });
        }
        request.say(events(pieces("Hi")))
    });
    let gateway = model.gateway(&[
        "assistant.openai.concurrency_per_business=2",
        "assistant.openai.prompts_per_business=4",
        "assistant.concurrency=4",
        "assistant.prompts=8",
    ]);
    let mut many: Vec<_> = (0..6)
        .map(|room| gateway.join(&format!("room-{room}")))
        .collect();
    for client in &mut many {
        client.send_text(&user("slow"));
    }
    until("two are asked", PATIENCE, || model.asked().len() == 2);
    until("four wait", PATIENCE, || {
        gateway.admin("/health").json()["assistant"]["open"] == 6
    });
    for _ in 0..3 {
        let apology = ask(&mut gateway.join("late"), "slow");
        assert!(apology.starts_with(APOLOGY), "{apology}");
    }
    let over_share = gateway.metric(r#"supportal_prompts_total{outcome="over_share"}"#);
    assert_eq!(over_share as usize, 3);
    let mut other = join_business(&gateway, 2, "abc");
    assert_eq!(ask(&mut other, "quick"), "Hi");
    assert_eq!(
        model.asked().len(),
        3,
        "two of the first business, one of the other"
    );
    is_open.store(true, Ordering::SeqCst);
    for client in &mut many {
        assert_eq!(answer(client), "Hi");
    }
}
