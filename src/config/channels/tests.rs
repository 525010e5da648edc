//! A settings.py's configuration, copied over.

use super::*;

fn parse(text: &str) -> Result<ChannelsSettings, Box<toml::de::Error>> {
    toml::from_str(text).map_err(Box::new)
}

fn faulty(text: &str) -> Vec<&'static str> {
    let faults = parse(text).expect("well-formed").faults();
    faults.iter().map(|(key, ..)| *key).collect()
}

#[test]
fn the_defaults_are_those_of_channels_redis_and_have_no_fault() {
    let channels = parse("").expect("defaults");
    assert_eq!(channels, ChannelsSettings::default());
    assert!(channels.faults().is_empty());
    assert_eq!(channels.hosts.len(), 1);
    let whole = toml::to_string(&channels).expect("serialises");
    assert_eq!(parse(&whole).expect("reads back"), channels);
}

#[test]
fn a_settings_file_can_be_copied_over() {
    let channels = parse(
        r#"
        layer = "channels_redis.core.RedisChannelLayer"
        hosts = [["127.0.0.1", 6379], "redis://:pw@host:6379/1", { address = "redis://h" }]
        prefix = "site"
        expiry = 10
        group_expiry = "1d"
        capacity = 1500
        channel_capacity = [
            { pattern = "http.request", capacity = 200 },
            { pattern = "http.response!*", capacity = 10 },
            { regex = '^websocket.send\!.+', capacity = 20 },
        ]
        symmetric_encryption_keys = ["secret-one"]
        random_prefix_length = 12
        serializer_format = "json"
        "#,
    )
    .expect("well-formed");
    assert!(channels.faults().is_empty());
    assert_eq!(channels.expiry, Duration::from_secs(10));
    assert_eq!(channels.layer, LayerKind::Core);
    assert_eq!(channels.capacity_of("http.request"), 200);
    assert_eq!(channels.capacity_of("http.response!abc"), 10);
    assert_eq!(channels.capacity_of("websocket.send!x"), 20);
    assert_eq!(channels.capacity_of("websocket.send!"), 1500);
    let shown = format!("{channels:?} {}", toml::to_string(&channels).expect("text"));
    assert!(
        !shown.contains("pw") && !shown.contains("secret-one"),
        "{shown}"
    );
}

#[test]
fn what_types_cannot_say_is_found() {
    assert_eq!(faulty("hosts = []"), ["hosts"]);
    assert_eq!(faulty("capacity = 0"), ["capacity"]);
    assert_eq!(faulty("receivers = 65"), ["receivers"]);
    assert_eq!(
        faulty("random_prefix_length = 65"),
        ["random_prefix_length"]
    );
    assert_eq!(faulty("message_bytes = 0"), ["message_bytes"]);
    assert_eq!(faulty("expiry = \"1500ms\""), ["expiry"]);
    assert_eq!(faulty("group_expiry = \"0s\""), ["group_expiry"]);
    assert_eq!(faulty("prefix = \"a\\nb\""), ["prefix"]);
    assert_eq!(faulty("send_to = \"a!b\""), ["send_to"]);
    assert_eq!(faulty("layer = \"pubsub\"\nsend_to = \"a\""), ["send_to"]);
    assert_eq!(faulty("send_to_group = \"chat_1_x\""), ["send_to_group"]);
    assert_eq!(faulty("deliver_types = [\"_x\"]"), ["deliver_types"]);
    assert_eq!(faulty("close_types = [\"\"]"), ["close_types"]);
    assert_eq!(faulty("send_type = \"\""), ["send_type"]);
    assert_eq!(faulty("send = []"), ["send"]);
    assert_eq!(
        faulty("symmetric_encryption_keys = [\"\"]"),
        ["symmetric_encryption_keys"]
    );
}

#[test]
fn hosts_as_one_text_are_refused_as_in_the_layer() {
    assert!(parse("hosts = \"redis://localhost\"").is_err());
    assert!(parse("send = [\"assistant\"]").is_err());
    assert!(parse("channel_capacity = [{ regex = \"(\", capacity = 1 }]").is_err());
}
