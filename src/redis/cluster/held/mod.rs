//! Which sharded channels are subscribed at which server of a Cluster.
//!
//! Bound: as many as the owner has subscribed.

#[cfg(test)]
mod tests;

use super::slots::{slot_of, tag_of};
use crate::config::redis::Endpoint;
use std::collections::{HashMap, HashSet};

/// The channels of one server.
#[derive(Debug, Default)]
struct ServerChannels {
    slots: HashMap<u16, HashSet<Box<str>>>,
    count: usize,
    /// Subscribed there beside them, and not counted here: what the server is asked for its number with.
    sample: Option<String>,
}

impl ServerChannels {
    fn is_needed(&self) -> bool {
        self.count > 0 || self.sample.is_some()
    }

    /// A channel in the slot of one that the server has, and none of them: to ask for one that it has lost would bring
    /// that back, and nobody would know.
    fn sample(&mut self) -> Option<String> {
        if self.sample.is_none() {
            let channel = self.slots.values().flatten().next()?;
            self.sample = Some(beside(channel));
        }
        self.sample.clone()
    }
}

/// The channels of all servers.
#[derive(Debug, Default)]
pub(super) struct HeldChannels {
    servers: HashMap<Endpoint, ServerChannels>,
    /// How often one was given up: a server may have heard of that before it is asked.
    pub(super) removed: u64,
}

/// What a server is asked for its number of channels with, and what that must be.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) server: Endpoint,
    pub(super) channel: String,
    pub(super) count: usize,
}

impl HeldChannels {
    /// A server has confirmed this.
    pub(super) fn add(&mut self, server: &Endpoint, channel: &str) {
        let held = match self.servers.get_mut(server) {
            Some(held) => held,
            None => self.servers.entry(server.clone()).or_default(),
        };
        let slot = held.slots.entry(slot_of(channel.as_bytes())).or_default();
        held.count += usize::from(slot.insert(channel.into()));
    }

    /// This channel is not wanted any more; the servers that have it.
    pub(super) fn remove(&mut self, channel: &str) -> Vec<Endpoint> {
        self.removed += 1;
        let number = slot_of(channel.as_bytes());
        let mut servers = Vec::new();
        for (server, held) in &mut self.servers {
            let Some(slot) = held.slots.get_mut(&number) else {
                continue;
            };
            if slot.remove(channel) {
                held.count -= 1;
                if slot.is_empty() {
                    held.slots.remove(&number);
                }
                servers.push(server.clone());
            }
        }
        self.servers.retain(|_, held| held.is_needed());
        servers
    }

    /// Takes the channels out whose slot is not at the server that has them.
    pub(super) fn take_moved(&mut self, is_owner: impl Fn(u16, &Endpoint) -> bool) -> Vec<String> {
        let mut moved = Vec::new();
        for (server, held) in &mut self.servers {
            let count = &mut held.count;
            held.slots.retain(|slot, channels| {
                let stays = is_owner(*slot, server);
                if !stays {
                    *count -= channels.len();
                    moved.extend(channels.drain().map(String::from));
                }
                stays
            });
            let slot = |sample: &String| slot_of(sample.as_bytes());
            held.sample
                .take_if(|sample| !is_owner(slot(sample), server));
        }
        self.servers.retain(|_, held| held.is_needed());
        moved
    }

    /// Takes the channels of a server out; it is still asked with the same one.
    pub(super) fn take_channels(&mut self, server: &Endpoint) -> Vec<String> {
        let Some(held) = self.servers.get_mut(server) else {
            return Vec::new();
        };
        held.count = 0;
        let channels = std::mem::take(&mut held.slots).into_values().flatten();
        channels.map(String::from).collect()
    }

    /// Takes all of a server out, whose connection is gone.
    pub(super) fn take_all(&mut self, server: &Endpoint) -> Vec<String> {
        let held = self.servers.remove(server).unwrap_or_default();
        let channels = held.slots.into_values().flatten();
        channels.map(String::from).collect()
    }

    /// What each server is asked for its number with, and the number that it must say.
    pub(super) fn samples(&mut self) -> Vec<Sample> {
        let servers = self.servers.iter_mut();
        let samples = servers.filter_map(|(server, held)| {
            Some(Sample {
                server: server.clone(),
                channel: held.sample()?,
                count: held.count + 1,
            })
        });
        samples.collect()
    }

    /// How many channels a server has, so far as is known, with that which it is asked with.
    pub(super) fn count(&self, server: &Endpoint) -> usize {
        let held = self.servers.get(server);
        held.map_or(0, |held| held.count + 1)
    }
}

/// A channel in the slot of another one, with the same beginning: rights are given by that.
fn beside(channel: &str) -> String {
    let prefix = channel.split(':').next().unwrap_or_default();
    let tag = String::from_utf8_lossy(tag_of(channel.as_bytes()));
    format!("{prefix}:watch:{{{tag}}}")
}
