//! Bad configurations, each with what its refusal or its advice must say.

use super::{assert_refused, load_environment, load_file, load_sets};

/// A file, and what its refusal says: line, key, value, fix.
const BAD_FILES: &[(&str, &[&str])] = &[
    (
        "[queue]\ncapasity = 5",
        &[
            ":2: ",
            "queue.capasity: unknown key",
            "did you mean `queue.capacity`?",
        ],
    ),
    (
        "[server]\ncapacity = 5",
        &[":2: ", "did you mean `queue.capacity`?"],
    ),
    (
        "[queu]\ncapacity = 5",
        &[":1: ", "[queu]: unknown section", "did you mean [queue]?"],
    ),
    ("[chat]\nzzzzzz = 1", &[":2: ", "chat.zzzzzz: unknown key"]),
    ("zzzzzz = 1", &[":1: ", "zzzzzz: unknown key"]),
    (
        "queue = 5",
        &[":1: ", "queue: is a section", "write [queue]"],
    ),
    (
        "\n\n[queue]\ncapacity = \"many\"",
        &[":4: ", "\"many\" is not a whole number", "capacity = 100"],
    ),
    (
        "[queue]\ncapacity = -1",
        &["-1 is not a whole number of at least 0"],
    ),
    ("[queue]\ncapacity = 1.5", &["1.5 is not a whole number"]),
    (
        "[queue]\ncapacity = 0",
        &[":2: ", "queue.capacity: 0 is too small", "at least 1"],
    ),
    (
        "[limits]\nfragments = true",
        &["true is not a whole number"],
    ),
    (
        "[limits]\nrefusals = 4294967296",
        &["4294967296 is too large", "4294967295"],
    ),
    (
        "[server]\ndrain_notice = \"11s\"",
        &[
            ":2: ",
            "server.drain_notice",
            "longer than server.drain_grace",
            "\"3s\" of \"10s\"",
        ],
    ),
    (
        "[server]\ndrain_notice = \"2s\"\ndrain_grace = \"1s\"",
        &["server.drain_notice", "longer than server.drain_grace"],
    ),
    (
        "[server]\ndrain_notice = \"2d\"\ndrain_grace = \"3d\"",
        &["server.drain_notice", "longer than 1d"],
    ),
    (
        "[queue]\nexpiry = 60",
        &["queue.expiry", "write \"60s\" or \"60ms\""],
    ),
    (
        "[queue]\nexpiry = \"60\"",
        &["`60` is not a duration", "\"60s\""],
    ),
    (
        "[queue]\nexpiry = \"1 fortnight\"",
        &["`1 fortnight` is not a duration"],
    ),
    (
        "[queue]\nexpiry = 1.5",
        &["1.5 is not a duration", "\"60s\""],
    ),
    ("[queue]\nexpiry = \"0s\"", &["must be longer than zero"]),
    (
        "[server]\nping_interval = \"25d\"",
        &["longer than 1d", "check the unit"],
    ),
    (
        "[chat]\nwelcome = \"yes\"",
        &["\"yes\" is neither true nor false", "welcome = true"],
    ),
    (
        "[chat]\ndialect = \"djago\"",
        &["\"djago\" is not a choice", "did you mean \"django\"?"],
    ),
    (
        "[chat]\ndeliver = 1",
        &["1 is not a choice", "\"room\", \"sender\""],
    ),
    ("[queue]\noverflow = \"drop\"", &["drop_newest"]),
    (
        "[server]\nlisten = \"localhost:8000\"",
        &["\"localhost:8000\" is not an address", "127.0.0.1:8000"],
    ),
    ("[server]\nlisten = 8000", &["8000 is not an address"]),
    (
        "[server]\nlisten = \"127.0.0.1:9000\"",
        &[
            "admin.listen",
            "is taken by server.listen",
            "different ports",
        ],
    ),
    (
        "[server]\nlisten = \"0.0.0.0:9000\"",
        &["is taken by server.listen"],
    ),
    (
        "[server]\nworkers = 5000",
        &["server.workers", "5000 is too large", "at most 64"],
    ),
    (
        "[server]\ncontrol_threads = 0",
        &["server.control_threads: 0 is too small"],
    ),
    ("[server]\nbacklog = 0", &["server.backlog: 0 is too small"]),
    (
        "[admin]\nlisten = \"0.0.0.0:9000\"",
        &["reachable from outside", "SUPPORTAL_ADMIN__TOKEN"],
    ),
    ("[admin]\ntoken = \"\"", &["admin.token: is empty"]),
    (
        "[admin]\ntoken = \"a b\"",
        &["admin.token", "no Authorization header"],
    ),
    (
        "[origin]\nallowed = \"a.example\"",
        &["is not a list of texts", "allowed = ["],
    ),
    ("[origin]\nallowed = [1]", &["[1] is not a list of texts"]),
    ("routes = 5", &["5 is not an array of tables", "[[routes]]"]),
    (
        "[[routes]]\npath = \"/x/\"",
        &[
            ":1: ",
            "routes[0]",
            "missing field `handler`",
            "needs path, handler",
        ],
    ),
    (
        "[[routes]]\npath = \"/x/\"\nhandler = \"ehco\"",
        &[
            ":3: ",
            "routes[0].handler",
            "\"ehco\" does not fit",
            "`echo`",
        ],
    ),
    (
        "[[routes]]\npath = \"/x/\"\nhandler = \"echo\"\n[[routes]]\npaht = \"/y/\"",
        &[
            ":5: ",
            "routes[1].paht: unknown key",
            "did you mean `path`?",
        ],
    ),
    (
        "[[routes]]\npath = \"x/\"\nhandler = \"echo\"",
        &["routes[0].path", "does not begin with `/`", "\"/x/\""],
    ),
    (
        "[[routes]]\npath = \"/x y/\"\nhandler = \"echo\"",
        &["characters that a decoded path does not keep"],
    ),
    (
        "[[routes]]\npath = \"/{business_id}/\"\nhandler = \"chat\"",
        &["without {session_id} has no room"],
    ),
    (
        "[[routes]]\npath = \"/{user}/\"\nhandler = \"echo\"",
        &["\"{user}\" is not a placeholder"],
    ),
    (
        "[[routes]]\npath = \"/a{session_id}/\"\nhandler = \"echo\"",
        &["is not a placeholder", "whole segments"],
    ),
    (
        "[[routes]]\npath = \"/{session_id}/{session_id}/\"\nhandler = \"echo\"",
        &["{session_id} appears twice"],
    ),
    (
        "[[routes]]\npath = \"/x/\"\nhandler = \"echo\"\n[[routes]]\npath = \"/x/\"\nhandler = \"echo\"",
        &["routes[1].path", "same paths as an earlier"],
    ),
    (
        "[chat]\ntext_bytes_max = 100000",
        &["chat.text_bytes_max: 100000 is above limits.message_bytes = 65536"],
    ),
    (
        "[[chat.exists]]\nbusiness_id = 1",
        &["chat.exists", "no effect in dialect \"guide\""],
    ),
    (
        "[chat]\ndialect = \"django\"\n[[chat.exists]]\nbusiness_id = \"x\"",
        &[":4: ", "chat.exists[0].business_id", "\"x\" does not fit"],
    ),
    (
        "[chat]\ndialect = \"django\"\nexists = [{business_id = 1}, {business_id = 1}]",
        &["business 1 is listed twice"],
    ),
    (
        "[chat]\ndialect = \"django\"\nexists = [{business_id = 1, sessions = [\"\"]}]",
        &["a session is empty"],
    ),
    (
        "[queue]\nbytes_max = 1000",
        &["queue.bytes_max: 1000 is too small for the event", "66048"],
    ),
    (
        "[broker]\nmailbox_bytes = 1000",
        &["broker.mailbox_bytes: 1000 is too small"],
    ),
    (
        "[limits]\nmessage_bytes = 2000000000",
        &["limits.message_bytes: 2000000000 is too large"],
    ),
    (
        "[limits]\nheader_bytes = 1024",
        &["limits.header_bytes: 1024 is too small", "8192"],
    ),
    (
        "[limits]\nuri_bytes = 100000",
        &["above limits.header_bytes"],
    ),
    ("[limits]\nheaders = 2", &["limits.headers: 2 is too small"]),
    (
        "[limits]\nmessages_burst = 0",
        &["limits.messages_burst: 0 is too small"],
    ),
    (
        "[limits]\nsend_buffer_bytes = 1",
        &["limits.send_buffer_bytes: 1 is too small"],
    ),
    (
        "[limits]\nreceive_buffer_bytes = 4096",
        &["limits.receive_buffer_bytes: 4096 is too small"],
    ),
    (
        "[history]\nexpiry = \"10s\"",
        &[
            "history.expiry: is below queue.expiry = \"60s\"",
            "write at least \"60s\"",
        ],
    ),
    (
        "[queue]\nexpiry = \"3h\"\n[bridge]\nmode = \"streams\"\nurls = [\"redis://a\"]",
        &[
            "history.expiry: is below queue.expiry = \"3h\"",
            "lower queue.expiry",
        ],
    ),
    (
        "[history]\nbytes_max = 1000\n[bridge]\nmode = \"streams\"\nurls = [\"redis://a\"]",
        &["history.bytes_max: 1000 is too small"],
    ),
    (
        "[history]\nbytes_max = 0",
        &["history.bytes_max: 0 is too small"],
    ),
    (
        "[assistant]\nprompts = 0",
        &["assistant.prompts: 0 is too small", "kind = \"none\""],
    ),
    (
        "[assistant]\nknowledge = \"no/such/file\"",
        &[":2: ", "\"no/such/file\" is not a file"],
    ),
    (
        "[log]\nlevel = \"inof\"",
        &[":2: ", "\"inof\" is not a level"],
    ),
    ("[log]\nlevel = \"info,=debug\"", &["names no module"]),
    ("[log]\nlevel = \"\"", &["log.level: is empty"]),
    ("[log]\nlevel = 3", &["3 is not text", "write it in quotes"]),
    (
        "[queue]\ncapacity = 5\ncapacity = 6",
        &[":3: ", "not valid TOML", "duplicate key"],
    ),
    ("[queue\n", &[":1: ", "not valid TOML"]),
];

#[test]
fn a_bad_file_is_refused_with_line_key_and_fix() {
    for (text, fragments) in BAD_FILES {
        assert_refused(text, load_file(text), fragments);
    }
}

#[test]
fn a_bad_environment_is_refused_with_name_and_fix() {
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "SUPPORTAL_QUEUE__CAPASITY",
            "5",
            &[
                "environment SUPPORTAL_QUEUE__CAPASITY",
                "did you mean SUPPORTAL_QUEUE__CAPACITY?",
            ],
        ),
        (
            "SUPPORTAL_QUEUE_CAPACITY",
            "5",
            &[
                "no setting has this name",
                "did you mean SUPPORTAL_QUEUE__CAPACITY?",
            ],
        ),
        (
            "SUPPORTAL_ZZZZ",
            "5",
            &["environment SUPPORTAL_ZZZZ: no setting has this name"],
        ),
        (
            "SUPPORTAL_QUEUE__CAPACITY",
            "many",
            &["SUPPORTAL_QUEUE__CAPACITY: queue.capacity: \"many\" is not a whole number"],
        ),
        (
            "SUPPORTAL_QUEUE__EXPIRY",
            "60",
            &["`60` is not a duration", "\"60s\""],
        ),
        (
            "SUPPORTAL_SERVER__LISTEN",
            ":8000",
            &["\":8000\" is not an address"],
        ),
        (
            "SUPPORTAL_ROUTES",
            "/x/",
            &["routes: \"/x/\" is not an array of tables"],
        ),
        ("SUPPORTAL_CHAT__DIALECT", "\"\"", &["\"\" is not a choice"]),
        (
            "SUPPORTAL_ADMIN__LISTEN",
            "0.0.0.0:9000",
            &[
                "environment SUPPORTAL_ADMIN__LISTEN: admin.listen",
                "no admin.token",
            ],
        ),
        (
            "SUPPORTAL_LOG__LEVEL",
            "a\nb",
            &["\"a\\nb\" is not a level"],
        ),
        (
            "PORT",
            "http",
            &["environment PORT: \"http\" is not a port"],
        ),
        ("PORT", "70000", &["\"70000\" is not a port"]),
        ("PORT", "9000", &["is taken by server.listen"]),
    ];
    for (name, text, fragments) in cases {
        let loaded = load_environment(&[(*name, *text)]);
        assert_refused(&format!("{name}={text}"), loaded, fragments);
    }
}

#[test]
fn a_bad_set_is_refused_with_key_and_fix() {
    let cases: &[(&str, &[&str])] = &[
        (
            "queue.capacty=5",
            &[
                "--set: queue.capacty: unknown key",
                "did you mean `queue.capacity`?",
            ],
        ),
        ("queue=5", &["queue: is a section, not a key"]),
        (
            "queue.capacity",
            &["--set: number 1 has no `=`", "section.key=value"],
        ),
        ("queue.capacity=", &["\"\" is not a whole number"]),
        ("queue.capacity=1\nx=2", &["is not a whole number"]),
        ("chat.welcome=on", &["\"on\" is neither true nor false"]),
        (
            "routes=[{path=\"/x/\"}]",
            &["--set: routes[0]: missing field `handler`"],
        ),
        ("=5", &["unknown key"]),
    ];
    for (set, fragments) in cases {
        assert_refused(set, load_sets(&[set]), fragments);
    }
}

#[test]
fn advice_is_given_without_stopping() {
    let cases: &[(&str, &[&str])] = &[
        (
            "[origin]\nallowed = [\"example.com:8000\"]",
            &[":2: ", "can never match", "\"example.com\""],
        ),
        (
            "[origin]\nallowed = [\"*.example.com\"]",
            &["write \".example.com\""],
        ),
        (
            "[origin]\nallowed = [\"//example.com\"]",
            &["write \"example.com\""],
        ),
        (
            "[origin]\nallowed = [\"example.com.\"]",
            &["without the last dot"],
        ),
        (
            "[origin]\nallowed = [\"example.com/chat\"]",
            &["the host alone"],
        ),
        ("[origin]\nallowed = [\"::1\"]", &["\"[::1]\""]),
        ("[origin]\nallowed = [\"*\", \"a.example\"]", &["pointless"]),
        ("[server]\nping_timeout = \"60s\"", &["found late"]),
        (
            "[server]\ndrain_notice = \"9s\"",
            &["server.drain_notice", "two thirds of server.drain_grace"],
        ),
        (
            "[chat]\ndialect = \"django\"",
            &["business does not exist", "[[chat.exists]]"],
        ),
        (
            "[chat]\ndialect = \"django\"",
            &["chat.deliver = \"sender\""],
        ),
        (
            "[limits]\nbytes_per_second = 100",
            &["may miss limits.message_timeout"],
        ),
        ("[limits]\nunsent_bytes = 1000000", &["has no effect"]),
        ("[assistant]\nconcurrency = 5000", &["cannot reach"]),
        ("[admin]\ntoken = \"abc\"", &["admin.token: is short"]),
    ];
    for (text, fragments) in cases {
        let loaded = load_file(text).expect(text);
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        let warnings = warnings.join("\n");
        for fragment in *fragments {
            assert!(
                warnings.contains(fragment),
                "{text}\n  gave: {warnings}\n  without: {fragment}"
            );
        }
    }
    let good = [
        "example.com",
        ".example.com",
        "*",
        "[::1]",
        "https://example.com:8443",
    ];
    for entry in good {
        let loaded = load_file(&format!("[origin]\nallowed = [\"{entry}\"]")).unwrap();
        assert_eq!(loaded.warnings, [], "{entry}");
    }
}

#[test]
fn routes_as_json_in_the_environment_are_shown_their_line_of_toml() {
    let json = r#"[{"path": "/x/", "handler": "echo"}]"#;
    let told = &[
        "is not an array of tables; write [[routes]]",
        "in one line, as in the environment: [{ path = …, handler = … }]",
    ];
    assert_refused(json, load_environment(&[("SUPPORTAL_ROUTES", json)]), told);
}
