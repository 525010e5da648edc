//! What the site says of a room before this node's first question in it.

use super::{Model, answer, ask, conversation, json_answer, whole};
use crate::support::{Gateway, user};
use crate::upstream::puppet::{Puppet, Request};

const TOKEN: &str = "token-of-the-tests-0123456789";

/// What was said before: the question of one test is there already.
const BEFORE: &str = r#"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello! \u00fc"},
    {"role": "user", "content": "a"}]}"#;

/// A gateway whose model has the site's context.
#[track_caller]
fn gateway(model: &Model, site: &str, more: &[&str]) -> Gateway {
    let url = format!("assistant.openai.context_url={site}");
    let token = format!("api.token={TOKEN}");
    let mut settings = vec!["log.level=trace", &*url, &*token];
    settings.extend(more);
    model.gateway(&settings)
}

#[test]
fn what_the_site_says_was_said_before_goes_along_and_is_asked_for_once_in_a_room() {
    let site = Puppet::start(|request| request.say(json_answer(BEFORE)));
    let url = format!("http://{}/context/", site.address());
    let model = Model::parrot();
    let gateway = gateway(
        &model,
        &url,
        &["assistant.openai.context_host=site.example"],
    );
    let (mut one, mut other) = (gateway.join("one"), gateway.join("other"));
    ask(&mut one, "a");
    ask(&mut one, "b");
    ask(&mut other, "c");
    let asked: Vec<_> = model.asked().iter().map(conversation).collect();
    let (hi, hello, a) = ("user: Hi", "assistant: Hello! ü", "user: a");
    let expected: [&[&str]; 3] = [
        &[hi, hello, a],
        &[hi, hello, a, "assistant: re: a", "user: b"],
        &[hi, hello, a, "user: c"],
    ];
    assert_eq!(asked, expected);
    let heads = site.heads();
    let [first, second] = &heads[..] else {
        panic!("{heads:?}");
    };
    assert!(first.starts_with("GET /context/?business_id=1&session_id=one HTTP/1.1\r\n"));
    assert!(second.starts_with("GET /context/?business_id=1&session_id=other HTTP/1.1\r\n"));
    let fields = first.to_lowercase();
    assert!(fields.contains(&format!("\r\nauthorization: bearer {TOKEN}\r\n")));
    assert!(fields.contains("\r\nhost: site.example\r\n"), "{fields}");
    let series = r#"supportal_assistant_contexts_total{outcome="found"}"#;
    assert_eq!(gateway.metric(series) as usize, 2);
    let log = gateway.log();
    assert!(!log.contains(TOKEN) && !log.contains("Hello!"), "{log}");
}

#[test]
fn no_more_of_it_goes_along_than_of_what_the_node_remembers() {
    let site = Puppet::start(|request| request.say(json_answer(BEFORE)));
    let url = format!("http://{}/context/?site=1", site.address());
    let model = Model::parrot();
    let gateway = gateway(&model, &url, &["assistant.openai.turns=2"]);
    ask(&mut gateway.join("abc"), "a");
    // Its last message alone would be the assistant's, and no conversation begins with that.
    assert_eq!(conversation(&model.asked()[0]), ["user: a"]);
    let heads = site.heads();
    assert!(heads[0].starts_with("GET /context/?site=1&business_id=1&session_id=abc HTTP/1.1\r\n"));
}

/// What a site may say that is no context, by the session that it is said of, and how it counts.
const FAULTS: [(&str, &str); 10] = [
    ("unauthorized", "refused"),
    ("forbidden", "refused"),
    ("gone", "status"),
    ("login", "status"),
    ("crash", "status"),
    ("page", "malformed"),
    ("other", "malformed"),
    ("huge", "too_long"),
    ("cut", "broken"),
    ("stuck", "timeout"),
];

fn say_fault(request: &mut Request) -> bool {
    let target = request.target().to_owned();
    let session = target.rsplit('=').next().unwrap_or_default();
    let answer = match session {
        "unauthorized" => whole("401 Unauthorized", "", ""),
        "forbidden" => whole("403 Forbidden", "", BEFORE),
        "gone" => whole("404 Not Found", "", ""),
        "login" => whole("302 Found", "Location: /context/?session_id=fine\r\n", ""),
        "crash" => whole("500 Internal Server Error", "", BEFORE),
        "page" => whole("200 OK", "Content-Type: text/html\r\n", "<html></html>"),
        "other" => json_answer(r#"{"messages": [{"role": "user", "content": ["Hi"]}]}"#),
        "huge" => whole("200 OK", "", format!("{BEFORE}{}", " ".repeat(1 << 20))),
        "cut" => {
            request.say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"messages\"");
            return false;
        }
        "stuck" => {
            while request.read() {}
            return false;
        }
        _ => json_answer(BEFORE),
    };
    request.say(answer)
}

#[test]
fn a_site_that_lies_stalls_or_breaks_costs_the_question_nothing_but_its_past() {
    let site = Puppet::start(say_fault);
    let url = format!("http://{}/context/", site.address());
    let model = Model::parrot();
    let gateway = gateway(&model, &url, &["assistant.openai.context_timeout=2s"]);
    let of = |outcome: &str| {
        let series = format!("supportal_assistant_contexts_total{{outcome=\"{outcome}\"}}");
        gateway.metric(&series) as usize
    };
    for (session, outcome) in FAULTS {
        let before = of(outcome);
        let mut client = gateway.join(session);
        assert_eq!(ask(&mut client, "Hello?"), "re: Hello?", "{session}");
        assert_eq!(of(outcome), before + 1, "{session}");
        let asked = model.asked();
        let last = asked.last().expect("a question");
        assert_eq!(conversation(last), ["user: Hello?"], "{session}");
    }
    assert_eq!(site.heads().len(), FAULTS.len(), "nothing is followed");
    ask(&mut gateway.join("fine"), "Hello?");
    assert_eq!(of("found"), 1);
    let log = gateway.log();
    assert!(log.contains("the site does not say what was said in a room before"));
    assert!(!log.contains(TOKEN), "{log}");
}

#[test]
fn a_site_that_is_away_holds_nobody_up() {
    let model = Model::parrot();
    // Nobody listens there.
    let gateway = gateway(&model, "http://127.0.0.1:9/context/", &[]);
    let mut client = gateway.join("abc");
    client.send_text(&user("Hello?"));
    assert_eq!(answer(&mut client), "re: Hello?");
    let series = r#"supportal_assistant_contexts_total{outcome="connect"}"#;
    assert_eq!(gateway.metric(series) as usize, 1);
}
