//! What was said in the rooms of all nodes, and what each client was written of it.

use crate::sim::client::{Client, Purpose};
use crate::sim::wire::Frame;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The other nodes read a deadline by the wall clock, in milliseconds.
const ROUNDING: u64 = 2;

/// One message, as its node published it.
#[derive(Clone, Debug)]
pub struct Said {
    number: u64,
    /// Its node, between that one's start and its end.
    pub boot: usize,
    room: String,
    /// In which of that node's rooms of the name.
    stay: u64,
    deadline: u64,
    /// Its own node may show it out of the order of all nodes.
    is_alone: bool,
    /// It did not leave its node: counted there.
    is_untold: bool,
}

/// A client, from the first byte that it is written.
#[derive(Clone, Debug, Default)]
struct Ears {
    room: String,
    /// Everything, in order, as places in what was said.
    heard: Vec<usize>,
    known: BTreeSet<usize>,
    /// The newest of each node; of its own for each of its stays, since what it said before comes back when it comes.
    newest: BTreeMap<(usize, Option<u64>), usize>,
    /// The first of each stay of a node.
    first: BTreeMap<(usize, u64), usize>,
    /// How much had been said when it was welcomed, and in which calm.
    welcome: Option<(usize, Option<u64>)>,
    /// It was written something since its order was looked at.
    is_fresh: bool,
}

/// Who: the node between its start and its end, and the link there.
pub type Listener = (usize, usize);

/// All of it.
#[derive(Debug, Default)]
pub struct Record {
    said: Vec<Said>,
    /// The place of each number.
    places: HashMap<u64, usize>,
    ears: BTreeMap<Listener, Ears>,
    ended: BTreeSet<usize>,
    /// Which calm this is, while nothing has happened to anybody for long enough.
    pub calm: Option<u64>,
    /// Redis has lost what it had answered for.
    pub has_lost_data: bool,
    fault: Option<String>,
}

fn is_welcome(frame: &Frame) -> bool {
    memchr::memmem::find(&frame.payload, b"Connected to chat for business").is_some()
}

/// One node, to its witness.
#[derive(Clone, Debug)]
pub struct Spoken<'a> {
    pub boot: usize,
    pub room: &'a str,
    pub stay: u64,
    pub number: u64,
    pub deadline: u64,
    pub is_alone: bool,
    pub is_untold: bool,
}

impl Record {
    /// How much was said.
    pub fn len(&self) -> usize {
        self.said.len()
    }

    /// A node publishes something.
    pub fn say(&mut self, spoken: &Spoken<'_>) {
        let number = spoken.number;
        if self.places.insert(number, self.said.len()).is_some() {
            self.fault = Some(format!("~{number}~ was published twice"));
        }
        self.said.push(Said {
            number,
            boot: spoken.boot,
            room: spoken.room.to_owned(),
            stay: spoken.stay,
            deadline: spoken.deadline,
            is_alone: spoken.is_alone,
            is_untold: spoken.is_untold,
        });
    }

    /// What this node has said its members may be shown out of order.
    pub fn alone(&mut self, boot: usize) {
        for said in self.said.iter_mut().filter(|said| said.boot == boot) {
            said.is_alone = true;
        }
    }

    /// A node is gone.
    pub fn end(&mut self, boot: usize) {
        self.ended.insert(boot);
    }

    /// A client of a node was written this.
    pub fn look(&mut self, boot: usize, client: &Client, frames: &[Frame]) -> Result<(), String> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let (at, calm) = (self.said.len(), self.calm);
        let ears = self
            .ears
            .entry((boot, client.link))
            .or_insert_with(|| Ears {
                room: client.room.clone(),
                ..Ears::default()
            });
        for frame in frames.iter().filter(|frame| frame.is_event()) {
            let Some(number) = frame.number() else {
                if is_welcome(frame) {
                    ears.welcome = ears.welcome.or(Some((at, calm)));
                }
                continue;
            };
            let who = format!("~{number}~ on link {} of boot {boot}", client.link);
            if client.purpose == Purpose::Echo {
                let own = client.said.binary_search(&number);
                own.map_err(|_place| format!("{who} is another one's"))?;
                continue;
            }
            let place = self.places.get(&number).copied();
            let place = place.ok_or_else(|| format!("{who} was never published"))?;
            let said = &self.said[place];
            if said.room != client.room {
                return Err(format!("{who}, of room {}: {said:?}", client.room));
            }
            if frame.begun >= said.deadline.saturating_add(ROUNDING) {
                return Err(format!("{who} at {}, too late: {said:?}", frame.begun));
            }
            ears.hear(place, said, boot == said.boot)
                .map_err(|fault| format!("{who} {fault}: {said:?}"))?;
        }
        Ok(())
    }

    /// How many deliveries a client has missed of what other members on its node were written behind the first that
    /// it was.
    pub fn missed(&self, boot: usize, client: &Client, is_open: bool) -> usize {
        let Some(ears) = self.ears.get(&(boot, client.link)) else {
            return 0;
        };
        let (Some(first), Some(last)) = (ears.heard.first(), ears.heard.last()) else {
            return 0;
        };
        let mut missed: BTreeSet<usize> = BTreeSet::new();
        for other in self.of_node(boot).filter(|other| other.room == ears.room) {
            let place = |of| other.heard.iter().position(|heard| heard == of);
            let Some(from) = place(first) else {
                continue;
            };
            let end = match is_open {
                true => other.heard.len(),
                false => place(last).unwrap_or(from),
            };
            let owed = other.heard.get(from..end).unwrap_or_default();
            missed.extend(owed.iter().filter(|place| !ears.known.contains(*place)));
        }
        missed.len()
    }

    fn of_node(&self, boot: usize) -> impl Iterator<Item = &Ears> {
        let range = self.ears.range((boot, 0)..(boot + 1, 0));
        range.map(|(_, ears)| ears)
    }

    /// What a client said is in its room in the order said; with `all`, all of the first `sure`.
    pub fn in_order(&self, client: &Client, all: bool) -> Result<(), String> {
        if client.purpose == Purpose::Echo {
            return Ok(());
        }
        let mut last = None;
        for number in client.said.iter().take(client.sure) {
            let place = self.places.get(number);
            if place.is_none() && all {
                let link = client.link;
                return Err(format!("~{number}~ of link {link} was sent and not heard"));
            }
            if place.is_some() && last > place {
                let link = client.link;
                return Err(format!("~{number}~ of link {link} overtook"));
            }
            last = place.or(last);
        }
        Ok(())
    }

    /// Two members that were written the same were written it in one order: those of one node always, and if
    /// `everywhere`, those of two, but for what a node said alone.
    pub fn check_one_order(&mut self, everywhere: bool) -> Result<(), String> {
        let everywhere = everywhere && !self.has_lost_data;
        for (who, ears) in self.ears.iter().filter(|(_, ears)| ears.is_fresh) {
            let mut places = vec![usize::MAX; self.said.len()];
            for (index, place) in ears.heard.iter().enumerate() {
                places[*place] = index;
            }
            for (other, theirs) in &self.ears {
                let is_one_node = who.0 == other.0;
                if theirs.room != ears.room || !(everywhere || is_one_node) || who == other {
                    continue;
                }
                let mut last = None;
                for place in theirs.heard.iter().copied() {
                    let said = &self.said[place];
                    let is_own = said.boot == who.0 || said.boot == other.0;
                    let is_exempt = !is_one_node && said.is_alone && is_own;
                    if places[place] == usize::MAX || is_exempt {
                        continue;
                    }
                    if let Some(last) = last.filter(|&last: &usize| places[last] > places[place]) {
                        return Err(format!(
                            "{other:?} was written ~{}~ before ~{}~, {who:?} after: {:?}, {said:?}",
                            self.said[last].number, said.number, self.said[last]
                        ));
                    }
                    last = Some(place);
                }
            }
        }
        for ears in self.ears.values_mut() {
            ears.is_fresh = false;
        }
        Ok(())
    }

    /// What a node's open clients should have been written of nodes that they had heard before and that are still
    /// there, and were not; of those `stays` alone, if there are any given.
    pub fn lost(
        &self,
        boot: usize,
        open: &[usize],
        stays: Option<&BTreeSet<(usize, u64)>>,
    ) -> BTreeSet<u64> {
        let mut lost = BTreeSet::new();
        for ears in open.iter().filter_map(|link| self.ears.get(&(boot, *link))) {
            for (place, said) in self.said.iter().enumerate() {
                let first = ears.first.get(&(said.boot, said.stay));
                let is_owed = said.room == ears.room && said.boot != boot && !said.is_untold;
                if is_owed
                    && !self.ended.contains(&said.boot)
                    && first.is_some_and(|first| *first < place)
                    && !ears.known.contains(&place)
                    && stays.is_none_or(|stays| stays.contains(&(said.boot, said.stay)))
                {
                    lost.insert(said.number);
                }
            }
        }
        lost
    }

    /// A client that was welcomed in this calm has been written everything said in its room since; and every client
    /// what was said since place `from`. How much was looked at.
    pub fn check_heard(&self, boot: usize, link: usize, from: usize) -> Result<usize, String> {
        let Some(ears) = self.ears.get(&(boot, link)) else {
            return Ok(0);
        };
        let welcome = ears.welcome.filter(|(_, calm)| *calm == self.calm);
        let welcome = welcome.filter(|_| self.calm.is_some());
        let since = welcome.map_or(from, |(at, _)| at.min(from));
        let mut count = 0;
        for (place, said) in self.said.iter().enumerate().skip(since) {
            if said.room != ears.room {
                continue;
            }
            count += 1;
            if !ears.known.contains(&place) {
                let way = if place < from {
                    "was welcomed and then"
                } else {
                    "after everything was healed,"
                };
                return Err(format!(
                    "link {link} of boot {boot} {way} misses ~{}~: {said:?}",
                    said.number
                ));
            }
        }
        Ok(count)
    }
}

impl Ears {
    fn hear(&mut self, place: usize, said: &Said, is_own: bool) -> Result<(), &'static str> {
        if !self.known.insert(place) {
            return Err("came twice");
        }
        let life = is_own.then_some(said.stay);
        let newest = self.newest.insert((said.boot, life), place);
        self.first.entry((said.boot, said.stay)).or_insert(place);
        self.heard.push(place);
        self.is_fresh = true;
        match newest {
            Some(newest) if newest > place => Err("came behind a later one"),
            _ => Ok(()),
        }
    }
}
