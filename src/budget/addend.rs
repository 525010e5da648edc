//! One part of a sum of memory.

/// One addend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addend {
    /// What it is.
    pub name: &'static str,
    /// How many there are.
    pub count: u64,
    /// Bytes of one.
    pub each: u64,
}

impl Addend {
    /// Bytes of all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.count.saturating_mul(self.each)
    }
}

/// So many of that, of so many bytes each.
pub(super) const fn addend(name: &'static str, count: usize, each: usize) -> Addend {
    Addend {
        name,
        count: count as u64,
        each: each as u64,
    }
}
