//! Several messages in a row as one question (`assistant.debounce`), and businesses that wait for themselves
//! (`assistant.openai.concurrency_per_business`).

use super::*;

const DEBOUNCE: Duration = Duration::from_millis(500);

fn debounced(prompts_per_room: usize) -> Bench {
    Bench::with(config::AssistantSettings {
        debounce: DEBOUNCE,
        prompts_per_room,
        ..config::AssistantSettings::default()
    })
}

#[tokio::test(start_paused = true)]
async fn what_is_said_in_a_row_is_one_question_after_a_pause_and_all_of_it_ends() {
    let mut bench = debounced(9);
    let start = Instant::now();
    for text in ["one", "two", "three"] {
        bench.accept("a", text);
        sleep(Duration::from_millis(400)).await;
    }
    bench.expect("one", "re: one\ntwo\nthree").await;
    assert_eq!(start.elapsed().as_millis(), 1_300, "500 ms after the last");
    bench.expect("two", "merged").await;
    bench.expect("three", "merged").await;
    let counts = bench.dispatcher.counts();
    assert_eq!((counts.replied, counts.merged, counts.open), (1, 2, 0));
    assert!(adds_up(counts), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn who_never_stops_is_asked_after_five_times_as_long() {
    let mut bench = debounced(99);
    let start = Instant::now();
    for number in 0..10 {
        bench.accept("a", &number.to_string());
        sleep(Duration::from_millis(400)).await;
    }
    let (first, answer) = bench.outcome().await;
    assert_eq!((&*first, &*answer), ("0", "re: 0\n1\n2\n3\n4\n5\n6"));
    assert!(start.elapsed() < Duration::from_secs(5));
    for merged in 1..=6 {
        bench.expect(&merged.to_string(), "merged").await;
    }
    bench.expect("7", "re: 7\n8\n9").await;
}

#[tokio::test(start_paused = true)]
async fn two_customers_are_two_questions_in_their_order() {
    let mut bench = debounced(9);
    for (asker, text) in [(ASKER, "a"), (ASKER, "b"), (other(1), "c"), (ASKER, "d")] {
        assert!(matches!(
            bench.ask_as(asker, "1", "room", text),
            Asked::Accepted
        ));
    }
    bench.expect("a", "re: a\nb").await;
    bench.expect("b", "merged").await;
    bench.expect("c", "re: c").await;
    bench.expect("d", "re: d").await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_during_an_answer_is_one_question_once_its_customer_has_stopped() {
    let mut bench = debounced(9);
    bench.accept("a", "slow");
    sleep(DEBOUNCE + Duration::from_millis(900)).await;
    bench.accept("a", "one");
    bench.expect("slow", "re: slow").await;
    bench.accept("a", "two");
    bench.expect("one", "re: one\ntwo").await;
    bench.expect("two", "merged").await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_one_apology_for_all_of_a_row() {
    let mut bench = debounced(9);
    bench.accept("a", "panic");
    bench.expect("panic", "sorry").await;
    for text in ["fail", "x".repeat(32 * 1024 - 4).as_str()] {
        bench.accept("a", text);
    }
    bench.expect("fail", "sorry").await;
    let (_, answer) = bench.outcome().await;
    assert!(
        answer.starts_with("re: xxx"),
        "what does not fit is the next one"
    );
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_rows_that_have_not_been_asked_yet() {
    let mut bench = debounced(9);
    bench.accept("a", "one");
    bench.accept("a", "two");
    bench.dispatcher.shutdown(Duration::from_secs(5)).await;
    bench.expect("one", "sorry").await;
    bench.expect("two", "sorry").await;
    sleep(DEBOUNCE * 2).await;
    let counts = bench.dispatcher.counts();
    assert!(bench.outcomes.try_recv().is_err());
    assert!(adds_up(counts) && counts.stopped == 2, "{counts:?}");
}

#[test]
fn a_runtime_that_goes_away_ends_rows_that_have_not_been_asked_yet() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut bench = runtime.block_on(async { debounced(9) });
    for room in ["a", "b"] {
        bench.accept(room, "one");
        bench.accept(room, "two");
    }
    drop(runtime);
    let mut outcomes = Vec::new();
    while let Ok((_, outcome)) = bench.outcomes.try_recv() {
        outcomes.push(outcome);
    }
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["merged", "merged", "sorry", "sorry"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_from_many_threads_each_end_exactly_once() {
    let mut bench = Bench::with(config::AssistantSettings {
        kind: config::AssistantKind::OpenAi,
        debounce: Duration::from_millis(2),
        prompts: 10_000,
        prompts_per_room: 10_000,
        concurrency: 8,
        openai: config::OpenAiSettings {
            concurrency_per_business: 2,
            ..config::OpenAiSettings::default()
        },
        ..config::AssistantSettings::default()
    });
    ask_from_many_threads(&mut bench, 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_business_with_all_its_places_taken_is_passed_over_and_comes_back_in_its_turn() {
    let mut bench = Bench::with(config::AssistantSettings {
        kind: config::AssistantKind::OpenAi,
        concurrency: 3,
        openai: config::OpenAiSettings {
            concurrency_per_business: 1,
            ..config::OpenAiSettings::default()
        },
        ..config::AssistantSettings::default()
    });
    for (business, text) in [
        ("1", "slow 1"),
        ("1", "slow 2"),
        ("1", "slow 3"),
        ("2", "echo"),
    ] {
        let asked = bench.ask_as(ASKER, business, &text.replace(' ', "-"), text);
        assert!(matches!(asked, Asked::Accepted));
    }
    bench.expect("echo", "re: echo").await;
    let start = Instant::now();
    for text in ["slow 1", "slow 2", "slow 3"] {
        bench.expect(text, &format!("re: {text}")).await;
    }
    assert_eq!(bench.most.load(SeqCst), 2);
    assert_eq!(start.elapsed().as_secs(), 3, "one after the other");
}

#[tokio::test(start_paused = true)]
async fn a_business_that_fills_its_share_of_those_that_wait_leaves_the_rest_to_others() {
    let with = |share| {
        Bench::with(config::AssistantSettings {
            kind: config::AssistantKind::OpenAi,
            prompts: 12,
            concurrency: 2,
            openai: config::OpenAiSettings {
                concurrency_per_business: 1,
                prompts_per_business: share,
                ..config::OpenAiSettings::default()
            },
            ..config::AssistantSettings::default()
        })
    };
    // A quarter of all, unless the settings say something else.
    for (share, waiting) in [(0, 3), (5, 5)] {
        let mut bench = with(share);
        let ask = |bench: &Bench, business: &str, session: String, text: &str| {
            matches!(
                bench.ask_as(ASKER, business, &session, text),
                Asked::Accepted
            )
        };
        for number in 0..20 {
            let is_taken = ask(&bench, "1", format!("s{number}"), "slow 1");
            assert_eq!(
                is_taken,
                number <= waiting,
                "one is being answered: {number}"
            );
        }
        let counts = bench.dispatcher.counts();
        assert_eq!((counts.over_share, counts.busy), (19 - waiting, 0));
        assert!(ask(&bench, "2", "a".to_owned(), "echo"));
        bench.expect("echo", "re: echo").await;
        bench.expect("slow 1", "re: slow 1").await;
        assert!(
            ask(&bench, "1", "late".to_owned(), "slow 1"),
            "a place is free"
        );
        for _ in 0..=waiting {
            bench.expect("slow 1", "re: slow 1").await;
        }
        assert!(adds_up(bench.dispatcher.counts()));
        assert!(ask(&bench, "1", "last".to_owned(), "slow 1"));
        bench.expect("slow 1", "re: slow 1").await;
    }
}

#[tokio::test(start_paused = true)]
async fn businesses_that_are_made_up_do_not_take_all_places() {
    let bench = Bench::with(config::AssistantSettings {
        kind: config::AssistantKind::OpenAi,
        prompts: 120,
        concurrency: 1,
        ..config::AssistantSettings::default()
    });
    let ask = |business: u32, number: u32| {
        let (business, session) = (business.to_string(), format!("s{number}"));
        let asked = bench.ask_as(ASKER, &business, &session, "slow 1");
        matches!(asked, Asked::Accepted)
    };
    for number in 0..120 {
        for business in 1..=20 {
            let _taken_or_not = ask(business, number);
        }
    }
    let taken = (0..120).filter(|number| ask(99, *number)).count();
    assert!(taken >= 4, "{taken}");
    assert_eq!(bench.dispatcher.counts().busy, 0);
}

#[tokio::test(start_paused = true)]
async fn prompts_that_became_one_question_take_nothing_of_the_share_any_more() {
    let mut bench = Bench::with(config::AssistantSettings {
        kind: config::AssistantKind::OpenAi,
        debounce: DEBOUNCE,
        prompts: 12,
        ..config::AssistantSettings::default()
    });
    for _ in 0..3 {
        for text in ["one", "two", "three"] {
            bench.accept("a", text);
        }
        assert!(matches!(bench.ask("b", "four"), Asked::Busy(_)));
        bench.expect("one", "re: one\ntwo\nthree").await;
        bench.expect("two", "merged").await;
        bench.expect("three", "merged").await;
    }
    assert_eq!(bench.dispatcher.counts().over_share, 3);
}
