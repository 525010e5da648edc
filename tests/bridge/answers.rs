//! An answer to a room whose members have gone meanwhile: to another node, or for good.

use super::streams::stream_node;
use super::*;
use std::fmt::Write as _;

/// The assistant of these tests answers one question at a time, each from as much knowledge as a
/// file may hold, and many of other rooms first.
struct Thinker {
    folder: tempfile::TempDir,
    question: String,
}

/// Other rooms that ask first.
const ROOMS: usize = 6;

/// How often each of them asks: as often as may wait in a room.
const EACH: usize = 8;

const ANSWER: &str = "A weevil.";

impl Thinker {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let words: Vec<String> = (0..60).map(|word| format!("word{word}x")).collect();
        let words = words.join(" ");
        let question = format!("{words} zyzzyva");
        let mut text = format!("[[entry]]\nquestion = \"{question}\"\nanswer = \"{ANSWER}\"\n");
        while text.len() < 1_000_000 {
            writeln!(text, "[[entry]]\nquestion = \"{words}\"\nanswer = \"?\"").expect("a string");
        }
        std::fs::write(folder.path().join("faq.toml"), text).expect("the knowledge file");
        Self { folder, question }
    }

    #[track_caller]
    fn node(&self, start: impl FnOnce(&[&str]) -> Gateway) -> Gateway {
        let file = self.folder.path().join("faq.toml");
        let knowledge = format!("assistant.knowledge={}", file.display());
        start(&[
            "assistant.kind=faq",
            "assistant.concurrency=1",
            "assistant.timeout=60s",
            "limits.messages_per_second=0",
            &knowledge,
        ])
    }

    /// Asks in the room `abc` of `node`, behind the questions of other rooms, and goes away. False if
    /// the answer was quicker than that. The others go into `stay`.
    #[track_caller]
    fn ask_and_leave(&self, node: &Gateway, stay: &mut Vec<Client>) -> bool {
        let answered = || node.metric_sum("supportal_prompts_total");
        let end = answered() + (ROOMS * EACH + 1) as f64;
        let mut others: Vec<Client> = (0..ROOMS).map(|n| node.join(&format!("r{n}"))).collect();
        let mut asker = node.join("abc");
        for other in &mut others {
            for _ in 0..EACH {
                say(other, &self.question);
            }
            expect(other, &self.question);
        }
        say(&mut asker, &self.question);
        expect(&mut asker, &self.question);
        asker.send_close(1001, "");
        asker.expect_close();
        wait::until("the asker's room to be gone", RECOVERY, || {
            node.metric("supportal_rooms") == ROOMS as f64
        });
        let was_thinking = answered() < end;
        wait::until("all answers", RECOVERY, || answered() == end);
        stay.append(&mut others);
        was_thinking
    }
}

/// Until an asker has left before the answer: every second or third does.
const ROUNDS: usize = 50;

/// The asker's tab is open on another node by the time the assistant has thought.
#[track_caller]
fn the_answer_follows(start: fn(&Redis, &[&str]) -> Gateway) {
    let thinker = Thinker::new();
    let redis = Redis::start(&[]);
    let asked = thinker.node(|settings| start(&redis, settings));
    let other = start(&redis, &[]);
    let mut tab = other.join("abc");
    // An answer that is quicker than the asker arrives as any other does, and proves nothing here.
    let mut others = Vec::new();
    let was_thinking = (0..ROUNDS).any(|_round| {
        let was_thinking = thinker.ask_and_leave(&asked, &mut others);
        expect(&mut tab, &thinker.question);
        expect(&mut tab, ANSWER);
        was_thinking
    });
    assert!(was_thinking, "the assistant was quicker each time");
    for node in [&asked, &other] {
        assert_eq!(node.metric("supportal_bridge_gaps_total"), 0.0);
        node.settled_ledger();
    }
}

#[test]
fn an_answer_follows_the_asker_to_another_node() {
    the_answer_follows(node);
}

#[test]
fn an_answer_follows_the_asker_to_another_node_in_mode_streams() {
    the_answer_follows(stream_node);
}

#[test]
fn an_answer_that_nobody_is_left_to_hear_is_counted() {
    let thinker = Thinker::new();
    let node = thinker.node(Gateway::start);
    let closed = || node.metric("supportal_deliveries_dropped_total{cause=\"closed\"}");
    let mut others = Vec::new();
    let was_thinking = (0..ROUNDS).any(|_round| {
        let before = closed();
        let was_thinking = thinker.ask_and_leave(&node, &mut others);
        if was_thinking {
            wait::until("one delivery to be dropped", RECOVERY, || {
                closed() == before + 1.0
            });
        }
        was_thinking
    });
    assert!(was_thinking, "the assistant was quicker each time");
    node.settled_ledger();
}
