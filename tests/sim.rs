//! The simulator: the real workers, broker and consumers on one thread, over sockets that are two pipes in memory,
//! with time and every choice from a seed.

#[cfg(test)]
mod sim {
    mod bridges; // nodes over a model of Redis
    mod redis; // a model of it
    mod seed; // every choice, from one number
    mod support; // a real Redis
}
