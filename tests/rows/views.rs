//! The views of the app: who somebody is, and what was said before, for whom it concerns.

use super::*;

/// Asks the views with Django's own test client; prints status and body of each answer.
const SCRIPT: &str = r#"
from django.contrib.auth.models import User
from django.test import Client
from django_supportal.models import ChatMessage, ChatSession

session = ChatSession.objects.get(session_id="abc")
for number in range(12):
    kind = ["USER", "ASSISTANT", "SYSTEM"][number % 3]
    ChatMessage.objects.create(session=session, message_type=kind, content=str(number))
client = Client()

def ask(view, query, **fields):
    answer = client.get(f"/supportal-gateway/{view}/?{query}", **fields)
    print(answer.status_code, answer.content.decode())

ask("who", "business_id=1&session_id=abc")
owner = User.objects.get()
client.force_login(owner)
for query in ["business_id=1&session_id=abc", "business_id=2&session_id=abc", "business_id=1&session_id=gone", "business_id=x", ""]:
    ask("who", query)
no_names = ["business_id=%D9%A1&session_id=abc", f"business_id={'9' * 40}&session_id=abc", "business_id=1&session_id=%00", "business_id=1"]
for query in no_names:
    ask("who", query)
owner.is_staff = True
owner.save()
ask("who", "business_id=1&session_id=abc")
ask("context", "business_id=1&session_id=abc")
ask("context", "business_id=1&session_id=abc", HTTP_AUTHORIZATION="Bearer another-token-0123456789")
right = {"HTTP_AUTHORIZATION": "Bearer token-of-the-tests-0123456789"}
ask("context", "business_id=1&session_id=abc", **right)
ask("context", "business_id=2&session_id=abc", **right)
ask("context", "business_id=-1&session_id=abc", **right)
for query in no_names:
    ask("context", query, **right)
from django.conf import settings
settings.SUPPORTAL_GATEWAY = {}
for given in ["", "Bearer ", "Bearer None"]:
    ask("context", "business_id=1&session_id=abc", HTTP_AUTHORIZATION=given)
"#;

#[test]
fn the_views_say_who_somebody_is_and_give_the_turns_to_the_token_alone() {
    let site = PackageSite::new(None, &["abc"]);
    let printed = site.manage(&["shell", "-c", SCRIPT]);
    let lines: Vec<&str> = printed.lines().map(str::trim).collect();
    let turn = |number: usize, role: &str| json!({ "role": role, "content": number.to_string() });
    // The last ten rows, of which those of the system are none of a conversation's turns.
    let turns = json!({ "messages": [
        turn(3, "user"), turn(4, "assistant"), turn(6, "user"), turn(7, "assistant"),
        turn(9, "user"), turn(10, "assistant"),
    ] });
    let expected = [
        "401",
        r#"200 {"user": 1, "role": "customer"}"#,
        "404",
        "404",
        "404",
        "404",
        "404",
        "404",
        "404",
        "404",
        r#"200 {"user": 1, "role": "agent"}"#,
        "401",
        "401",
    ];
    assert_eq!(lines[..13], expected);
    let (status, body) = lines[13].split_once(' ').expect("a body");
    let body: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!((status, body), ("200", turns));
    assert_eq!(lines[14..16], [r#"200 {"messages": []}"#, "404"]);
    assert_eq!(lines[16..20], ["404"; 4], "no names");
    assert_eq!(lines[20..], ["401"; 3], "a site without a token");
}
