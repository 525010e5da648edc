//! Supportal Gateway: the real-time server for customer-support chat.
//!
//! This page is the map. What the server does for its users is in `README.md` and `docs/`; here is
//! how it is built, and why.
//!
//! # In one picture
//!
//! ```text
//!        control plane: tokio + hyper                      data plane: one thread per core
//!
//!              ┌──────────────── all but ─────────────── accept: one worker listens, reads once
//!              v                                                      │
//!           hyper http1 ─> path, handshake, ──────────> the room's worker: socket, 101, bytes read
//!              │           origin, caps                               │
//!              └─ page, client.js, the site behind                    v
//!                                                   worker: mio poll, slab of connections
//!  admin listener:                                  (idle: no task, no buffer, no queue)
//!  live ready health metrics ledger                                   │
//!        ^                                  read ─> decoder ─> token bucket ─> command
//!        │ audit                                                      │
//!        │                                                            v
//!        └──────────────────────────────── broker.publish: next number of the room, into the
//!                                          mailbox of every worker that holds members
//!  assistant (a task per prompt) <─ prompt ─┤                         │
//!     └── reply, published like any event ──┤                         v
//!                                          worker: one encoded frame for all members, the frames
//!                                          of a turn in one write per socket; what a socket does
//!                                          not take waits in its bounded queue
//!                                           └─> bridge: outbox ─> Redis ─> the other nodes' rooms
//! ```
//!
//! Two planes, because a chat server is mostly idle connections: one costs a slab entry here, and
//! would cost a task with its buffers on tokio. Pages, refusals, slow handshakes, assistants and the operator's
//! requests are few and varied; for them tokio and hyper are right. The handshake of nearly every client is
//! there in one read: the worker that listens asks the server's rules ([`worker::Gate`]), and what they accept is a
//! connection without a task or a switch to another thread. That took a quarter off what a handshake costs.
//!
//! # Floors
//!
//! A module imports only from lower floors; modules of one floor are strangers. `tests/tidy/`
//! checks that, and which crates a module may name.
//!
//! | Floor | Module | In one sentence |
//! |--:|---|---|
//! | 9 | `main` `cli` | Flags, settings, logs, node, exit code; nothing else. |
//! | 8 | [`node`] | Composition: builds every part from the settings, runs it, ends it in order, also by a signal. |
//! | 7 | [`budget`] | The worst case of memory: every bound of the settings, with the parts' own constants. |
//! | 7 | [`banner`] | What the operator should know at start, and what the machine offers. |
//! | 6 | [`server`] | Owns the public listener: who comes in, and by which path. |
//! | 6 | [`admin`] | The operator's listener, on its own address. |
//! | 5 | [`chat`] | The consumers: what a message means. |
//! | 5 | [`worker`] | The data plane: connections, their timers and rates, and all their bytes. |
//! | 4 | [`auth`] | Who comes: what a handshake brings, to an identity or a refusal. |
//! | 4 | [`assistant`] | Who answers: prompts in, one reply or one apology for each. |
//! | 4 | [`retrieval`] | What an answer may stand on: the pieces of a business's documents that are nearest to a question. |
//! | 4 | [`vetting`] | What members say, shown to the site before it is published. |
//! | 4 | [`bridge`] | Other nodes, by way of Redis. |
//! | 4 | [`channels`] | Django's channel layers, by way of Redis. |
//! | 3 | [`broker`] | Rooms, their order, mailboxes, queues, the ledger. |
//! | 3 | [`redis`] | Deployments, health, subscriptions; the only user of fred. |
//! | 3 | [`http_client`] | The one outgoing HTTP client: a limit on every wait and size. |
//! | 3 | [`transport`] | Bytes to frames and back, strictly RFC 6455; no sockets. |
//! | 2 | [`protocol`] | The chat contract, pure: commands, events, errors, close codes, dialects. |
//! | 2 | [`http`] | HTTP/1.1 around hyper, for both listeners: hosts, queries, deadlines. |
//! | 2 | [`telemetry`] | Logs that never wait. |
//! | 2 | [`shedding`] | What is given up, and in which order, when memory is short. |
//! | 2 | [`tls`] | Certificates of the public listener, and one connection's TLS; no sockets. |
//! | 1 | [`config`] | Typed settings, and the templates of paths. |
//! | 0 | [`name`] [`words`] [`metrics`] [`clock`] [`panics`] [`sync`] | Validated names; a text's words; every counter in one table; time as an argument; panics caught; std or loom. |
//!
//! The modules of floor 9 are the binary's. The list of modules below is in the
//! same order, from the ground up. Public is only what a program that embeds the server needs, so that the compiler
//! finds whatever nobody uses any more.
//!
//! # Life of one message
//!
//! 1. A worker's poll says that a socket is readable. The worker lends its one read buffer for the
//!    length of this event; [`transport::decoder`] unmasks in place and checks as bytes come.
//! 2. [`worker::connection`] spends a token; a connection with limits in common with others (of a business, a room, an
//!    address or the node: [`broker::quota`]) spends one of each of those too. Without one the sender gets an error, and
//!    after `limits.refusals` of them 4429.
//! 3. The consumer of its route gets the message ([`broker::Consumers`]); of a chat ([`chat`]) it is
//!    [`chat::Set`], where [`protocol::Parser`] makes a command of the text, borrowing from the buffer.
//!    With `chat.vet` the site sees it first ([`vetting`]); nothing more of the connection is read until that is decided, and
//!    what follows happens on the control plane, by the room's name.
//! 4. The command's event is rendered once, frame header included ([`protocol::Event`], [`protocol::EventWriter`],
//!    [`transport::encoder`]). The deadline is now plus `queue.expiry`.
//! 5. [`broker::Broker::publish`] gives it the room's next number and puts it into the mailbox of
//!    every worker with members. A full mailbox stops the reading of those who publish into it, so TCP
//!    slows them down; see [`broker::Broker::full_mailbox`].
//! 6. A customer's message also becomes a prompt ([`assistant::Dispatcher::ask`], which never waits).
//!    The reply, of a knowledge file, a model or the site, comes back by the room's name
//!    ([`broker::Broker::publish_by_name`]), whether anybody is left in it here or not.
//! 7. At the end of its turn a worker takes its mailbox, gathers each room's frames, and writes them
//!    to each member with one call; what is for one member alone (an error, a pong) goes out among
//!    them, in its place. Rooms of more than 64 members are written in portions, one room after the other,
//!    and between two portions the worker polls, reads, accepts and writes small rooms. All that the
//!    kernel does not take goes into the member's [`broker::queue::Queue`] ([`worker::outbound`]).
//! 8. Each delivery ends in a column of the [`broker::ledger::Ledger`]: delivered, or dropped with a
//!    cause.
//!
//! # Locks
//!
//! The data plane takes three, in one order, written down at [`broker`]: a shard of the registry, a
//! room, a mailbox (the bridge's outbox is one). With a bridge, a room's first join and last leave take
//! the lock of `bridge`'s rooms too, alone. None is held across a wait or a system call, but for the wake of a sleeping worker
//! under a room's lock. What a worker owns (connections, queues, its members of rooms) needs none.
//!
//! # What is bounded by what
//!
//! [`budget::worst_case_memory`] adds all of it up, and `supportal check` prints the sum.
//!
//! | What | By | Where |
//! |---|---|---|
//! | connections | `limits.connections`, `limits.connections_per_ip` | [`server::admission`] |
//! | memory in all | `limits.memory`: what is given up then, and in which order | [`shedding`] |
//! | handshakes, and connections of `http.redirect` | `limits.handshakes`, `server.handshake_timeout`, `limits.header_bytes`, `limits.headers`, `limits.uri_bytes` | [`server`], [`worker::Listener`] |
//! | what the connections of one user, business, room, address or of the node use together | `[limits.user]` … `[limits.node]` | [`broker::quota`] |
//! | questions to the site about who comes | `auth.forward.concurrency`, `auth.forward.timeout`; answers kept: `auth.forward.cache_entries` | [`auth`] |
//! | tokens, and those seen before | `auth.jwt.token_bytes`, `auth.jwt.cache` | [`auth`] |
//! | requests and WebSockets of the site behind | `http.upstream_requests`, `http.upstream_websockets`, `http.upstream_buffer_bytes`, `http.upstream_idle_timeout` | [`server`] |
//! | requests of the API | `api.requests`, `api.body_bytes`, `api.batch`, `api.nodes_timeout`; ids remembered: `api.idempotency_capacity` | [`server`] |
//! | other requests | `server.handshake_timeout`, `server.http_timeout` | [`http`] |
//! | connections kept alive | `limits.kept_alive`, `server.keep_alive_timeout` | [`server`], [`http`] |
//! | the operator's connections | [`admin::CONNECTIONS_MAX`], and as many answered once | [`admin`] |
//! | an incoming message | `limits.message_bytes`, `limits.fragments`, `limits.message_timeout` | [`transport::decoder`], [`worker::connection`] |
//! | its text | `chat.text_bytes_max` | [`protocol`] |
//! | what a client sends | `limits.messages_per_second`, `limits.bytes_per_second`, `limits.pings_per_second` | [`worker::rate_limit`] |
//! | publications under way, in the mailbox and gathered for a room's members | `broker.mailbox_capacity`, `broker.mailbox_bytes`, and one more for each publisher | [`broker::mailbox`] |
//! | a turn of a worker | 64 events, 8 reads of each connection, about 512 writes to small rooms and 64 to large ones | [`worker`] |
//! | what waits for a task of a program's own | `consumers.inbox` messages, then its connection is not read from | [`chat`] |
//! | what waits for a client | `queue.capacity`, `queue.bytes_max`, `queue.expiry` | [`broker::queue`] |
//! | the kernel's share of that | `limits.send_buffer_bytes`, `limits.unsent_bytes` | [`server`] |
//! | what a client sent that is not read | `limits.receive_buffer_bytes` | [`server`] |
//! | what is read of it after its close frame | 256 KiB, 12 s, a minute | [`worker::connection`] |
//! | a peer that takes nothing | `server.ping_timeout`; with something waiting for it `queue.expiry` | [`worker::connection`] |
//! | a peer that has ended its side | `assistant.timeout`, `bridge.order_timeout` | [`worker`] |
//! | what Redis keeps of a room | `history.capacity`, `history.bytes_max`, `history.expiry` | [`bridge`] |
//! | what Redis keeps of all rooms | `archive.bytes_max`, `archive.expiry`, for each Redis | [`bridge`] |
//! | what other nodes are told | `bridge.outbox_capacity`, `bridge.outbox_bytes`, for each Redis | [`bridge`] |
//! | what was said last in which room | `bridge.marks_capacity`, `bridge.marks_expiry`, for each Redis | [`bridge`] |
//! | what they tell us | `bridge.arrivals_capacity`, then the mailboxes | [`bridge`] |
//! | what is said and not written to the archive yet; its journal, and who reads it | `archive.queue_bytes`; `archive.bytes_max`, `archive.expiry`; `archive.readers`, `archive.reader_names` | [`archive`] |
//! | messages being vetted | `vet.queue_bytes`, `vet.concurrency`, `vet.concurrency_per_business`, `vet.timeout`; one of each connection | [`vetting`] |
//! | prompts | `assistant.prompts`, `assistant.prompts_per_room`, `assistant.concurrency`, `assistant.timeout` | [`assistant`] |
//! | prompts in a row that become one question | `assistant.debounce`, five times as long in all, 32 KiB | [`assistant`] |
//! | a model's answers | `assistant.openai.first_token`, `assistant.openai.between_tokens`, `assistant.openai.event_bytes`, `assistant.openai.answer_bytes`, `assistant.openai.concurrency_per_business` | [`assistant`] |
//! | prompts of one business that wait for a model | `assistant.openai.prompts_per_business` | [`assistant`] |
//! | questions to a model that fails | `assistant.openai.retries`, `assistant.openai.retry_budget`, `assistant.openai.breaker_failures`, `assistant.openai.breaker_pause` | [`assistant`] |
//! | what was said before a question | `assistant.openai.turns`, `assistant.openai.context_bytes`, `assistant.openai.rooms`, `assistant.openai.remember` | [`assistant`] |
//! | what the site says was said before | `assistant.openai.context_timeout`; six times `assistant.openai.context_bytes` and 64 KiB | [`assistant`] |
//! | documents, what is found in them, and embeddings | `retrieval.bytes_max`, `retrieval.businesses`; `retrieval.excerpts`, `retrieval.timeout`; all of `retrieval.embeddings` | [`retrieval`] |
//! | the site's answers, prompts that wait for them, questions to a site that fails, and what was said before a question to it | the keys of `assistant.webhook` that are named as these | [`assistant`] |
//! | records of TLS in part | one that is read, one that is written, 32 KiB of plaintext not taken | [`tls`] |
//! | log lines | two buffers, then they are dropped and counted | [`telemetry`] |
//! | a call of a program's own consumer | cannot be ended: after `consumers.timeout` it is logged and `/ready` says no | [`chat`] |
//! | the end | `server.drain_notice` within `server.drain_grace` | [`server`] |
//!
//! # Promises, and where each is tested
//!
//! | Promise | Test |
//! |---|---|
//! | All members of a room see one order, and each publisher's own | `tests/chat.rs` `all_members_see_one_order_and_each_publishers_own`; `src/broker/tests.rs` `every_worker_with_members_gets_the_publication_in_one_order` |
//! | A room larger than a worker loses nothing | `tests/chat.rs` `a_room_larger_than_one_worker_gets_everything` |
//! | Nothing is lost or doubled between threads | `src/broker/mailbox/model.rs` `nothing_is_lost_or_doubled_and_each_producers_order_is_kept` (loom: `tests/run model`) |
//! | The ledger has no residue | `tests/admin.rs` `the_ledger_accounts_for_every_delivery`; `src/broker/queue/model.rs` `any_history_agrees_with_the_model_and_adds_up` |
//! | Who comes and goes while a room is written hears everything once, in one order | `src/worker/tests/fairness.rs` `who_comes_and_goes_during_fan_outs_hears_everything_once_in_one_order` |
//! | What the site vets keeps its author's order and keeps nobody else waiting | `tests/vet/order.rs` `a_connection_s_messages_keep_their_order_while_others_go_on` |
//! | Whatever the site says of a message, it is published once or refused once | `src/vetting/tests.rs` `a_runtime_that_goes_away_decides_what_is_left`; `tests/vet/hostile.rs` |
//! | A large fan-out does not keep small rooms waiting | `src/worker/tests/fairness.rs` `small_rooms_are_answered_while_a_large_fan_out_is_written` |
//! | A room that says more than can be written keeps no other waiting | `src/worker/tests/fairness.rs` `a_room_that_says_more_than_a_mailbox_holds_keeps_no_other_room_waiting` |
//! | What is given up when memory is short goes in order and comes back | `tests/memory.rs` `what_is_given_up_goes_in_order_and_comes_back_when_the_flood_is_over`; `src/shedding/tests.rs` |
//! | Whoever fills memory and leaves shuts nobody out and costs readers nothing | `tests/memory.rs` `whoever_sends_much_and_leaves_leaves_the_door_open_and_costs_readers_nothing`; `src/worker/tests/shed.rs` |
//! | A member's errors and pongs cost the others nothing | `src/worker/tests/asides.rs` `a_member_that_alternates_costs_each_member_three_writes_at_most_and_hears_all_in_order` |
//! | A slow reader costs the others nothing | `tests/backpressure.rs` `a_slow_reader_costs_the_others_nothing_and_its_drops_are_counted` |
//! | Nothing is delivered late | `tests/backpressure.rs` `a_delivery_older_than_expiry_is_dropped_not_delivered_late` |
//! | Every prompt ends in one answer or one apology, or is part of another one's | `src/assistant/tests/rows.rs` `rows_from_many_threads_each_end_exactly_once`; `src/assistant/tests/mod.rs` |
//! | Whatever a model server does is an answer or an apology, counted, within its bounds | `tests/assistant/hostile.rs` `servers_that_lie_stall_and_break_get_one_apology_each_are_counted_and_stay_within_their_bounds` |
//! | Which documents an answer stands on is kept for the site, and no customer sees it | `tests/retrieval/answers.rs` `the_model_reads_what_faiss_finds_and_the_site_sees_which_documents_that_were` |
//! | An answer that nobody waits for is not paid for | `tests/assistant/conversation.rs` `an_answer_that_takes_too_long_is_apologised_for_and_its_request_is_closed` |
//! | A fast publisher is slowed down, not dropped | `tests/backpressure.rs` `a_publisher_faster_than_the_server_is_slowed_down_not_dropped` |
//! | No input disturbs another room | `tests/hostile.rs` `violations_are_closed_with_their_code`, beside two canary rooms |
//! | Frames mean the same however they are cut | `src/transport/decoder/properties.rs` `any_split_of_any_bytes_gives_the_same_events`; `tests/frames.rs` `every_short_case_gets_the_same_answer_in_single_bytes` |
//! | Nothing is allocated for an announced length | `tests/limits.rs` `an_announced_length_is_refused_before_any_payload` |
//! | Slow is not dead | `tests/slow.rs` `a_reader_that_takes_what_is_said_is_not_dead_however_slow`, `who_takes_nothing_is_found` |
//! | Who has ended its side still gets what it waits for | `tests/slow.rs` `a_question_and_a_half_close_get_the_echo_and_the_reply` |
//! | A client is held and read no further than its bounds | `tests/bounds.rs` |
//! | Redis keeps no more of a room than its bound | `tests/bridge/streams_bounds.rs` `rooms_that_are_filled_stay_within_their_bytes` |
//! | Every bound counts in the worst case of memory | `src/budget/tests.rs` `every_bound_of_a_configuration_moves_the_sum`, `every_bound_of_a_part_is_in_the_sum` |
//! | Of an encrypted connection nothing is lost or said twice, however its bytes are cut or taken | `src/tls/tests/sessions.rs` `both_ends_hear_each_other_however_the_bytes_come_in_both_versions`, `a_socket_that_takes_little_gets_everything_once_and_the_last_byte_is_reported_last` |
//! | Certificates change while nobody is dropped | `tests/tls.rs` `the_name_chooses_the_certificate_and_renewed_files_are_taken_while_nobody_is_dropped` |
//! | A handshake means the same however it arrives, and loses nothing behind it | `tests/frames.rs` `every_case_of_the_handshake_table_gets_its_status`; `tests/arrivals.rs` `messages_behind_a_head_are_all_heard_however_many_there_are` |
//! | Nobody but a trusted proxy says that somebody is another, or that there is TLS | `tests/proxies/claims.rs` `whoever_is_not_trusted_is_who_it_is`; `tests/proxies/https.rs` `nobody_but_a_trusted_proxy_says_that_there_is_tls`; `src/server/forwarded/tests.rs` `what_a_client_sends_changes_nothing` |
//! | A client behind a proxy has the places of an address, and who holds most gives one up | `tests/proxies/places.rs` `behind_a_proxy_each_client_has_the_places_of_an_address`, `of_the_client_that_holds_most_places_the_slowest_gives_one_up` |
//! | A flood of handshakes leaves the operator's listener its descriptors | `tests/emfile.rs` `with_few_files_a_flood_of_handshakes_leaves_the_operator_s_listener_its_own` |
//! | Out of descriptors it backs off and recovers | `tests/emfile.rs` `out_of_files_the_accept_backs_off_and_recovers` |
//! | What was accepted before SIGTERM is delivered, also to a slow reader | `tests/shutdown.rs` `messages_accepted_before_sigterm_are_delivered`, `a_slow_reader_gets_its_backlog_and_its_1012_long_after_five_seconds` |
//! | Nobody is refused by the kernel while load balancers still send | `tests/shutdown.rs` `nobody_is_refused_by_the_kernel_while_the_notice_lasts`, `who_waits_in_the_kernel_s_queue_when_the_listener_closes_is_answered` |
//! | No signal but those of the table ends the process | `tests/signals.rs` `a_signal_that_asks_for_nothing_changes_nothing_and_is_named_in_the_log` |
//! | Nodes on one Redis hear each other in order | `tests/bridge/chat.rs` `two_nodes_chat_both_ways_in_order` |
//! | Whatever happens to Redis, chat within a node goes on | `tests/bridge/faults.rs` `a_redis_that_stands_still_is_noticed_and_nothing_waits_for_it_r3`, `tests/bridge/network.rs` `bad_weather_between_a_node_and_its_redis_is_survived_r4` |
//! | What is lost between nodes is counted exactly | `tests/bridge/faults.rs` `redis_may_be_killed_again_and_again_and_every_loss_is_in_the_gaps_r2`; `src/bridge/origins.rs` `delivered_and_missed_are_all_that_was_sent` |
//! | A welcome says that the room is heard | `tests/bridge/chat.rs` `a_member_is_welcomed_only_once_its_first_message_would_arrive` |
//! | What the archive has shown is found again after kill -9, each once and in order | `tests/archive/faults.rs` `killed_again_and_again_a_server_finds_everything_that_was_written_once_and_in_order` |
//! | A disk that takes nothing costs chat nothing | `tests/archive/faults.rs` `on_a_disk_that_takes_nothing_chat_goes_on_and_what_waited_is_written_once_it_does` |
//! | No text and no token is logged | `tests/logs.rs` `no_text_no_token_and_no_control_byte_is_logged_at_any_level` |
//! | Dialect `django` is the package's, byte for byte | `tests/transcript.rs` `the_recorded_consumer_and_the_server_send_the_same_frames` |

// Floor 0
mod clock;
mod metrics;
mod name;
mod panics;
mod sync;
mod words;

// Floor 1
pub mod config;

// Floor 2
mod http;
mod protocol;
mod shedding;
mod telemetry;
mod tls;

// Floor 3
mod broker;
mod http_client;
mod redis;
mod transport;

// Floor 4
mod archive;
mod assistant;
mod auth;
mod bridge;
mod channels;
mod retrieval;
mod vetting;

// Floor 5
mod chat;
mod worker;

// Floor 6
mod admin;
mod server;

// Floor 7
pub mod banner;
pub mod budget;

// Floor 8
pub mod node;

// What an assistant and a consumer of a program's own are written against.
pub use assistant::{Assistant, ChatLine, Failure, PastLimits, Piece, Question, REPLY_BYTES_MAX};
pub use assistant::{KnownPassage, META_BYTES_MAX, Passages, Replies, ReplyMeta, Retrieve};
pub use broker::{Caller, Consumer, Context, Identity, Message, Payload, Verdict};
pub use broker::{RoomPattern, RoomScope, UserRole};
pub use chat::{Received, Session};
pub use name::RoomName;
pub use protocol::Sender;

/// Parts that the binary, the tests, the benchmarks and the fuzzers drive by themselves: no promise. Whatever is
/// neither in this list nor in a public module, and is used by nobody in the library, is found by the compiler.
#[doc(hidden)]
pub mod internal {
    pub mod admin {
        pub use crate::admin::ask;
    }
    pub mod archive {
        pub use crate::archive::{Archive, JournalReader};
    }
    pub mod auth {
        pub use crate::auth::jwt::{CheckStep, Grant, KeyFault, TokenSigner, inspect};
        pub use crate::auth::link::sign_link;
        pub use crate::auth::{Authenticator, Credentials, Learnt, Modes, check};
    }
    pub mod bridge {
        pub use crate::bridge::Bridge;
        pub use crate::bridge::origins::Origins;
        pub mod envelope {
            pub use crate::bridge::envelope::{
                Envelope, EnvelopeEntry, EnvelopeHead, EnvelopeWriter, MESSAGE_BYTES, NodeId,
            };
        }
        pub mod probe {
            pub use crate::bridge::probe::probe;
        }
        pub mod order {
            pub use crate::bridge::order::follower::{EpochBefore, Follower, StreamStep};
            pub use crate::bridge::order::unconfirmed::{Back, Unconfirmed, UnconfirmedLoad};
            pub use crate::bridge::order::{Announcement, Position};
        }
    }
    pub mod broker {
        pub use crate::broker::RoomSlot;
        pub use crate::broker::ledger::{Cause, Ledger};
        pub use crate::broker::mailbox::Mailbox;
        pub use crate::broker::placement::Passage;
        pub use crate::broker::queue::{Bounds, Delivery, Pushed, Queue, SLICES_MAX};
        pub use crate::broker::room::Room;
        pub use crate::broker::uplink::{Forwarded, Uplink, Way};
        pub use crate::broker::{Broker, Parcel, Publication, Role, Wake};
    }
    pub mod assistant {
        pub use crate::assistant::{Dispatcher, OpenAi};
        pub mod probe {
            pub use crate::assistant::probe::{ProbeOutcome, probe};
        }
    }
    pub mod chat {
        pub use crate::chat::{DjangoPeer, Set, django, echo, guide, relay};
    }
    pub mod channels {
        pub use crate::channels::codec::{DEPTH_MAX, VALUES_MAX};
        pub use crate::channels::scripts::Commands;
        pub use crate::channels::{
            DjangoCodec, Map, Mapping, Outcome, Receivers, Score, To, Unwritable, Value,
        };
        pub mod probe {
            pub use crate::channels::probe::probe;
        }
    }
    pub mod clock {
        pub use crate::clock::{Clock, Millis, wall};
    }
    pub mod metrics {
        pub use crate::metrics::{Metrics, markdown};
    }
    pub mod protocol {
        pub use crate::protocol::command::is_blank;
        pub use crate::protocol::{
            CloseReason, Command, CommandKind, ErrorCode, Event, EventWriter, Moment, Parser,
            Rejected, Sender, Stamp,
        };
        pub mod close {
            pub use crate::protocol::close::markdown;
        }
    }
    pub mod redis {
        pub use crate::redis::client::{
            Answer, Connector, Messages, Purpose, RedisClient, RedisConnection, RedisFuture,
            SubscriptionEvent,
        };
        pub use crate::redis::deployment::Deployment;
        pub use crate::redis::failure::{CommandError, ErrorKind, LinkFailure};
        pub use crate::redis::shard::link_of;
        pub use crate::redis::value::RedisValue;
        pub use crate::redis::{NodeEnd, Randomness, RedisCommand, Runtime};
    }
    pub mod retrieval {
        pub use crate::retrieval::{DocumentId, Excerpt, Retrieval};
    }
    pub mod server {
        pub use crate::server::origin::Allowed;
        pub use crate::server::route::{Match, Router, match_django};
    }
    pub mod telemetry {
        pub use crate::telemetry::init;
    }
    pub mod tls {
        pub use crate::tls::{CertificateFault, TlsServer};
    }
    pub mod transport {
        pub use crate::transport::{
            Decoder, Incoming, Input, Limits, MessageKind, Opcode, Violation, ViolationKind,
        };
        pub mod encoder {
            pub use crate::transport::encoder::frame;
        }
        pub mod handshake {
            pub use crate::transport::handshake::{
                HandshakeRefusal, Offer, RefusalKind, RequestHead, accept, answer, check,
            };
        }
    }
    pub mod worker {
        pub use crate::worker::outbound::{Flushed, FrameBatch, Outbound, Sent};
        pub use crate::worker::port::{LISTEN, Port, Ready, Socket, WAKE, Waker};
        pub use crate::worker::rate_limit::{Rate, TokenBucket};
        pub use crate::worker::timers::Timers;
        pub use crate::worker::{
            Accepted, Gate, Handoff, Instruction, Listener, PeerPlace, Supplies, Worker,
            WorkerHandle, WorkerSlot,
        };
    }
}
