//! Whose messages are shown to the view: those of members of chats, however they come; not what the site says itself, and
//! not what goes through routes that are no chats.

use super::{gateway, node, obedient, text};
use crate::support::{Client, Gateway, Redis, http, user};
use crate::webhook::SECRET;
use serde_json::json;

const TOKEN: &str = "token-of-the-tests-0123456789";

/// `POST /api/publish` into room `chat_1_abc`.
fn publish(gateway: &Gateway, message: &str, sender: &str) {
    let body = json!({"room": "chat_1_abc", "message": message, "sender": sender}).to_string();
    let request = format!(
        "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let published = http::exchange(gateway.public(), request.as_bytes()).expect("an answer");
    assert_eq!(published.status, 200, "{}", published.text());
}

/// Says something that the view refuses. What the client is told then.
#[track_caller]
fn refused(client: &mut Client, message: &str) -> String {
    client.send_text(message);
    text(client)
}

/// A way to be a member of a chat: its name, settings of the node, and fields of the handshake.
type Row<'r> = (&'r str, &'r [&'r str], &'r [(&'r str, &'r str)]);

#[test]
fn members_of_chats_are_vetted_in_every_dialect_and_the_site_is_not() {
    let order = user("refuse no");
    let system = r#"{"message": "refuse no", "type": "system"}"#;
    let exists = "chat.exists=[{business_id = 1, sessions = [\"abc\"]}]";
    let django = ["chat.dialect=django", exists];
    let alone = ["chat.dialect=django", "chat.deliver=sender", exists];
    let token = format!("api.token={TOKEN}");
    #[rustfmt::skip]
    let table: [Row<'_>; 5] = [
        ("guide", &[], &[]),
        ("guide to the sender", &["chat.deliver=sender"], &[]),
        ("a sub-protocol", &[], &[("Sec-WebSocket-Protocol", "supportal.v1")]),
        ("django", &django, &[]),
        ("django to the sender", &alone, &[]),
    ];
    for (name, settings, fields) in table {
        let view = obedient();
        let mut all = vec![&*token];
        all.extend(settings);
        let gateway = gateway(&view, &all);
        let mut client = gateway.connect_with("/ws/chat/1/abc/", fields);
        client.skip_welcome();
        assert_eq!(refused(&mut client, &order), "no", "{name}");
        assert_eq!(refused(&mut client, system), "no", "{name}");
        assert_eq!(refused(&mut client, &user("change x")), "x", "{name}");
        assert_eq!(view.asked().len(), 3, "{name}");
        for sender in ["user", "assistant", "system"] {
            publish(&gateway, "refuse no", sender);
            let heard = text(&mut client);
            assert!(heard.ends_with("refuse no"), "{name}, {sender}: {heard}");
        }
        assert_eq!(
            view.asked().len(),
            3,
            "{name}: the site itself is not asked"
        );
    }
}

#[test]
fn who_cannot_join_in_dialect_django_is_vetted_in_a_room_of_its_own() {
    let view = obedient();
    // The package takes it, and it is the name of no room.
    let exists = "chat.exists=[{business_id = 1}]";
    let gateway = gateway(
        &view,
        &["chat.dialect=django", "chat.deliver=sender", exists],
    );
    let mut client = gateway.connect("/ws/chat/1/a%20b/");
    let told = client.receive_json();
    assert!(told.get("error").is_some(), "{told}");
    assert_eq!(refused(&mut client, &user("refuse no")), "no");
    assert_eq!(refused(&mut client, &user("change x")), "x");
    let asked = view.asked();
    let (one, two) = (&asked[0].body, &asked[1].body);
    assert_eq!(
        (&one["business_id"], &one["room"]),
        (&json!(1), &two["room"])
    );
    let session_id = one["session_id"].as_str().expect("a session");
    assert!(session_id.starts_with("visit-"), "{session_id}");
}

#[test]
fn routes_that_are_no_chats_are_not_vetted() {
    let view = obedient();
    let gateway = Gateway::start_with_toml(&format!(
        "[chat]\nvet = \"webhook\"\n[vet]\nurl = \"http://{}/\"\nsecret = \"{SECRET}\"\n\
         [[routes]]\npath = \"/ws/board/{{id:int}}/\"\nhandler = \"relay\"\n\
         [[routes]]\npath = \"/ws/echo/\"\nhandler = \"echo\"\n",
        view.puppet.address()
    ));
    for path in ["/ws/board/7/", "/ws/echo/"] {
        let mut client = gateway.connect(path);
        client.send_text(&user("refuse no"));
        assert_eq!(client.receive_text(), user("refuse no"), "{path}");
    }
    assert_eq!(view.asked().len(), 0);
}

/// Each message is shown once, by the node that its author is connected to.
#[test]
fn what_comes_from_another_node_has_been_vetted_there() {
    let (redis, views) = (Redis::start(&[]), [obedient(), obedient()]);
    let [one, two] = [node(&views[0], &redis), node(&views[1], &redis)];
    let (mut here, mut there) = (one.join("abc"), two.join("abc"));
    for (said, expected) in [("change h***", "h***"), ("Hello", "Hello")] {
        here.send_text(&user(said));
        assert_eq!(
            (text(&mut here), text(&mut there)),
            (expected.to_owned(), expected.to_owned())
        );
    }
    assert_eq!(views.map(|view| view.asked().len()), [2, 0]);
}
