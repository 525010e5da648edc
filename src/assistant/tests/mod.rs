//! The dispatcher with scripted backends: what a prompt ends in, and when.

mod rows;

use super::prompts::Counts;
use super::*;
use crate::broker::ConnectionKey;
use crate::config;
use crate::metrics::{Counter, Metrics};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

const ASKER: Author = Author {
    worker: 0,
    connection: ConnectionKey(0),
};

/// Another connection.
fn other(connection: u64) -> Author {
    Author {
        worker: 1,
        connection: ConnectionKey(connection),
    }
}

type Outcomes = mpsc::UnboundedReceiver<(String, String)>;

/// Sends (question, outcome) to the test; panics on `panic in reply`.
struct Recorder {
    text: String,
    outcomes: mpsc::UnboundedSender<(String, String)>,
}

impl ReplyTo for Recorder {
    fn reply(self: Box<Self>, text: String, meta: Option<ReplyMeta>) {
        let beside = meta.map_or_else(String::new, |meta| format!(" {}", meta.as_json()));
        let text = text + &beside;
        let sent = self.outcomes.send((self.text.clone(), text));
        assert!(sent.is_ok() && self.text != "panic in reply");
    }
    fn apologise(self: Box<Self>) {
        let sent = self.outcomes.send((self.text, "sorry".to_owned()));
        assert!(sent.is_ok());
    }
    fn merged(self: Box<Self>) {
        let sent = self.outcomes.send((self.text, "merged".to_owned()));
        assert!(sent.is_ok());
    }
    fn silent(self: Box<Self>) {
        let sent = self.outcomes.send((self.text, "silent".to_owned()));
        assert!(sent.is_ok());
    }
}

/// Does what the question says: `echo`, `slow` (one second), `stuck`, `panic`, and so on.
#[derive(Default)]
struct Script {
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Assistant for Script {
    fn answer(&self, question: Question) -> Replies {
        assert!(question.text != "panic");
        if question.text == "panic later" {
            return Replies::of(async { unreachable!("asked for by a test") });
        }
        let (pieces, replies) = Replies::channel();
        let (running, most) = (Arc::clone(&self.running), Arc::clone(&self.most));
        tokio::spawn(async move {
            most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
            let texts: Vec<Result<Piece, Failure>> = match question.text.as_str() {
                "stuck" => {
                    pieces.closed().await;
                    vec![]
                }
                "fail" => vec![Err(Failure::Failed)],
                "empty" => vec![Ok(Piece::End)],
                "later" => vec![Ok(Piece::Later)],
                "unwanted" => vec![Ok(Piece::Unwanted)],
                "later than words" => vec![Ok(Piece::Text("Hi".to_owned())), Ok(Piece::Later)],
                "meta" => {
                    let meta = ReplyMeta::new("{\"a\": 1}").expect("an object");
                    let text = Piece::Text("Hi".to_owned());
                    vec![Ok(Piece::Meta(meta)), Ok(text), Ok(Piece::End)]
                }
                "broken" => vec![Ok(Piece::Text("half".to_owned()))],
                "long" => vec![Ok(Piece::Text("x".repeat(REPLY_BYTES_MAX + 1)))],
                text => {
                    if text.starts_with("slow") {
                        sleep(Duration::from_secs(1)).await;
                    }
                    vec![Ok(Piece::Text(format!("re: {text}"))), Ok(Piece::End)]
                }
            };
            running.fetch_sub(1, SeqCst);
            for piece in texts {
                if pieces.send(piece).await.is_err() {
                    return;
                }
            }
        });
        replies
    }

    fn name(&self) -> &'static str {
        "script"
    }
}

struct Bench {
    dispatcher: Dispatcher,
    most: Arc<AtomicUsize>,
    panics: Counter,
    sender: mpsc::UnboundedSender<(String, String)>,
    outcomes: Outcomes,
}

impl Bench {
    fn new(prompts: usize, prompts_per_room: usize, concurrency: usize) -> Self {
        Self::with(config::AssistantSettings {
            prompts,
            prompts_per_room,
            concurrency,
            ..config::AssistantSettings::default()
        })
    }

    fn with(config: config::AssistantSettings) -> Self {
        let script = Script::default();
        let most = Arc::clone(&script.most);
        let (handle, panics) = (Handle::current(), Counter::default());
        let dispatcher = Dispatcher::with(&handle, &config, &panics, Arc::new(script));
        let (sender, outcomes) = mpsc::unbounded_channel();
        Self {
            dispatcher,
            most,
            panics,
            sender,
            outcomes,
        }
    }

    fn ask(&self, session: &str, text: &str) -> Asked {
        self.ask_as(ASKER, "1", session, text)
    }

    fn ask_as(&self, asker: Author, business: &str, session: &str, text: &str) -> Asked {
        self.dispatcher.ask(Prompt {
            room: RoomName::chat(business, session).expect("legal"),
            asker,
            user: None,
            text: text.to_owned(),
            reply: Box::new(Recorder {
                text: text.to_owned(),
                outcomes: self.sender.clone(),
            }),
        })
    }

    fn accept(&self, session: &str, text: &str) {
        let asked = self.ask(session, text);
        assert!(matches!(asked, Asked::Accepted), "{text}: {asked:?}");
    }

    /// The next outcome.
    async fn outcome(&mut self) -> (String, String) {
        let outcome = self.outcomes.recv().await;
        outcome.expect("the bench holds a sender")
    }

    async fn expect(&mut self, text: &str, outcome: &str) {
        assert_eq!(self.outcome().await, (text.to_owned(), outcome.to_owned()));
    }
}

fn adds_up(counts: Counts) -> bool {
    let apologies = counts.timeouts + counts.panics + counts.failures + counts.stopped;
    let ended = counts.replied + counts.later + counts.unwanted + apologies + counts.merged;
    counts.accepted == ended + counts.open
}

#[tokio::test(start_paused = true)]
async fn a_room_is_answered_one_at_a_time_in_the_order_asked() {
    let mut bench = Bench::new(99, 9, 9);
    for text in ["slow 1", "echo 2", "slow 3", "echo 4"] {
        bench.accept("a", text);
    }
    for text in ["slow 1", "echo 2", "slow 3", "echo 4"] {
        bench.expect(text, &format!("re: {text}")).await;
    }
    assert_eq!(bench.most.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn rooms_run_side_by_side_up_to_the_concurrency() {
    let mut bench = Bench::new(99, 9, 2);
    let start = Instant::now();
    for room in ["a", "b", "c", "d"] {
        bench.accept(room, &format!("slow {room}"));
    }
    for _ in 0..4 {
        assert!(bench.outcome().await.1.starts_with("re: slow"));
    }
    assert_eq!(bench.most.load(SeqCst), 2);
    assert_eq!(start.elapsed().as_secs(), 2, "two rounds of a second");
}

#[tokio::test(start_paused = true)]
async fn a_room_that_asks_much_does_not_hold_up_another() {
    let mut bench = Bench::new(99, 9, 1);
    for text in ["slow 1", "slow 2", "slow 3"] {
        bench.accept("a", text);
    }
    bench.accept("b", "echo b");
    bench.expect("slow 1", "re: slow 1").await;
    bench.expect("echo b", "re: echo b").await;
    bench.expect("slow 2", "re: slow 2").await;
}

#[tokio::test(start_paused = true)]
async fn a_full_room_and_a_full_desk_are_busy_and_hand_the_prompt_back() {
    let mut bench = Bench::new(4, 2, 1);
    for text in ["slow 1", "slow 2", "slow 3"] {
        bench.accept("a", text);
    }
    let Asked::Busy(prompt) = bench.ask("a", "slow 4") else {
        panic!("two wait already");
    };
    prompt.reply.apologise();
    bench.expect("slow 4", "sorry").await;
    bench.accept("b", "slow b");
    assert!(
        matches!(bench.ask("c", "slow c"), Asked::Busy(_)),
        "four in all"
    );
    for _ in 0..4 {
        bench.outcome().await;
    }
    bench.accept("c", "slow c");
    bench.expect("slow c", "re: slow c").await;
    assert_eq!(bench.dispatcher.counts().busy, 2);
}

#[tokio::test(start_paused = true)]
async fn a_stuck_backend_is_apologised_for_at_the_timeout_and_the_room_goes_on() {
    let mut bench = Bench::new(9, 9, 1);
    let start = Instant::now();
    bench.accept("a", "stuck");
    bench.accept("a", "echo");
    bench.expect("stuck", "sorry").await;
    assert_eq!(start.elapsed().as_secs(), 30);
    bench.expect("echo", "re: echo").await;
    assert_eq!(bench.dispatcher.counts().timeouts, 1);
}

#[tokio::test(start_paused = true)]
async fn every_failure_is_one_apology_and_costs_nobody_else() {
    let mut bench = Bench::new(9, 9, 1);
    for text in ["panic", "panic later", "fail", "empty", "broken", "long"] {
        bench.accept("a", text);
        bench.accept("a", "echo");
        bench.expect(text, "sorry").await;
        bench.expect("echo", "re: echo").await;
    }
    let counts = bench.dispatcher.counts();
    assert_eq!((counts.panics, counts.failures, counts.replied), (2, 4, 6));
    assert_eq!(bench.panics.get(), 2);
    assert!(adds_up(counts) && counts.open == 0, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_later_or_not_at_all_ends_in_silence_and_costs_nobody_else() {
    let mut bench = Bench::new(9, 9, 1);
    for (text, outcome) in [
        ("later", "silent"),
        ("unwanted", "silent"),
        ("later than words", "sorry"),
        ("meta", "Hi {\"a\":1}"),
    ] {
        bench.accept("a", text);
        bench.accept("a", "echo");
        bench.expect(text, outcome).await;
        bench.expect("echo", "re: echo").await;
    }
    let counts = bench.dispatcher.counts();
    assert_eq!((counts.later, counts.unwanted, counts.failures), (1, 1, 1));
    assert!(adds_up(counts) && counts.open == 0, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_where_the_reply_goes_does_not_stop_the_room() {
    let mut bench = Bench::new(9, 9, 1);
    bench.accept("a", "panic in reply");
    bench.accept("a", "echo");
    bench.expect("panic in reply", "re: panic in reply").await;
    bench.expect("echo", "re: echo").await;
    assert_eq!(bench.panics.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn shutdown_lets_the_running_finish_and_apologises_to_the_waiting() {
    let mut bench = Bench::new(9, 9, 9);
    bench.accept("a", "slow 1");
    bench.accept("a", "slow 2");
    tokio::task::yield_now().await;
    bench.dispatcher.shutdown(Duration::from_secs(5)).await;
    bench.expect("slow 2", "sorry").await;
    bench.expect("slow 1", "re: slow 1").await;
    assert!(matches!(bench.ask("a", "late"), Asked::Busy(_)));
    let counts = bench.dispatcher.counts();
    assert!(adds_up(counts) && counts.open == 0, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn shutdown_stops_the_stuck_at_the_end_of_its_grace() {
    let mut bench = Bench::new(9, 9, 9);
    bench.accept("a", "stuck");
    let start = Instant::now();
    bench.dispatcher.shutdown(Duration::from_secs(5)).await;
    assert_eq!(start.elapsed().as_secs(), 5);
    bench.expect("stuck", "sorry").await;
    assert_eq!(bench.dispatcher.counts().stopped, 1);
}

#[test]
fn a_runtime_that_goes_away_still_apologises_to_everyone() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut bench = runtime.block_on(async { Bench::new(99, 9, 1) });
    for room in ["a", "b"] {
        for text in ["stuck", "echo"] {
            bench.accept(room, text);
        }
    }
    drop(runtime);
    let mut sorry = 0;
    while let Ok((_, outcome)) = bench.outcomes.try_recv() {
        assert_eq!(outcome, "sorry");
        sorry += 1;
    }
    assert_eq!(sorry, 4);
}

/// Customers of so many businesses ask a thousand things of every kind from four threads at once; each ends once, and none
/// twice.
async fn ask_from_many_threads(bench: &mut Bench, businesses: usize) -> Counts {
    let kinds = ["echo", "panic", "fail", "broken"];
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let bench = &*bench;
            scope.spawn(move || {
                for n in 0..250 {
                    let business = (n % businesses + 1).to_string();
                    let (room, asker) = (format!("r{}", n % 7), other(thread as u64));
                    let asked = bench.ask_as(asker, &business, &room, kinds[(n + thread) % 4]);
                    assert!(matches!(asked, Asked::Accepted), "{asked:?}");
                }
            });
        }
    });
    for _ in 0..1_000 {
        let next = tokio::time::timeout(Duration::from_secs(20), bench.outcome());
        next.await.expect("none is lost");
    }
    let counts = bench.dispatcher.counts();
    assert!(adds_up(counts) && counts.open == 0, "{counts:?}");
    bench.dispatcher.shutdown(Duration::from_secs(5)).await;
    assert!(bench.outcomes.try_recv().is_err(), "none ends twice");
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prompts_from_many_threads_each_end_exactly_once() {
    let mut bench = Bench::new(10_000, 10_000, 8);
    let counts = ask_from_many_threads(&mut bench, 1).await;
    assert_eq!(
        (counts.replied, counts.panics, counts.failures),
        (250, 250, 500)
    );
}

#[tokio::test]
async fn none_answers_nothing_and_faq_starts_with_what_is_built_in() {
    let mut config = config::AssistantSettings::default();
    let (handle, metrics) = (Handle::current(), Arc::new(Metrics::new()));
    let faq = Dispatcher::start(&handle, &config, &metrics, None).expect("built in");
    assert!(faq.enabled() && faq.name() == "faq");
    config.kind = config::AssistantKind::None;
    let none = Dispatcher::start(&handle, &config, &metrics, None).expect("nothing to load");
    assert!(!none.enabled() && none.name() == "none");
    let own = Bench::new(1, 1, 1).dispatcher;
    assert!(own.enabled() && own.name() == "script");
    let (sender, _outcomes) = mpsc::unbounded_channel();
    let asked = none.ask(Prompt {
        room: RoomName::chat("1", "a").expect("legal"),
        asker: ASKER,
        user: None,
        text: "hi".to_owned(),
        reply: Box::new(Recorder {
            text: "hi".to_owned(),
            outcomes: sender,
        }),
    });
    assert!(matches!(asked, Asked::Off));
}

#[test]
fn a_runtime_that_goes_away_with_many_prompts_waiting_does_not_exhaust_the_stack() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let inside = runtime.enter();
    let mut bench = Bench::new(20_000, 8, 1);
    for number in 0..20_000 {
        assert!(matches!(
            bench.ask(&format!("s{number}"), "stuck"),
            Asked::Accepted
        ));
    }
    drop(inside);
    runtime.shutdown_timeout(Duration::from_secs(20));
    let mut apologies = 0;
    while bench.outcomes.try_recv().is_ok() {
        apologies += 1;
    }
    assert_eq!(apologies, 20_000);
}
