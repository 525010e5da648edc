//! What this node has appended to a stream and not heard of it so far: should Redis lose it, the node's own members
//! have had it all the same.

/// Ranges that are kept in mind: as many as there are answers before what they are about is heard.
const OWN_MAX: usize = 16;

/// Some offsets of an epoch, one behind the other.
#[derive(Clone, Copy, Debug)]
struct OffsetRange {
    epoch: u64,
    first: u64,
    last: u64,
}

/// In order.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnRanges(Vec<OffsetRange>);

impl OwnRanges {
    pub(super) fn add(&mut self, epoch: u64, first: u64, last: u64) {
        if let Some(newest) = self.0.last_mut()
            && newest.epoch == epoch
            && newest.last.checked_add(1) == Some(first)
        {
            newest.last = last;
            return;
        }
        if self.0.len() >= OWN_MAX {
            self.0.remove(0);
        }
        self.0.push(OffsetRange { epoch, first, last });
    }

    /// The newest of all.
    pub(super) fn newest(&self) -> Option<(u64, u64)> {
        self.0.last().map(|range| (range.epoch, range.last))
    }

    /// The node has come to this entry. What is lost of an epoch before may still be told.
    pub(super) fn pass(&mut self, epoch: u64, offset: u64) {
        if !self.0.is_empty() {
            let is_ahead = |range: &OffsetRange| range.epoch != epoch || range.last > offset;
            self.0.retain(is_ahead);
        }
    }

    /// How many of an epoch are behind an offset, up to another.
    pub(super) fn within(&self, epoch: u64, after: u64, up_to: u64) -> u64 {
        let of_epoch = self.0.iter().filter(|range| range.epoch == epoch);
        of_epoch
            .map(|range| {
                let before = range.first.max(after.saturating_add(1));
                (range.last.min(up_to).saturating_add(1)).saturating_sub(before)
            })
            .fold(0, u64::saturating_add)
    }
}
