//! The simulator: the real workers, broker and consumers on one thread, over sockets that are two pipes in memory,
//! with time and every choice from a seed.

#[cfg(test)]
mod sim {
    mod seed; // every choice, from one number
}
