//! What the connections of one user, one business, one room, one address and the whole node use together.
//!
//! The server counts handshakes and connections here, a worker messages and their bytes, by what a connection holds
//! ([`QuotaHolds`]) until its role is dropped. Where a scope has no limit nothing is counted, and a connection of none
//! holds nothing. A holder that has no connection any more is remembered until its rates are whole again, so that a reconnect
//! gains nothing. Bounded by `limits.connections`, and by [`REMEMBERED_MAX`] in each scope beside that.

mod meter;

use crate::clock::{Clock, Millis};
use crate::config::{Config, QuotaLimits};
use crate::metrics::{Labelled, Metrics, count};
use foldhash::fast::RandomState as MapState;
use meter::Meter;
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Holders of a scope that are remembered without a connection.
pub const REMEMBERED_MAX: usize = 65_536;

/// What one of them takes, its place in the table included.
pub(crate) const HOLDER_BYTES: usize = 96;

/// What a connection takes for each of them.
pub(crate) const HELD_BYTES: usize = 64;

/// Scopes that have a limit by these settings.
#[must_use]
pub(crate) fn scopes_limited(config: &Config) -> usize {
    let scopes = QuotaScope::ALL.into_iter();
    scopes
        .filter(|&scope| !limits_of(config, scope).is_off())
        .count()
}

/// Whose connections share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaScope {
    /// Those of one room.
    Room,
    /// Those of one user.
    User,
    /// Those of one business.
    Business,
    /// Those of one address.
    Address,
    /// All.
    Node,
}

impl QuotaScope {
    /// Every scope, from the narrowest: what a narrow one refuses is not spent from a wide one.
    pub const ALL: [Self; 5] = [
        Self::Room,
        Self::User,
        Self::Business,
        Self::Address,
        Self::Node,
    ];

    /// The word for it in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::User => "user",
            Self::Business => "business",
            Self::Address => "address",
            Self::Node => "node",
        }
    }
}

/// Who comes: what a scope goes by, as far as there is one.
#[derive(Clone, Copy, Debug, Default)]
pub struct QuotaHolder<'a> {
    /// The name of the room.
    pub room: Option<&'a str>,
    /// The user's name.
    pub user: Option<&'a str>,
    /// The business.
    pub business_id: Option<&'a str>,
    /// The address, as admission counts it.
    pub address: u64,
}

/// What one holder has used.
#[derive(Debug, Default)]
struct Quota {
    connections: AtomicU32,
    handshakes: Meter,
    messages: Meter,
    bytes: Meter,
}

impl Quota {
    /// Is there nothing to remember?
    fn is_whole(&self, now: Millis) -> bool {
        let is_full = |meter: &Meter| meter.is_full(now);
        self.connections.load(Ordering::Relaxed) == 0
            && [&self.handshakes, &self.messages, &self.bytes]
                .into_iter()
                .all(is_full)
    }
}

/// The holders of one scope.
#[derive(Debug)]
struct HolderTable {
    holders: HashMap<u64, Arc<Quota>, MapState>,
    /// When it holds more, those with nothing to remember go.
    sweep_above: usize,
}

impl HolderTable {
    fn holder(&mut self, key: u64, now: Millis) -> Arc<Quota> {
        if self.holders.len() >= self.sweep_above {
            self.holders.retain(|_, quota| !quota.is_whole(now));
            if self.holders.len() >= self.sweep_above {
                let is_used = |quota: &Quota| quota.connections.load(Ordering::Relaxed) > 0;
                self.holders.retain(|_, quota| is_used(quota));
            }
            self.holders.shrink_to_fit();
            self.sweep_above = (self.holders.len() * 2).max(REMEMBERED_MAX);
        }
        Arc::clone(self.holders.entry(key).or_default())
    }
}

/// A rate that may change: tokens a second in the high half, at once in the low one.
#[derive(Debug, Default)]
struct SharedRate(AtomicU64);

impl SharedRate {
    fn set(&self, (per_second, burst): (u32, u32)) {
        let packed = u64::from(per_second) << 32 | u64::from(burst);
        self.0.store(packed, Ordering::Relaxed);
    }

    fn get(&self) -> (u32, u32) {
        let packed = self.0.load(Ordering::Relaxed);
        ((packed >> 32) as u32, packed as u32)
    }
}

/// One scope: its limits, and what its holders have used.
#[derive(Debug)]
struct ScopeQuotas {
    scope: QuotaScope,
    limits: RwLock<QuotaLimits>,
    // What a worker asks for with each message, without a lock.
    messages: SharedRate,
    bytes: SharedRate,
    table: Mutex<HolderTable>,
}

impl ScopeQuotas {
    fn new(scope: QuotaScope) -> Self {
        Self {
            scope,
            limits: RwLock::default(),
            messages: SharedRate::default(),
            bytes: SharedRate::default(),
            table: Mutex::new(HolderTable {
                holders: HashMap::default(),
                sweep_above: REMEMBERED_MAX,
            }),
        }
    }

    fn set_limits(&self, limits: QuotaLimits) {
        self.messages.set(limits.messages);
        self.bytes.set(limits.bytes);
        *self.limits.write() = limits;
    }

    /// Counts a handshake; of whom, if that is limited.
    fn begin(
        &self,
        key: u64,
        limits: &QuotaLimits,
        now: Millis,
    ) -> Result<Option<Arc<Quota>>, QuotaScope> {
        if limits.handshakes.0 == 0 {
            return Ok(None);
        }
        let quota = self.table.lock().holder(key, now);
        let is_in = quota.handshakes.take(now, limits.handshakes, 1);
        if is_in {
            Ok(Some(quota))
        } else {
            Err(self.scope)
        }
    }

    /// Counts a connection.
    fn enter(&self, key: u64, limits: &QuotaLimits, now: Millis) -> Result<Held, QuotaScope> {
        // Under the lock, so that no sweep forgets the holder in between.
        let mut table = self.table.lock();
        let quota = table.holder(key, now);
        let connections = quota.connections.load(Ordering::Relaxed);
        if limits.connections > 0 && connections >= limits.connections {
            return Err(self.scope);
        }
        quota.connections.fetch_add(1, Ordering::Relaxed);
        drop(table);
        Ok(Held {
            scope: self.scope,
            key,
            quota,
        })
    }

    /// Gives a connection back.
    fn leave(&self, held: &Held, now: Millis) {
        let mut table = self.table.lock();
        held.quota.connections.fetch_sub(1, Ordering::Relaxed);
        if held.quota.is_whole(now) {
            table.holders.remove(&held.key);
        }
    }
}

/// All holders of a node.
pub struct Quotas {
    scopes: [ScopeQuotas; 5],
    /// Holders are known by a number that nobody outside can choose.
    key: RandomState,
    clock: Clock,
    /// Messages, handshakes and connections refused, by scope.
    refused: Labelled,
}

impl fmt::Debug for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quotas").finish_non_exhaustive()
    }
}

/// What the settings say of a scope.
fn limits_of(config: &Config, scope: QuotaScope) -> QuotaLimits {
    let limits = &config.limits;
    match scope {
        QuotaScope::Room => (&limits.room).into(),
        QuotaScope::User => (&limits.user).into(),
        QuotaScope::Business => (&limits.business).into(),
        QuotaScope::Address => (&limits.address).into(),
        QuotaScope::Node => (&limits.node).into(),
    }
}

impl Quotas {
    /// Of a node with this configuration; what is refused is counted in `metrics`.
    #[must_use]
    pub fn new(config: &Config, metrics: &Metrics, clock: Clock) -> Self {
        let quotas = Self {
            scopes: QuotaScope::ALL.map(ScopeQuotas::new),
            key: RandomState::new(),
            clock,
            refused: metrics.quota_refused.clone(),
        };
        quotas.set_limits(config);
        quotas
    }

    /// Other limits from now on. Connections that came while a scope had none go on without.
    pub fn set_limits(&self, config: &Config) {
        for quotas in &self.scopes {
            quotas.set_limits(limits_of(config, quotas.scope));
        }
    }

    fn key_of(&self, scope: QuotaScope, holder: &QuotaHolder<'_>) -> Option<u64> {
        let hash = |name: &str| self.key.hash_one(name);
        match scope {
            QuotaScope::Room => holder.room.map(hash),
            QuotaScope::User => holder.user.map(hash),
            QuotaScope::Business => holder.business_id.map(hash),
            QuotaScope::Address => Some(holder.address),
            QuotaScope::Node => Some(0),
        }
    }

    /// Counts a handshake of this address, before anything is known of who it comes from.
    ///
    /// # Errors
    /// The scope whose rate is above its limit.
    pub fn begin(&self, address: u64) -> Result<(), QuotaScope> {
        let now = self.clock.now();
        for quotas in &self.scopes {
            let key = match quotas.scope {
                QuotaScope::Address => address,
                QuotaScope::Node => 0,
                QuotaScope::Room | QuotaScope::User | QuotaScope::Business => continue,
            };
            let limits = *quotas.limits.read();
            self.counted(quotas.begin(key, &limits, now))?;
        }
        Ok(())
    }

    /// Counts a handshake of this user, for this business and room, and the connection that it becomes; `None` where
    /// nothing is limited. [`Quotas::begin`] has counted it for its address and the node.
    ///
    /// # Errors
    /// The scope that has no more to give.
    pub fn enter(
        self: &Arc<Self>,
        holder: &QuotaHolder<'_>,
    ) -> Result<Option<QuotaHolds>, QuotaScope> {
        let has_begun = |scope| matches!(scope, QuotaScope::Address | QuotaScope::Node);
        self.counted(self.hold(holder, |scope| !has_begun(scope), &mut Vec::new()))
    }

    /// [`Quotas::begin`] and [`Quotas::enter`] in one. What is refused here has not been: nothing is counted, since
    /// whoever asks at once asks again at leisure.
    ///
    /// # Errors
    /// The scope that has no more to give.
    pub fn enter_at_once(
        self: &Arc<Self>,
        holder: &QuotaHolder<'_>,
    ) -> Result<Option<QuotaHolds>, QuotaScope> {
        let mut begun = Vec::new();
        self.hold(holder, |_scope| true, &mut begun)
            .inspect_err(|_scope| {
                for (quota, rate) in begun {
                    quota.handshakes.give_back(rate);
                }
            })
    }

    /// Counts a connection in every scope with a limit, and a handshake in those that `begins` names, which are noted in
    /// `begun`.
    fn hold(
        self: &Arc<Self>,
        holder: &QuotaHolder<'_>,
        begins: impl Fn(QuotaScope) -> bool,
        begun: &mut Vec<(Arc<Quota>, (u32, u32))>,
    ) -> Result<Option<QuotaHolds>, QuotaScope> {
        let now = self.clock.now();
        let mut holds = QuotaHolds {
            quotas: Arc::clone(self),
            held: Vec::new(),
        };
        for quotas in &self.scopes {
            let limits = *quotas.limits.read();
            let Some(key) = self
                .key_of(quotas.scope, holder)
                .filter(|_| !limits.is_off())
            else {
                continue;
            };
            if begins(quotas.scope)
                && let Some(quota) = quotas.begin(key, &limits, now)?
            {
                begun.push((quota, limits.handshakes));
            }
            holds.held.push(quotas.enter(key, &limits, now)?);
        }
        Ok((!holds.held.is_empty()).then_some(holds))
    }

    fn counted<T>(&self, outcome: Result<T, QuotaScope>) -> Result<T, QuotaScope> {
        outcome.inspect_err(|scope| count(&self.refused, "scope", scope.label()))
    }
}

/// A connection that one holder is counted for.
#[derive(Debug)]
struct Held {
    scope: QuotaScope,
    key: u64,
    quota: Arc<Quota>,
}

/// What a connection uses a share of. Dropped, the connection is given back.
#[derive(Debug)]
pub struct QuotaHolds {
    quotas: Arc<Quotas>,
    /// In the order of [`QuotaScope::ALL`].
    held: Vec<Held>,
}

impl QuotaHolds {
    /// Spends what one message of so many bytes takes; false if a scope has no more to give.
    #[must_use]
    pub fn spend(&self, now: Millis, bytes: usize) -> bool {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let scopes = &self.quotas.scopes;
        self.held.iter().all(|Held { scope, quota, .. }| {
            let Some(quotas) = scopes.get(*scope as usize) else {
                return true;
            };
            let is_in = quota.messages.take(now, quotas.messages.get(), 1)
                && quota.bytes.take(now, quotas.bytes.get(), bytes);
            if !is_in {
                count(&self.quotas.refused, "scope", scope.label());
            }
            is_in
        })
    }

    /// Spends bytes that have been read already, and says how long no more may be: until no scope is owed any.
    #[must_use]
    pub fn charge(&self, bytes: usize) -> Duration {
        let now = self.quotas.clock.now();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let scopes = &self.quotas.scopes;
        let waits = self.held.iter().filter_map(|Held { scope, quota, .. }| {
            let rate = scopes.get(*scope as usize)?.bytes.get();
            Some(quota.bytes.charge(now, rate, bytes))
        });
        Duration::from_nanos(waits.max().unwrap_or_default())
    }
}

impl Drop for QuotaHolds {
    fn drop(&mut self) {
        let now = self.quotas.clock.now();
        for held in &self.held {
            if let Some(quotas) = self.quotas.scopes.get(held.scope as usize) {
                quotas.leave(held, now);
            }
        }
    }
}

#[cfg(test)]
mod tests;
