//! The site that is asked about one message.

use super::answer::{self, VetAnswer};
use super::businesses::Visit;
use super::error::Error;
use super::fault::VetFault;
use crate::clock::wall;
use crate::config::{Config, signing_secret};
use crate::http_client::{ClientLimits, HttpClient, SignedRequests, Trust, request_body};
use crate::name::RoomName;
use crate::protocol::Event;
use crate::redis::Randomness;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// Where the secret stands, or a file with it.
const SECRET_KEYS: [&str; 2] = ["vet.secret", "vet.secret_file"];

/// What the site is told of a message.
#[derive(Serialize)]
struct MessageBody<'m> {
    id: &'m str,
    room: &'m str,
    /// `None` of a room that is no chat's.
    business_id: Option<u64>,
    session_id: Option<&'m str>,
    /// `None` where nobody knows.
    author: Option<&'m str>,
    message: &'m str,
    /// `user` or `system`.
    r#type: &'m str,
}

/// The site. See the module.
pub(super) struct VettingSite {
    client: HttpClient,
    requests: SignedRequests,
    randomness: Randomness,
    turns: Semaphore,
    text_bytes_max: usize,
}

impl VettingSite {
    /// The site of the settings. Opens no connection.
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let settings = &config.vet;
        let fault = |key, what: String| Error {
            key,
            what: what.into(),
        };
        let (secret, file) = (settings.secret.as_ref(), settings.secret_file.as_deref());
        let secret = signing_secret(SECRET_KEYS, secret, file);
        let secret = secret.map_err(|(key, what)| fault(key, what))?;
        let url = settings.url.as_deref();
        let requests = url.and_then(|url| SignedRequests::new(url, &settings.host, &secret));
        let no_address = || fault("vet.url", "is no address, or its host none".to_owned());
        let requests = requests.ok_or_else(no_address)?;
        let text_bytes_max = config.chat.text_bytes_max;
        let limits = ClientLimits {
            connect_timeout: settings.timeout,
            timeout: settings.timeout,
            body_bytes: answer::answer_bytes_max(text_bytes_max),
            connections: settings.concurrency,
        };
        let trust = Trust::for_url(requests.uri(), settings.ca_file.as_deref());
        let client = HttpClient::new(limits, trust)
            .map_err(|error| fault("vet.ca_file", error.to_string()))?;
        Ok(Self {
            client,
            requests,
            randomness: Randomness::default(),
            turns: Semaphore::new(settings.concurrency),
            text_bytes_max,
        })
    }

    /// Asks about what is said in this room, once the business of `visit` and the node have a turn.
    pub(super) async fn ask(
        &self,
        visit: &Visit,
        room: &RoomName,
        event: &Event<'_>,
        deadline: Instant,
    ) -> Result<VetAnswer, VetFault> {
        let asked = async {
            // The request is made once there is a turn: messages that wait cost their text alone.
            let _place = visit.place().await;
            let _turn = self.turns.acquire().await;
            Box::pin(self.post(room, event)).await
        };
        let asked = timeout_at(deadline, asked).await;
        asked.unwrap_or(Err(VetFault::Timeout))
    }

    async fn post(&self, room: &RoomName, event: &Event<'_>) -> Result<VetAnswer, VetFault> {
        let [high, low] = [(); 2].map(|()| self.randomness.number());
        let id = format!("{high:016x}{low:016x}");
        let session_id = Some(room.session_id()).filter(|id| !id.is_empty());
        let body = request_body(&MessageBody {
            id: &id,
            room: room.as_str(),
            business_id: room.business_id().parse().ok(),
            session_id,
            author: event.author.as_deref(),
            message: &event.text,
            r#type: event.sender.as_str(),
        });
        let body = body.ok_or(VetFault::Malformed)?;
        let request = self.requests.post("application/json", &id, body, wall().0);
        let request = request.map_err(|_no_request| VetFault::Malformed)?;
        answer::read(&self.client.send(request).await?, self.text_bytes_max)
    }
}
