//! The commands as channels_redis writes them.

use super::*;

#[test]
fn scores_of_one_sender_grow_whatever_its_clock_does() {
    let mut scores = Scores::default();
    let texts: Vec<String> = [(5, 7), (5, 7), (4, 0), (6, 0)]
        .map(|wall| scores.next(wall).text())
        .to_vec();
    assert_eq!(texts, ["5.000007", "5.000008", "5.000009", "6.000000"]);
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
    let limits: [&[u8]; 4] = [b"128", b"262144", b"8", b"60"];
    assert_eq!(take.arguments[7..], limits);
}
