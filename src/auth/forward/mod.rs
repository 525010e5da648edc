//! `forward`: the site is asked who somebody is.
//!
//! For every site whose users Django (or anything else) knows: the handshake's cookie goes to a view of the site, which
//! answers with a status and, if it likes, with a name. What the site may answer is in [`answer`]. Sessions of every
//! engine, users of every model and backends of every kind are thereby understood, and the gateway holds no key of the
//! site.
//!
//! Identical questions under way are asked once, and answers are remembered for seconds. One address has a share of the
//! questions under way ([`super::turns`]). Who is connected is asked about
//! again ([`recheck`]). While the site cannot be asked nobody new comes in, or everybody does (`auth.forward.on_error`);
//! whoever is connected stays.
//!
//! Limits: all of `[auth.forward]`. Waits are at most `auth.forward.timeout`, the wait for a turn included; a client that
//! goes away takes its wait along.

mod answer;
mod question;
mod recheck;
#[cfg(test)]
mod tests;

use super::answers::{Answers, Judged};
use super::recheck::{Recheck, Rechecked, Rechecks, ask_due};
use super::turns::AddressTurns;
use super::{AuthMode, AuthRefusal, Credentials, Judgement, JudgementLater, RefusalAnswer};
use crate::auth::Attendance;
use crate::broker::{Broker, Identity, RoomPattern, RoomScope};
use crate::clock::Clock;
use crate::config::{ForwardSettings, OnError};
use crate::http_client::{ClientLimits, HEAD_BYTES_MAX, HttpClient, Trust, TrustError};
use crate::metrics::{Metrics, count, declare};
use crate::name;
use crate::protocol::CloseReason;
use crate::redis::Randomness;
use crate::redis::log_limiter::FaultLines;
use answer::{SiteAnswer, SiteRefusal};
use parking_lot::Mutex;
use question::{NoQuestion, QuestionForm, QuestionKey, SiteQuestion};
use recheck::OpenQuestion;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

/// Most bytes of an answer that is remembered: an identity with its name and its rooms, the hash of its question, and the
/// spare of the table.
pub const REMEMBERED_BYTES: usize = 256
    + answer::USER_BYTES_MAX
    + answer::ROOMS_MAX * (64 + name::BUSINESS_ID_BYTES_MAX + name::SESSION_ID_BYTES_MAX);
/// Bytes of a question that may be asked again, beside what the handshake brings to it: the names of its fields, and its
/// place in the order.
pub const QUESTION_BYTES: usize = 4 * 1024;
/// Bytes of a question under way beside itself and the answer's body: the answer's head and its fields, and the
/// buffers of a connection with TLS.
pub const EXCHANGE_BYTES: usize = 4 * HEAD_BYTES_MAX;

/// Why the site cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody can be trusted to be the site.
    #[error("auth.forward.ca_file: {0}")]
    Trust(Box<str>),
    /// The address, the host or a field is none.
    #[error("auth.forward: the address, the host or the name of a field is none")]
    Form,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl From<TrustError> for Error {
    fn from(error: TrustError) -> Self {
        Self::Trust(error.to_string().into())
    }
}

/// The site, and what it has said.
#[derive(Debug)]
pub struct Forward {
    form: QuestionForm,
    client: HttpClient,
    turns: AddressTurns,
    settings: ForwardSettings,
    answers: Mutex<Answers>,
    /// Questions under way. As many as there are handshakes that wait.
    asked: Mutex<HashMap<QuestionKey, QuestionUnderWay>>,
    rechecks: Rechecks<OpenQuestion>,
    /// One for each question that the site may have at once.
    places: Semaphore,
    /// Was the last question one that the site could not be asked, or did not answer?
    is_away: AtomicBool,
    /// What the log has been told of it.
    lines: Mutex<FaultLines<&'static str>>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

/// A question under way, and how many wait for its answer.
#[derive(Debug, Default)]
struct QuestionUnderWay {
    answer: Arc<OnceCell<Judged>>,
    waiting: usize,
}

/// A place among those who wait for one question's answer; the last to leave takes the question along.
struct QuestionPlace<'f> {
    forward: &'f Forward,
    key: QuestionKey,
    answer: Arc<OnceCell<Judged>>,
}

impl Drop for QuestionPlace<'_> {
    fn drop(&mut self) {
        let mut asked = self.forward.asked.lock();
        if let Some(question) = asked.get_mut(&self.key) {
            question.waiting -= 1;
            if question.waiting == 0 {
                asked.remove(&self.key);
            }
        }
    }
}

impl Forward {
    /// The site of the settings, if they name one. Opens no connection.
    ///
    /// # Errors
    /// When the settings cannot be used, or the authorities that TLS trusts cannot be read.
    pub fn of(
        settings: &ForwardSettings,
        metrics: &Arc<Metrics>,
    ) -> Result<Option<Arc<Self>>, Error> {
        match settings.url {
            Some(_) => Self::new(settings, metrics).map(Arc::new).map(Some),
            None => Ok(None),
        }
    }

    fn new(settings: &ForwardSettings, metrics: &Arc<Metrics>) -> Result<Self, Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|_no_bytes| Error::Random)?;
        let form = QuestionForm::new(settings, &key).ok_or(Error::Form)?;
        let limits = ClientLimits {
            connect_timeout: settings.timeout,
            timeout: settings.timeout,
            body_bytes: settings.answer_bytes,
            connections: settings.concurrency,
        };
        let trust = Trust::for_url(form.url(), settings.ca_file.as_deref());
        declare(&metrics.auth_questions, "outcome", answer::LABELS);
        declare(&metrics.auth_spared, "by", ["cache", "company"]);
        Ok(Self {
            client: HttpClient::new(limits, trust)?,
            turns: AddressTurns::new(settings.concurrency_per_ip),
            form,
            answers: Mutex::new(Answers::new(settings.cache_entries)),
            asked: Mutex::default(),
            rechecks: Rechecks::new(Randomness::default()),
            places: Semaphore::new(settings.concurrency),
            is_away: AtomicBool::new(false),
            lines: Mutex::default(),
            settings: settings.clone(),
            metrics: Arc::clone(metrics),
            clock: Clock::start(),
        })
    }

    /// The answer to a question that was asked before.
    fn remembered(&self, key: &QuestionKey) -> Option<Judged> {
        let remembered = self.answers.lock().get(key, self.clock.now());
        // Who is refused on a worker's thread comes here once more by hyper, for the answer.
        if let Some(Judged::In(_)) = remembered {
            count(&self.metrics.auth_spared, "by", "cache");
        }
        remembered
    }

    /// The answer to a question: that of somebody else who asks the same, or the site's.
    async fn judge(&self, credentials: &Credentials<'_>, key: QuestionKey) -> Judged {
        let place = self.wait_for(key);
        let answered = place
            .answer
            .get_or_init(|| self.ask_first(credentials, key));
        // As long for a turn as for the answer.
        let patience = self.settings.timeout.saturating_mul(2);
        match timeout(patience, Box::pin(answered)).await {
            Ok(judged) => judged.clone(),
            Err(_elapsed) => self.judge_unasked(credentials, key),
        }
    }

    fn wait_for(&self, key: QuestionKey) -> QuestionPlace<'_> {
        let mut asked = self.asked.lock();
        let question = asked.entry(key).or_default();
        if question.waiting > 0 {
            count(&self.metrics.auth_spared, "by", "company");
        }
        question.waiting += 1;
        QuestionPlace {
            forward: self,
            key,
            answer: Arc::clone(&question.answer),
        }
    }

    /// Asks the site about a handshake, and remembers what it says.
    async fn ask_first(&self, credentials: &Credentials<'_>, key: QuestionKey) -> Judged {
        let question = match self.form.question(credentials, key) {
            Ok(question) => question,
            Err(no_question) => return refused_unasked(no_question),
        };
        let turn = self.turns.take(credentials.client).await;
        let answer = self.ask(&question).await;
        drop(turn);
        // Whoever is let in as nobody could be asked is asked about the next time.
        let is_answer = !matches!(answer, SiteAnswer::Unavailable(_));
        let judged = match answer {
            SiteAnswer::In(identity) => Judged::In(Arc::new(scoped(identity, question.ids()))),
            SiteAnswer::Out(refused) => Judged::Out(refused.refusal()),
            SiteAnswer::Unreadable(cause) => Judged::Out(unavailable(cause)),
            SiteAnswer::Unavailable(cause) => self.without_answer(question.ids(), cause),
        };
        if is_answer {
            self.remember(key, &judged);
        }
        self.ask_later(question, &judged, !is_answer);
        judged
    }

    /// What somebody gets whose turn to be asked about has not come in time. Of a site that answers others nobody can say
    /// that it is away: whoever fills the turns would let itself in.
    fn judge_unasked(&self, credentials: &Credentials<'_>, key: QuestionKey) -> Judged {
        let question = match self.form.question(credentials, key) {
            Ok(question) => question,
            Err(no_question) => return refused_unasked(no_question),
        };
        if !self.is_away.load(Ordering::Relaxed) {
            return Judged::Out(unavailable("overloaded"));
        }
        let judged = self.without_answer(question.ids(), "timeout");
        self.ask_later(question, &judged, true);
        judged
    }

    /// Has a question asked again about whom it, or the want of an answer, has let in.
    fn ask_later(&self, question: SiteQuestion, judged: &Judged, is_unsaid: bool) {
        if let Judged::In(identity) = judged {
            let watched = OpenQuestion {
                question,
                is_unsaid,
            };
            self.watch(identity, watched);
        }
    }

    fn watch(&self, identity: &Arc<Identity>, watched: OpenQuestion) {
        let interval = self.settings.recheck;
        if !interval.is_zero() {
            let (identity, now) = (Arc::downgrade(identity), self.clock.now());
            self.rechecks.add(identity, watched, interval, now);
        }
    }

    /// Asks the site, once it has a place for a question: what is waited for here is not held against the site.
    async fn ask(&self, question: &SiteQuestion) -> SiteAnswer {
        // The semaphore is never closed.
        let _place = self.places.acquire().await;
        let answered = self.client.send(question.request(&self.form)).await;
        let is_ours = |host: &str| question.is_of_host(&self.form, host);
        let answer = SiteAnswer::read(&answered, question.uri(), is_ours, self.clock.wall().0);
        let is_away = matches!(answer, SiteAnswer::Unavailable(_));
        self.is_away.store(is_away, Ordering::Relaxed);
        count(&self.metrics.auth_questions, "outcome", answer.label());
        let failure = answered.err().map(|error| error.to_string());
        self.note(&answer, failure.as_deref());
        answer
    }

    /// What somebody gets about whom nobody can be asked.
    fn without_answer(&self, ids: PathIds<'_>, cause: &'static str) -> Judged {
        match self.settings.on_error {
            OnError::Refuse => Judged::Out(unavailable(cause)),
            OnError::Admit => Judged::In(Arc::new(scoped(Identity::default(), ids))),
        }
    }

    /// Remembers an answer, but not that there was none.
    fn remember(&self, key: QuestionKey, judged: &Judged) {
        let time = match judged {
            Judged::Out(refusal) if refusal.answer == RefusalAnswer::Unavailable => Duration::ZERO,
            Judged::Out(_) | Judged::Nobody => self.settings.cache_refused,
            Judged::In(identity) => match identity.expires_at {
                Some(end) => {
                    let left = end.saturating_sub(self.clock.wall().0);
                    self.settings.cache.min(Duration::from_secs(left))
                }
                None => self.settings.cache,
            },
        };
        let now = self.clock.now();
        let mut answers = self.answers.lock();
        answers.insert(key, judged.clone(), now, now + time);
    }

    /// Tells the log when the site begins to answer, and when it ends: by a `failure` of the request, if there was one.
    fn note(&self, answer: &SiteAnswer, failure: Option<&str>) {
        let fault = match answer {
            SiteAnswer::In(_) | SiteAnswer::Out(_) => None,
            SiteAnswer::Unavailable(cause) | SiteAnswer::Unreadable(cause) => Some(*cause),
        };
        if !self.lines.lock().is_due(fault, self.clock.now()) {
            return;
        }
        let url = self.form.shown_url();
        match (answer, fault) {
            (SiteAnswer::Unreadable(_), Some(cause @ answer::TO_HTTPS)) => {
                tracing::warn!(
                    cause,
                    url,
                    "the site redirects the question to https: set auth.forward.url to its https address, exempt the view (SECURE_REDIRECT_EXEMPT), or believe the proxy that says X-Forwarded-Proto (proxy.believe)"
                );
            }
            (SiteAnswer::Unreadable(_), Some(cause @ answer::TO_SLASH)) => {
                tracing::warn!(
                    cause,
                    url,
                    "the site redirects the question to its path with a slash at the end: end auth.forward.url so"
                );
            }
            (SiteAnswer::Unreadable(_), Some(cause)) => {
                tracing::warn!(cause, url, "the site's answer is not understood");
            }
            (_, Some(cause)) => {
                tracing::warn!(
                    cause,
                    failure,
                    url,
                    "the site cannot be asked who somebody is"
                );
            }
            (_, None) => tracing::info!("the site says who somebody is"),
        }
    }

    /// Asks again about those who are connected, for as long as the node lives, also while it drains. Closed with 4503 are
    /// those of whom the site says no, or that they are somebody else, or that this room is not theirs any more; with 4502
    /// those whose role is another one. When they end is what the site has said last. A site that cannot be asked closes
    /// nobody.
    ///
    /// # Cancel safety
    /// Dropping it ends that.
    pub async fn recheck(self: Arc<Self>, attendance: Arc<Attendance>, broker: Arc<Broker>) {
        if !self.settings.recheck.is_zero() {
            ask_due(self, attendance, broker).await;
        }
    }
}

impl Recheck for Forward {
    type Question = OpenQuestion;

    /// Handshakes have the larger part of the turns.
    fn together(&self) -> usize {
        self.settings.concurrency.div_ceil(4)
    }

    fn take_due(&self) -> Option<(Arc<Identity>, OpenQuestion)> {
        self.rechecks.take_due(self.clock.now())
    }

    fn put_off(&self, identity: &Arc<Identity>, watched: OpenQuestion) {
        self.watch(identity, watched);
    }

    async fn ask_again(
        self: Arc<Self>,
        identity: Arc<Identity>,
        watched: OpenQuestion,
    ) -> Option<(Arc<Identity>, Rechecked)> {
        let question = &watched.question;
        let rechecked = match self.ask(question).await {
            SiteAnswer::In(said) => {
                let said = scoped(said, question.ids());
                let rechecked = watched.compare(&identity, &said);
                if rechecked != Rechecked::Stays(identity.expires_at) {
                    // Whoever comes now is asked about anew.
                    self.answers.lock().forget(&question.key);
                }
                Some(rechecked)
            }
            SiteAnswer::Out(refused) => {
                self.remember(question.key, &Judged::Out(refused.refusal()));
                Some(Rechecked::Ends(CloseReason::NotAllowed))
            }
            SiteAnswer::Unavailable(_) | SiteAnswer::Unreadable(_) => None,
        };
        // Also of whom the site says no: a connection that was just being let in is found the next time.
        self.watch(&identity, watched);
        rechecked.map(|rechecked| (identity, rechecked))
    }
}

impl AuthMode for Forward {
    fn at_once(&self, credentials: &Credentials<'_>) -> Judgement {
        match self.form.key(credentials) {
            Ok(key) => self.remembered(&key).map_or(Judgement::Later, Into::into),
            Err(no_question) => refused_unasked(no_question).into(),
        }
    }

    fn in_full<'a>(&'a self, credentials: &'a Credentials<'a>) -> JudgementLater<'a> {
        Box::pin(async {
            let key = match self.form.key(credentials) {
                Ok(key) => key,
                Err(no_question) => return refused_unasked(no_question).into(),
            };
            let judged = match self.remembered(&key) {
                Some(judged) => judged,
                None => self.judge(credentials, key).await,
            };
            judged.into()
        })
    }
}

impl SiteRefusal {
    fn refusal(self) -> AuthRefusal {
        let answer = match self {
            Self::Unknown | Self::Expired => RefusalAnswer::Unauthorized,
            Self::Forbidden | Self::NoSession => RefusalAnswer::Forbidden,
        };
        AuthRefusal {
            answer,
            cause: self.label(),
        }
    }
}

fn unavailable(cause: &'static str) -> AuthRefusal {
    AuthRefusal {
        answer: RefusalAnswer::Unavailable,
        cause,
    }
}

fn refused_unasked(no_question: NoQuestion) -> Judged {
    Judged::Out(AuthRefusal {
        answer: RefusalAnswer::Unauthorized,
        cause: match no_question {
            NoQuestion::Malformed => "malformed",
            NoQuestion::TooLong => "too_long",
        },
    })
}

/// The business and the session that a path names.
type PathIds<'a> = (Option<&'a str>, Option<&'a str>);

/// The identity where the site names no rooms: it answered for the one that was asked for.
fn scoped(mut identity: Identity, (business_id, session_id): PathIds<'_>) -> Identity {
    if identity.rooms == RoomScope::Any && (business_id.is_some() || session_id.is_some()) {
        identity.rooms = RoomScope::Of(Box::new([RoomPattern {
            business_id: business_id.map(Into::into),
            session_id: session_id.map(Into::into),
        }]));
    }
    identity
}
