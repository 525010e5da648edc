//! Flags of `entrance` and of what it runs.

use super::campaigns::CampaignFlags;
use super::values::duration;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Flags of `entrance`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Entrance {
    /// Folder of the other servers.
    #[arg(long, default_value = "loadtest/peers")]
    pub(crate) peers: PathBuf,
    #[command(flatten)]
    pub(crate) campaign: CampaignFlags,
}

/// Flags of `requests`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Requests {
    /// What is asked for.
    #[arg(long, default_value = "/")]
    pub(crate) path: String,
}

/// Flags of `slowloris`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Slowloris {
    /// From one byte of a socket to its next.
    #[arg(long, default_value = "3s", value_parser = duration)]
    pub(crate) every: Duration,
    /// The bytes begin a TLS handshake instead of a request.
    #[arg(long)]
    pub(crate) tls: bool,
}
