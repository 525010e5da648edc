//! Redis dies while the worker is at an answer.

use super::model::Model;
use super::*;
use crate::support::redis::Blow;
use crate::support::wait;

/// A conversation with a worker whose model answers when it is told to.
struct Asking {
    redis: Redis,
    site: PackageSite,
    model: Model,
    worker: Heard,
    gateway: Gateway,
    ann: Client,
    _folder: TempDir,
}

impl Asking {
    /// With this worker, at its first answer.
    #[track_caller]
    fn start(worker: &[&str]) -> Self {
        let redis = Redis::start(&[]);
        let folder = tempfile::tempdir().expect("a folder");
        let hosts = format!("channels.hosts=[\"{}\"]", redis.url());
        let settings = [
            "channels.enabled=true",
            "channels.send_to=supportal",
            "channels.send=[\"user\", \"system\"]",
            &hosts,
        ];
        let gateway = keeping(&folder, &settings);
        let mut site = PackageSite::new(None, &["abc"]).beside(&gateway);
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
            _folder: folder,
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

    #[track_caller]
    fn stored(&self) -> Vec<Row> {
        self.site.manage(&["supportal_archive", "--once"]);
        self.site.rows()
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
    let expected = [
        ("abc", "SYSTEM", "noted"),
        ("abc", "USER", "hello"),
        ("abc", "ASSISTANT", "Canned answer."),
        ("abc", "USER", "and now?"),
        ("abc", "ASSISTANT", "Canned answer."),
    ];
    assert_eq!(said(&asking.stored()), expected, "each once");
    let lost = "supportal_channels_dropped_total{cause=\"lost\"}";
    assert_eq!(asking.gateway.metric(lost), 0.0);
}
