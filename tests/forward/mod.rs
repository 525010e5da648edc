//! `auth.mode = ["forward"]`: the site is asked who somebody is.

mod answers;
mod django;
mod questions;
mod recheck;
mod site;
mod table;

use crate::support::{Gateway, PATIENCE};
use site::Site;

/// Where sessions of business 1 are.
const PATH: &str = "/ws/chat/1/";

/// A node that asks this site.
#[track_caller]
fn node(site: &Site, settings: &[&str]) -> Gateway {
    let url = format!("auth.forward.url=http://{}/who/", site.address);
    let mut all = vec![
        "auth.mode=forward",
        "origin.allowed=*",
        "server.workers=1",
        &url,
    ];
    all.extend(settings);
    Gateway::start(&all)
}
