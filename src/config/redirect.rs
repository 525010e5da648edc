//! What the keys of `[http]` for https may be.

use super::admin::{is_loopback, overlap};
use super::http::SiteAddress;
use super::problem::{Findings, Problem, Source};
use super::proxy::{ForwardedField, ProxyHeader};
use super::sections::Config;
use std::net::{Ipv4Addr, SocketAddr};

/// A host that can stand in an address, and a listener that is no other one's.
pub(super) fn check(config: &Config, found: &mut Findings) {
    let http = &config.http;
    if let Some(host) = &http.https_host {
        check_host(host, found);
    }
    if let Some(redirect) = http.redirect {
        for (key, other) in [
            ("server.listen", config.server.listen),
            ("admin.listen", config.admin.listen),
        ] {
            if overlap(redirect, other) {
                let what = format!("{redirect} is taken by {key} = {other}");
                let fix = "give the two listeners different ports";
                found.error("http.redirect", what, fix);
            }
        }
    }
    check_site(config, found);
    let proxy = &config.proxy;
    let says_https = proxy.believe.contains(&ForwardedField::Proto);
    let is_deaf = match proxy.header {
        ProxyHeader::None => true,
        ProxyHeader::XForwardedFor => !says_https,
        _ => false,
    };
    if http.require_tls && is_deaf && !config.tls.is_on() {
        let what = "lets nobody in: there is no TLS here, and no proxy is believed that there is";
        let fix = "set tls.certificate; or name the proxy in [proxy], have it set X-Forwarded-Proto in every request, and add \"proto\" to proxy.believe";
        found.warn("http.require_tls", what, fix);
    }
    if http.https_host.is_some() && http.redirect.is_none() && !http.require_tls {
        let what = "has no effect: nothing is redirected";
        let fix = "set http.require_tls or http.redirect, or remove it";
        found.warn("http.https_host", what, fix);
    }
}

/// The site is none of this server's own listeners: what is asked there would be asked in a circle, or be the operator's.
fn check_site(config: &Config, found: &mut Findings) {
    let Ok(Some(SiteAddress::Tcp { host, port })) = config.http.site() else {
        return;
    };
    let address = match host.parse() {
        Ok(address) => address,
        Err(_) if host.eq_ignore_ascii_case("localhost") => Ipv4Addr::LOCALHOST.into(),
        Err(_) => return,
    };
    let site = SocketAddr::new(address, port);
    let listeners = [
        ("server.listen", Some(config.server.listen)),
        ("admin.listen", Some(config.admin.listen)),
        ("api.listen", config.api.listen),
        ("http.redirect", config.http.redirect),
    ];
    for (key, listener) in listeners {
        let is_ours = |listener: &SocketAddr| {
            let is_here = listener.ip().is_unspecified() && is_loopback(site.ip());
            listener.port() == site.port() && (is_here || listener.ip() == site.ip())
        };
        if let Some(listener) = listener.filter(is_ours) {
            let what = format!("{site} is this server's own {key} = {listener}");
            found.error("http.upstream", what, "write the address of the site");
        }
    }
}

/// The folder must be there when the server starts, not when a certificate runs out.
pub(super) fn missing_folder(config: &Config) -> Option<Problem> {
    let folder = config.http.acme_folder.as_ref();
    let folder = folder.filter(|folder| !folder.is_dir())?;
    Some(Problem::new(
        Source::Default,
        "http.acme_folder",
        format!("{folder:?} is not a folder"),
        "make it, or leave the key out",
    ))
}

fn check_host(entry: &str, found: &mut Findings) {
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) if !entry.ends_with(']') => (name, Some(port)),
        _ => (entry, None),
    };
    let is_literal = |text: &str| {
        let inside = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        inside.is_some_and(|inside| inside.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let is_label = |label: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !label.is_empty() && label.bytes().all(is_part)
    };
    let is_host = is_literal(name) || name.split('.').all(is_label);
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if !is_host || !port.is_none_or(is_port) {
        found.error(
            "http.https_host",
            format!("{entry:?} is no host"),
            "write a host and perhaps a port, such as \"chat.example.com\" or \"chat.example.com:8443\"",
        );
    }
}
