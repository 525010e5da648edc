//! Integration tests: one binary that starts the real server on private ports and talks to it over
//! real sockets. `tests/run` is the command that runs these and everything else.
//!
//! (`cfg(test)` on each module tells clippy that its functions are test code.)

#[cfg(test)]
mod admin; // live, ready, health, metrics, ledger
#[cfg(test)]
mod api; // the HTTP API of the site's own programs
#[cfg(test)]
mod archive; // what is said is kept, over deaths and on full disks
#[cfg(test)]
mod arrivals; // between the accept and the 101
#[cfg(test)]
mod asgi; // the guide's variants of asgi.py, beside our settings for them
#[cfg(test)]
mod assistant; // a model that answers, and servers that lie
#[cfg(test)]
mod auth; // tokens and links: who comes in, and who does not
mod backpressure; // slow readers, expiry, overflow, the ledger's residue
#[cfg(test)]
mod bounds; // what one client can make the node hold or read
#[cfg(test)]
mod bridge; // many nodes by way of a real Redis
#[cfg(test)]
mod browser; // the chat page in headless Chromium
#[cfg(test)]
mod channels; // beside a real Django site
#[cfg(test)]
mod chat; // the contract of the guide
#[cfg(test)]
mod clients; // real Node and Python clients, and the guide's own examples
#[cfg(test)]
mod config_cli; // check, config, exit codes, precedence
#[cfg(test)]
mod django_session; // sessions of a Django site, read without asking the site
#[cfg(test)]
mod echo; // the echo route
#[cfg(test)]
mod emfile; // out of file descriptors
#[cfg(test)]
mod endings; // each way of ending a connection is counted
#[cfg(test)]
mod forward; // the site is asked who somebody is
#[cfg(test)]
mod frames; // the shared tables of frames and handshakes
#[cfg(test)]
mod handshake; // request heads and the statuses they get
#[cfg(test)]
mod hostile; // broken frames and rude sockets beside two canary rooms
#[cfg(test)]
mod http; // what HTTP asks of both listeners: targets, half-closes, idle connections
#[cfg(test)]
mod kept; // neighbours that close a connection which was kept
#[cfg(test)]
mod library; // a program's own consumers and assistant
#[cfg(test)]
mod limits; // rates, caps, sizes, timeouts
#[cfg(test)]
mod logs; // what never reaches the log
#[cfg(test)]
mod manual; // README and docs/: their length, their map, their links
#[cfg(test)]
mod memory; // what is given up when memory is short

mod origin; // which web pages may connect
#[cfg(test)]
mod placement; // which worker a room goes to
#[cfg(test)]
mod proxies; // who is believed behind a proxy, https, CORS, real proxies
#[cfg(test)]
mod quotas; // what the connections of one business, room or address use together
#[cfg(test)]
mod readme; // the tables and commands of README and docs/ are the code's own
#[cfg(test)]
mod refused; // what keeps a program's node from starting
#[cfg(test)]
mod regression; // faults that were found in the running server
#[cfg(test)]
mod relay; // members see each other's messages as they came
#[cfg(test)]
mod reload; // settings read again while a server runs
#[cfg(test)]
mod retrieval; // what answers stand on, beside FAISS itself
#[cfg(test)]
mod rows; // the rows and answers of the package, made by a site beside the node
#[cfg(test)]
mod shutdown; // SIGTERM, notice, grace, restart
#[cfg(test)]
mod signals; // every signal, at every moment
#[cfg(test)]
mod slow; // slow readers and half-closed peers that live, and dead ones that do not
#[cfg(test)]
mod support; // the server under test, and a client that can send any byte
#[cfg(test)]
mod tidy; // floors, crates, lengths, words: the style, tested
#[cfg(test)]
mod tls; // the same, encrypted
#[cfg(test)]
mod transcript; // the recorded Python consumer, byte for byte
#[cfg(test)]
mod upstream; // the site behind the node
#[cfg(test)]
mod vet; // what members say is shown to a view of the site before it is published
#[cfg(test)]
mod webhook; // a view of the site that answers
