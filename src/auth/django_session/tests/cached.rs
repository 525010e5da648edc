//! What a cache holds.

use super::*;
use crate::auth::django_session::session::read_cached;
use crate::auth::django_session::store::is_key;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

#[test]
fn sessions_in_the_caches_of_both_versions_of_django_say_whose_they_are() {
    let vectors = vectors();
    let mut kinds = [0, 0];
    for version in versions(&vectors) {
        for vector in version["cached"].as_array().expect("sessions") {
            let value = STANDARD.decode(text(&vector["value"])).expect("base64");
            let name = text(&vector["name"]);
            assert_eq!(read_cached(&value), Ok(expected(&vector["user"])), "{name}");
            kinds[usize::from(value[0] == b'{')] += 1;
            for end in 0..value.len() {
                let cut = read_cached(&value[..end]);
                assert_eq!(cut, Err(SessionFlaw::Content), "{name} cut at {end}");
            }
        }
    }
    assert_eq!(kinds, [20, 10]);
}

/// A pickle of protocol 4.
fn pickle(operations: &[&[u8]]) -> Vec<u8> {
    [&b"\x80\x04"[..], &operations.concat(), b"."].concat()
}

const USER: &[u8] = b"\x8c\x0d_auth_user_id\x8c\x017";
const BACKEND: &[u8] = b"\x8c\x12_auth_user_backend\x8c\x01b";

#[test]
fn a_pickle_that_is_no_dictionary_of_plain_data_is_refused_whatever_it_asks_for() {
    let login = |more: &[u8]| pickle(&[b"}(", USER, BACKEND, more, b"u"]);
    assert_eq!(read_cached(&login(b"")), Ok(known("7")));
    assert_eq!(read_cached(&login(b"NN")), Ok(known("7")));
    let bad: &[(&str, Vec<u8>)] = &[
        ("GLOBAL", login(b"\x8c\x01acos\nsystem\n")),
        (
            "STACK_GLOBAL",
            login(b"\x8c\x01a\x8c\x02os\x8c\x06system\x93"),
        ),
        ("a call", pickle(&[b"cos\nsystem\n\x8c\x02id\x85R"])),
        ("NEWOBJ", login(b"\x8c\x01a)\x81")),
        ("INST", pickle(&[b"(ios\nsystem\n"])),
        ("OBJ", pickle(&[b"(o"])),
        ("BUILD", pickle(&[b"}}b"])),
        ("a persistent id", login(b"\x8c\x01aPx\n")),
        ("EXT1", login(b"\x8c\x01a\x82\x01")),
        ("NEXT_BUFFER", login(b"\x8c\x01a\x97")),
        ("a set", login(b"\x8c\x01a\x8f")),
        ("POP", pickle(&[b"}0"])),
        ("DUP", pickle(&[b"}2"])),
        ("PUT", pickle(&[b"}q\x00"])),
        ("protocol 2", b"\x80\x02}.".to_vec()),
        ("protocol 6", b"\x80\x06}.".to_vec()),
        ("protocol 0", b"(dp0\n.".to_vec()),
        ("nothing", Vec::new()),
        ("no operation", b"\x80\x04".to_vec()),
        ("nothing but STOP", pickle(&[])),
        ("a list", pickle(&[b"]"])),
        ("None", pickle(&[b"N"])),
        ("a text", pickle(&[b"\x8c\x01a"])),
        ("a second value", pickle(&[b"}}"])),
        ("an open mark", pickle(&[b"}("])),
        ("bytes behind STOP", [pickle(&[b"}"]), vec![b'}']].concat()),
        ("a name without a value", login(b"\x8c\x01a")),
        ("items without a mark", pickle(&[b"}", USER, b"u"])),
        ("items of a list", pickle(&[b"](", USER, b"u"])),
        ("a mark below what is left", pickle(&[b"}N(\x85\x85e"])),
        ("an item without a name", pickle(&[b"}Ns"])),
        ("appended to a dictionary", pickle(&[b"}Na"])),
        ("a tuple of more than there is", pickle(&[b"}\x86\x86"])),
        ("what is not remembered", pickle(&[b"}h\x00"])),
        ("remembered from nothing", pickle(&[b"\x94}"])),
        ("a length beyond the end", pickle(&[b"}\x8c\xff"])),
        ("a huge length", pickle(&[b"}X\xff\xff\xff\xff"])),
        ("a text that is no UTF-8", login(b"\x8c\x01\xffN")),
        ("two users", login(USER)),
        (
            "a number for a user",
            pickle(&[b"}(\x8c\x0d_auth_user_idK\x07", BACKEND, b"u"]),
        ),
    ];
    for (what, pickle) in bad {
        assert_eq!(read_cached(pickle), Err(SessionFlaw::Content), "{what}");
    }
}

proptest! {
    #[test]
    fn no_bytes_at_all_panic_or_are_a_user_by_chance(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        operations in proptest::collection::vec(
            proptest::sample::select(b"(}])N\x88KMJGC\x8a\x8cX\x94hj\x85\x86\x87taesu.\x00\x01".to_vec()), 0..60),
    ) {
        for tail in [bytes, operations] {
            let whole = [&b"\x80\x04"[..], &tail].concat();
            let found = read_cached(&whole);
            prop_assert!(matches!(found, Err(SessionFlaw::Content) | Ok(SessionUser::Nobody)));
        }
    }
}

#[test]
fn only_what_django_makes_keys_of_is_looked_for() {
    for (key, expected) in [
        ("0123456789abcdefghijklmnopqrstuv", true),
        ("", false),
        ("0123456789abcdefghijklmnopqrstu", false),
        ("0123456789abcdefghijklmnopqrstuvw", false),
        ("0123456789ABCDEFGHIJKLMNOPQRSTUV", false),
        ("0123456789abcdefghijklmnopqrst:v", false),
        ("../../../../../../../../etc/passw", false),
        ("0123456789abcdefghijklmnopqrst\r\n", false),
        ("0123456789abcdefghijklmnopqrst *", false),
    ] {
        assert_eq!(is_key(key), expected, "{key:?}");
    }
}
