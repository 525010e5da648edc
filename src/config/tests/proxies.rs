//! `[proxy]` and the keys of `[http]` for https and CORS: what is refused, and what is advised.

use super::{assert_refused, load_sets};

const TRUST: &str = "proxy.trusted=[\"10.0.0.0/8\"]";
const CORS: &str = "http.cors.allowed=[\"https://a.example\"]";

/// Settings, and what their refusal says.
const BAD: &[(&[&str], &[&str])] = &[
    (
        &["proxy.header=forwarded"],
        &[
            "proxy.header: counts from the proxies of proxy.trusted alone",
            "proxy.trusted = [\"127.0.0.1\"]",
        ],
    ),
    (
        &["proxy.header=proxy_protocol", "proxy.trusted=[]"],
        &["proxy.header: counts"],
    ),
    (
        &[TRUST],
        &["proxy.trusted: has no effect", "set proxy.header"],
    ),
    (
        &[TRUST, "proxy.header=none"],
        &["proxy.trusted: has no effect"],
    ),
    (
        &[TRUST, "proxy.header=x-forwarded-for", "proxy.believe=[]"],
        &["proxy.believe: is empty", "[\"for\", \"proto\"]"],
    ),
    (
        &[
            TRUST,
            "proxy.header=x-forwarded-for",
            "proxy.believe=for,port",
        ],
        &["proxy.believe", "\"port\""],
    ),
    (
        &[TRUST, "proxy.header=x-forwarded"],
        &[
            "proxy.header: \"x-forwarded\" is not a choice",
            "\"x-forwarded-for\"",
        ],
    ),
    (
        &[TRUST, "proxy.header=X-Forwarded-For"],
        &["is not a choice", "did you mean \"x-forwarded-for\"?"],
    ),
    (
        &[TRUST, "proxy.header=true"],
        &["proxy.header: \"true\" is not a choice"],
    ),
    (
        &["proxy.trusted=", "proxy.header=forwarded"],
        &["proxy.trusted: is empty"],
    ),
    (
        &["proxy.trusted=localhost", "proxy.header=forwarded"],
        &[
            "\"localhost\" is no network: a name is not looked up",
            "\"10.0.0.0/8\"",
        ],
    ),
    (
        &["proxy.trusted=10.0.0.0/33", "proxy.header=forwarded"],
        &["\"10.0.0.0/33\" is no network: a prefix of IPv4 has at most 32 bits"],
    ),
    (
        &["proxy.trusted=127.0.0.1,*", "proxy.header=forwarded"],
        &["\"*\" is no network"],
    ),
    (
        &["proxy.trusted=127.0.0.1:80", "proxy.header=forwarded"],
        &["\"127.0.0.1:80\" is no network: it has a port"],
    ),
    (
        &["proxy.trusted=10.0.0.1/8", "proxy.header=forwarded"],
        &[
            "\"10.0.0.1/8\" has bits behind its prefix",
            "write \"10.0.0.0/8\" or \"10.0.0.1\"",
        ],
    ),
    (
        &["proxy.trusted=[\" 127.0.0.1\"]", "proxy.header=forwarded"],
        &["has a space in it"],
    ),
    (
        &[
            "proxy.trusted=::ffff:10.0.0.0/104",
            "proxy.header=forwarded",
        ],
        &["is an IPv4 network in IPv6", "write \"10.0.0.0/8\""],
    ),
    (
        &["proxy.trusted=7", "proxy.header=forwarded"],
        &["proxy.trusted: 7 is not a list of texts"],
    ),
    (
        &["server.listen_unix=chat.sock"],
        &[
            "server.listen_unix: \"chat.sock\" is no path of a socket",
            "\"/run/supportal/chat.sock\"",
        ],
    ),
    (
        &["server.listen_unix=unix:/run/chat.sock"],
        &["server.listen_unix"],
    ),
    (
        &["server.unix_mode=660x"],
        &["server.unix_mode: \"660x\" is no mode", "\"0660\""],
    ),
    (&["server.unix_mode=rw"], &["server.unix_mode"]),
    (&["server.unix_mode=4755"], &["server.unix_mode"]),
    (&["server.unix_mode=0888"], &["server.unix_mode"]),
    (
        &["http.require_tls=yes"],
        &["http.require_tls: \"yes\" is neither true nor false"],
    ),
    (
        &["http.redirect=80"],
        &[
            "http.redirect: \"80\" is not an address",
            "such as redirect = \"0.0.0.0:80\"",
        ],
    ),
    (
        &["http.redirect=localhost:80"],
        &["http.redirect: \"localhost:80\" is not an address"],
    ),
    (
        &["http.redirect=127.0.0.1:8000"],
        &[
            "http.redirect: 127.0.0.1:8000 is taken by server.listen",
            "different ports",
        ],
    ),
    (
        &["http.upstream=http://127.0.0.1:9000"],
        &[
            "http.upstream: 127.0.0.1:9000 is this server's own admin.listen",
            "write the address of the site",
        ],
    ),
    (
        &[
            "http.upstream=http://LOCALHOST:8000",
            "server.listen=0.0.0.0:8000",
        ],
        &["http.upstream: 127.0.0.1:8000 is this server's own server.listen"],
    ),
    (
        &["http.upstream=http://[::1]:8001", "api.listen=[::1]:8001"],
        &["http.upstream: [::1]:8001 is this server's own api.listen"],
    ),
    (
        &["http.redirect=0.0.0.0:9000"],
        &["http.redirect: 0.0.0.0:9000 is taken by admin.listen"],
    ),
    (
        &["http.https_host=https://a.example", "http.require_tls=true"],
        &["http.https_host: \"https://a.example\" is no host"],
    ),
    (
        &["http.https_host=a.example/", "http.require_tls=true"],
        &["\"a.example/\" is no host"],
    ),
    (
        &["http.https_host=a.example:0", "http.require_tls=true"],
        &["\"a.example:0\" is no host"],
    ),
    (
        &["http.https_host=a.example:port", "http.require_tls=true"],
        &["is no host", "\"chat.example.com:8443\""],
    ),
    (
        &["http.https_host=a..example", "http.require_tls=true"],
        &["is no host"],
    ),
    (
        &["http.https_host=::1", "http.require_tls=true"],
        &["is no host"],
    ),
    (
        &["http.acme_folder=no/such/folder"],
        &[
            "http.acme_folder: \"no/such/folder\" is not a folder",
            "make it",
        ],
    ),
    (
        &["http.cors.allowed=a.example"],
        &[
            "http.cors.allowed: \"a.example\" has no scheme",
            "write \"https://a.example\"",
        ],
    ),
    (
        &["http.cors.allowed=null"],
        &["http.cors.allowed: \"null\" has no scheme"],
    ),
    (&["http.cors.allowed="], &["http.cors.allowed: is empty"]),
    (
        &["http.cors.allowed=https://a.example:99999"],
        &["http.cors.allowed", "has the port \"99999\""],
    ),
    (
        &["http.cors.allowed=https://user:word@a.example"],
        &["names a user", "user:(hidden)@"],
    ),
    (
        &[CORS, "http.cors.methods=[\"GET, POST\"]"],
        &["http.cors.methods: \"GET, POST\" is no name of one"],
    ),
    (
        &[CORS, "http.cors.headers=[\"x-a\\r\\nx-b\"]"],
        &["http.cors.headers", "is no name of one"],
    ),
    (
        &[CORS, "http.cors.headers=[\"\"]"],
        &["http.cors.headers: \"\" is no name of one"],
    ),
    (
        &[CORS, "http.cors.expose=[\"x a\"]"],
        &["http.cors.expose: \"x a\" is no name of one"],
    ),
    (
        &[CORS, "http.cors.max_age=2d"],
        &["http.cors.max_age: is longer than 1d"],
    ),
    (
        &[CORS, "http.cors.credentials=include"],
        &["is neither true nor false"],
    ),
    (
        &["http.cors.origins=https://a.example"],
        &["http.cors.origins: unknown key"],
    ),
];

#[test]
fn bad_settings_are_refused_with_key_and_fix() {
    for (sets, fragments) in BAD {
        assert_refused(&format!("{sets:?}"), load_sets(sets), fragments);
    }
}

#[test]
fn what_is_legal_and_probably_not_meant_is_advised_against() {
    for (sets, fragments) in [
        (
            &["proxy.trusted=0.0.0.0/0", "proxy.header=forwarded"][..],
            [
                "proxy.trusted: \"0.0.0.0/0\" is everybody",
                "the networks of the proxies",
            ],
        ),
        (
            &["proxy.trusted=::/0", "proxy.header=forwarded"],
            ["\"::/0\" is everybody", "the networks of the proxies"],
        ),
        (
            &[TRUST, "proxy.header=forwarded", "proxy.believe=proto"],
            ["proxy.believe: has no effect", "x-forwarded-for"],
        ),
        (
            &[
                TRUST,
                "proxy.header=x-forwarded-for",
                "http.require_tls=true",
            ],
            [
                "http.require_tls: lets nobody in",
                "\"proto\" to proxy.believe",
            ],
        ),
        (
            &["http.require_tls=true"],
            ["http.require_tls: lets nobody in", "set tls.certificate"],
        ),
        (
            &["http.https_host=a.example"],
            ["http.https_host: has no effect", "http.require_tls"],
        ),
        (
            &["http.cors.allowed=*", "http.cors.credentials=true"],
            [
                "http.cors.credentials: with http.cors.allowed = [\"*\"]",
                "name the origins",
            ],
        ),
        (
            &["http.cors.allowed=*,https://a.example"],
            ["makes the other entries pointless", "remove"],
        ),
        (
            &["http.cors.credentials=true"],
            ["http.cors: has no effect", "http.cors.allowed"],
        ),
    ] {
        let loaded = load_sets(sets).unwrap_or_else(|error| panic!("{sets:?}: {error}"));
        let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
        let text = warnings.join("\n");
        for fragment in fragments {
            assert!(text.contains(fragment), "{sets:?}: {text}");
        }
    }
}

#[test]
fn what_is_said_well_is_not_advised_upon() {
    for sets in [
        &[
            "proxy.trusted=unix,127.0.0.1,::1,10.0.0.0/8",
            "proxy.header=x-forwarded-for",
            "proxy.believe=for,proto,host",
            "http.require_tls=true",
        ][..],
        &["http.redirect=127.0.0.1:0", "http.https_host=[::1]:8443"],
        &["http.cors.allowed=https://a.example,https://.b.example:8443"],
    ] {
        let loaded = load_sets(sets).unwrap_or_else(|error| panic!("{sets:?}: {error}"));
        assert!(
            loaded.warnings.is_empty(),
            "{sets:?}: {:?}",
            loaded.warnings
        );
    }
}
