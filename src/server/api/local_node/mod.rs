//! A command, carried out among the connections of this node.

use super::command::{ApiCommand, ApiMessage, DisconnectTarget};
use super::connection_id::ConnectionId;
use super::window::IdWindow;
use crate::auth::Attendance;
use crate::broker::uplink::Author;
use crate::broker::{Broker, Publication, Reach};
use crate::clock::{Clock, Millis};
use crate::config::Config;
use crate::name::RoomName;
use crate::protocol::{CloseReason, Event, EventDetails, EventOrigin, EventWriter, Moment, Stamp};
use crate::redis::Randomness;
use crate::transport::{Opcode, encoder};
use crate::worker::{Whom, Workers};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A broadcast lets others go on after so many rooms.
const ROOMS_AT_A_TIME: usize = 256;

/// The scope of a broadcast's `id`, in front of the business: no room's name.
const BROADCAST: &str = "broadcast ";

/// What a command came to on one node; what nodes answer each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct NodeTally {
    /// Rooms that were told.
    pub(super) rooms: u64,
    /// Rooms that were not, since a worker is behind.
    pub(super) skipped: u64,
    /// Members that are told, or there.
    pub(super) members: u64,
    /// Connections that are closed.
    pub(super) closed: u64,
    /// The command's `id` has been seen here.
    pub(super) duplicate: bool,
    /// Members, not more than `api.members`.
    pub(super) listed: Vec<ListedMember>,
}

/// A member as presence lists one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ListedMember {
    connection: String,
    /// `None` of somebody anonymous.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    role: Cow<'static, str>,
}

/// What a listed member takes in an answer, a name of 256 bytes included.
pub(crate) const LISTED_BYTES: usize = 512;

/// The connections of this node, for the API.
#[derive(Debug)]
pub(super) struct LocalNode {
    broker: Arc<Broker>,
    workers: Arc<Workers>,
    attendance: Arc<Attendance>,
    clock: Clock,
    writer: EventWriter,
    members: usize,
    patience: Duration,
    window: IdWindow,
    boot: u64,
}

impl LocalNode {
    pub(super) fn new(
        config: &Config,
        broker: Arc<Broker>,
        workers: Arc<Workers>,
        attendance: Arc<Attendance>,
        clock: Clock,
    ) -> Self {
        let api = &config.api;
        Self {
            broker,
            workers,
            attendance,
            clock,
            writer: EventWriter::new(config.chat.dialect),
            members: api.members,
            patience: api.nodes_timeout,
            window: IdWindow::new(api.idempotency_capacity, api.idempotency_expiry),
            boot: Randomness::default().number(),
        }
    }

    pub(super) fn now(&self) -> Millis {
        self.clock.now()
    }

    /// Publishes into a room, for members here and, by the uplinks, on other nodes. `None` if the `id` has been seen.
    /// Never waits.
    pub(super) fn publish(&self, room: &RoomName, message: &ApiMessage) -> Option<(Reach, u64)> {
        let id = message.id.as_deref();
        if id.is_some_and(|id| !self.window.is_first(room.as_str(), id, self.now())) {
            return None;
        }
        let reach = self.broker.publish_by_name(room, &self.render(message));
        if let Some(id) = id
            && !reach.is_anybody()
            && !reach.is_kept
        {
            self.window.forget(room.as_str(), id);
        }
        // With an order of all nodes they are given it when it comes back.
        let members = self
            .broker
            .find(room)
            .map_or(0, |room| room.members() as u64);
        Some((reach, members))
    }

    /// Carries out whatever else is asked. The node that is asked by another does the same.
    pub(super) async fn run(&self, command: &ApiCommand) -> NodeTally {
        match command {
            ApiCommand::Publish { .. } => NodeTally::default(),
            ApiCommand::Broadcast {
                business_id,
                message,
            } => self.broadcast(business_id.as_deref(), message).await,
            ApiCommand::Disconnect {
                target,
                reason,
                farewell,
            } => self.disconnect(target, *reason, farewell.as_deref()).await,
            ApiCommand::Presence { room } => self.presence(room).await,
        }
    }

    fn render(&self, message: &ApiMessage) -> Publication {
        let moment = Moment::from(self.clock.wall());
        let event = Event::new(message.sender, &message.text, moment);
        let mut payload = Vec::with_capacity(message.text.len() + 128);
        self.writer
            .event(&mut payload, &event, &mut Stamp::new(0, 0));
        if let Some(meta) = &message.meta {
            self.writer.meta(&mut payload, meta);
        }
        let event = self.broker.keeps_events().then(|| {
            let details = EventDetails {
                id: message.id.as_deref().map(Box::from),
                meta: message.meta.as_deref().map(Box::from),
                origin: EventOrigin::Api,
            };
            Arc::new(event.with(details).into_owned())
        });
        Publication {
            frame: encoder::frame(Opcode::Text, &payload),
            deadline: self.broker.deadline(self.clock.now()),
            event,
        }
    }

    /// Tells every room of a business, or every chat, once. A mailbox that is full is waited for, in all as long as
    /// other nodes are; rooms that would have to wait longer are skipped and counted.
    async fn broadcast(&self, business_id: Option<&str>, message: &ApiMessage) -> NodeTally {
        let scope = format!("{BROADCAST}{}", business_id.unwrap_or_default());
        if let Some(id) = &message.id
            && !self.window.is_first(&scope, id, self.now())
        {
            return NodeTally {
                duplicate: true,
                ..NodeTally::default()
            };
        }
        let prefix = match business_id {
            Some(business_id) => format!("chat_{business_id}_"),
            None => "chat_".to_owned(),
        };
        let publication = self.render(message);
        let names = self.broker.names(|name| name.starts_with(&prefix));
        let (mut tally, deadline) = (NodeTally::default(), Instant::now() + self.patience);
        for (at, name) in names.iter().enumerate() {
            if at % ROOMS_AT_A_TIME == ROOMS_AT_A_TIME - 1 {
                tokio::task::yield_now().await;
            }
            // Whether there is room by then is asked below.
            let _in_time = timeout_at(deadline, self.broker.wait_while_full(name)).await;
            let Some(room) = self.broker.find(name) else {
                continue;
            };
            if self.broker.full_mailbox(&room).is_some() {
                tally.skipped += 1;
                continue;
            }
            // Here alone: every node does this for its own members.
            let (_, members) = self.broker.deliver_remote(&room, &publication);
            tally.rooms += 1;
            tally.members += members;
        }
        tally
    }

    async fn presence(&self, room: &RoomName) -> NodeTally {
        let whom = Whom::Room(room.clone());
        let lists = self.workers.list(&whom, None, self.members).await;
        let mut tally = NodeTally::default();
        for (worker, list) in lists {
            tally.members += list.count as u64;
            for connection in list.connections {
                if tally.listed.len() < self.members {
                    tally
                        .listed
                        .push(self.listed(Author { worker, connection }));
                }
            }
        }
        tally
    }

    fn listed(&self, author: Author) -> ListedMember {
        let Author { worker, connection } = author;
        let identity = self.attendance.identity(author).unwrap_or_default();
        ListedMember {
            connection: ConnectionId::new(self.boot, worker, connection).to_string(),
            user: identity.user.as_deref().map(str::to_owned),
            role: identity.role.as_str().into(),
        }
    }

    async fn disconnect(
        &self,
        target: &DisconnectTarget,
        reason: CloseReason,
        farewell: Option<&str>,
    ) -> NodeTally {
        let closed = match target {
            DisconnectTarget::Room(name) => {
                let lists = self.workers.list(&Whom::Room(name.clone()), None, 0).await;
                if let Some(room) = self.broker.find(name) {
                    self.broker.close_room(&room, reason, farewell);
                }
                lists.iter().map(|(_, list)| list.count).sum()
            }
            DisconnectTarget::Connection(id) if id.boot == self.boot => {
                let place = id.place();
                let whom = Whom::Connection(place.connection);
                let lists = self.workers.list(&whom, Some(place.worker), 0).await;
                self.broker.end(place, reason, farewell.map(Box::from));
                lists.iter().map(|(_, list)| list.count).sum()
            }
            DisconnectTarget::Connection(_of_another_node) => 0,
            DisconnectTarget::User(user) => {
                let connections = self.attendance.connections_of(user);
                for author in &connections {
                    self.broker.end(*author, reason, farewell.map(Box::from));
                }
                connections.len()
            }
        };
        NodeTally {
            closed: closed as u64,
            ..NodeTally::default()
        }
    }
}

#[cfg(test)]
mod tests;
