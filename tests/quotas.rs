//! What the connections of one business, room or address may use together.

use crate::support::{Frame, Gateway, PATIENCE, user, wait};

#[track_caller]
fn refused(gateway: &Gateway, path: &str) -> u16 {
    match gateway.try_connect(path) {
        Ok(_client) => 101,
        Err(refusal) => {
            if matches!(refusal.status, 429 | 503) {
                let seconds = refusal.header("retry-after").expect("when to come back");
                assert!(seconds.parse::<u32>().expect("seconds") >= 1);
                assert_eq!(refusal.text(), "too many at once");
            }
            refusal.status
        }
    }
}

#[test]
fn a_business_and_a_room_have_connections_of_their_own() {
    for settings in [
        ["limits.business.connections=3", "limits.room.connections=2"].as_slice(),
        &[
            "limits.business.connections=3",
            "limits.room.connections=2",
            "chat.dialect=django",
        ],
    ] {
        let gateway = Gateway::start(settings);
        let room = |business: u32, session: &str| format!("/ws/chat/{business}/{session}/");
        let first = gateway.connect(&room(1, "a"));
        let _second = gateway.connect(&room(1, "a"));
        assert_eq!(refused(&gateway, &room(1, "a")), 429, "the room is full");
        let _third = gateway.connect(&room(1, "b"));
        assert_eq!(
            refused(&gateway, &room(1, "c")),
            429,
            "the business is full"
        );
        if settings.len() == 3 {
            // Another spelling of the same room.
            assert_eq!(refused(&gateway, "/ws/chat/01/a/"), 429);
            assert_eq!(refused(&gateway, "/ws/chat/%D9%A1/c/"), 429);
        }
        let _elsewhere = gateway.connect(&room(2, "a"));
        drop(first);
        wait::until("a place in the room", PATIENCE, || {
            gateway.try_connect(&room(1, "a")).is_ok()
        });
        let scope = |scope: &str| {
            gateway.metric(&format!(
                "supportal_quota_refused_total{{scope=\"{scope}\"}}"
            ))
        };
        assert!(scope("room") >= 1.0 && scope("business") >= 1.0);
    }
}

#[test]
fn a_room_s_messages_are_shared_and_other_rooms_have_theirs() {
    let gateway = Gateway::start(&[
        "limits.room.messages_per_second=1",
        "limits.room.messages_burst=4",
    ]);
    let mut members = [gateway.join("loud"), gateway.join("loud")];
    let mut other = gateway.join("calm");
    for number in 0..3 {
        for member in &mut members {
            member.send_text(&user(&number.to_string()));
        }
    }
    let mut errors = 0;
    let mut heard = 0;
    for member in &mut members {
        // Each hears what was published, and an error for each of its own that was not.
        while let Some(frame) = member.receive_within(std::time::Duration::from_millis(500)) {
            let frame: serde_json::Value = match frame {
                Frame::Text(text) => serde_json::from_str(&text).expect("JSON"),
                other => panic!("{other:?}"),
            };
            match frame["error"].as_str() {
                Some(error) => {
                    assert_eq!(error, "Too many messages");
                    errors += 1;
                }
                None => heard += 1,
            }
        }
    }
    assert_eq!(heard % 2, 0);
    assert_eq!(heard / 2 + errors, 6);
    assert!(errors >= 1, "six messages at once are more than four");
    other.send_text(&user("untouched"));
    assert_eq!(other.receive_json()["message"], "untouched");
}

#[test]
fn handshakes_have_a_rate_for_an_address_and_for_the_node() {
    for (scope, status) in [("address", 429), ("node", 503)] {
        let gateway = Gateway::start(&[
            &format!("limits.{scope}.handshakes_per_second=1"),
            &format!("limits.{scope}.handshakes_burst=3"),
        ]);
        let statuses: Vec<u16> = (0..6)
            .map(|_| refused(&gateway, "/ws/chat/1/rate/"))
            .collect();
        assert_eq!(statuses[..3], [101; 3], "{scope}");
        assert!(statuses.contains(&status), "{scope}: {statuses:?}");
        wait::until("the rate to allow one more", PATIENCE, || {
            gateway.try_connect("/ws/chat/1/rate/").is_ok()
        });
        // The page is no handshake.
        assert_eq!(gateway.get("/").status, 200);
    }
}
