//! The simulator: the real workers, broker and consumers on one thread, over sockets that are two pipes in memory,
//! with time and every choice from a seed.

#[cfg(test)]
mod sim {
    mod checks; // what must be so
    mod client; // who speaks, reads, stops, goes
    mod gate; // who comes in
    mod network; // sockets and their readiness
    mod oracle; // what clients must have seen
    mod port; // a worker's view of the network
    mod run; // seeds, one after the other
    mod seed; // every choice, from one number
    mod settings; // a configuration, from the seed
    mod trace; // what happened
    mod wire; // frames of the server's
    mod world; // one node, and one step
}
