//! The modes of `auth.mode`, made of the settings.

use super::django_session::{DjangoSession, SessionRechecks};
use super::forward::Forward;
use super::jwt::{Fetch, Jwt, KeyFault};
use super::link::Link;
use super::{AuthMode, Authenticator};
use crate::config::{self, AuthSettings, DjangoSessionSettings, JwtSettings};
use crate::http_client::{ClientLimits, HttpClient, Trust, TrustError};
use crate::metrics::Metrics;
use crate::redis;
use hyper::{Request, Uri};
use std::sync::Arc;
use tokio::runtime::Handle;

/// Most bytes of a JWK set.
const SET_BYTES_MAX: usize = 64 * 1024;

/// Why nobody can be asked who they are.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of keys cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// The address of a set cannot be asked.
    #[error("auth.jwt.jwks: {0}")]
    Address(Box<str>),
    /// Nobody can be trusted to be that address.
    #[error("auth.jwt.jwks_ca_file: {0}")]
    Trust(Box<str>),
    /// The Redis of a site's sessions cannot be asked.
    #[error("auth.django_session.redis: {0}")]
    Sessions(#[from] redis::Error),
    /// The site was not named as the node began.
    #[error("auth.mode lists \"forward\", and auth.forward.url is taken from the next start on")]
    NoSite,
    /// Keys that nobody would be asked for: a mode was forgotten, and everybody would come in.
    #[error(
        "auth.{0}: has keys, and auth.mode does not list \"{0}\": add the mode, or leave the keys out"
    )]
    Unlisted(&'static str),
}

impl From<TrustError> for Error {
    fn from(error: TrustError) -> Self {
        Self::Trust(error.to_string().into())
    }
}

/// What stands behind `auth.mode`.
#[derive(Debug)]
pub struct Modes {
    /// Who asks them.
    pub authenticator: Authenticator,
    /// For the modes of settings that are read later.
    pub learnt: Learnt,
}

/// What modes have fetched and verified: good for as long as the settings that it hangs on are the same.
#[derive(Clone, Debug, Default)]
pub struct Learnt {
    metrics: Arc<Metrics>,
    jwt: Option<Arc<Jwt>>,
    sessions: Option<Arc<DjangoSession>>,
    /// One for all settings of a node.
    rechecks: Arc<SessionRechecks>,
}

impl Learnt {
    /// Nothing yet; what happens is counted here.
    #[must_use]
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            ..Self::default()
        }
    }

    /// The settings are taken: on a runtime the set of an address is fetched and kept fresh, as long as its mode lives.
    /// Settings that are refused begin nothing, and so change nothing of what those before have learnt.
    pub fn begin(&self) {
        let fresh = self.jwt.as_ref().and_then(|jwt| jwt.keep_fresh());
        if let (Some(fresh), Ok(runtime)) = (fresh, Handle::try_current()) {
            runtime.spawn(fresh);
        }
        if let Some(sessions) = &self.sessions {
            sessions.begin();
        }
    }

    /// Who is connected by a session of a site, whatever settings were taken since.
    #[must_use]
    pub fn session_rechecks(&self) -> Arc<SessionRechecks> {
        Arc::clone(&self.rechecks)
    }

    /// Why somebody may be refused who proves who they are, for the operator.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.jwt.as_ref()?.fault()
    }
}

impl Modes {
    /// Those of the settings, with the site that the node asks. What those before have `learnt` by the same settings stays.
    /// Nobody is asked anything before [`Learnt::begin`].
    ///
    /// # Errors
    /// When one of them cannot work, such as by a file that cannot be read.
    pub fn new(
        settings: &AuthSettings,
        site: Option<&Arc<Forward>>,
        learnt: &Learnt,
    ) -> Result<Self, Error> {
        for mode in [
            config::AuthMode::Jwt,
            config::AuthMode::Link,
            config::AuthMode::DjangoSession,
        ] {
            if settings.has_keys(mode) && !settings.mode.contains(&mode) {
                return Err(Error::Unlisted(mode.word()));
            }
        }
        let mut modes = Vec::<Arc<dyn AuthMode>>::new();
        let mut learning = Learnt {
            metrics: Arc::clone(&learnt.metrics),
            jwt: None,
            sessions: None,
            rechecks: Arc::clone(&learnt.rechecks),
        };
        for mode in &settings.mode {
            match mode {
                config::AuthMode::Jwt => {
                    let mode = renewed(learnt, &settings.jwt)?;
                    modes.push(Arc::clone(&mode) as _);
                    learning.jwt = Some(mode);
                }
                config::AuthMode::Link => modes.push(Arc::new(Link::new(&settings.link))),
                config::AuthMode::DjangoSession => {
                    let mode = sessions(learnt, &settings.django_session)?;
                    modes.push(Arc::clone(&mode) as _);
                    learning.sessions = Some(mode);
                }
                config::AuthMode::Forward => {
                    modes.push(Arc::clone(site.ok_or(Error::NoSite)?) as _);
                }
                config::AuthMode::None => {}
            }
        }
        let admits_anybody = settings.mode.contains(&config::AuthMode::None);
        Ok(Self {
            authenticator: Authenticator::new(modes, admits_anybody),
            learnt: learning,
        })
    }
}

/// The mode `jwt` of the settings, after the one before.
fn renewed(learnt: &Learnt, settings: &JwtSettings) -> Result<Arc<Jwt>, Error> {
    let fetch = fetch(settings, &learnt.metrics)?;
    Ok(match &learnt.jwt {
        Some(previous) => previous.renew(settings, fetch)?,
        None => Arc::new(Jwt::new(settings, fetch)?),
    })
}

/// The mode `django_session` of the settings, after the one before.
fn sessions(
    learnt: &Learnt,
    settings: &DjangoSessionSettings,
) -> Result<Arc<DjangoSession>, Error> {
    let previous = learnt.sessions.as_ref();
    Ok(match previous.filter(|previous| previous.is_of(settings)) {
        Some(previous) => Arc::clone(previous),
        None => Arc::new(DjangoSession::new(settings, &learnt.rechecks)?),
    })
}

/// Can these settings work? Files of keys are read, nobody is asked.
///
/// # Errors
/// One sentence: what is wrong.
pub fn check(settings: &AuthSettings) -> Result<(), String> {
    let site = Forward::of(&settings.forward, &Arc::new(Metrics::new()));
    let site = site.map_err(|error| error.to_string())?;
    let modes = Modes::new(settings, site.as_ref(), &Learnt::default());
    modes.map(drop).map_err(|error| error.to_string())
}

/// What asks the address of `auth.jwt.jwks`, if that is one.
fn fetch(settings: &JwtSettings, metrics: &Arc<Metrics>) -> Result<Option<Fetch>, Error> {
    let Some(url) = settings.jwks.as_deref().filter(|jwks| jwks.contains("://")) else {
        return Ok(None);
    };
    let url: Uri = url
        .parse()
        .map_err(|_malformed| Error::Address("is not an address".into()))?;
    let limits = ClientLimits {
        connect_timeout: settings.jwks_timeout,
        timeout: settings.jwks_timeout,
        body_bytes: SET_BYTES_MAX,
        connections: 1,
    };
    let trust = Trust::for_url(&url, settings.jwks_ca_file.as_deref());
    let client = Arc::new(HttpClient::new(limits, trust)?);
    let authorities = client.authorities();
    let ask = move || {
        let (client, url) = (Arc::clone(&client), url.clone());
        Box::pin(async move {
            let request = Request::get(url).body(Default::default());
            let request = request.map_err(|error| error.to_string())?;
            let answer = client.send(request).await;
            let answer = answer.map_err(|error| error.to_string())?;
            match answer.status() {
                status if status.is_success() => Ok(answer.into_body()),
                status => Err(format!("the answer is {}", status.as_u16())),
            }
        }) as _
    };
    Ok(Some(Fetch {
        ask: Box::new(ask),
        authorities,
        metrics: Arc::clone(metrics),
    }))
}
