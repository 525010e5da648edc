//! Every choice of a simulation, from one number.

/// Choices drawn from a seed: the same seed, the same choices. SplitMix64, which passes the usual tests of
/// randomness and is six lines.
#[derive(Clone, Debug)]
pub struct Choices {
    state: u64,
}

impl Choices {
    /// The choices of this seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The choices of one part of a simulation: what another part draws does not move them.
    pub fn part(&mut self) -> Self {
        Self::new(self.bits())
    }

    /// Any number.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to `end`, which is not one of them; 0 if `end` is.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
    }

    /// As [`Choices::below`], for indexes and lengths.
    pub fn index(&mut self, end: usize) -> usize {
        self.below(end as u64) as usize
    }

    /// A number between these two, both included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True in `percent` of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// True once in `cases`.
    pub fn once_in(&mut self, cases: u64) -> bool {
        self.below(cases) == 0
    }

    /// One of these.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    /// One of these by its weight: the index of it.
    ///
    /// # Panics
    /// If there is none with a weight.
    pub fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        weights
            .iter()
            .position(|&weight| {
                let is_it = left < weight;
                left = left.saturating_sub(weight);
                is_it
            })
            .expect("some weight is not zero")
    }
}

/// A number of the environment, for simulations by hand.
///
/// # Panics
/// If it is there and no number.
#[expect(clippy::disallowed_methods, reason = "a test's own knobs")]
pub fn knob(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn one_seed_makes_the_same_choices_twice_and_stays_in_bounds() {
    let (mut one, mut other) = (Choices::new(7), Choices::new(7));
    let mut seen = [false; 5];
    for _ in 0..1_000 {
        assert_eq!(one.bits(), other.bits());
        let index = one.index(5);
        assert_eq!(index, other.index(5));
        seen[index] = true;
        assert!((3..=9).contains(&one.between(3, 9)));
        assert!(one.weighted(&[0, 2, 1]) > 0);
        other = one.clone();
    }
    assert!(seen.iter().all(|&seen| seen));
    assert_eq!(one.below(0), 0);
    assert!(!one.percent(0) && one.percent(100));
}
