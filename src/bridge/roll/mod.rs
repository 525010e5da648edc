//! Who else is there, and do we agree? Nodes with other settings look healthy to themselves and do
//! not hear each other.
//!
//! Once a second each node says over every Redis of its list which one that is to it, and how it
//! speaks; nodes with the same prefix and database hear it. No address and no secret is in it: two
//! nodes may reach one Redis by different names. A Redis that a node says is up, and over which it is
//! not heard, is another one than ours. Nodes that say nothing (older ones) are not judged.
//!
//! ```text
//! card   "supportal-node" version node mode place places up format name    (with spaces between)
//! ```
//!
//! Whoever may publish there can say anything: what is read is checked, and what is told of it is short.
//!
//! Pure. Bounds: [`NODES_MAX`] nodes, forgotten [`FRESH`] after their last word; [`TOLD_MAX`] sentences.

#[cfg(test)]
mod tests;

use super::envelope::{NodeId, VERSION};
use crate::clock::Millis;
use crate::config::bridge::LINKS_MAX;
use crate::config::{BridgeMode, BridgeSettings};
use crate::redis::log_limiter::{FaultLines, LogLimiter};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// What a card begins with: its form's version is the number.
const MAGIC: &str = "supportal-node 1";

/// Longest card that is read, in bytes.
const CARD_BYTES_MAX: usize = 256;

/// Nodes that are kept in mind.
const NODES_MAX: usize = 1024;

/// Sentences that are told of nodes with other settings, in an answer to a probe as well.
const TOLD_MAX: usize = 8;

/// A node that said nothing for so long is gone, or does not say it there.
pub(super) const FRESH: Duration = Duration::from_millis(3_500);

/// What a node says of itself over one Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Card {
    /// Who.
    pub(super) node: NodeId,
    /// `bridge.node`; perhaps empty.
    name: String,
    mode: String,
    /// Of the envelope.
    format: u8,
    /// The place of this Redis in `bridge.urls`, from 0.
    place: usize,
    /// How many there are.
    places: usize,
    /// A bit for each that is up.
    up: u8,
}

impl Card {
    /// What this node says over the Redis at a place.
    pub(super) fn new(node: NodeId, settings: &BridgeSettings, place: usize, up: u8) -> Self {
        Self {
            node,
            name: settings.node.clone(),
            mode: mode(settings.mode).to_owned(),
            format: VERSION,
            place,
            places: settings.urls.len(),
            up,
        }
    }

    /// As it is published.
    pub(super) fn write(&self) -> String {
        let Self {
            node,
            name,
            mode,
            format,
            place,
            places,
            up,
        } = self;
        format!("{MAGIC} {node:?} {mode} {place} {places} {up} {format} {name}")
    }

    /// As it is received; `None` for anything else.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let short = (bytes.len() <= CARD_BYTES_MAX).then_some(bytes)?;
        let text = std::str::from_utf8(short).ok()?;
        let rest = text.strip_prefix(MAGIC)?;
        let is_plain = !text.contains(char::is_control);
        let mut words = rest.strip_prefix(' ').filter(|_| is_plain)?.splitn(7, ' ');
        let node = u128::from_str_radix(words.next()?, 16).ok()?;
        let mode = words.next()?.to_owned();
        let (place, places): (u8, u8) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        (place < places).then_some(())?;
        Some(Self {
            node: NodeId(node.to_be_bytes()),
            mode,
            place: place.into(),
            places: places.into(),
            up: words.next()?.parse().ok()?,
            format: words.next()?.parse().ok()?,
            name: words.next()?.to_owned(),
        })
    }

    fn says_up(&self, place: usize) -> bool {
        self.up & bit(place) != 0
    }

    /// For people.
    fn who(&self) -> String {
        let id: String = format!("{:?}", self.node).chars().take(8).collect();
        match self.name.as_str() {
            "" => format!("node {id} (it has no bridge.node)"),
            name => format!("node {name:?} ({id})"),
        }
    }
}

/// The channel of the cards.
pub(super) fn nodes_channel(prefix: &str) -> String {
    format!("{prefix}:nodes")
}

/// The bit of a place in [`Card::up`].
pub(super) fn bit(place: usize) -> u8 {
    u32::try_from(place)
        .ok()
        .and_then(|place| 1_u8.checked_shl(place))
        .unwrap_or_default()
}

fn mode(mode: BridgeMode) -> &'static str {
    match mode {
        BridgeMode::Off => "off",
        BridgeMode::Pubsub => "pubsub",
        BridgeMode::Streams => "streams",
    }
}

/// A node and when it was heard, by the Redis over which it was.
#[derive(Clone, Debug)]
struct HeardNode {
    card: Card,
    at: [Option<Millis>; LINKS_MAX],
    /// Since when it says that the Redis at a place is up.
    up_since: [Option<Millis>; LINKS_MAX],
    /// The first word that does not fit ours.
    fault: Option<(Millis, String)>,
}

/// The nodes that were heard.
#[derive(Debug, Default)]
pub(super) struct Roll {
    nodes: HashMap<NodeId, HeardNode>,
    /// When it was last asked who is gone, for want of room.
    swept: Option<Millis>,
}

impl Roll {
    /// A card came over the Redis of `own`.
    pub(super) fn hear(&mut self, own: &Card, card: Card, now: Millis) {
        if card.node == own.node {
            return;
        }
        if !self.nodes.contains_key(&card.node) && !self.has_room(now) {
            return;
        }
        let heard = self.nodes.entry(card.node).or_insert_with(|| HeardNode {
            card: card.clone(),
            at: [None; LINKS_MAX],
            up_since: [None; LINKS_MAX],
            fault: None,
        });
        if let Some(at) = heard.at.get_mut(own.place) {
            *at = Some(now);
        }
        for (place, since) in heard.up_since.iter_mut().enumerate() {
            *since = card.says_up(place).then(|| since.unwrap_or(now));
        }
        match fault(own, &card) {
            Some(text) => heard.fault = Some((now, text)),
            // Over another Redis it may be wrong still: that word goes stale by itself.
            None => heard.fault = heard.fault.take().filter(|(at, _)| now.since(*at) < FRESH),
        }
        heard.card = card;
    }

    /// Nodes that are gone make room, also if nobody asks for [`Roll::differences`]; looked for rarely, since
    /// strangers may say much.
    fn has_room(&mut self, now: Millis) -> bool {
        let is_due = self.swept.is_none_or(|at| now.since(at) >= FRESH);
        if self.nodes.len() >= NODES_MAX && is_due {
            self.swept = Some(now);
            self.forget_gone(now);
        }
        self.nodes.len() < NODES_MAX
    }

    fn forget_gone(&mut self, now: Millis) {
        self.nodes
            .retain(|_, heard| heard.at.iter().any(|at| is_fresh(*at, now)));
    }

    /// What does not agree, for people; `up_since` is what this node knows of its own Redis. One that
    /// is up on both sides for `settled` must carry the other's cards.
    pub(super) fn differences(
        &mut self,
        up_since: &[Option<Millis>],
        now: Millis,
        settled: Duration,
    ) -> Vec<String> {
        self.judge(up_since, now, settled).1
    }

    /// Of how many nodes something does not agree, and what.
    fn judge(
        &mut self,
        up_since: &[Option<Millis>],
        now: Millis,
        settled: Duration,
    ) -> (usize, Vec<String>) {
        self.forget_gone(now);
        let mut found: Vec<String> = Vec::new();
        let mut nodes = 0;
        for heard in self.nodes.values() {
            let (who, before) = (heard.card.who(), found.len());
            if let Some((at, text)) = &heard.fault
                && is_fresh(Some(*at), now)
            {
                found.push(format!("{who}: {text}"));
                nodes += 1;
                continue;
            }
            for (place, own) in up_since.iter().enumerate() {
                let has_stood =
                    |since: &Option<Millis>| since.is_some_and(|since| now.since(since) >= settled);
                let their = heard.up_since.get(place).is_some_and(has_stood);
                let at = heard.at.get(place).copied().flatten();
                if has_stood(own) && their && !is_fresh(at, now) {
                    found.push(format!(
                        "{who}: another Redis is bridge.urls[{place}] there"
                    ));
                }
            }
            nodes += usize::from(found.len() > before);
        }
        found.sort();
        let more = found.len().saturating_sub(TOLD_MAX);
        found.truncate(TOLD_MAX);
        if more > 0 {
            found.push(format!("and {more} more of this kind"));
        }
        (nodes, found)
    }

    /// How many nodes were heard.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Who of those in this mode was heard over the Redis at a place since then.
    fn heard(&self, mode: &str, place: usize, since: Millis) -> HashSet<NodeId> {
        let is_heard = |heard: &HeardNode| {
            heard.card.mode == mode && heard.at.get(place).copied().flatten() >= Some(since)
        };
        let heard = self.nodes.iter().filter(|(_, heard)| is_heard(heard));
        heard.map(|(node, _)| *node).collect()
    }
}

fn is_fresh(at: Option<Millis>, now: Millis) -> bool {
    at.is_some_and(|at| now.since(at) < FRESH)
}

/// The other nodes, and this one, as all links of it see them.
#[derive(Debug)]
pub(super) struct Company {
    node: NodeId,
    settings: BridgeSettings,
    roll: Mutex<Roll>,
    /// Since when each of our Redis is up.
    up_since: Mutex<[Option<Millis>; LINKS_MAX]>,
    lines: Mutex<AgreementLines>,
}

/// What the log has been told of nodes with other settings, and when they were looked for.
#[derive(Debug, Default)]
struct AgreementLines {
    faults: FaultLines<()>,
    looks: LogLimiter,
}

impl Company {
    pub(super) fn new(node: NodeId, settings: &BridgeSettings) -> Self {
        Self {
            node,
            settings: settings.clone(),
            roll: Mutex::default(),
            up_since: Mutex::default(),
            lines: Mutex::default(),
        }
    }

    /// What this node says over the Redis at a place.
    pub(super) fn card(&self, place: usize) -> Card {
        let up_since = self.up_since.lock();
        let up = up_since
            .iter()
            .enumerate()
            .filter(|(_, since)| since.is_some());
        let up = up.fold(0, |bits, (place, _)| bits | bit(place));
        Card::new(self.node, &self.settings, place, up)
    }

    /// Something came over the Redis at a place.
    pub(super) fn hear(&self, place: usize, bytes: &[u8], now: Millis) {
        if let Some(card) = Card::read(bytes) {
            let own = self.card(place);
            self.roll.lock().hear(&own, card, now);
        }
    }

    /// The Redis at a place is up from now on, or down.
    pub(super) fn turned(&self, place: usize, up: Option<Millis>) {
        if let Some(since) = self.up_since.lock().get_mut(place) {
            *since = up;
        }
    }

    /// See [`Roll::differences`].
    pub(super) fn differences(&self, now: Millis) -> Vec<String> {
        self.judge(now).1
    }

    /// See [`Roll::judge`].
    pub(super) fn judge(&self, now: Millis) -> (usize, Vec<String>) {
        let up_since = *self.up_since.lock();
        self.roll.lock().judge(&up_since, now, FRESH)
    }

    /// What the log is to be told: of how many nodes something does not agree, and what, when that begins; that there is
    /// none any more, when it ends. In between nothing, whoever differs; it ends [`FRESH`] after it began at the earliest, so
    /// whoever may publish there makes two lines in that time at most. Looked at once a second, over whichever Redis.
    pub(super) fn news(&self, now: Millis) -> Option<(usize, Vec<String>)> {
        let mut lines = self.lines.lock();
        if !lines.looks.is_due(now) {
            return None;
        }
        let (nodes, told) = self.judge(now);
        let up_since = *self.up_since.lock();
        let mut up_since = up_since.iter().flatten();
        // After an outage nobody has been heard yet.
        let is_settled = up_since.any(|since| now.since(*since) >= FRESH);
        if nodes == 0 && !is_settled {
            return None;
        }
        let fault = (nodes > 0).then_some(());
        lines.faults.is_due(fault, now).then_some((nodes, told))
    }

    /// Who this node is.
    pub(super) fn node(&self) -> NodeId {
        self.node
    }

    /// How many other nodes are heard.
    pub(super) fn len(&self) -> usize {
        self.roll.lock().len()
    }

    /// Who of those in the same mode was heard over the Redis at a place since then.
    pub(super) fn heard(&self, place: usize, since: Millis) -> HashSet<NodeId> {
        let mode = mode(self.settings.mode);
        self.roll.lock().heard(mode, place, since)
    }

    /// How many other nodes were heard lately.
    pub(super) fn others(&self, now: Millis) -> usize {
        let mut roll = self.roll.lock();
        roll.forget_gone(now);
        roll.len()
    }
}

/// What does not fit in a card that came over the same Redis as ours goes.
fn fault(own: &Card, other: &Card) -> Option<String> {
    if other.mode != own.mode {
        return Some(format!(
            "its bridge.mode is {:?}, here it is {:?}",
            other.mode, own.mode
        ));
    }
    if other.format != own.format {
        return Some(format!(
            "it writes envelopes of version {}, here it is {}",
            other.format, own.format
        ));
    }
    ((other.place, other.places) != (own.place, own.places)).then(|| {
        format!(
            "this Redis is bridge.urls[{}] of {} there, here it is bridge.urls[{}] of {}",
            other.place, other.places, own.place, own.places
        )
    })
}
