//! The queue against a model that is too simple to be wrong, over random operations.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Push { bytes: usize, life: u64 },
    Partial { bytes: usize, written: usize },
    Wait(u64),
    Expire,
    Write(usize),
    Close,
}

/// Deliveries as (unwritten bytes, deadline, protected).
#[derive(Default)]
struct Model(Vec<(Vec<u8>, u64, bool)>);

/// What happened to the deliveries offered, by name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    delivered: u32,
    capacity: u32,
    expired: u32,
    closed: u32,
}

impl Model {
    fn bytes(&self) -> usize {
        self.0.iter().map(|delivery| delivery.0.len()).sum()
    }

    fn expire(&mut self, now: u64, counts: &mut Counts) {
        let before = self.0.len();
        self.0
            .retain(|&(_, deadline, protected)| protected || deadline > now);
        counts.expired += (before - self.0.len()) as u32;
    }

    fn push(&mut self, now: u64, bounds: &Bounds, new: (Vec<u8>, u64), counts: &mut Counts) {
        let (frame, deadline) = new;
        if deadline <= now {
            counts.expired += 1;
            return;
        }
        let fits = |count: usize, bytes: usize| {
            count < bounds.capacity as usize && bytes + frame.len() <= bounds.bytes_max
        };
        if !fits(self.0.len(), self.bytes()) {
            self.expire(now, counts);
        }
        if !fits(self.0.len(), self.bytes()) && bounds.overflow == Overflow::DropOldest {
            let kept: Vec<_> = self.0.iter().filter(|delivery| delivery.2).collect();
            if fits(
                kept.len(),
                kept.iter().map(|delivery| delivery.0.len()).sum(),
            ) {
                while !fits(self.0.len(), self.bytes()) {
                    let oldest = self.0.iter().position(|delivery| !delivery.2).expect("one");
                    self.0.remove(oldest);
                    counts.capacity += 1;
                }
            }
        }
        if fits(self.0.len(), self.bytes()) {
            self.0.push((frame, deadline, false));
        } else {
            counts.capacity += 1;
        }
    }

    fn write(&mut self, bytes: usize, counts: &mut Counts) -> Vec<u8> {
        let mut out = Vec::new();
        while out.len() < bytes && !self.0.is_empty() {
            out.push(self.0[0].0.remove(0));
            self.0[0].2 = true;
            if self.0[0].0.is_empty() {
                self.0.remove(0);
                counts.delivered += 1;
            }
        }
        out
    }
}

fn count(report: PushReport, counts: &mut Counts) {
    counts.expired += report.expired;
    match report.outcome {
        Pushed::Queued | Pushed::Expired => {}
        Pushed::MadeRoom { dropped } => counts.capacity += dropped,
        Pushed::DroppedNewest | Pushed::Disconnect => counts.capacity += 1,
    }
}

fn write(queue: &mut Queue, bytes: usize, counts: &mut Counts) -> Vec<u8> {
    let mut out = Vec::new();
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let filled = queue.slices(&mut slices);
    for slice in &slices[..filled] {
        out.extend_from_slice(slice);
    }
    out.truncate(bytes);
    counts.delivered += queue.advance(out.len());
    out
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1usize..12, 0u64..40).prop_map(|(bytes, life)| Step::Push { bytes, life }),
        2 => (2usize..40, 1usize..40).prop_map(|(bytes, written)| Step::Partial { bytes, written }),
        3 => (0u64..30).prop_map(Step::Wait),
        2 => Just(Step::Expire),
        4 => (0usize..30).prop_map(Step::Write),
        1 => Just(Step::Close),
    ];
    prop::collection::vec(step, 1..120)
}

fn overflows() -> impl Strategy<Value = Overflow> {
    prop_oneof![
        Just(Overflow::DropNewest),
        Just(Overflow::DropOldest),
        Just(Overflow::Disconnect)
    ]
}

proptest! {
    #[test]
    fn any_history_agrees_with_the_model_and_adds_up(
        capacity in 0u32..10, bytes_max in 0usize..60, overflow in overflows(), steps in steps()
    ) {
        let bounds = Bounds { capacity, bytes_max, overflow };
        let (mut queue, mut model) = (Queue::new(), Model::default());
        let (mut counts, mut expected) = (Counts::default(), Counts::default());
        let (mut now, mut offered) = (1_000u64, 0u32);
        for step in steps {
            match step {
                Step::Push { bytes, life } => {
                    offered += 1;
                    let (frame, deadline) = (vec![offered as u8; bytes], now + life);
                    model.push(now, &bounds, (frame.clone(), deadline), &mut expected);
                    let delivery =
                        Delivery { frame: frame.into(), deadline: Millis(deadline) };
                    count(queue.push(Millis(now), &bounds, delivery), &mut counts);
                }
                Step::Partial { bytes, written } if queue.is_empty() => {
                    offered += 1;
                    let (written, frame) = (written.min(bytes - 1), vec![offered as u8; bytes]);
                    model.0.push((frame[written..].to_vec(), now, true));
                    let delivery =
                        Delivery { frame: frame.into(), deadline: Millis(now) };
                    queue.push_partial(delivery, written);
                }
                Step::Partial { .. } => {}
                Step::Wait(millis) => now += millis,
                Step::Expire => {
                    model.expire(now, &mut expected);
                    counts.expired += queue.expire(Millis(now));
                }
                Step::Write(bytes) => {
                    let wrote = write(&mut queue, bytes, &mut counts);
                    prop_assert_eq!(wrote, model.write(bytes, &mut expected));
                }
                Step::Close => {
                    counts.closed += queue.clear();
                    expected.closed += model.0.drain(..).count() as u32;
                }
            }
            prop_assert_eq!(&counts, &expected);
            // A frame repeats the number of its offer, so its last byte says which one it is.
            let waiting: Vec<_> = queue.deliveries.iter().map(|one| one.frame.last()).collect();
            let expected: Vec<_> = model.0.iter().map(|one| one.0.last()).collect();
            prop_assert_eq!(waiting, expected);
            prop_assert_eq!(queue.bytes(), model.bytes());
            prop_assert_eq!(queue.is_empty(), model.0.is_empty());
            let Counts { delivered, capacity, expired, closed } = counts;
            prop_assert_eq!(offered, delivered + capacity + expired + closed + queue.len());
        }
    }
}
