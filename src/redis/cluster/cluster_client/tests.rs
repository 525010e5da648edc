use super::*;
use crate::redis::client::{Purpose, RedisConnection, RedisFuture};
use crate::redis::cluster::topology::{ClusterTopology, ServerConnector};
use crate::redis::failure::LinkFailure;
use tokio::time::Instant;

/// `bridge.command_timeout`.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A key of a slot that stays, whose answers take long, and two of a slot that has moved to the second server.
const STAYS: &str = "{stays}";
const MOVED: [&str; 2] = ["{moved}1", "{moved}2"];

/// A server of two. Each answer says when it was given, in milliseconds.
#[derive(Debug)]
struct Server(u16, Instant);

impl Server {
    fn answer(&self, takes: u64, said: Result<(), String>) -> Answer {
        let began = self.1;
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(takes)).await;
            let at = i64::try_from(began.elapsed().as_millis());
            match said {
                Ok(()) => Ok(RedisValue::Integer(at.expect("a time"))),
                Err(details) => Err(CommandError::new(ErrorKind::Refused, "Cluster", &details)),
            }
        })
    }
}

impl RedisClient for Server {
    fn send(&self, command: RedisCommand) -> Answer {
        let first = command.arguments.first().expect("an argument");
        let is_moved = MOVED.iter().any(|key| key.as_bytes() == &first[..]);
        match self.0 {
            1 if first == b"SLOTS" => Box::pin(async {
                let server = RedisValue::Array(vec!["a".into(), RedisValue::Integer(1)]);
                let slots = [0, 16_383].map(RedisValue::Integer);
                let range = [slots.to_vec(), vec![server]].concat();
                Ok(RedisValue::Array(vec![RedisValue::Array(range)]))
            }),
            1 if is_moved => self.answer(10, Err(format!("MOVED {} a:2", slot_of(first)))),
            1 => self.answer(900, Ok(())),
            _ => self.answer(200, Ok(())),
        }
    }

    fn ping(&self) -> Answer {
        self.answer(0, Ok(()))
    }

    fn publish(&self, _channel: String, _bytes: Bytes) -> Answer {
        self.answer(0, Ok(()))
    }

    fn load(&self, function: &'static str) -> Answer<String> {
        Box::pin(async { Ok(function.to_owned()) })
    }

    fn evaluate(&self, _function: String, _keys: Vec<String>, _arguments: Vec<Bytes>) -> Answer {
        self.answer(0, Ok(()))
    }

    fn subscribe(&self, _channels: Vec<String>) -> Answer<()> {
        Box::pin(async { Ok(()) })
    }

    fn unsubscribe(&self, _channels: Vec<String>) -> Answer<()> {
        Box::pin(async { Ok(()) })
    }

    fn messages(&self) -> Box<dyn Messages> {
        Box::new(ClusterMessages(None))
    }
}

#[derive(Debug)]
struct TwoServers(Instant);

impl ServerConnector for TwoServers {
    fn connect_to(
        &self,
        server: Endpoint,
        _purpose: Purpose,
    ) -> RedisFuture<Result<RedisConnection, LinkFailure>> {
        let server = Server(server.port, self.0);
        let ended = Box::pin(std::future::pending());
        Box::pin(async { Ok(RedisConnection::new(Arc::new(server), ended)) })
    }
}

async fn client() -> ClusterClient {
    let seed = Endpoint {
        host: "a".to_owned(),
        port: 1,
    };
    let connector = Arc::new(TwoServers(Instant::now()));
    let topology = Arc::new(ClusterTopology::new(connector, vec![seed], TIMEOUT));
    topology.refresh(None).await.expect("the slots");
    ClusterClient::new(Arc::new(Servers::new(topology, Purpose::Commands)))
}

fn get(client: &ClusterClient, key: &str) -> Answer {
    client.send(RedisCommand::new("GET", [key.as_bytes()]))
}

#[tokio::test(start_paused = true)]
async fn a_command_follows_its_slot_while_nobody_looks_at_its_answer() {
    let client = client().await;
    // As a batch: handed over in order, and then each answer waited for in its turn.
    let mut asked = Vec::new();
    for key in [STAYS, MOVED[0], MOVED[1]] {
        asked.push(hand_over(get(&client, key)).await);
    }
    let mut answered = Vec::new();
    for answer in asked {
        let answered_at = answer.answered().await.map(|at| at.number());
        answered.push(answered_at.map_err(|error| error.to_string()));
    }
    // The second of the slot waits for the first one, and for no other.
    assert_eq!(answered, [Ok(900), Ok(210), Ok(410)]);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_nobody_waits_for_any_longer_leaves_its_place() {
    let client = client().await;
    let first = hand_over(get(&client, STAYS)).await;
    let behind = hand_over(get(&client, MOVED[0])).await;
    drop((first, behind));
    tokio::task::yield_now().await;
    let again = get(&client, MOVED[1]).await;
    assert_eq!(again.map(|at| at.number()).ok(), Some(210));
}
