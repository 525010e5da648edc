//! The modes of `auth.mode`, made of the settings.

use super::django_session::DjangoSession;
use super::forward::Forward;
use super::jwt::{Fetch, Jwt, KeyFault};
use super::link::Link;
use super::{AuthMode, Authenticator};
use crate::config::{self, AuthSettings, JwtSettings};
use crate::http_client::{ClientLimits, HttpClient, Trust};
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
    /// The Redis of a site's sessions cannot be asked.
    #[error("auth.django_session.redis: {0}")]
    Sessions(#[from] redis::Error),
    /// The site was not named as the node began.
    #[error("auth.mode lists \"forward\", and auth.forward.url is taken from the next start on")]
    NoSite,
}

/// What stands behind `auth.mode`.
#[derive(Debug)]
pub struct Modes {
    /// Who asks them.
    pub authenticator: Authenticator,
}

impl Modes {
    /// Those of the settings, with the site that the node asks. On a runtime the set of an address is fetched and kept fresh, as long as its mode lives.
    ///
    /// # Errors
    /// When one of them cannot work, such as by a file that cannot be read.
    pub fn new(settings: &AuthSettings, site: Option<&Arc<Forward>>) -> Result<Self, Error> {
        let mut modes = Vec::<Box<dyn AuthMode>>::new();
        for mode in &settings.mode {
            match mode {
                config::AuthMode::Jwt => {
                    let jwt = Jwt::new(&settings.jwt, fetch(&settings.jwt)?)?;
                    if let (Some(fresh), Ok(runtime)) = (jwt.keep_fresh(), Handle::try_current()) {
                        runtime.spawn(fresh);
                    }
                    modes.push(Box::new(jwt));
                }
                config::AuthMode::Link => modes.push(Box::new(Link::new(&settings.link))),
                config::AuthMode::DjangoSession => {
                    modes.push(Box::new(DjangoSession::new(&settings.django_session)?));
                }
                config::AuthMode::Forward => {
                    modes.push(Box::new(Arc::clone(site.ok_or(Error::NoSite)?)));
                }
                config::AuthMode::None => {}
            }
        }
        let admits_anybody = settings.mode.contains(&config::AuthMode::None);
        Ok(Self {
            authenticator: Authenticator::new(modes, admits_anybody),
        })
    }
}

/// Can these settings work? Files of keys are read, nobody is asked.
///
/// # Errors
/// One sentence: what is wrong.
pub fn check(settings: &AuthSettings) -> Result<(), String> {
    let site = Forward::of(&settings.forward, &Arc::new(Metrics::new()));
    let site = site.map_err(|error| error.to_string())?;
    let modes = Modes::new(settings, site.as_ref());
    modes.map(drop).map_err(|error| error.to_string())
}

/// What asks the address of `auth.jwt.jwks`, if that is one.
fn fetch(settings: &JwtSettings) -> Result<Option<Fetch>, Error> {
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
    let client = Arc::new(
        HttpClient::new(limits, Trust::System)
            .map_err(|error| Error::Address(error.to_string().into()))?,
    );
    Ok(Some(Box::new(move || {
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
        })
    })))
}
