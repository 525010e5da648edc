//! Mode `pubsub`: what is published reaches whoever is there, and what is missing is counted.

pub(super) mod arrivals;
