//! Each message is decided once, within its bounds.

use super::*;
use crate::protocol::{Moment, Sender};
use parking_lot::Mutex;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(30);

/// What became of messages, in order.
type Fates = Arc<Mutex<Vec<String>>>;

struct Fate(Fates);

impl VetTo for Fate {
    fn lack(&self) -> Option<LackOfRoom> {
        None
    }

    fn publish(self: Box<Self>, event: Event<'static>) {
        self.0.lock().push(format!("publish {}", event.text));
    }

    fn refuse(self: Box<Self>, why: &str) {
        self.0.lock().push(format!("refuse {why}"));
    }

    fn turn_away(self: Box<Self>) {
        self.0.lock().push("turn away".to_owned());
    }
}

/// Where there is never room; each time that this is looked at, it is said.
struct FullRoom(Fate, mpsc::UnboundedSender<()>);

impl VetTo for FullRoom {
    fn lack(&self) -> Option<LackOfRoom> {
        self.1.send(()).expect("the test listens");
        Some(Box::pin(std::future::pending()))
    }

    fn publish(self: Box<Self>, event: Event<'static>) {
        Box::new(self.0).publish(event);
    }

    fn refuse(self: Box<Self>, why: &str) {
        Box::new(self.0).refuse(why);
    }

    fn turn_away(self: Box<Self>) {
        Box::new(self.0).turn_away();
    }
}

fn message(text: &str, fates: &Fates) -> HeldMessage {
    held(text, Box::new(Fate(Arc::clone(fates))))
}

fn held(text: &str, to: Box<dyn VetTo>) -> HeldMessage {
    HeldMessage {
        room: RoomName::chat("1", "abc").expect("legal"),
        event: Event::new(Sender::User, text, Moment::from_micros(0)).into_owned(),
        to,
    }
}

/// A site that answers its first question, and the settings that ask it.
fn answering_site(body: &'static str) -> Config {
    let (listener, config) = silent_site();
    std::thread::spawn(move || {
        let (mut asked, _) = listener.accept().expect("a question");
        let (mut question, mut buffer) = (Vec::new(), [0; 1024]);
        // Of a body that is one object.
        while !question.ends_with(b"}") {
            let length = asked.read(&mut buffer).expect("more");
            question.extend(buffer.iter().take(length));
        }
        let length = body.len();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
        write!(asked, "{head} {length}\r\n\r\n{body}").expect("answered");
    });
    config
}

/// A site that takes connections and says nothing, and the settings that ask it.
fn silent_site() -> (TcpListener, Config) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("its address");
    let mut config = Config::default();
    config.chat.vet = Vet::Webhook;
    config.vet.url = Some(format!("http://{address}/"));
    config.vet.secret = Some(crate::config::Secret::new("0123456789abcdef"));
    (listener, config)
}

fn start(config: &Config) -> (Vetting, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new());
    let vetting = Vetting::start(&Handle::current(), config, &metrics);
    (vetting.expect("good settings"), metrics)
}

fn result(metrics: &Metrics, result: &'static str) -> u64 {
    metrics.vets.get_or_create(&[("result", result)]).get()
}

#[test]
fn without_vetting_a_message_is_published_at_once() {
    let fates = Fates::default();
    Vetting::default().vet(message("a", &fates));
    assert_eq!(*fates.lock(), ["publish a"]);
}

#[tokio::test]
async fn a_site_that_says_nothing_leaves_it_to_the_policy() {
    for (on_timeout, expected) in [
        (OnTimeout::Pass, "publish a"),
        (OnTimeout::Refuse, "turn away"),
    ] {
        let (_site, mut config) = silent_site();
        config.vet.on_timeout = on_timeout;
        config.vet.timeout = Duration::from_millis(50);
        let (vetting, metrics) = start(&config);
        let fates = Fates::default();
        vetting.vet(message("a", &fates));
        vetting.shutdown(Duration::from_secs(30)).await;
        assert_eq!(*fates.lock(), [expected]);
        assert_eq!(result(&metrics, "timeout"), 1);
        let degraded = vetting.degraded().expect("a reason");
        assert_eq!(degraded, "the site does not vet messages: timeout");
    }
}

#[tokio::test]
async fn what_the_site_has_said_stands_although_there_is_no_room_until_the_end() {
    for (body, expected) in [
        (r#"{"refuse":"no"}"#, "refuse no"),
        (r#"{"message":"***"}"#, "publish ***"),
        (r#"{"pass":true}"#, "publish a"),
    ] {
        for on_timeout in [OnTimeout::Pass, OnTimeout::Refuse] {
            let mut config = answering_site(body);
            config.vet.timeout = PATIENCE;
            config.vet.on_timeout = on_timeout;
            let (vetting, metrics) = start(&config);
            let (fates, (looks, mut looked)) = (Fates::default(), mpsc::unbounded_channel());
            let to = FullRoom(Fate(Arc::clone(&fates)), looks);
            vetting.vet(held("a", Box::new(to)));
            looked.recv().await.expect("the answer is there");
            vetting.shutdown(Duration::ZERO).await;
            assert_eq!(*fates.lock(), [expected], "{on_timeout:?}");
            assert_eq!(result(&metrics, "stopped"), 0);
        }
    }
}

#[tokio::test]
async fn what_comes_after_the_first_look_of_a_drain_has_its_grace_too_and_no_more() {
    let (_site, mut config) = silent_site();
    config.vet.timeout = PATIENCE * 4;
    let (vetting, metrics) = start(&config);
    vetting.shutdown(Duration::from_millis(50)).await;
    let fates = Fates::default();
    vetting.vet(message("a", &fates));
    let decided = tokio::time::timeout(PATIENCE, vetting.decided()).await;
    decided.expect("within the grace");
    assert_eq!(*fates.lock(), ["publish a"]);
    assert_eq!(result(&metrics, "stopped"), 1);
}

#[tokio::test]
async fn what_is_beyond_the_bytes_is_not_asked_about() {
    let (_site, mut config) = silent_site();
    config.vet.timeout = Duration::from_secs(60);
    // Half of it is for one business.
    config.vet.queue_bytes = 4 * (HELD_BYTES + 100);
    let (vetting, metrics) = start(&config);
    let fates = Fates::default();
    for text in ["a", "b", "c"] {
        vetting.vet(message(&text.repeat(100), &fates));
    }
    assert_eq!(*fates.lock(), [format!("publish {}", "c".repeat(100))]);
    assert_eq!((result(&metrics, "full"), metrics.vet_open.get()), (1, 2));
    assert_eq!(vetting.degraded(), None, "no fault of the site");
    vetting.shutdown(Duration::ZERO).await;
    assert_eq!((fates.lock().len(), metrics.vet_open.get()), (3, 0));
    assert_eq!(result(&metrics, "stopped"), 2);
    // The bytes are free again, and nobody is asked any more.
    vetting.vet(message("d", &fates));
    vetting.shutdown(Duration::ZERO).await;
    assert_eq!(fates.lock().last().map(String::as_str), Some("publish d"));
}

#[tokio::test]
async fn a_message_costs_no_more_than_is_counted() {
    let (_site, config) = silent_site();
    let (vetting, _metrics) = start(&config);
    let desk = vetting.0.expect("a desk");
    let visit = desk.businesses.enter("1", 1).expect("room");
    desk.open.fetch_add(1, Ordering::Relaxed);
    let vet = OpenVet {
        message: Some(message("a", &Fates::default())),
        began: Instant::now(),
        desk,
    };
    let task = vet.take(visit);
    // The rest is for the task's head, and for where the message goes.
    let bytes = size_of_val(&task);
    assert!(bytes <= HELD_BYTES - 512, "{bytes}");
}

#[test]
fn a_runtime_that_goes_away_decides_what_is_left() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (_site, mut config) = silent_site();
    config.vet.on_timeout = OnTimeout::Refuse;
    let guard = runtime.enter();
    let (vetting, metrics) = start(&config);
    drop(guard);
    let fates = Fates::default();
    vetting.vet(message("a", &fates));
    runtime.shutdown_timeout(Duration::from_secs(30));
    vetting.vet(message("b", &fates));
    assert_eq!(*fates.lock(), ["turn away", "turn away"]);
    assert_eq!(result(&metrics, "stopped"), 2);
}

#[test]
fn settings_that_nobody_can_be_asked_with_are_refused() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (_site, good) = silent_site();
    let refused = |change: fn(&mut Config)| {
        let mut config = good.clone();
        change(&mut config);
        let metrics = Arc::new(Metrics::new());
        let error = Vetting::start(runtime.handle(), &config, &metrics).expect_err("refused");
        error.key
    };
    assert_eq!(refused(|config| config.vet.secret = None), "vet.secret");
    let no_file = |config: &mut Config| config.vet.secret_file = Some("no/such/file".into());
    assert_eq!(refused(no_file), "vet.secret_file");
    assert_eq!(refused(|config| config.vet.url = None), "vet.url");
    let no_authorities = |config: &mut Config| {
        config.vet.url = Some("https://localhost/".to_owned());
        config.vet.ca_file = Some("no/such/file".into());
    };
    assert_eq!(refused(no_authorities), "vet.ca_file");
}
