//! Questions of one node to all others, and their answers: who is in a room, close these connections.
//!
//! A question goes where all nodes say who they are, an answer where the asker hears its own canaries: neither needs
//! a subscription or a right of its own. Nodes that do not know the form hear nothing in it.
//!
//! ```text
//! question  "supportal-inquiry 1" node number LF what is asked   (with spaces between)
//! answer    "supportal-answer 1" node number LF what is answered
//! ```
//!
//! What is asked means something above this floor ([`Respond`]). Whoever may publish there can ask anything, as they
//! can publish anything: what is read is checked there.
//!
//! Bounds: a question of [`QUESTION_BYTES_MAX`], [`ANSWERED_AT_ONCE`] questions of others at a time, answers of
//! [`ANSWERS_BYTES_MAX`] to one question, [`ANSWERS_WAITING`] of them at a time; the wait is the asker's.

use super::envelope::NodeId;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

const QUESTION: &str = "supportal-inquiry 1 ";
const ANSWER: &str = "supportal-answer 1 ";

/// Longest question that is read, in bytes.
pub(crate) const QUESTION_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Questions of other nodes that are answered at a time; more are not heard.
pub(crate) const ANSWERED_AT_ONCE: usize = 32;

/// Answers that wait to be taken by the asker.
const ANSWERS_WAITING: usize = 1024;

/// Most bytes of all answers to one question; those beyond are not counted as answers.
pub(crate) const ANSWERS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An answer that is being made.
pub type Answering = Pin<Box<dyn Future<Output = Bytes> + Send>>;

/// Answers what other nodes ask.
pub trait Respond: Send + Sync + fmt::Debug {
    /// The answer, made on the bridge's thread: it must not block. `None` for what is no question.
    fn respond(&self, question: Bytes) -> Option<Answering>;
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Replied {
    /// Nodes that were asked.
    pub asked: usize,
    /// What those that answered in time said.
    pub answers: Vec<Bytes>,
}

/// This node's questions, and how it answers those of others.
#[derive(Debug)]
pub(super) struct Inquiries {
    node: NodeId,
    next: AtomicU64,
    pending: Mutex<HashMap<u64, mpsc::Sender<(NodeId, Bytes)>>>,
    respondent: OnceLock<Arc<dyn Respond>>,
    at_once: Arc<Semaphore>,
}

/// A question that is waited for; dropping it forgets the question.
#[derive(Debug)]
pub(super) struct Inquiry<'a> {
    inquiries: &'a Inquiries,
    number: u64,
    answers: mpsc::Receiver<(NodeId, Bytes)>,
}

/// What is to be answered, to whom.
pub(super) struct HeardInquiry {
    pub(super) node: NodeId,
    pub(super) answering: Answering,
    number: u64,
    _permit: OwnedSemaphorePermit,
}

impl Inquiries {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            node,
            next: AtomicU64::new(0),
            pending: Mutex::default(),
            respondent: OnceLock::new(),
            at_once: Arc::new(Semaphore::new(ANSWERED_AT_ONCE)),
        }
    }

    /// From here on questions are answered. Said once.
    pub(super) fn answer_with(&self, respondent: Arc<dyn Respond>) {
        if self.respondent.set(respondent).is_err() {
            tracing::debug!("questions of other nodes are answered already");
        }
    }

    /// A question, and the bytes to publish.
    pub(super) fn ask(&self, what: &[u8]) -> (Inquiry<'_>, Bytes) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answers) = mpsc::channel(ANSWERS_WAITING);
        self.pending.lock().insert(number, sender);
        let inquiry = Inquiry {
            inquiries: self,
            number,
            answers,
        };
        (inquiry, write(QUESTION, self.node, number, what))
    }

    /// Something came where nodes say who they are: a question of another node, if it is one and this node has time.
    pub(super) fn hear_question(&self, bytes: &[u8]) -> Option<HeardInquiry> {
        let (node, number, what) = read(QUESTION, bytes)?;
        if node == self.node || bytes.len() > QUESTION_BYTES_MAX {
            return None;
        }
        let respondent = self.respondent.get()?;
        let permit = Arc::clone(&self.at_once).try_acquire_owned().ok()?;
        let answering = respondent.respond(Bytes::copy_from_slice(what))?;
        Some(HeardInquiry {
            node,
            answering,
            number,
            _permit: permit,
        })
    }

    /// The bytes of this node's answer.
    pub(super) fn answer(&self, asked: &HeardInquiry, what: &[u8]) -> Bytes {
        write(ANSWER, self.node, asked.number, what)
    }

    /// Something came where this node's canaries do; true if it was an answer.
    pub(super) fn hear_answer(&self, bytes: &[u8]) -> bool {
        let Some((node, number, what)) = read(ANSWER, bytes) else {
            return false;
        };
        if let Some(sender) = self.pending.lock().get(&number) {
            // Nobody may wait any more, or for so many.
            drop(sender.try_send((node, Bytes::copy_from_slice(what))));
        }
        true
    }
}

impl Inquiry<'_> {
    /// The answers of so many nodes, one of each.
    ///
    /// # Cancel safety
    /// What came is in `answers`.
    pub(super) async fn collect(&mut self, nodes: usize, answers: &mut Vec<Bytes>) {
        let mut heard = HashSet::new();
        let mut bytes = 0;
        while heard.len() < nodes {
            let Some((node, answer)) = self.answers.recv().await else {
                return;
            };
            bytes += answer.len();
            if bytes <= ANSWERS_BYTES_MAX && heard.insert(node) {
                answers.push(answer);
            }
        }
    }
}

impl Drop for Inquiry<'_> {
    fn drop(&mut self) {
        self.inquiries.pending.lock().remove(&self.number);
    }
}

fn write(what: &str, node: NodeId, number: u64, payload: &[u8]) -> Bytes {
    let mut bytes = format!("{what}{node:?} {number}\n").into_bytes();
    bytes.extend_from_slice(payload);
    bytes.into()
}

fn read<'a>(what: &str, bytes: &'a [u8]) -> Option<(NodeId, u64, &'a [u8])> {
    let rest = bytes.strip_prefix(what.as_bytes())?;
    let end = rest.iter().take(64).position(|byte| *byte == b'\n')?;
    let (head, payload) = rest.split_at_checked(end)?;
    let (node, number) = std::str::from_utf8(head).ok()?.split_once(' ')?;
    let node = NodeId(u128::from_str_radix(node, 16).ok()?.to_be_bytes());
    Some((node, number.parse().ok()?, payload.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Echo;

    impl Respond for Echo {
        fn respond(&self, question: Bytes) -> Option<Answering> {
            (question != "nonsense").then(|| Box::pin(async move { question }) as Answering)
        }
    }

    fn node(number: u8) -> Inquiries {
        let inquiries = Inquiries::new(NodeId([number; 16]));
        inquiries.answer_with(Arc::new(Echo));
        inquiries
    }

    #[tokio::test]
    async fn every_other_node_answers_once() {
        let (asker, others) = (node(1), [node(2), node(3)]);
        let (mut inquiry, question) = asker.ask(b"who\nis there");
        assert!(asker.hear_question(&question).is_none(), "its own");
        for other in &others {
            let mut asked = other.hear_question(&question).expect("a question");
            assert_eq!(asked.node, asker.node);
            let what = (&mut asked.answering).await;
            let answer = other.answer(&asked, &what);
            assert!(asker.hear_answer(&answer) && asker.hear_answer(&answer));
            assert!(!asker.hear_answer(&question));
        }
        let mut answers = Vec::new();
        inquiry.collect(2, &mut answers).await;
        assert_eq!(answers, ["who\nis there", "who\nis there"]);
        drop(inquiry);
        assert!(asker.pending.lock().is_empty());
    }

    #[test]
    fn no_more_questions_than_these_are_answered_at_a_time() {
        let (asker, other) = (node(1), node(2));
        let (_inquiry, question) = asker.ask(b"?");
        let mut asked: Vec<HeardInquiry> = (0..ANSWERED_AT_ONCE)
            .filter_map(|_| other.hear_question(&question))
            .collect();
        assert_eq!(asked.len(), ANSWERED_AT_ONCE);
        assert!(other.hear_question(&question).is_none());
        asked.pop();
        assert!(other.hear_question(&question).is_some());
    }

    #[test]
    fn anything_else_is_no_question() {
        let other = node(2);
        let mut long = b"supportal-inquiry 1 01 7\n".to_vec();
        for bytes in [
            &b""[..],
            b"supportal-inquiry 1 ",
            b"supportal-inquiry 1 01 7",
            b"supportal-inquiry 1 zz 7\n",
            b"supportal-inquiry 1 01 -7\n",
            b"supportal-inquiry 1 01\n",
            b"supportal-inquiry 2 01 7\n",
            b"supportal-inquiry 1 01 7\nnonsense",
            b"supportal-node 1 01 pubsub 0 1 1 1 ",
            b"\xff\xff",
        ] {
            assert!(other.hear_question(bytes).is_none(), "{bytes:?}");
            assert!(!other.hear_answer(bytes), "{bytes:?}");
        }
        assert!(other.hear_question(&long).is_some());
        long.resize(QUESTION_BYTES_MAX + 1, b'x');
        assert!(other.hear_question(&long).is_none());
    }
}
