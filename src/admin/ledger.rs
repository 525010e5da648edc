//! `GET /ledger`: the account of deliveries, of the node or of one room.

use super::reply::{TEXT, json, reply};
use super::sources::Sources;
use crate::broker::ledger::{Cause, Ledger};
use crate::http;
use crate::name::RoomName;
use crate::worker::Report;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use serde_json::{Map, Value};

pub(super) async fn answer(sources: &Sources, query: Option<&str>) -> Response<Full<Bytes>> {
    let Some(asked) = http::parameter(query, "room") else {
        let reports = sources.workers.audit(None).await;
        let workers: Vec<Value> = reports
            .iter()
            .map(|report| account(&report.ledger).into())
            .collect();
        let mut whole = account(&sum(&reports));
        whole.insert("accepted".to_owned(), sources.broker.publications().into());
        whole.insert("workers".to_owned(), workers.into());
        return json(&Value::Object(whole));
    };
    let found = RoomName::parse(&asked).and_then(|name| Some((sources.broker.find(&name)?, name)));
    let Some((room, name)) = found else {
        let text = "no such room with members on this node\n";
        return reply(StatusCode::NOT_FOUND, TEXT, text);
    };
    let mut whole = account(&sum(&sources.workers.audit(Some(&name)).await));
    whole.insert("room".to_owned(), name.as_str().into());
    whole.insert("accepted".to_owned(), room.sequence().into());
    whole.insert("members".to_owned(), room.members().into());
    json(&Value::Object(whole))
}

fn sum(reports: &[Report]) -> Ledger {
    reports.iter().fold(Ledger::default(), |mut sum, report| {
        sum += report.ledger;
        sum
    })
}

fn account(ledger: &Ledger) -> Map<String, Value> {
    let columns = Cause::ALL.iter().zip(ledger.dropped);
    let dropped = columns.map(|(cause, count)| (cause.label().to_owned(), count.into()));
    [
        ("expected", ledger.expected.into()),
        ("delivered", ledger.delivered.into()),
        ("dropped", Value::Object(dropped.collect())),
        ("queued", ledger.queued.into()),
        ("unexplained", ledger.unexplained().into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
    .collect()
}
