//! A command, carried out on all nodes, and the one answer that comes of it.

use super::command::{ApiCommand, ApiMessage, DisconnectTarget, OF_ALL_NODES};
use super::fields::Fields;
use super::local_node::{LocalNode, NodeTally};
use super::problem::{ApiProblem, ProblemKind};
use crate::bridge::{Answering, Bridge, Replied, Respond};
use crate::config::Config;
use crate::name::RoomName;
use crate::worker::rate_limit::{Rate, TokenBucket};
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The answer to a command, once other nodes have said what there is to say.
pub(super) type PendingAnswer = Pin<Box<dyn Future<Output = Value> + Send>>;

/// This node and the others.
#[derive(Clone, Debug)]
pub(super) struct Fleet {
    local: Arc<LocalNode>,
    bridge: Option<Arc<Bridge>>,
    rate: Rate,
    bucket: Arc<Mutex<TokenBucket>>,
    timeout: Duration,
}

impl Fleet {
    /// From here on this node answers the others, too.
    pub(super) fn new(config: &Config, local: LocalNode, bridge: Option<Arc<Bridge>>) -> Self {
        let local = Arc::new(local);
        if let Some(bridge) = &bridge {
            bridge.answer_with(Arc::new(Respondent {
                local: Arc::clone(&local),
                text_bytes_max: config.chat.text_bytes_max,
            }));
        }
        Self {
            local,
            bridge,
            rate: Rate {
                per_second: config.api.messages_per_second,
                burst: config.api.messages_burst,
            },
            bucket: Arc::default(),
            timeout: config.api.nodes_timeout,
        }
    }

    /// Carries a command out here: what is published is published when this is done. What comes back asks the
    /// others.
    pub(super) async fn begin(&self, command: ApiCommand) -> Result<PendingAnswer, ApiProblem> {
        let messages = command.messages();
        let has_tokens = {
            let now = self.local.now();
            self.bucket.lock().take(now, self.rate, messages)
        };
        if messages > 0 && !has_tokens {
            return Err(ApiProblem::later(ProblemKind::TooMany, 1));
        }
        if let ApiCommand::Publish { room, message } = command {
            return Ok(Box::pin(self.publish(room, message)));
        }
        // What changes nothing is asked here and elsewhere at the same time.
        let here = match &command {
            ApiCommand::Presence { .. } => None,
            command => Some(self.local.run(command).await),
        };
        Ok(Box::pin(self.clone().ask_all(command, here)))
    }

    /// Publishes at once; what comes back asks Redis who hears it.
    fn publish(
        &self,
        room: RoomName,
        message: ApiMessage,
    ) -> impl Future<Output = Value> + Send + use<> {
        let published = self.local.publish(&room, &message);
        let (bridge, timeout) = (self.bridge.clone(), self.timeout);
        async move {
            let mut answer = json!({ "room": room.as_str() });
            complete(&mut answer, message.id.as_deref(), published.is_none());
            let forwarded = match (&bridge, &published) {
                (None, _) | (_, None) => "none",
                (Some(_), Some((reach, _))) if reach.is_forwarded => "queued",
                (Some(_), Some(_)) => "dropped",
            };
            let members = published.map_or(0, |(_, members)| members);
            let others = match bridge.filter(|_| forwarded == "queued") {
                None => Some(0),
                Some(bridge) => {
                    let hearers = tokio::time::timeout(timeout, bridge.hearers(&room)).await;
                    hearers.unwrap_or_default()
                }
            };
            let nodes = others.map(|others| others + usize::from(members > 0));
            let told = json!({ "members": members, "nodes": nodes, "bridge": forwarded });
            extend(&mut answer, told);
            answer
        }
    }

    /// Asks the others, and this node if it has not been asked.
    async fn ask_all(self, command: ApiCommand, here: Option<NodeTally>) -> Value {
        let others = async {
            let Some(bridge) = &self.bridge else {
                return Replied::default();
            };
            let what = command.write().to_string();
            let room = room_of(&command);
            bridge.inquire(room, what.as_bytes(), self.timeout).await
        };
        let (here, others) = match here {
            Some(here) => (here, others.await),
            None => tokio::join!(self.local.run(&command), others),
        };
        answer(&command, here, &others)
    }
}

/// The room that a command is about.
fn room_of(command: &ApiCommand) -> Option<&RoomName> {
    match command {
        ApiCommand::Publish { room, .. } | ApiCommand::Presence { room } => Some(room),
        ApiCommand::Disconnect {
            target: DisconnectTarget::Room(room),
            ..
        } => Some(room),
        ApiCommand::Disconnect { .. } | ApiCommand::Broadcast { .. } => None,
    }
}

fn extend(answer: &mut Value, more: Value) {
    if let (Value::Object(answer), Value::Object(more)) = (answer, more) {
        answer.extend(more);
    }
}

/// What an answer says of an `id`.
fn complete(answer: &mut Value, id: Option<&str>, duplicate: bool) {
    if let Some(id) = id {
        extend(answer, json!({ "id": id }));
    }
    extend(answer, json!({ "duplicate": duplicate }));
}

/// One answer of what the nodes say.
fn answer(command: &ApiCommand, here: NodeTally, others: &Replied) -> Value {
    let tallies = others.answers.iter();
    let tallies = tallies.filter_map(|bytes| serde_json::from_slice::<NodeTally>(bytes).ok());
    let (mut sum, mut answered) = (here, 1);
    for tally in tallies {
        answered += 1;
        sum.rooms = sum.rooms.saturating_add(tally.rooms);
        sum.skipped = sum.skipped.saturating_add(tally.skipped);
        sum.members = sum.members.saturating_add(tally.members);
        sum.closed = sum.closed.saturating_add(tally.closed);
        sum.listed.extend(tally.listed);
    }
    let nodes = json!({ "asked": others.asked + 1, "answered": answered });
    match command {
        ApiCommand::Publish { .. } => Value::Null,
        ApiCommand::Broadcast { message, .. } => {
            let mut answer = json!({});
            complete(&mut answer, message.id.as_deref(), sum.duplicate);
            let NodeTally {
                rooms,
                members,
                skipped,
                ..
            } = sum;
            extend(
                &mut answer,
                json!({ "rooms": rooms, "members": members, "skipped": skipped, "nodes": nodes }),
            );
            answer
        }
        ApiCommand::Disconnect { .. } => json!({ "closed": sum.closed, "nodes": nodes }),
        ApiCommand::Presence { room } => json!({
            "room": room.as_str(),
            "count": sum.members,
            "members": sum.listed,
            "nodes": nodes,
        }),
    }
}

/// Answers what other nodes ask.
#[derive(Debug)]
struct Respondent {
    local: Arc<LocalNode>,
    text_bytes_max: usize,
}

impl Respond for Respondent {
    fn respond(&self, question: Bytes) -> Option<Answering> {
        let fields = Fields::parse(&question).ok()?;
        let command = ApiCommand::read_named(fields, &OF_ALL_NODES, self.text_bytes_max).ok()?;
        let local = Arc::clone(&self.local);
        Some(Box::pin(async move {
            let tally = local.run(&command).await;
            serde_json::to_vec(&tally).unwrap_or_default().into()
        }))
    }
}
