//! The OpenAPI document says what the code does.

use super::command::{BATCH, CODES, COMMANDS, ID_CHARACTERS_MAX, USER_CHARACTERS_MAX, fields_of};
use super::connection_id;
use super::problem::ProblemKind;
use super::{ENDPOINTS, OPENAPI};
use crate::broker::UserRole;
use crate::config::Config;
use crate::protocol::close::REASON_BYTES_MAX;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn document() -> Value {
    serde_json::from_str(OPENAPI).expect("JSON")
}

fn keys(object: &Value) -> BTreeSet<&str> {
    let fields = object.as_object().expect("an object");
    fields.keys().map(String::as_str).collect()
}

#[test]
fn every_endpoint_has_its_path_and_its_methods() {
    let document = document();
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let paths = &document["paths"];
    let names = ENDPOINTS.map(|(name, _)| format!("/api/{name}"));
    assert_eq!(keys(paths), names.iter().map(String::as_str).collect());
    for (name, methods) in ENDPOINTS {
        let path = &paths[format!("/api/{name}")];
        // Of GET and HEAD the one says the other.
        let method = if methods == "POST" { "post" } else { "get" };
        assert_eq!(keys(path), BTreeSet::from([method]), "{name}");
        let has_body = path[method].get("requestBody").is_some();
        assert_eq!(has_body, methods == "POST", "{name}");
    }
}

#[test]
fn every_command_has_its_fields_and_no_others() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    for (name, fields) in COMMANDS.iter().filter(|(name, _)| *name != "presence") {
        let schema = &schemas[name];
        assert_eq!(
            keys(&schema["properties"]),
            fields.iter().copied().collect(),
            "{name}"
        );
        assert_eq!(schema["additionalProperties"], false, "{name}");
    }
    let parameters = &document["paths"]["/api/presence"]["get"]["parameters"];
    let named: Vec<&Value> = parameters
        .as_array()
        .expect("some")
        .iter()
        .map(|p| &p["name"])
        .collect();
    assert_eq!(named, fields_of("presence"));
    let commands = &schemas["batch"]["properties"]["commands"];
    assert_eq!(commands["maxItems"], Config::default().api.batch);
    let kinds = commands["items"]["oneOf"].as_array().expect("kinds");
    let kinds: Vec<&Value> = kinds.iter().map(|kind| &kind["required"][0]).collect();
    assert_eq!(kinds, BATCH);
}

#[test]
fn every_bound_is_the_code_s_own() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let publish = &schemas["publish"]["properties"];
    assert_eq!(
        publish["message"]["maxLength"],
        Config::default().chat.text_bytes_max
    );
    let id = format!("{{1,{ID_CHARACTERS_MAX}}}$");
    assert!(
        publish["id"]["pattern"]
            .as_str()
            .is_some_and(|pattern| pattern.ends_with(&id))
    );
    let disconnect = &schemas["disconnect"]["properties"];
    assert_eq!(disconnect["user"]["maxLength"], USER_CHARACTERS_MAX);
    assert_eq!(disconnect["reason"]["maxLength"], REASON_BYTES_MAX);
    assert_eq!(disconnect["code"]["anyOf"][0]["enum"], json!(CODES));
    let digits = format!("^[0-9a-f]{{{}}}$", connection_id::CHARACTERS);
    assert_eq!(disconnect["connection"]["pattern"], digits);
    let problems: Vec<String> = ProblemKind::ALL
        .iter()
        .map(|kind| format!("urn:supportal:problem:{}", kind.name()))
        .collect();
    assert_eq!(
        schemas["Problem"]["properties"]["type"]["enum"],
        json!(problems)
    );
    let member = &schemas["Presence"]["properties"]["members"]["items"]["properties"];
    assert_eq!(
        member["role"]["enum"],
        json!(UserRole::ALL.map(UserRole::as_str))
    );
}
