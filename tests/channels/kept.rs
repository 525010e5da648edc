//! What a Django site says is kept by the archive, and told apart from what is said here.

use super::*;
use crate::support::http;

#[test]
fn what_django_says_is_kept_in_the_rooms_order_and_says_where_it_comes_from() {
    let redis = Redis::start(&[]);
    let mut site = site("core", &[&redis], &json!({}));
    site.order(&runworker());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = format!(
        "archive.path={}",
        folder.path().join("journal.db").display()
    );
    let settings = [
        "channels.send_to=supportal",
        "archive.mode=journal",
        &path,
        "api.token=token-of-the-tests-0123456789",
    ];
    let gateway = node("core", &[&redis], &settings);
    let mut ann = gateway.join("abc");
    say(&mut ann, "answer me");
    expect(&mut ann, "re: answer me");
    site.group_send("chat_1_abc", "by the way");
    expect(&mut ann, "by the way");
    until_metric(&gateway, "supportal_archive_written_total", 3.0);
    let request = "GET /api/archive HTTP/1.1\r\nHost: localhost\r\n\
        Authorization: Bearer token-of-the-tests-0123456789\r\n\r\n";
    let response = http::exchange(gateway.public(), request.as_bytes()).expect("an answer");
    let lines = response.text();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let kept: Vec<_> = lines
        .iter()
        .map(|line| ["origin", "message"].map(|name| line[name].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(
        kept,
        [
            ["gateway", "answer me"],
            ["django", "re: answer me"],
            ["django", "by the way"]
        ]
    );
    assert_eq!(lines[1]["sender"], "assistant");
    assert!(lines.windows(2).all(|pair| {
        let at = |line: &Value| line["at"].as_str().map(str::to_owned);
        at(&pair[0]) < at(&pair[1])
    }));
}
