//! The modes of `auth.mode`, made of the settings.

use super::forward::{self, Forward};
use super::{AuthMode, Authenticator};
use crate::clock::Clock;
use crate::config::{self, AuthSettings};
use crate::metrics::Metrics;
use std::sync::Arc;

/// Why nobody can be asked who they are.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The site cannot be asked.
    #[error(transparent)]
    Forward(#[from] forward::Error),
}

/// What stands behind `auth.mode`.
#[derive(Debug)]
pub struct Modes {
    /// Who asks them.
    pub authenticator: Authenticator,
    /// The site that is asked, for the questions that are asked again.
    pub forward: Option<Arc<Forward>>,
}

impl Modes {
    /// Those of the settings.
    ///
    /// # Errors
    /// When one of them cannot work, such as by a file that cannot be read.
    pub fn new(
        settings: &AuthSettings,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Result<Self, Error> {
        let (mut modes, mut site) = (Vec::<Box<dyn AuthMode>>::new(), None);
        for mode in &settings.mode {
            match mode {
                config::AuthMode::Forward => {
                    let forward = Arc::new(Forward::new(&settings.forward, metrics, clock)?);
                    modes.push(Box::new(Arc::clone(&forward)));
                    site = Some(forward);
                }
                config::AuthMode::None | config::AuthMode::Jwt | config::AuthMode::Link => {}
            }
        }
        let admits_anybody = settings.mode.contains(&config::AuthMode::None);
        Ok(Self {
            authenticator: Authenticator::new(modes, admits_anybody),
            forward: site,
        })
    }
}
