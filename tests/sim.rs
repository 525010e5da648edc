//! The simulator: real code on one thread, with time and every choice from a seed; the same seed gives the same trace.
//!
//! `run` drives two or three real workers over one real broker with the real consumers (guide, django, relay, echo)
//! and, in a third of the seeds, an assistant. Sockets are two pipes in memory (`network`), with the readiness that
//! epoll promises to who watches for edges, and no more. Clients split, pause, stop reading, half-close, close, reset
//! and send garbage; the kernel is short, full and interrupted; both clocks jump; workers run in any order or not at
//! all for a while. `oracle` knows what each client must have seen: it stands where a way off the node would, sees the
//! order of every room as it is made, and compares every wire with that. `checks` says what must be so after every
//! turn (residue 0, what is on the wires is what is counted as delivered, bounds), whenever everything is quiet
//! (nothing unread, unwritten or missed), and after the drain (it ended in its grace, every place was given back).
//! `bridges` runs several real brokers and bridges over a model of Redis. `joined` runs two or three whole nodes over
//! it, workers, sockets and clients and all, with one clock: Redis and the ways to it fail, nodes stand still, end and
//! begin, and what is said on one must be read on the others, once, in order and in time, or be counted as lost.
//!
//! | By hand | |
//! |---|---|
//! | `cargo test --test sim` | 300 seeds x 2,000 steps, as `tests/run` does: 9 to 13 s unoptimised |
//! | `SIM_SEEDS=100000 cargo test --release --test sim nothing_is_lost` | many more; `SIM_FIRST` is the first of them |
//! | `SIM_SEEDS=1000 cargo test --release --test sim whole_nodes` | whole nodes, in both modes; by default 300 seeds x 1,500 steps of each: some 40 s each unoptimised |
//! | `SIM_SEED=7 SIM_STEPS=2000 cargo test --test sim nothing_is_lost` | one again: a failure prints this line and the end of the trace |
//!
//! Five bugs were planted by hand, one at a time, and each was found by the first 300 seeds:
//!
//! | Planted | Patch | Found by | After | As |
//! |---|---|--:|--:|---|
//! | a lost wake-up | `Mailboxes::release` wakes nobody who waits for room | seed 30, step 600 | 0.46 s | 64 bytes stay unread |
//! | a missed expiry | `Queue::append` does not lower `earliest` | seed 1, step 600 | 0.01 s | written at 1603, after its expiry at 1378 |
//! | a reordered room | `Worker::take_parcels` delivers a mailbox from its end | seed 1, step 165 | 0.01 s | ~18~ reached link 4 behind what came after it |
//! | a leaked slot | `Worker::forget` does not call `Gate::leave` | seed 2, the drain | 0.05 s | places are not given back: 4 |
//! | a residue | `Outbound::queue_one` does not count what `drop_oldest` takes out | seed 4, step 600 | 0.07 s | residue -2 |
//!
//! Two more, of what lies between whole nodes:
//!
//! | Planted | Patch | Found by | After | As |
//! |---|---|--:|--:|---|
//! | a welcome before the subscription | `Forwarder::watch` is always true | `pubsub`, seed 18, step 500 | 0.64 s | welcomed, and misses ~1000018~ |
//! | the same in mode `streams` | | seed 3, step 1,000 | 0.30 s | welcomed, and misses ~1000026~ |
//! | an arrival for one worker only | `LockedRoom::put` ends behind the first | seed 1, step 500, both modes | 0.04 s | 24 deliveries were missed, 0 dropped |
//!
//! What it found by itself: whole nodes, `pubsub`, seed 73: what waited for room in a mailbox had its expiry anew.
//! One node, seed 7, after 0.1 s: a peer that had ended its side while a pong, or the rest of its 101,
//! was on its way lost what was queued behind that (`worker/outbound/tests.rs` has the direct test).

#[cfg(test)]
mod sim {
    mod bridges; // nodes over a model of Redis
    mod checks; // what must be so
    mod client; // who speaks, reads, stops, goes
    mod gate; // who comes in
    mod joined; // whole nodes over a model of Redis
    mod network; // sockets and their readiness
    mod oracle; // what clients must have seen
    mod port; // a worker's view of the network
    mod redis; // a model of it
    mod run; // seeds, one after the other
    mod seed; // every choice, from one number
    mod settings; // a configuration, from the seed
    mod support; // a real Redis
    mod trace; // what happened
    mod wire; // frames of the server's
    mod world; // one node, and one step
}
