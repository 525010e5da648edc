//! Waits until Redis has answered for everything that is in the outbox: what is said then overtakes nothing.

use parking_lot::Mutex;
use tokio::sync::Notify;

#[derive(Debug, Default, PartialEq, Eq)]
enum BarrierState {
    /// Nobody waits, or may go on.
    #[default]
    Open,
    /// To be put behind what is in the outbox.
    Wanted,
    /// Behind the entry of this number.
    Behind(u64),
}

/// One for one who waits.
#[derive(Debug, Default)]
pub(super) struct Barrier {
    state: Mutex<BarrierState>,
    opened: Notify,
}

impl Barrier {
    /// Done when Redis has answered for whatever is in the outbox now; `wake` whoever empties it.
    ///
    /// # Cancel safety
    /// May be called again.
    pub(super) async fn wait(&self, wake: impl Fn()) {
        *self.state.lock() = BarrierState::Wanted;
        wake();
        while *self.state.lock() != BarrierState::Open {
            self.opened.notified().await;
        }
    }

    /// Everything up to `last` was taken out of the outbox; `oldest` is not answered for, or everything is.
    pub(super) fn collected(&self, last: u64, oldest: Option<u64>) {
        let mut state = self.state.lock();
        if *state == BarrierState::Wanted {
            *state = BarrierState::Behind(last);
        }
        drop(state);
        self.settled(oldest);
    }

    /// `oldest` is not answered for, or everything is that was taken out.
    pub(super) fn settled(&self, oldest: Option<u64>) {
        let mut state = self.state.lock();
        if let BarrierState::Behind(last) = *state
            && oldest.is_none_or(|oldest| oldest > last)
        {
            *state = BarrierState::Open;
            self.opened.notify_one();
        }
    }
}
