//! The echo route: every message comes back as it was.

use crate::support::{Client, Frame, Gateway};

fn echo() -> (Gateway, Client) {
    let gateway = Gateway::start_with_toml(
        "[[routes]]\npath = \"/echo\"\nhandler = \"echo\"\n\n[limits]\nmessages_per_second = 0\n",
    );
    let client = gateway.connect("/echo");
    (gateway, client)
}

#[test]
fn text_and_binary_come_back_as_they_were() {
    let (_gateway, mut client) = echo();
    for text in ["", "a", "é🙂", "{not json"] {
        client.send_text(text);
        assert_eq!(client.receive(), Frame::Text(text.to_owned()));
    }
    for bytes in [&b""[..], b"\0\xff\xfe", &[7; 125], &[8; 126], &[9; 65_535]] {
        client.send_binary(bytes);
        assert_eq!(client.receive(), Frame::Binary(bytes.to_vec()));
    }
}

#[test]
fn a_message_of_exactly_64_kib_comes_back() {
    let (_gateway, mut client) = echo();
    let bytes = vec![b'x'; 64 * 1024];
    client.send_binary(&bytes);
    assert_eq!(client.receive(), Frame::Binary(bytes));
}

#[test]
fn fragments_come_back_as_one_message_with_pings_answered_between() {
    let (_gateway, mut client) = echo();
    client.send_raw(&crate::support::frame(0x01, "h\u{e9}".as_bytes()));
    client.ping(b"between");
    assert_eq!(client.receive(), Frame::Pong(b"between".to_vec()));
    client.send_raw(&crate::support::frame(0x80, b"llo"));
    assert_eq!(client.receive(), Frame::Text("h\u{e9}llo".to_owned()));
    client.send_fragments(&["a", "", "b", "c"]);
    assert_eq!(client.receive(), Frame::Text("abc".to_owned()));
}

#[test]
fn other_routes_do_not_exist_when_routes_are_declared() {
    let (gateway, _client) = echo();
    let refusal = gateway
        .try_connect("/ws/chat/1/a/")
        .expect_err("only /echo is declared");
    assert_eq!(refusal.status, 404);
}

#[test]
fn the_chat_of_the_package_does_not_exist_either_when_other_routes_are_declared() {
    let gateway = Gateway::start_with_toml(
        "[chat]\ndialect = \"django\"\n\n[[routes]]\npath = \"/echo\"\nhandler = \"echo\"\n",
    );
    for path in ["/ws/chat/1/a/", "/ws/chat/007/a%20b/"] {
        let refusal = gateway.try_connect(path).expect_err(path);
        assert_eq!(refusal.status, 404, "{path}");
    }
    let mut client = gateway.connect("/echo");
    client.send_text("a");
    assert_eq!(client.receive(), Frame::Text("a".to_owned()));
}
