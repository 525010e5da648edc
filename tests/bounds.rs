//! What one client can make the node hold or read: measured from outside, against what `check` counts.

use crate::support::{Gateway, PATIENCE, frame, user, wait};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Bytes in the receive buffer of the server's end of a connection.
fn unread(server: u16, client: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let ends = format!("0100007F:{server:04X} 0100007F:{client:04X}");
    let line = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|fields| fields.get(1..3).is_some_and(|pair| pair.join(" ") == ends))
        .expect("the connection");
    let (_sending, receiving) = line[4].split_once(':').expect("two queues");
    usize::from_str_radix(receiving, 16).expect("a number")
}

/// Sends until the peer has taken nothing for a while or ended the connection; how much it took.
fn flood(mut stream: &TcpStream, bytes: &[u8]) -> usize {
    stream.set_nonblocking(true).expect("a socket option");
    let (mut sent, mut last) = (0, wait::Deadline::after(Duration::from_millis(700)));
    while last.left().is_some() && sent < 64 << 20 {
        match stream.write(bytes) {
            Ok(count) => {
                sent += count;
                last = wait::Deadline::after(Duration::from_millis(700));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            Err(_) => break,
        }
    }
    stream.set_nonblocking(false).expect("a socket option");
    sent
}

#[test]
fn a_reader_that_is_paused_holds_no_more_than_the_receive_buffer() {
    for (bytes, setting) in [
        (64 * 1024, None),
        (16 * 1024, Some("limits.receive_buffer_bytes=16384")),
    ] {
        let mut settings = vec![
            "limits.bytes_per_second=1000",
            "limits.messages_per_second=0",
        ];
        settings.extend(setting);
        let gateway = Gateway::start(&settings);
        let client = gateway.join("paused");
        let port = client.stream().local_addr().expect("an address").port();
        let message = frame(0x81, user(&"x".repeat(30_000)).as_bytes());
        let sent = flood(client.stream(), &message);
        let held = unread(gateway.port(), port);
        assert!(sent > held && held > 0, "{sent} sent, {held} held");
        // Twice what is asked for, and the segment that passes it: what `check` counts.
        assert!(held <= 2 * bytes + 64 * 1024, "{held} bytes held");
    }
}

#[test]
fn who_sends_on_after_a_close_frame_is_read_up_to_a_bound_and_still_gets_it() {
    let gateway = Gateway::start(&["limits.bytes_per_second=0"]);
    for (name, violation) in [
        ("a reserved opcode", frame(0x83, b"")),
        ("binary", frame(0x82, b"x")),
        (
            "too big",
            vec![0x81, 0xff, 0, 0, 0, 0, 0x7f, 0, 0, 0, 1, 2, 3, 4],
        ),
        ("its own close", frame(0x88, &[0x03, 0xe8])),
    ] {
        let mut client = gateway.join("flood");
        client.send_raw(&violation);
        let sent = flood(client.stream(), &[0x77; 64 * 1024]);
        // 256 KiB are read, and some stays in the kernels: this one's send buffer grows to 4 MiB.
        assert!(sent < 6 << 20, "{name}: {sent} bytes taken");
        client.expect_close();
        client.expect_eof();
    }
    let gone = || gateway.metric("supportal_connections") == 0.0;
    wait::until("all of them to be gone", PATIENCE, gone);
    let read = gateway.metric("supportal_read_bytes_total");
    assert!(read <= 4.0 * 400_000.0, "{read} bytes read");
}

#[test]
fn a_client_in_the_middle_of_a_message_gets_its_close_frame() {
    let gateway = Gateway::start(&["limits.bytes_per_second=0"]);
    for _round in 0..20 {
        let mut client = gateway.join("upload");
        // Announces 200 KB, is told 1009, and is at it while that comes.
        let mut message = vec![0x81, 0xff, 0, 0, 0, 0, 0, 3, 0, 0, 1, 2, 3, 4];
        message.resize(200_000, 0);
        client.send_raw(&message);
        assert_eq!(client.expect_close().0, 1009);
    }
}

#[test]
fn who_sends_on_after_a_refusal_is_read_up_to_a_bound() {
    let gateway = Gateway::start(&[]);
    let admin = gateway.admin_address();
    let long = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        1_u64 << 40
    );
    let chunked =
        "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n";
    let old = "GET /ws/chat/1/abc/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 7\r\n\r\n";
    for address in [gateway.public(), admin] {
        for request in ["nonsense\r\n\r\n", old, &long, chunked] {
            let mut stream = TcpStream::connect(address).expect("a connection");
            stream.write_all(request.as_bytes()).expect("send");
            let sent = flood(&stream, &[b'x'; 64 * 1024]);
            assert!(
                sent < 12 << 20,
                "{request:?}: {sent} bytes taken at {address}"
            );
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let mut answer = [0; 12];
            if stream.read_exact(&mut answer).is_ok() {
                assert!(answer.starts_with(b"HTTP/1.1 4"), "{request:?}");
            }
        }
    }
}

#[test]
fn a_message_of_full_length_passes_the_smallest_receive_buffer() {
    let gateway = Gateway::start(&[
        "limits.receive_buffer_bytes=4608",
        "chat.text_bytes_max=65000",
    ]);
    let mut client = gateway.join("small");
    let text = "x".repeat(65_000);
    client.send_text(&user(&text));
    assert_eq!(client.receive_json()["message"], text.as_str());
}
