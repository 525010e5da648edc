//! The relay: members of a room see each other's messages, as they came.

use crate::support::{Frame, Gateway, frame};

fn relay() -> Gateway {
    Gateway::start_with_toml(
        "[[routes]]\npath = \"/ws/board/{id:int}/\"\nhandler = \"relay\"\n\n\
         [limits]\nmessages_per_second = 0\n",
    )
}

#[test]
fn members_see_each_others_frames_untouched_and_in_order() {
    let gateway = relay();
    let (mut one, mut two) = (
        gateway.connect("/ws/board/7/"),
        gateway.connect("/ws/board/7/"),
    );
    let texts = ["", "{not json", "\u{e9}\u{1f642}", r#"{"message":"hi"}"#];
    for text in texts {
        one.send_text(text);
    }
    let bytes = [&b""[..], b"\0\xff\xfe", &[9; 60_000]];
    for payload in bytes {
        one.send_binary(payload);
    }
    for member in [&mut one, &mut two] {
        for text in texts {
            assert_eq!(member.receive(), Frame::Text(text.to_owned()));
        }
        for payload in bytes {
            assert_eq!(member.receive(), Frame::Binary(payload.to_vec()));
        }
    }
}

#[test]
fn rooms_of_a_relay_are_apart() {
    let gateway = relay();
    let (mut one, mut two) = (
        gateway.connect("/ws/board/7/"),
        gateway.connect("/ws/board/8/"),
    );
    one.send_text("seven");
    two.send_text("eight");
    assert_eq!(one.receive(), Frame::Text("seven".to_owned()));
    assert_eq!(two.receive(), Frame::Text("eight".to_owned()));
}

#[test]
fn a_path_of_another_type_is_not_found() {
    let gateway = relay();
    for path in ["/ws/board/x/", "/ws/board/07/", "/ws/board/7"] {
        let refusal = gateway.try_connect(path).expect_err(path);
        assert_eq!(refusal.status, 404, "{path}");
    }
}

#[test]
fn nothing_is_said_of_messages_above_the_rate_until_the_end() {
    let gateway = Gateway::start_with_toml(
        "[[routes]]\npath = \"/relay\"\nhandler = \"relay\"\n\n\
         [[routes]]\npath = \"/echo\"\nhandler = \"echo\"\n\n\
         [limits]\nmessages_per_second = 1\nmessages_burst = 1\nrefusals = 3\n",
    );
    for path in ["/relay", "/echo"] {
        let mut client = gateway.connect(path);
        client.send_raw(&frame(0x81, b"hello").repeat(4));
        assert_eq!(client.receive(), Frame::Text("hello".to_owned()), "{path}");
        assert_eq!(client.expect_close().0, 4429, "{path}");
    }
    let refused = "supportal_commands_refused_total{reason=\"too_many\"}";
    assert_eq!(gateway.metric(refused), 6.0);
}
