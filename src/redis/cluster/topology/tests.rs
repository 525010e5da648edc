use super::*;
use crate::redis::value::RedisValue;

#[derive(Debug)]
struct NoServers;

impl ServerConnector for NoServers {
    fn connect_to(
        &self,
        _server: Endpoint,
        _purpose: Purpose,
    ) -> RedisFuture<Result<RedisConnection, LinkFailure>> {
        Box::pin(async { Err(LinkFailure::Ended) })
    }
}

fn at(port: u16) -> Endpoint {
    Endpoint {
        host: "a".to_owned(),
        port,
    }
}

/// All slots are at the first server.
fn view() -> SlotMap {
    let server = RedisValue::Array(vec!["a".into(), RedisValue::Integer(1)]);
    let (first, last) = (RedisValue::Integer(0), RedisValue::Integer(16_383));
    let range = RedisValue::Array(vec![first, last, server]);
    SlotMap::read(RedisValue::Array(vec![range]), &at(1)).expect("a map")
}

#[test]
fn a_slot_that_has_just_moved_is_not_taken_back_by_a_server_that_has_not_heard_of_it() {
    let topology = ClusterTopology::new(Arc::new(NoServers), vec![at(1)], NEWS);
    topology.set(view(), Instant::now());
    topology.moved(7, &at(2), &at(1));
    topology.moved(7, &at(2), &at(1));
    assert_eq!(*topology.doubted.lock(), [at(1)]);
    topology.set(view(), Instant::now());
    assert_eq!(topology.owner(7), Some(at(2)));
    assert_eq!(topology.owner(8), Some(at(1)));
    // The slot did come back, and no command was sent on since.
    topology.set(view(), Instant::now() + NEWS * 2);
    assert_eq!(topology.owner(7), Some(at(1)));
    assert!(topology.news.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_open_for_a_while_after_a_server_said_so() {
    let topology = ClusterTopology::new(Arc::new(NoServers), vec![at(1)], NEWS);
    assert!(!topology.is_open("foo"));
    topology.open(slot_of(b"foo"));
    assert!(topology.is_open("foo") && !topology.is_open("bar"));
    tokio::time::advance(NEWS * OPEN).await;
    assert!(!topology.is_open("foo"));
    topology.open(slot_of(b"bar"));
    assert_eq!(
        topology.open.lock().len(),
        1,
        "those of before are forgotten"
    );
}
