//! The modes of `auth.mode`, made of the settings.

use super::forward::Forward;
use super::{AuthMode, Authenticator};
use crate::config::{self, AuthSettings};
use std::sync::Arc;

/// Why nobody can be asked who they are.
#[derive(Debug, thiserror::Error)]
pub enum Error {
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
    /// Those of the settings, with the site that the node asks.
    ///
    /// # Errors
    /// When one of them cannot work.
    pub fn new(settings: &AuthSettings, site: Option<&Arc<Forward>>) -> Result<Self, Error> {
        let mut modes = Vec::<Box<dyn AuthMode>>::new();
        for mode in &settings.mode {
            match mode {
                config::AuthMode::Forward => {
                    modes.push(Box::new(Arc::clone(site.ok_or(Error::NoSite)?)));
                }
                config::AuthMode::None | config::AuthMode::Jwt | config::AuthMode::Link => {}
            }
        }
        let admits_anybody = settings.mode.contains(&config::AuthMode::None);
        Ok(Self {
            authenticator: Authenticator::new(modes, admits_anybody),
        })
    }
}
