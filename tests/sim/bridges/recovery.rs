//! What a return costs: messages to Redis in proportion to the nodes and to the rooms that spoke, whatever the number
//! of rooms; and every loss counted exactly, with nothing dropped that members say meanwhile.

use super::*;
use crate::sim::redis::Data;
use supportal::internal::metrics::Metrics;

/// Nodes that share rooms.
struct Sharing {
    config: Config,
    redis: ModelRedis,
    record: Arc<Mutex<Record>>,
    nodes: Vec<Node>,
    clock: Clock,
    /// Messages said by each.
    said: Vec<u64>,
}

/// What a recovery took.
#[derive(Debug)]
struct Cost {
    /// Hellos, marks and messages in rooms.
    in_rooms: u64,
    /// Digests and questions.
    letters: u64,
    took: Duration,
}

fn gauge(metrics: &Metrics, state: &'static str) -> usize {
    let series = metrics
        .bridge_subscriptions
        .get_or_create(&[("state", state)]);
    usize::try_from(series.get()).expect("a number of rooms")
}

impl Sharing {
    /// So many nodes and rooms, and everybody knows everybody.
    async fn begin(nodes: usize, rooms: usize) -> Self {
        let clock = clock();
        let mut choices = Choices::new(7);
        let redis = ModelRedis::new(choices.part(), clock);
        tokio::spawn(redis.clone().run());
        let mut config = config(BridgeMode::Pubsub);
        config.queue.expiry = Duration::from_secs(60);
        config.broker.mailbox_capacity = 100_000;
        let mut sharing = Self {
            config,
            redis,
            record: Arc::default(),
            nodes: Vec::new(),
            clock,
            said: vec![0; nodes],
        };
        for place in 0..nodes {
            let at = (place, &sharing.config);
            let (redis, record) = (&sharing.redis, &sharing.record);
            let node = Node::start(at, redis, record, clock, choices.bits());
            sharing.nodes.push(node);
        }
        sharing
            .until("all are up", |own| {
                own.nodes.iter().all(|node| node.way.standing().is_up)
            })
            .await;
        for node in &mut sharing.nodes {
            for room in 0..rooms {
                node.join(room);
            }
        }
        sharing.until_subscribed(rooms).await;
        // Whoever asked for baselines has them.
        tokio::time::sleep(Duration::from_secs(8)).await;
        sharing
    }

    async fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        for _ in 0..20_000 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("waited in vain: {what}");
    }

    async fn until_subscribed(&self, rooms: usize) {
        self.until("all rooms are subscribed", |own| {
            own.nodes.iter().all(|node| {
                let standing = node.way.standing();
                standing.is_up && gauge(&node.metrics, "confirmed") == rooms
            })
        })
        .await;
    }

    /// A node says something in so many rooms, no faster than its outbox empties.
    async fn speak(&mut self, place: usize, rooms: std::ops::Range<usize>) {
        for room in rooms {
            let said = self.nodes[place].say(room, Duration::from_secs(60));
            self.said[place] += u64::from(said.is_some());
            if room % 20 == 19 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// What others have said, and this node has delivered or counted as lost.
    fn owed(&self, place: usize) -> (u64, u64) {
        let others = self.said.iter().enumerate();
        let others = others.filter(|(other, _)| *other != place);
        let metrics = &self.nodes[place].metrics;
        let known = metrics.bridge_delivered.get() + metrics.bridge_gaps.get();
        (others.map(|(_, said)| said).sum(), known)
    }

    fn is_all_known(&self) -> bool {
        (0..self.nodes.len()).all(|place| {
            let (said, known) = self.owed(place);
            said == known
        })
    }

    fn counts(&self) -> (u64, u64) {
        let in_rooms = self.redis.published(|channel| channel.contains(":room:"));
        let letters = self.nodes.iter();
        let letters = letters.map(|node| node.metrics.bridge_digests.get());
        (in_rooms, letters.sum())
    }

    /// Waits until everybody has every message, or has counted it, and says what that took.
    async fn recover(&self, rooms: usize, before: (u64, u64)) -> Cost {
        self.until("all are up", |own| {
            own.nodes.iter().all(|node| node.way.standing().is_up)
        })
        .await;
        let up = self.clock.now();
        self.until_subscribed(rooms).await;
        self.until("every message is known", Self::is_all_known)
            .await;
        let took = self.clock.now().since(up);
        // What comes later is a part of it.
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert!(self.is_all_known(), "counted twice");
        let after = self.counts();
        Cost {
            in_rooms: after.0 - before.0,
            letters: after.1 - before.1,
            took,
        }
    }

    fn check(&self) {
        for (node, place) in self.nodes.iter().zip(0..) {
            let dropped = node
                .way
                .dropped(&["full", "expired", "late", "mailbox", "poison"]);
            assert_eq!(dropped, 0, "dropped at {place}");
            assert_eq!(node.metrics.panics.get(), 0);
        }
        assert_eq!(self.record.lock().failure(), None);
    }
}

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(future)
}

/// One node is cut off while the others speak, and comes back.
async fn one_returns(nodes: usize, rooms: usize, spoken: usize) -> (Cost, u64) {
    let mut sharing = Box::pin(Sharing::begin(nodes, rooms)).await;
    sharing.redis.cut_off(0, true);
    sharing
        .until("it is noticed", |own| !own.nodes[0].way.standing().is_up)
        .await;
    for place in 1..nodes {
        sharing.speak(place, 0..spoken / (nodes - 1)).await;
    }
    // Their marks are told, and nobody is there to hear them.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let before = sharing.counts();
    sharing.redis.cut_off(0, false);
    let cost = sharing.recover(rooms, before).await;
    let gaps: Vec<u64> = sharing
        .nodes
        .iter()
        .map(|node| node.metrics.bridge_gaps.get())
        .collect();
    assert_eq!(gaps[0], sharing.said.iter().sum::<u64>());
    assert!(gaps[1..].iter().all(|gaps| *gaps == 0), "{gaps:?}");
    sharing.check();
    (cost, gaps[0])
}

/// Redis ends and begins anew; everybody speaks meanwhile, and at once when it is back.
async fn all_return(nodes: usize, rooms: usize, spoken: usize) -> Cost {
    let mut sharing = Box::pin(Sharing::begin(nodes, rooms)).await;
    for place in 0..nodes {
        sharing.speak(place, 0..spoken).await;
    }
    let before = sharing.counts();
    sharing.redis.kill();
    sharing
        .until("it is noticed", |own| {
            own.nodes.iter().all(|node| !node.way.standing().is_up)
        })
        .await;
    for place in 0..nodes {
        sharing.speak(place, 0..20).await;
    }
    sharing.redis.begin(Data::Nothing, false);
    sharing
        .until("one is up", |own| own.nodes[0].way.standing().is_up)
        .await;
    sharing.speak(0, 20..40).await;
    let cost = sharing.recover(rooms, before).await;
    sharing.check();
    cost
}

#[test]
fn a_node_that_returns_costs_few_messages_and_counts_every_loss() {
    let (cost, gaps) = run(Box::pin(one_returns(4, 10_000, 99)));
    println!("one of 4, 10,000 rooms, 99 messages missed: {cost:?}");
    assert_eq!(gaps, 99);
    assert!(cost.in_rooms + cost.letters <= 50, "{cost:?}");
    assert!(cost.took <= Duration::from_secs(2), "{cost:?}");
}

#[test]
fn all_nodes_that_return_at_once_cost_messages_in_proportion_to_what_was_said() {
    let cost = run(Box::pin(all_return(4, 5_000, 40)));
    println!("all of 4, 5,000 rooms: {cost:?}");
    // Four times 20 messages that waited, 20 said at once, and those sent again.
    assert!(cost.in_rooms <= 100 + 4 * 40, "{cost:?}");
    assert!(cost.letters <= 4 * 8, "{cost:?}");
}

#[test]
fn what_a_return_costs_does_not_grow_with_the_rooms() {
    let [few, many] = [200, 4_000].map(|rooms| run(Box::pin(all_return(8, rooms, 40))));
    println!("all of 8: 200 rooms {few:?}, 4,000 rooms {many:?}");
    assert!(many.letters <= few.letters + 8 * 3, "{few:?}, {many:?}");
    assert!(many.in_rooms <= few.in_rooms + 8 * 40, "{few:?}, {many:?}");
}

/// Until node 0 has every message of the others or has counted it.
async fn until_known(sharing: &Sharing) {
    sharing
        .until("every message is known", |own| {
            let (said, known) = own.owed(0);
            said == known
        })
        .await;
}

/// Node 0 is cut off, node 1 says a word in each of these rooms, and its marks have come and gone.
async fn miss_a_word(sharing: &mut Sharing, rooms: std::ops::Range<usize>) {
    sharing.redis.cut_off(0, true);
    sharing
        .until("it is noticed", |own| !own.nodes[0].way.standing().is_up)
        .await;
    sharing.speak(1, rooms).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    sharing.redis.cut_off(0, false);
}

#[test]
fn first_words_in_rooms_that_were_entered_together_are_missed_by_those_who_were_there_before() {
    run(Box::pin(async {
        let mut sharing = Box::pin(Sharing::begin(2, 0)).await;
        for place in [0, 1] {
            for room in 0..40 {
                sharing.nodes[place].join(room);
            }
            tokio::time::sleep(Duration::from_secs(8)).await;
        }
        miss_a_word(&mut sharing, 0..40).await;
        until_known(&sharing).await;
        assert_eq!(sharing.nodes[0].metrics.bridge_gaps.get(), 40);
        sharing.check();
    }));
}

#[test]
fn a_return_is_asked_about_while_members_enter_rooms_without_a_pause() {
    run(Box::pin(async {
        let mut sharing = Box::pin(Sharing::begin(2, 2_000)).await;
        // Some rooms are on their way at any time.
        sharing.redis.slow(0, Duration::from_millis(20));
        miss_a_word(&mut sharing, 0..40).await;
        sharing
            .until("it is back", |own| own.nodes[0].way.standing().is_up)
            .await;
        let mut rooms = 2_000..;
        for _ in 0..3_000 {
            for room in rooms.by_ref().take(3) {
                sharing.nodes[0].join(room);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(sharing.nodes[0].metrics.bridge_gaps.get(), 40);
        sharing.check();
    }));
}

#[test]
fn a_second_outage_in_the_middle_of_a_return_hides_nothing_of_the_first_one() {
    // From before Redis is asked for the first room until after the answers have come.
    for millis in [1, 30, 300, 1_000] {
        run(Box::pin(async {
            let mut sharing = Box::pin(Sharing::begin(2, 2_000)).await;
            // Answers to the question of the first session have long come.
            tokio::time::sleep(Duration::from_secs(60)).await;
            miss_a_word(&mut sharing, 0..40).await;
            sharing
                .until("it is back", |own| own.nodes[0].way.standing().is_up)
                .await;
            tokio::time::sleep(Duration::from_millis(millis)).await;
            sharing.redis.cut_off(0, true);
            sharing
                .until("it is noticed", |own| !own.nodes[0].way.standing().is_up)
                .await;
            tokio::time::sleep(Duration::from_secs(45)).await;
            sharing.redis.cut_off(0, false);
            until_known(&sharing).await;
            sharing.check();
        }));
    }
}

#[test]
fn first_words_of_a_node_that_came_in_an_absence_are_missed_by_who_was_there_and_by_nobody_else() {
    // A few are asked for in the rooms, many in one question.
    for rooms in [8, 40] {
        run(Box::pin(async {
            let mut sharing = Box::pin(Sharing::begin(3, 0)).await;
            for room in 0..rooms {
                sharing.nodes[0].join(room);
            }
            tokio::time::sleep(Duration::from_secs(20)).await;
            sharing.redis.cut_off(0, true);
            sharing
                .until("it is noticed", |own| !own.nodes[0].way.standing().is_up)
                .await;
            // The second half is entered on the node that is cut off, too: what was said before was for others.
            for room in 0..rooms {
                sharing.nodes[1].join(room);
                sharing.nodes[1].join(rooms + room);
            }
            tokio::time::sleep(Duration::from_secs(8)).await;
            sharing.speak(1, 0..2 * rooms).await;
            tokio::time::sleep(Duration::from_secs(8)).await;
            for room in rooms..2 * rooms {
                sharing.nodes[0].join(room);
                sharing.nodes[2].join(room);
            }
            tokio::time::sleep(Duration::from_secs(8)).await;
            sharing.redis.cut_off(0, false);
            sharing
                .until("it is counted", |own| {
                    own.nodes[0].metrics.bridge_gaps.get() >= rooms as u64
                })
                .await;
            tokio::time::sleep(Duration::from_secs(20)).await;
            let gaps = sharing.nodes.iter();
            let gaps: Vec<u64> = gaps.map(|node| node.metrics.bridge_gaps.get()).collect();
            assert_eq!(gaps, [rooms as u64, 0, 0]);
            sharing.check();
        }));
    }
}

#[test]
fn what_was_said_before_a_room_was_subscribed_is_not_missed_whatever_digest_is_held_meanwhile() {
    run(Box::pin(async {
        let mut sharing = Box::pin(Sharing::begin(2, 0)).await;
        for room in 0..40 {
            sharing.nodes[1].join(room);
        }
        // The digest about these rooms has come, and is held for a second.
        tokio::time::sleep(Duration::from_millis(500)).await;
        sharing.redis.slow(0, Duration::from_millis(300));
        for room in 0..40 {
            sharing.nodes[0].join(room);
        }
        for room in 0..40 {
            sharing.nodes[1].say(room, Duration::from_secs(60));
        }
        tokio::time::sleep(Duration::from_secs(8)).await;
        let early = sharing.nodes[0].metrics.bridge_delivered.get();
        for room in 0..40 {
            sharing.nodes[1].say(room, Duration::from_secs(60));
        }
        tokio::time::sleep(Duration::from_secs(8)).await;
        let metrics = &sharing.nodes[0].metrics;
        let (later, gaps) = (metrics.bridge_delivered.get(), metrics.bridge_gaps.get());
        assert_eq!((early, later, gaps), (0, 40, 0));
        sharing.check();
    }));
}

/// More of the figures of `docs/scale-out.md`: `SIM_FLEET=900000 cargo test --test sim fleet -- --nocapture`.
#[test]
fn a_fleet_returns_in_proportion_to_its_nodes_and_to_the_rooms_that_spoke() {
    // Minutes and gigabytes beyond that.
    let most = knob("SIM_FLEET").unwrap_or(10_000) as usize;
    println!("nodes  rooms  spoken  in rooms  digests and questions  took");
    for (nodes, rooms, spoken) in [
        (5, 1_000, 100),
        (10, 1_000, 100),
        (20, 1_000, 100),
        (5, 10_000, 100),
        (10, 10_000, 100),
        (20, 10_000, 100),
        (20, 10_000, 1_000),
        (20, 45_000, 1_000),
    ] {
        if nodes * rooms > most {
            continue;
        }
        let cost = run(Box::pin(all_return(nodes, rooms, spoken)));
        let Cost {
            in_rooms,
            letters,
            took,
        } = cost;
        println!("{nodes:>5} {rooms:>6} {spoken:>7} {in_rooms:>9} {letters:>22}  {took:?}");
        assert!(letters <= (nodes * (12 + spoken / 100)) as u64);
    }
}
