//! The rooms of one node by their names, and every way into them.

use super::mailboxes::{Mailboxes, Wake};
use super::parcel::{ConnectionKey, Parcel, RoomSlot};
use super::placement::{Passage, Placement};
use super::publication::Publication;
use super::publish::{Published, Reach, keep, publish, tell};
use super::room::{ByName, Joined, Last, Room};
use super::uplink::{Author, Uplink, Way};
use crate::clock::{Millis, SharedDuration};
use crate::config::{self, QueueSettings};
use crate::name::RoomName;
use crate::protocol::{CloseReason, Event};
use bytes::Bytes;
use dashmap::{DashMap, Entry, VacantEntry};
use foldhash::fast::RandomState;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The rooms of one node.
pub struct Broker {
    rooms: DashMap<ByName, (), RandomState>,
    mailboxes: Mailboxes,
    placement: Arc<Placement>,
    spread_above: usize,
    uplinks: Vec<Box<dyn Uplink>>,
    wants_events: bool,
    keeps_events: bool,
    publications: AtomicU64,
    incarnations: AtomicU64,
    expiry: SharedDuration,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("rooms", &self.rooms.len())
            .finish_non_exhaustive()
    }
}

impl Broker {
    /// A broker for as many workers as there are `wakes`, at most [`WORKERS_MAX`](crate::config::WORKERS_MAX), with these ways off
    /// the node.
    #[must_use]
    pub fn new(
        settings: &config::BrokerSettings,
        wakes: Vec<Wake>,
        uplinks: impl IntoIterator<Item = Box<dyn Uplink>>,
    ) -> Self {
        // The count of shards bounds contention between joins; publishing never comes here.
        let shards = (wakes.len() * 4).next_power_of_two().max(2);
        let mailboxes = Mailboxes::new(settings, wakes);
        let uplinks: Vec<_> = uplinks.into_iter().collect();
        Self {
            rooms: DashMap::with_hasher_and_shard_amount(RandomState::default(), shards),
            placement: Arc::new(Placement::new(mailboxes.workers())),
            mailboxes,
            spread_above: settings.spread_above,
            wants_events: uplinks.iter().any(|uplink| uplink.reads_events()),
            keeps_events: uplinks.iter().any(|uplink| uplink.keeps_events()),
            uplinks,
            publications: AtomicU64::new(0),
            incarnations: AtomicU64::new(0),
            expiry: SharedDuration::new(QueueSettings::default().expiry),
        }
    }

    /// What is published without a worker is worth delivering for so long from now on: `queue.expiry`, by default 60 s.
    pub fn set_expiry(&self, expiry: Duration) {
        self.expiry.set(expiry);
    }

    /// Until when what is published now is worth delivering.
    pub(crate) fn deadline(&self, now: Millis) -> Millis {
        now + self.expiry.get()
    }

    /// Does anybody on this node read the event of a publication, beside its frame?
    #[must_use]
    pub fn wants_events(&self) -> bool {
        self.wants_events
    }

    /// Does anybody on this node keep events, whoever they are of?
    #[must_use]
    pub fn keeps_events(&self) -> bool {
        self.keeps_events
    }

    /// Is a member's message better refused than published, since an uplink that must keep it cannot?
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.keeps_events && self.uplinks.iter().any(|uplink| uplink.refuses())
    }

    /// The mailboxes of the workers.
    #[must_use]
    pub fn mailboxes(&self) -> &Mailboxes {
        &self.mailboxes
    }

    /// Rooms with members on this node.
    #[must_use]
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// Publications accepted into rooms since start.
    #[must_use]
    pub fn publications(&self) -> u64 {
        self.publications.load(Ordering::Relaxed)
    }

    /// Chooses the worker of a new connection, a member of `room` if it is one's, and counts the
    /// connection there from now on.
    #[must_use]
    pub fn place(&self, room: Option<&RoomName>, now: Millis) -> Passage {
        let Some(name) = room else {
            return self.placement.send_anywhere(now);
        };
        let find = || self.worker_of(name, now);
        match find() {
            Some(worker) => self.placement.send(worker),
            None => self.placement.send_first(name, now, find),
        }
    }

    /// The worker for one more member of a room that has some.
    fn worker_of(&self, name: &RoomName, now: Millis) -> Option<usize> {
        let load = |worker| self.placement.open_load(worker, now);
        self.find(name)?
            .preferred_worker(self.spread_above, self.mailboxes.workers(), load)
    }

    /// What the workers carry.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// The room, if it has members here.
    #[must_use]
    pub fn find(&self, name: &RoomName) -> Option<Arc<Room>> {
        self.named(name.as_str())
    }

    /// The room of this name, if it has members here; any other text is no room's name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Arc<Room>> {
        self.rooms.get(name).map(|entry| Arc::clone(&entry.key().0))
    }

    /// The rooms with members here whose names are `wanted`: all there are while this looks, a part of
    /// them at a time.
    pub fn names(&self, wanted: impl Fn(&str) -> bool) -> Vec<RoomName> {
        let rooms = self.rooms.iter();
        let name = |room: &Room| wanted(room.name().as_str()).then(|| room.name().clone());
        rooms.filter_map(|entry| name(&entry.key().0)).collect()
    }

    /// Makes a member of `name` on `worker`. Only that worker's thread may call this, so that a
    /// member's place in the order of publications is exact. `make_slot` runs under the room's lock
    /// if the worker has no member of the room yet.
    pub fn join(
        &self,
        name: &RoomName,
        worker: usize,
        make_slot: impl FnOnce() -> RoomSlot,
    ) -> Joined {
        let worker = u16::try_from(worker).unwrap_or(u16::MAX);
        // The seat is taken while the registry's guard is held: a room that is being removed is
        // either gone before, or seen as not empty by its remover.
        let sit = |room: &Arc<Room>| room.sit(worker, make_slot);
        let joined = if let Some(entry) = self.rooms.get(name.as_str()) {
            sit(&entry.key().0)
        } else {
            match self.rooms.entry(ByName(self.new_room(name))) {
                Entry::Occupied(entry) => sit(&entry.key().0),
                Entry::Vacant(entry) => {
                    let joined = sit(self.begun(&entry));
                    entry.insert(());
                    joined
                }
            }
        };
        if joined.first_on_worker {
            self.placement.hold_room(usize::from(worker), true);
        }
        if joined.first_on_node && !self.uplinks.is_empty() {
            let reaching = self.uplinks.iter().filter(|uplink| uplink.watch(name));
            let ways = reaching.fold(Way::NONE, |ways, uplink| ways | Way::bits(uplink.way()));
            // The worker hears of it by its mailbox, as those members do that came meanwhile.
            let from = Some(usize::from(worker));
            joined.room.confirm(ways, &self.mailboxes, from);
        }
        joined
    }

    /// A room of this name that is not in the registry.
    fn new_room(&self, name: &RoomName) -> Arc<Room> {
        let ways = self.uplinks.iter();
        let ways = ways.fold(Way::NONE, |ways, uplink| ways | Way::bits(uplink.way()));
        Arc::new(Room::new(name.clone(), ways))
    }

    /// The room of a place in the registry that is still free, in its next incarnation. The place is
    /// locked: whoever took a number before it would publish with a smaller one behind a larger.
    fn begun<'a>(&self, vacant: &'a VacantEntry<'_, ByName, ()>) -> &'a Arc<Room> {
        let room = &vacant.key().0;
        room.begin(self.incarnations.fetch_add(1, Ordering::Relaxed) + 1);
        room
    }

    /// What comes by this way reaches the room of this name from here on: members that wait for it are
    /// welcomed. Nothing happens without members. Called by an uplink, for any thread.
    pub fn confirm(&self, name: &RoomName, way: Way) {
        if let Some(room) = self.named(name.as_str()) {
            room.confirm(way.bit(), &self.mailboxes, None);
        }
    }

    /// Closes the connections of all members on this node, behind what was published before, with
    /// `farewell` for the reason's own text if there is one.
    pub fn close_room(&self, room: &Room, reason: CloseReason, farewell: Option<&str>) {
        room.close(&self.mailboxes, reason, farewell);
    }

    /// Ends a membership made by [`Broker::join`] on `worker`; true if it was the worker's last one.
    pub fn leave(&self, room: &Arc<Room>, worker: usize) -> bool {
        let last = room.stand(u16::try_from(worker).unwrap_or(u16::MAX));
        if last != Last::Not {
            self.placement.hold_room(worker, false);
        }
        if last == Last::OnNode {
            self.rooms.remove_if(room.name().as_str(), |key, ()| {
                Arc::ptr_eq(&key.0, room) && room.is_empty()
            });
            for uplink in &self.uplinks {
                uplink.unwatch(room.name());
            }
        }
        last != Last::Not
    }

    /// The first worker whose full mailbox should stop a publisher into `room` from reading on.
    #[must_use]
    pub fn full_mailbox(&self, room: &Room) -> Option<usize> {
        room.full_mailbox(&self.mailboxes)
    }

    /// Is the mailbox of a worker with members of this room so full that a room that says much is to wait?
    #[must_use]
    pub fn is_crowded(&self, room: &Room) -> bool {
        room.is_crowded(&self.mailboxes)
    }

    /// Is the mailbox of a worker with members of this room full?
    #[must_use]
    pub fn is_full(&self, name: &RoomName) -> bool {
        let room = self.rooms.get(name.as_str());
        room.is_some_and(|entry| self.full_mailbox(&entry.key().0).is_some())
    }

    /// Waits while the mailbox of a worker with members of this room is full. For tasks.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn wait_while_full(&self, name: &RoomName) {
        let full = || {
            let room = self.rooms.get(name.as_str())?;
            self.full_mailbox(&room.key().0)
        };
        while let Some(worker) = full() {
            self.mailboxes.wait_while_full(worker).await;
        }
    }

    /// Publishes into a room, for those who have it at hand: a member's worker. `from` is the calling
    /// worker, if it is one. Returns the number of the publication and the members it is for: none
    /// yet, if an uplink gives it back in an order of its own. Never waits.
    pub fn publish(
        &self,
        room: &Arc<Room>,
        publication: &Publication,
        from: Option<usize>,
    ) -> (u64, u64) {
        self.offer(room, publication, from, None)
    }

    /// Publishes a member's message, from the worker of its `author`. As [`Broker::publish`].
    pub fn say(&self, room: &Arc<Room>, publication: &Publication, author: Author) -> (u64, u64) {
        self.offer(room, publication, Some(author.worker), Some(author))
    }

    /// Publishes into the room of this name, whether it has members on this node or not: the uplinks
    /// hear of it all the same. Whom it reaches. Never waits; for any thread.
    ///
    /// A room without members exists for the length of this call, under the lock of its place in the
    /// registry: it has an incarnation of its own, and nobody joins, leaves or publishes in between, so
    /// what one thread publishes by name leaves the node in that order.
    pub fn publish_by_name(&self, name: &RoomName, publication: &Publication) -> Reach {
        self.offer_by_name(name, publication, None)
    }

    /// Publishes a member's message into the room of this name; its `author` may be gone. As [`Broker::publish_by_name`].
    pub fn say_by_name(&self, name: &RoomName, publication: &Publication, author: Author) -> Reach {
        self.offer_by_name(name, publication, Some(author))
    }

    fn offer_by_name(
        &self,
        name: &RoomName,
        publication: &Publication,
        author: Option<Author>,
    ) -> Reach {
        // Published while the registry's guard is held: the room is not removed and followed by
        // another of its name meanwhile, whose publications would be ahead of this one.
        let (mailboxes, uplinks) = (&self.mailboxes, &self.uplinks);
        let publish =
            |room: &Arc<Room>| publish(room, publication, mailboxes, None, uplinks, author);
        let found = self.rooms.get(name.as_str());
        let found = found.map(|entry| publish(&entry.key().0));
        let published = found.unwrap_or_else(|| {
            let entry = self.rooms.entry(ByName(self.new_room(name)));
            publish(match &entry {
                Entry::Occupied(entry) => &entry.key().0,
                Entry::Vacant(entry) => self.begun(entry),
            })
        });
        let reach = Reach {
            members: published.members,
            is_forwarded: published.is_forwarded,
            is_kept: published.is_kept,
        };
        if reach.is_anybody() {
            self.count(published);
        }
        reach
    }

    fn offer(
        &self,
        room: &Arc<Room>,
        publication: &Publication,
        from: Option<usize>,
        author: Option<Author>,
    ) -> (u64, u64) {
        if self.uplinks.is_empty() {
            return self.put(room, publication, from);
        }
        let (mailboxes, uplinks) = (&self.mailboxes, &self.uplinks);
        self.count(publish(room, publication, mailboxes, from, uplinks, author))
    }

    fn count(&self, published: Published) -> (u64, u64) {
        self.publications
            .fetch_add(published.count, Ordering::Relaxed);
        (published.sequence, published.members)
    }

    /// A member's message that no other member is shown: the uplinks alone hear of it.
    pub fn say_alone(&self, room: &Arc<Room>, publication: &Publication, author: Author) {
        if let Some(event) = &publication.event {
            keep(room, &self.uplinks, event);
        }
        tell(room, &self.uplinks, publication, author);
    }

    /// What happened in the room of this name, with members on this node or without, and they are not shown: the
    /// uplinks that keep events have it.
    pub fn keep_by_name(&self, name: &RoomName, event: &Arc<Event<'static>>) {
        keep(&self.found_or_empty(name), &self.uplinks, event);
    }

    /// As [`Broker::say_alone`], into the room of this name, whether it has members on this node or not.
    pub fn say_alone_by_name(&self, name: &RoomName, publication: &Publication, author: Author) {
        self.say_alone(&self.found_or_empty(name), publication, author);
    }

    /// The room of this name; one that nobody else sees if it has no members here.
    fn found_or_empty(&self, name: &RoomName) -> Arc<Room> {
        let room = self.find(name);
        room.unwrap_or_else(|| Arc::new(Room::new(name.clone(), Way::NONE)))
    }

    /// Publishes what came from elsewhere: to local members only. If it is an event (of the Django site, of the
    /// API), the uplinks that keep events have it. As [`Broker::publish`].
    pub fn deliver_remote(&self, room: &Arc<Room>, publication: &Publication) -> (u64, u64) {
        let Some(event) = &publication.event else {
            return self.put(room, publication, None);
        };
        let put = room.in_order(|state| {
            let members = state.put(publication, &self.mailboxes, None);
            keep(room, &self.uplinks, event);
            (state.sequence, members)
        });
        self.publications.fetch_add(1, Ordering::Relaxed);
        put
    }

    /// Publishes to local members.
    fn put(&self, room: &Room, publication: &Publication, from: Option<usize>) -> (u64, u64) {
        let put = room.in_order(|state| {
            let members = state.put(publication, &self.mailboxes, from);
            (state.sequence, members)
        });
        self.publications.fetch_add(1, Ordering::Relaxed);
        put
    }

    /// Publishes to local members what `take` chooses, under the room's lock: nothing else comes in
    /// between, and no [`Uplink::forward`] of the room runs meanwhile. How many it chose.
    pub fn deliver_taken(&self, room: &Room, take: impl FnOnce(&mut Vec<Publication>)) -> u64 {
        let count = room.in_order(|state| {
            let mut taken = Vec::new();
            take(&mut taken);
            for publication in &taken {
                state.put(publication, &self.mailboxes, None);
            }
            taken.len() as u64
        });
        self.publications.fetch_add(count, Ordering::Relaxed);
        count
    }

    /// Sends a control frame to a connection of the calling worker, behind its events so far.
    pub fn control(&self, worker: usize, connection: ConnectionKey, frame: Bytes) {
        self.mailboxes
            .push(worker, Parcel::Control { connection, frame }, Some(worker));
    }

    /// A question of this connection has been answered: said behind the reply.
    pub fn answered(&self, asker: Author) {
        let connection = asker.connection;
        self.mailboxes
            .push(asker.worker, Parcel::Answered { connection }, None);
    }

    /// Ends the wait of a connection that takes no message until then; for any thread.
    pub fn resume(&self, author: Author) {
        let connection = author.connection;
        self.mailboxes
            .push(author.worker, Parcel::Resume { connection }, None);
    }

    /// Closes a connection, behind what was sent to it before, with `farewell` for the reason's own text if there is
    /// one; for any thread.
    pub fn end(&self, author: Author, reason: CloseReason, farewell: Option<Box<str>>) {
        let connection = author.connection;
        let parcel = Parcel::End {
            connection,
            reason,
            farewell,
        };
        self.mailboxes.push(author.worker, parcel, None);
    }

    /// Sends an event to one connection of `worker`.
    pub fn direct(
        &self,
        worker: usize,
        connection: ConnectionKey,
        publication: Publication,
        resume: bool,
        from: Option<usize>,
    ) {
        self.mailboxes.push(
            worker,
            Parcel::Direct {
                connection,
                delivery: publication.delivery(),
                resume,
            },
            from,
        );
    }
}
