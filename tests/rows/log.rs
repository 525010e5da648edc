//! What the worker's log says of rooms: a tag, and never a name.

use super::*;

/// Answers that nobody hears, that are late, and that there are none of, in errors that quote what they were about.
const TROUBLE: &str = r#"
from supportal_gateway.worker import AnswerConsumer
class Layer:
    def __init__(self, *faults):
        self.faults = list(faults)
    async def group_send(self, group, event):
        if self.faults:
            raise self.faults.pop()
consumer, group = AnswerConsumer(), "chat_1_secret-session"
for fault in (RuntimeError(f"{group} ends"), ConnectionError(f"{group} is away")):
    consumer.channel_layer = Layer(fault)
    consumer.tell(group, {"message": "m"})
consumer.channel_layer = Layer()
consumer.answer = lambda event, session: 1 / 0
event = {"sender": "user", "business_id": 1, "session_id": "secret-session", "group": group, "message": "m", "timestamp": "t"}
consumer.chat_message(event)
def unknown(event, session):
    raise LookupError(f"Key (session_id)=({event['session_id']})")
consumer.answer = unknown
consumer.chat_message(event)
consumer.chat_message({**event, "session_id": "secret-session-2", "group": f"{group}-2"})
"#;

#[test]
fn the_worker_s_log_has_a_tag_for_a_room_and_not_its_name() {
    let site = PackageSite::new(None, &["secret-session"]);
    let output = site.try_manage(&["shell", "-c", TROUBLE]);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !log.contains("secret"), "{log}");
    let tag_behind = |said: &str| -> String {
        let (_, rest) = log
            .split_once(said)
            .unwrap_or_else(|| panic!("{said}: {log}"));
        let tag: String = rest.chars().take(8).collect();
        assert!(tag.chars().all(|digit| digit.is_ascii_hexdigit()), "{log}");
        tag
    };
    let tag = tag_behind("nobody is told the answer in ");
    assert_eq!(tag_behind("the answer in "), tag, "{log}");
    assert_eq!(tag_behind("no answer in "), tag, "{log}");
    let again = format!("no answer in {tag}: LookupError('Key (session_id)=({tag})')");
    assert!(log.contains(&again), "{log}");
    // Another room is another one.
    let tagged = format!("in {tag}: ");
    assert_eq!(
        (log.lines().count(), log.matches(&tagged).count()),
        (5, 3),
        "{log}"
    );
}
