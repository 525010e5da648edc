//! One session over one Redis of the site, from connecting to the first thing that breaks.

use super::host::LayerHost;
use super::layer::Layer;
use super::pull;
use super::receive;
use super::wire;
use crate::broker::Broker;
use crate::broker::uplink::Way;
use crate::metrics::count_all;
use crate::name::RoomName;
use crate::redis::client::{RedisClient, RedisCommand, RedisConnection, check_role};
use crate::redis::failure::LinkFailure;
use crate::redis::supervise::OwnedTask;
use crate::redis::value::RedisValue;
use std::sync::Arc;
use std::time::Duration;

/// Rooms joined or left in one go, which is one command: Redis does nothing else meanwhile, some 0.2 ms.
const CHUNK: usize = 128;

/// How often lingering rooms and waiting members are looked at.
const TICK: Duration = Duration::from_millis(100);

/// Longest time between two canaries: with `bridge.command_timeout` it bounds how late a silent Redis
/// is noticed.
const EVERY: Duration = Duration::from_secs(1);

/// The canary's key lives this long without the node, in seconds.
const CANARY_SECS: &[u8] = b"60";

/// A session whose canary has come back.
pub(super) struct HostSession {
    commands: RedisConnection,
    messages: RedisConnection,
    receiving: OwnedTask<LinkFailure>,
}

impl HostSession {
    /// Connects twice, listens, and waits for the first canary to come back.
    pub(super) async fn open(
        host: &Arc<LayerHost>,
        layer: &Arc<Layer>,
        broker: &Arc<Broker>,
    ) -> Result<Self, LinkFailure> {
        let commands = host.deployment.commander().await?;
        // Refused while Redis loads its data set.
        commands.client.ping().await?;
        check_role(&*commands.client).await?;
        if layer.is_core {
            pull::fence(host, layer, &*commands.client).await?;
        }
        let (messages, receiving) = if layer.is_core {
            pull::core(host, layer, broker).await?
        } else {
            receive::pubsub(host, layer, broker).await?
        };
        let session = Self {
            commands,
            messages,
            receiving,
        };
        send_canary(host, layer, &*session.commands.client).await?;
        Ok(session)
    }

    pub(super) fn client(&self) -> Arc<dyn RedisClient> {
        Arc::clone(&self.commands.client)
    }

    /// Keeps memberships and canaries until something breaks.
    pub(super) async fn run(
        &mut self,
        host: &LayerHost,
        layer: &Layer,
        broker: &Broker,
    ) -> LinkFailure {
        let commands = Arc::clone(&self.commands.client);
        let messages = Arc::clone(&self.messages.client);
        let keeper = Keeper {
            host,
            layer,
            commands: &*commands,
            messages: &*messages,
        };
        tokio::select! {
            failure = self.commands.ended() => failure,
            failure = self.messages.ended() => failure,
            ended = &mut self.receiving.0 => ended.unwrap_or(LinkFailure::Ended),
            failure = keeper.follow(broker) => failure,
            failure = keeper.watch() => failure,
        }
    }

    /// Leaves every group, for a node that goes down.
    pub(super) async fn leave_all(&self, host: &LayerHost, layer: &Layer) {
        if !layer.is_core {
            return; // Redis forgets subscriptions with their connection.
        }
        let names = host.memberships.lock().all();
        for names in names.chunks(CHUNK) {
            let left = self.commands.client.send(leave(host, layer, names)).await;
            if left.is_err_and(|error| error.is_about_connection()) {
                return;
            }
        }
        let unheard = &host.unheard;
        let mut own = vec![
            "canary".to_owned(),
            unheard.fence(),
            unheard.memory(),
            unheard.heard(),
        ];
        own.extend(layer.queues.iter().map(|queue| queue.last_marks()));
        let own = RedisCommand {
            name: "DEL",
            arguments: own.iter().map(|name| layer.key(name)).collect(),
        };
        drop(self.commands.client.send(own).await);
    }
}

/// What keeps a session's memberships as the rooms are.
struct Keeper<'s> {
    host: &'s LayerHost,
    layer: &'s Layer,
    commands: &'s dyn RedisClient,
    messages: &'s dyn RedisClient,
}

impl Keeper<'_> {
    async fn follow(&self, broker: &Broker) -> LinkFailure {
        loop {
            if let Err(failure) = self.follow_once(broker).await {
                return failure;
            }
        }
    }

    async fn follow_once(&self, broker: &Broker) -> Result<(), LinkFailure> {
        let rooms = &self.host.rooms;
        let due = rooms.due(self.layer.clock.now());
        for name in &due.overdue {
            broker.confirm(name, Way::Django);
        }
        let has_left = self.leave(&due.idle).await?;
        let wanted = rooms.take_wanted(CHUNK);
        if wanted.is_empty() {
            if has_left {
                return Ok(()); // There may be more to leave.
            }
            // A permit of `changed` is kept if it comes in between.
            drop(tokio::time::timeout(TICK, rooms.changed.notified()).await);
            return Ok(());
        }
        if !self.join(&wanted).await? {
            return Ok(()); // They are wanted again.
        }
        for name in &wanted {
            if rooms.confirm(name) {
                broker.confirm(name, Way::Django);
            }
        }
        Ok(())
    }

    /// False if Redis has forgotten this session: then all is joined anew.
    async fn join(&self, names: &[RoomName]) -> Result<bool, LinkFailure> {
        if self.layer.is_core {
            self.host.memberships.lock().join(names);
            return self.tell(self.joins(names), names).await;
        }
        self.messages.subscribe(self.channels(names)).await?;
        Ok(true)
    }

    fn joins(&self, names: &[RoomName]) -> RedisCommand {
        let joins = names.iter().map(|name| {
            let (member, now) = (self.layer.member(name), self.host.score());
            (name.as_str(), member, now)
        });
        self.layer
            .commands
            .join(fence(self.host, self.layer), joins)
    }

    /// Leaves rooms that nobody wants any more: in layer `core` a chunk of these and of those before that are not
    /// left yet. True if there were some.
    async fn leave(&self, names: &[RoomName]) -> Result<bool, LinkFailure> {
        let memberships = &self.host.memberships;
        if !self.layer.is_core {
            if !names.is_empty() {
                self.messages.unsubscribe(self.channels(names)).await?;
            }
            return Ok(false);
        }
        let names = {
            let mut memberships = memberships.lock();
            memberships.give_up(names);
            memberships.next_to_leave(CHUNK, |name| self.host.rooms.has(name))
        };
        if names.is_empty() {
            return Ok(false);
        }
        if self
            .tell(leave(self.host, self.layer, &names), &names)
            .await?
        {
            memberships.lock().left(&names);
        }
        Ok(true)
    }

    fn channels(&self, names: &[RoomName]) -> Vec<String> {
        let keys = self.layer.commands.keys();
        let names = names.iter();
        names
            .map(|name| keys.group_channel(name.as_str()))
            .collect()
    }

    /// Tells Redis of memberships. A group's key that is in use for something else does not end the session: the
    /// others go on. False if Redis has forgotten this session.
    async fn tell(&self, command: RedisCommand, names: &[RoomName]) -> Result<bool, LinkFailure> {
        let RedisValue::Array(said) = self.commands.send(command).await? else {
            self.renew(true).await?;
            return Ok(false);
        };
        let (foreign, fault) = wire::foreign(&said);
        let mut first = None;
        for name in wire::foreign_of(&said, names) {
            first = first.or(Some(name));
            self.host.memberships.lock().refuse(name);
        }
        if let Some(fault) = fault
            && self.host.is_fault_due()
        {
            let key = |name: &RoomName| self.layer.commands.keys().group(&format!("{name:?}"));
            tracing::warn!(
                host = self.host.name,
                address = self.host.deployment.shown,
                key = first.map(key),
                reason = %fault,
                "a group's key is in use for something else"
            );
        }
        let keys = &self.host.metrics.channels_foreign_keys;
        count_all(keys, "whose", "group", foreign);
        Ok(true)
    }

    /// Sends canaries until one does not come back, and renews what Redis forgets.
    async fn watch(&self) -> LinkFailure {
        let renewal = self.layer.group_expiry / 4;
        let mut renewed = self.layer.clock.now();
        loop {
            tokio::time::sleep(EVERY.min(renewal)).await;
            let now = self.layer.clock.now();
            let is_due = now.since(renewed) >= renewal;
            match self.check(is_due).await {
                Ok(true) => renewed = now,
                Ok(false) => {}
                Err(failure) => return failure,
            }
        }
    }

    /// True if all memberships are made anew.
    async fn check(&self, is_due: bool) -> Result<bool, LinkFailure> {
        // Demoted behind our back, it would refuse what we write.
        check_role(self.commands).await?;
        send_canary(self.host, self.layer, self.commands).await?;
        if !self.layer.is_core {
            return Ok(false);
        }
        let exists = RedisCommand::new("EXISTS", [&fence(self.host, self.layer)]);
        let is_there = match self.commands.send(exists).await {
            Ok(answer) => answer.number() > 0,
            Err(error) if error.is_about_connection() => return Err(error.into()),
            // Forbidden (ACL): then the renewal alone decides.
            Err(_forbidden) => true,
        };
        if is_there && !is_due {
            return Ok(false);
        }
        self.renew(!is_there).await?;
        Ok(true)
    }

    /// Sets the fence anew, and has every room joined again. What the last session says late is behind the fence of this
    /// one, and so is this if another has begun.
    async fn renew(&self, is_forgotten: bool) -> Result<(), LinkFailure> {
        let (layer, unheard) = (self.layer, &self.host.unheard);
        if is_forgotten {
            tracing::info!(
                host = self.host.name,
                address = self.host.deployment.shown,
                "Redis has forgotten this node's groups; they are joined again"
            );
            unheard.lapse();
        }
        let [next, own, memory] =
            [unheard.next_fence(), unheard.fence(), unheard.memory()].map(|name| layer.key(&name));
        let renewed = self.commands.send(layer.commands.renew(next, own, memory));
        if renewed.await?.number() == 0 {
            return Err(LinkFailure::Ended);
        }
        self.host.rooms.begin();
        self.host.rooms.changed.notify_one();
        Ok(())
    }
}

/// The key without which nothing of this session is done.
fn fence(host: &LayerHost, layer: &Layer) -> Vec<u8> {
    layer.key(&host.unheard.fence())
}

fn leave(host: &LayerHost, layer: &Layer, names: &[RoomName]) -> RedisCommand {
    let groups = names.iter().map(RoomName::as_str);
    let members = names.iter().map(|name| layer.former_member(name));
    layer
        .commands
        .leave(fence(host, layer), groups.zip(members))
}

/// Sends a canary and waits for it.
async fn send_canary(
    host: &LayerHost,
    layer: &Layer,
    client: &dyn RedisClient,
) -> Result<(), LinkFailure> {
    let send = |number: u64| async move {
        let (key, text) = (layer.key("canary"), number.to_string());
        let commands = if layer.is_core {
            vec![
                RedisCommand::new("ZADD", [&key, b"0", text.as_bytes()]),
                RedisCommand::new("EXPIRE", [&key, CANARY_SECS]),
            ]
        } else {
            vec![RedisCommand::new("PUBLISH", [&key, text.as_bytes()])]
        };
        match wire::run_all(client, commands.clone()).await {
            Err(error) if error.is_about_room() && pull::heal(host, layer, client).await? => {
                wire::run_all(client, commands).await?;
            }
            answered => drop(answered?),
        }
        Ok(())
    };
    // Full mailboxes hold the reader back.
    let is_held_back = || host.is_held_back();
    host.health.prove(layer.timeout, send, is_held_back).await
}
