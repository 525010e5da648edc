//! The commands as channels_redis writes them.

use super::*;
use std::time::Duration;

#[test]
fn scores_of_one_sender_grow_whatever_its_clock_does() {
    let mut scores = Scores::default();
    let texts: Vec<String> = [(5, 7), (5, 7), (4, 0), (6, 0)]
        .map(|wall| scores.next(wall).text())
        .to_vec();
    assert_eq!(texts, ["5.000007", "5.000008", "5.000009", "6.000000"]);
}

#[test]
fn a_clock_that_was_wrong_and_set_back_expires_nothing_that_is_fresh() {
    let mut scores = Scores::default();
    scores.next((100_000, 0));
    let soon = scores.next((99_990, 0));
    assert_eq!(soon.text(), "100000.000001", "in order, a little ahead");
    let expired = (soon.second(), soon.before(60));
    assert_eq!(expired, (99_990, "99930".to_owned()), "by the clock");
    let later = scores.next((5_000, 7));
    assert_eq!(
        later.text(),
        "5000.000007",
        "not behind everybody for a day"
    );
    assert_eq!(later.before(60), "4940");
    assert_eq!(scores.next((5_000, 7)).text(), "5000.000008");
}

#[test]
fn messages_that_go_together_are_one_command_with_a_mark_for_each() {
    let commands = Commands::new(&ChannelsSettings::default());
    let mut fill = |bytes: &mut [u8]| bytes.fill(1);
    let mut event = Map::new();
    event.push("type", "chat.message");
    let to = commands.to_channel("supportal");
    let write = |number| {
        let now = Score::new(100, 0);
        let message = commands.write(&to, &event, number, now, &mut |bytes| bytes.fill(1));
        message.expect("writable")
    };
    let marks = MarkKeys {
        fence: "fence".into(),
        last: "last".into(),
        marks: "marks".into(),
        kept: Duration::from_secs(70),
    };
    let send = commands.send(&to, vec![write(0), write(3)], Some(&marks));
    let text = commands.codec().encode(&event, To::Nobody, 100, &mut fill);
    let text = text.expect("writable");
    let words: [&[u8]; 16] = [
        b"1",
        b"asgisupportal",
        b"2",
        b"60",
        b"40",
        b"100",
        b"0",
        b"100.000000",
        &text,
        b"3",
        b"100.000000",
        &text,
        b"fence",
        b"marks",
        b"last",
        b"70",
    ];
    assert_eq!(send.arguments[1..], words);
}

#[test]
fn our_own_members_get_no_message_and_nobody_no_batch() {
    let commands = Commands::new(&ChannelsSettings::default());
    let mut fill = |bytes: &mut [u8]| bytes.fill(1);
    let own = Receivers::new(2, &mut fill);
    let mut event = Map::new();
    event.push("type", "chat.message");
    let member = own.member("chat_1_a");
    let now = Score::new(1, 0);
    let batches = commands.send_to_group([member.as_str()], &own, &event, now, &mut fill);
    assert_eq!(batches, Ok(Vec::new()));
}

#[test]
fn what_is_no_channel_in_a_group_gets_no_key() {
    let commands = Commands::new(&ChannelsSettings::default());
    let own = Receivers::new(1, &mut |bytes| bytes.fill(1));
    let long = "x".repeat(100);
    let process = format!("specific.{}!", "f".repeat(32));
    let members = [
        ":group:chat_1_abc",
        "",
        &long,
        &format!("{process}a"),
        "two words",
        &format!("{process}b"),
        &format!("{}$canary", own.names()[0]),
        "general",
    ];
    let hosts = commands.to_group(members, &own);
    let keys: Vec<usize> = hosts.iter().map(HostKeys::len).collect();
    assert_eq!(
        keys,
        [2],
        "a process with two members, and a general channel"
    );
}

#[test]
fn a_pop_waits_on_every_receiver() {
    let commands = Commands::new(&ChannelsSettings::default());
    let own = Receivers::new(2, &mut |bytes| bytes.fill(1));
    let keys = commands.receivers(&own, 0);
    assert!(keys[0].starts_with(b"asgispecific.0101"));
    assert_eq!(commands.receivers(&own, 1), [&*keys[1], &*keys[0]]);
    let pop = Commands::pop(keys.clone());
    assert_eq!((pop.name, &pop.arguments[..2]), ("BZPOPMIN", &keys[..]));
    assert_eq!(pop.arguments[2], b"5");
    let own: [&[u8]; 3] = [b"fence", b"heard", b"taken"];
    let take = commands.take(own.map(<[u8]>::to_vec), keys.clone());
    assert_eq!((take.name, &*take.arguments[0]), ("EVAL", TAKE.as_bytes()));
    let named: [&[u8]; 6] = [b"5", own[0], own[1], own[2], &keys[0], &keys[1]];
    assert_eq!(take.arguments[1..7], named);
    let longest = ChannelsSettings::default().message_bytes.to_string();
    let longest = longest.into_bytes();
    let limits: [&[u8]; 5] = [b"128", b"262144", b"8", b"60", &longest];
    assert_eq!(take.arguments[7..], limits);
}
