//! What happens while the worker is at an answer: Redis dies, others ask, the worker is to end.

use super::model::Model;
use super::*;
use crate::support::proxy::{Proxy, Weather};
use crate::support::redis::{Blow, Reply};
use crate::support::wait;
use rustix::process::{Pid, Signal, kill_process};

/// A conversation with a worker whose model answers when it is told to.
struct Asking {
    redis: Redis,
    site: PackageSite,
    model: Model,
    worker: Heard,
    gateway: Gateway,
    ann: Client,
    _folder: Option<TempDir>,
}

/// Settings of a node that asks over the layer of this Redis.
fn asked_over(redis: &Redis) -> Vec<String> {
    let hosts = format!("channels.hosts=[\"{}\"]", redis.url());
    let settings = [
        "channels.enabled=true",
        "channels.send_to=supportal",
        "channels.send=[\"user\", \"system\"]",
        &hosts,
    ];
    settings.map(str::to_owned).to_vec()
}

impl Asking {
    /// With this worker, at its first answer.
    #[track_caller]
    fn start(worker: &[&str]) -> Self {
        Self::start_at(worker, PackageSite::new(None, &["abc"]))
    }

    /// The same at this site, which has the session.
    #[track_caller]
    fn start_at(worker: &[&str], site: PackageSite) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let gateway = |redis: &Redis| {
            let settings = asked_over(redis);
            keeping(
                &folder,
                &settings.iter().map(String::as_str).collect::<Vec<_>>(),
            )
        };
        let asking = Self::over(worker, site, gateway);
        Self {
            _folder: Some(folder),
            ..asking
        }
    }

    /// The same at a node of this kind.
    #[track_caller]
    fn over(worker: &[&str], site: PackageSite, gateway: impl FnOnce(&Redis) -> Gateway) -> Self {
        let redis = Redis::start(&[]);
        let gateway = gateway(&redis);
        let mut site = site.beside(&gateway);
        let model = Model::waiting_beside(&mut site);
        site.join_layer(&redis);
        let worker = site.run_heard(worker);
        let mut ann = gateway.join("abc");
        ann.send_text(r#"{"message": "noted", "type": "system"}"#);
        ann.receive_json();
        say(&mut ann, "hello");
        model.until_asked();
        Self {
            redis,
            site,
            model,
            worker,
            gateway,
            ann,
            _folder: None,
        }
    }

    #[track_caller]
    fn expect_answer(&mut self) {
        let frame = self.ann.receive_within(PATIENCE).expect("an answer");
        let crate::support::Frame::Text(text) = frame else {
            panic!("{frame:?}")
        };
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        let told = ["message", "sender"].map(|name| &answer[name]);
        assert_eq!(told, ["Canned answer.", "assistant"], "{answer}");
    }

    /// How many questions wait in Redis.
    #[track_caller]
    fn waiting(&self) -> Reply {
        self.redis.command(&["ZCARD", "asgisupportal"])
    }

    /// Asks, until so many wait.
    #[track_caller]
    fn ask(&mut self, question: &str, waiting: i64) {
        say(&mut self.ann, question);
        wait::until("the question is in Redis", PATIENCE, || {
            self.waiting() == Reply::Number(waiting)
        });
    }

    /// The rows are those of the first question and its answer, and then these, each once.
    #[track_caller]
    fn assert_stored(&self, then: &[(&str, &str, &str)]) {
        self.site.manage(&["supportal_archive", "--once"]);
        let first = [
            ("abc", "SYSTEM", "noted"),
            ("abc", "USER", "hello"),
            ("abc", "ASSISTANT", "Canned answer."),
        ];
        assert_eq!(said(&self.site.rows()), [&first[..], then].concat());
    }
}

#[test]
fn an_answer_that_finds_redis_gone_is_seen_once_it_is_back_and_has_one_row() {
    let mut asking = Asking::start(&["supportal_worker"]);
    asking.redis.blow(Blow::Kill);
    asking.worker.until_says("the channel layer is away");
    asking.model.answer();
    wait::until("the answer is there", PATIENCE, || {
        said(&asking.site.rows()).contains(&("abc", "ASSISTANT", "Canned answer."))
    });
    asking.redis.launch();
    asking.expect_answer();
    say(&mut asking.ann, "and now?");
    asking.model.until_asked();
    asking.model.answer();
    asking.expect_answer();
    asking.assert_stored(&[
        ("abc", "USER", "and now?"),
        ("abc", "ASSISTANT", "Canned answer."),
    ]);
    let lost = "supportal_channels_dropped_total{cause=\"lost\"}";
    assert_eq!(asking.gateway.metric(lost), 0.0);
}

#[test]
fn a_worker_takes_a_question_once_it_has_answered_the_one_before() {
    let mut asking = Asking::start(&["supportal_worker"]);
    asking.ask("and", 1);
    // What is no question takes along nobody who waits behind it.
    let stray = r#"
from channels.layers import get_channel_layer
from asgiref.sync import async_to_sync
async_to_sync(get_channel_layer().send)("supportal", {"type": "chat.message"})"#;
    asking.site.manage(&["shell", "-c", stray]);
    asking.ask("now?", 3);
    for left in [2, 0] {
        asking.model.answer();
        asking.expect_answer();
        asking.model.until_asked();
        assert_eq!(asking.waiting(), Reply::Number(left));
    }
}

#[test]
fn a_question_waits_for_the_rows_of_what_was_said_before_it() {
    let mut site = PackageSite::new(None, &["abc"]);
    site.gateway["ARCHIVE_WAIT"] = PATIENCE.as_secs().into();
    let mut asking = Asking::start_at(&["supportal_worker"], site);
    asking.site.manage(&["supportal_archive", "--once"]);
    asking.model.answer();
    asking.expect_answer();
    asking.ask("and now?", 0);
    assert_eq!(asking.site.rows().len(), 3, "no archive, no row");
    let asked = asking.model.asked();
    let is_asked = asked
        .iter()
        .any(|one| one["path"] == "/v1/chat/completions");
    assert!(!is_asked, "{asked:?}");
    asking.site.manage(&["supportal_archive", "--once"]);
    asking.model.until_asked();
}

#[test]
fn a_question_does_not_wait_for_an_archive_that_has_ended_and_the_log_says_so_once() {
    let mut site = PackageSite::new(None, &["abc"]);
    site.gateway["ARCHIVE_WAIT"] = json!(0.1);
    let mut asking = Asking::start_at(&["supportal_worker"], site);
    asking.site.manage(&["supportal_archive", "--once"]);
    for question in ["and now?", "still there?"] {
        asking.model.answer();
        asking.expect_answer();
        say(&mut asking.ann, question);
        asking.model.until_asked();
    }
    let behind = "the archive is behind";
    asking.worker.until_says(behind);
    let more: Vec<_> = asking.worker.lines.try_iter().collect();
    assert!(!more.iter().any(|line| line.contains(behind)), "{more:?}");
}

#[test]
fn a_question_finds_its_row_where_redis_keeps_the_archive_by_a_clock_of_its_own() {
    const LONG: Duration = Duration::from_secs(20);
    let mut site = PackageSite::new(None, &["abc"]);
    site.gateway["ARCHIVE_WAIT"] = LONG.as_secs().into();
    let mut way = None;
    let kept_in_redis = |redis: &Redis| {
        // Redis puts the time on what it keeps: that at which it was there.
        let proxy = way.insert(Proxy::start(redis.address()));
        proxy.set(Weather::Far);
        let url = format!("bridge.urls={}", proxy.url());
        let token = format!("api.token={TOKEN}");
        let kept = [
            "chat.dialect=django",
            "bridge.mode=streams",
            "archive.mode=streams",
            &url,
            &token,
        ];
        let settings = asked_over(redis);
        let settings = settings.iter().map(String::as_str).chain(kept);
        Gateway::start(&settings.collect::<Vec<_>>())
    };
    let mut asking = Asking::over(&["supportal_worker"], site, kept_in_redis);
    asking.site.manage(&["supportal_archive", "--once"]);
    let mut asked = Value::Null;
    // The same words twice: each has a row of its own.
    for question in ["and now?", "and then?", "and then?"] {
        asking.model.answer();
        asking.expect_answer();
        asking.ask(question, 0);
        let watch = wait::Watch::start();
        asking.site.manage(&["supportal_archive", "--once"]);
        asked = asking.model.until_asked();
        assert!(watch.elapsed() < LONG / 2, "{:?}", watch.elapsed());
    }
    let messages = asked["asked"]["messages"].as_array().expect("messages");
    let of_user = messages.iter().filter(|one| one["role"] == "user");
    let texts: Vec<&str> = of_user
        .map(|one| one["content"].as_str().expect("a text"))
        .collect();
    assert_eq!(texts, ["hello", "and now?", "and then?", "and then?"]);
    let lines: Vec<_> = asking.worker.lines.try_iter().collect();
    let is_behind = |line: &String| line.contains("the archive is behind");
    assert!(!lines.iter().any(is_behind), "{lines:?}");
}

#[test]
fn a_worker_that_is_to_end_ends_with_its_answer_and_leaves_what_waits_to_others() {
    let mut asking = Asking::start(&["supportal_worker"]);
    asking.ask("and now?", 1);
    let child = &mut asking.worker.process.0;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process id"), Signal::TERM).expect("the signal");
    asking.model.answer();
    asking.expect_answer();
    assert!(asking.worker.process.0.wait().expect("an end").success());
    assert_eq!(asking.waiting(), Reply::Number(1));
    let _another = asking.site.run(&["supportal_worker"]);
    asking.model.until_asked();
    asking.model.answer();
    asking.expect_answer();
}

#[test]
fn a_site_without_time_zones_has_its_answers_and_its_rows() {
    let mut site = PackageSite::new(None, &["abc"]);
    site.environment.push(("SITE_WITHOUT_TZ", "1".to_owned()));
    let mut asking = Asking::start_at(&["supportal_worker"], site);
    asking.model.answer();
    asking.expect_answer();
    asking.assert_stored(&[]);
}
