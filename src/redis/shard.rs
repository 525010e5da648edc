//! Which of several Redis carries a room.
//!
//! Rendezvous hashing over the places in `bridge.urls`: every node with the same list chooses the
//! same one, and a Redis added at the end of the list takes over only its share. The hash is fixed
//! for good: a node of another version must agree.

/// FNV-1a, 64 bits: a few dozen bytes, once for each room that comes to life.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The finaliser of SplitMix64: every bit of the input moves every bit of the output.
pub(super) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The place of the Redis for this room, below `links`; 0 if there is one or none.
#[must_use]
pub fn link_of(room: &str, links: usize) -> usize {
    if links < 2 {
        return 0;
    }
    let hash = fnv(room);
    let score = |link: &usize| mix(hash ^ mix(*link as u64 + 1));
    (0..links).max_by_key(score).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms() -> impl Iterator<Item = String> {
        (0..10_000).map(|number| format!("chat_1_{number}"))
    }

    #[test]
    fn rooms_spread_evenly_and_a_further_redis_takes_only_its_share() {
        let mut counts = [0_i64; 3];
        for room in rooms() {
            let (before, after) = (link_of(&room, 2), link_of(&room, 3));
            assert!(after == before || after == 2, "{room} moved for nothing");
            counts[after] += 1;
        }
        for count in counts {
            assert!((count - 3_333).abs() < 250, "{counts:?}");
        }
    }

    #[test]
    fn the_choice_is_the_same_in_every_version() {
        let chosen: Vec<usize> = ["chat_1_abc", "chat_1_abd", "chat_2_abc", "chat_3_x"]
            .map(|room| link_of(room, 4))
            .into();
        assert_eq!(chosen, CHOSEN);
        assert_eq!(link_of("chat_1_abc", 0), 0);
    }

    const CHOSEN: [usize; 4] = [0, 3, 3, 1];
}
