//! What is asked of connections with an identity, without their sockets.

use super::*;
use crate::broker::{ConnectionKey, Identity, Parcel, UserRole, Wake};
use crate::metrics::Metrics;
use crate::worker::{Supplies, WorkerSlot};

const AT: Author = Author {
    worker: 0,
    connection: ConnectionKey(7 << 32 | 1),
};

fn node() -> LocalNode {
    let (config, clock) = (Arc::new(Config::default()), Clock::start());
    let wakes: Vec<Wake> = vec![Box::new(|| {})];
    let broker = Arc::new(Broker::new(&config.broker, wakes, []));
    let metrics = Arc::new(Metrics::new());
    let supplies = Supplies {
        config: Arc::clone(&config),
        of_routes: [].into(),
        clock,
        broker: Arc::clone(&broker),
        metrics: Arc::clone(&metrics),
        on_close: Arc::new(|_peer| {}),
    };
    let nobody = || -> crate::chat::Set { unreachable!("no worker is started") };
    let workers = Workers::start(Vec::<WorkerSlot>::new(), supplies, nobody).expect("no threads");
    let attendance = Arc::new(Attendance::default());
    let user = Identity {
        user: Some("ann".into()),
        role: UserRole::Agent,
        ..Identity::default()
    };
    attendance.enter(AT, Arc::new(user));
    LocalNode::new(&config, broker, Arc::new(workers), attendance, clock)
}

#[tokio::test]
async fn a_user_s_connections_are_told_to_close_and_nobody_else_s() {
    let node = node();
    for (user, closed) in [("bob", 0), ("ann", 1)] {
        let command = ApiCommand::Disconnect {
            target: DisconnectTarget::User(user.to_owned()),
            reason: CloseReason::Asked(4003),
            farewell: Some("go".into()),
        };
        assert_eq!(node.run(&command).await.closed, closed, "{user}");
    }
    let mut parcels = Vec::new();
    node.broker.mailboxes().swap(0, &mut parcels);
    let [
        Parcel::End {
            connection,
            reason,
            farewell,
        },
    ] = &parcels[..]
    else {
        panic!("one end: {parcels:?}");
    };
    assert_eq!(
        (*connection, *reason),
        (AT.connection, CloseReason::Asked(4003))
    );
    assert_eq!(farewell.as_deref(), Some("go"));
}

#[test]
fn a_member_is_listed_with_who_it_is() {
    let node = node();
    let listed = serde_json::to_value(node.listed(AT)).expect("JSON");
    assert_eq!(
        (&listed["user"], &listed["role"]),
        (&"ann".into(), &"agent".into())
    );
    let other = Author { worker: 1, ..AT };
    let listed = serde_json::to_value(node.listed(other)).expect("JSON");
    assert_eq!(
        (listed.get("user"), &listed["role"]),
        (None, &"customer".into())
    );
}

#[tokio::test]
async fn a_name_that_another_node_gave_closes_nobody_here() {
    let node = node();
    let id = ConnectionId::new(node.boot.wrapping_add(1), 0, AT.connection);
    let command = ApiCommand::Disconnect {
        target: DisconnectTarget::Connection(id),
        reason: CloseReason::Removed,
        farewell: None,
    };
    assert_eq!(node.run(&command).await.closed, 0);
    assert!(node.broker.mailboxes().is_empty(0));
}

#[test]
fn what_is_published_is_worth_delivering_for_as_long_as_the_settings_say_by_then() {
    let node = node();
    let message = ApiMessage {
        text: "hello".to_owned(),
        sender: crate::protocol::Sender::System,
        id: None,
        meta: None,
    };
    for seconds in [60, 5] {
        node.broker.set_expiry(Duration::from_secs(seconds));
        let before = node.clock.now();
        let deadline = node.render(&message).deadline;
        let after = node.clock.now();
        let span = Duration::from_secs(seconds);
        assert!(before + span <= deadline && deadline <= after + span);
    }
}
