//! The scenarios: each turns its flags into a [`Plan`].

use crate::cli::{ClientKind, Command, Options};
use crate::clock::nanos;
use crate::plan::{Comeback, Drive, Group, JITTER, Leaving, Plan, Storm};
use std::time::Duration;

/// Text of a message where the flags do not say: as in the published comparison.
const TEXT_BYTES: usize = 64;
/// That of `slow`, as there.
const SLOW_TEXT_BYTES: usize = 4000;
/// Length of a measurement where neither the flags nor the scenario say.
const DURATION: Duration = Duration::from_secs(10);
/// That of `deploy`: long enough for the last try of either client after a slow drain.
const DEPLOY_DURATION: Duration = Duration::from_secs(40);
const SOAK_DURATION: Duration = Duration::from_secs(600);
/// Messages a second in all of `beside` (the small rooms: far from what a server can do, so that they notice the large room and not
/// each other), `churn` and `flap`.
const RATE: f64 = 200.0;
const SLOW_RATE: f64 = 250.0;
const SOAK_STORM: Storm = Storm {
    lanes: 20,
    silent: false,
    rate: 200.0,
};
const DEPLOY_RATE: f64 = 100.0;

/// The plan of a scenario; none for what is not one.
pub(crate) fn plan(command: &Command, options: &Options) -> Option<Plan> {
    let (name, groups) = groups(command, options)?;
    let mut plan = Plan {
        name: name.to_owned(),
        groups,
        size: TEXT_BYTES,
        duration: DURATION,
        status_every: Duration::from_secs(5),
        memory: matches!(command, Command::Idle),
        ..Plan::default()
    };
    match *command {
        Command::Connect { lanes, silent } => {
            plan.storm = Some(Storm {
                lanes: options.connections.unwrap_or(lanes),
                silent,
                rate: options.rate.unwrap_or(0.0),
            });
        }
        Command::Slow { .. } => plan.size = SLOW_TEXT_BYTES,
        Command::Deploy(ref args) => {
            (plan.duration, plan.restart) = (DEPLOY_DURATION, Some(args.after));
        }
        Command::Soak { .. } => {
            plan.storm = Some(SOAK_STORM);
            (plan.duration, plan.status_every) = (SOAK_DURATION, Duration::from_secs(30));
            plan.size = 200;
        }
        _ => {}
    }
    plan.size = options.size.unwrap_or(plan.size);
    plan.duration = options.duration.unwrap_or(plan.duration);
    Some(plan)
}

fn groups(command: &Command, options: &Options) -> Option<(&'static str, Vec<Group>)> {
    let all = options.connections;
    let one = |name, group| (name, vec![group]);
    Some(match *command {
        Command::Echo { window } => {
            let drive = drive(options, window);
            one("echo", Group::new(all.unwrap_or(200), 1, 1, drive))
        }
        Command::Fanout {
            rooms,
            members,
            publishers,
            window,
        } => {
            let members = of_each(members, rooms, options);
            let drive = drive(options, window);
            one("fanout", Group::new(rooms, members, publishers, drive))
        }
        Command::Broadcast { publishers, window } => {
            let drive = drive(options, window);
            one(
                "broadcast",
                Group::new(1, all.unwrap_or(1000), publishers, drive),
            )
        }
        Command::Idle => one("idle", Group::new(all.unwrap_or(10_000), 1, 1, Drive::Once)),
        Command::Connect { .. } => ("connect", Vec::new()),
        Command::Chat { pause } => one(
            "chat",
            Group::new(all.unwrap_or(2000) / 2, 2, 2, human(pause)),
        ),
        Command::Slow {
            members,
            stopped,
            cycle,
            receive_buffer,
            publishers,
        } => {
            let members = all.unwrap_or(members);
            let drive = asked(options, SLOW_RATE);
            let mut group = Group::new(1, members, publishers, drive);
            group.stopped = stopped.min(members.saturating_sub(group.publishers));
            (group.cycle, group.receive_buffer) = (cycle, receive_buffer);
            one("slow", group)
        }
        Command::Soak {
            echo_rate,
            fanout_rate,
            ..
        } => {
            let all = all.unwrap_or(2000);
            ("soak", soak(all, echo_rate, fanout_rate))
        }
        _ => return disturbed(command, options).or_else(|| coming_back(command, options)),
    })
}

/// Those where something else happens on the same server.
fn disturbed(command: &Command, options: &Options) -> Option<(&'static str, Vec<Group>)> {
    Some(match *command {
        Command::Beside {
            rooms,
            members,
            crowd,
            speakers,
            crowd_rate,
        } => {
            let small = Group::new(rooms, members, 1, asked(options, RATE));
            let mut large = Group::new(1, crowd, speakers, open(crowd_rate));
            large.background = true;
            let large = (crowd > 0).then_some(large);
            ("beside", [small].into_iter().chain(large).collect())
        }
        Command::Storm {
            handshakes,
            rooms,
            members,
        } => {
            let others = Group::new(rooms, members, 1, asked(options, RATE));
            let mut storm = Group::new(handshakes, 1, 0, Drive::Once);
            (storm.background, storm.late) = (true, true);
            ("storm", vec![others, storm])
        }
        _ => return None,
    })
}

/// Those whose people leave and come back.
fn coming_back(command: &Command, options: &Options) -> Option<(&'static str, Vec<Group>)> {
    let (name, group) = match *command {
        Command::Churn {
            rooms,
            members,
            leaves,
            pause,
        } => {
            let mean = nanos(pause);
            let group = Group::new(rooms, members, 1, asked(options, RATE));
            let comeback = Comeback::Pause { mean };
            ("churn", leaving(group, leaves, false, comeback))
        }
        Command::Flap {
            rooms,
            members,
            cuts,
        } => {
            let group = Group::new(rooms, members, 2, asked(options, RATE));
            ("flap", leaving(group, cuts, true, JITTER))
        }
        Command::Deploy(ref args) => {
            let members = of_each(args.members, args.rooms, options);
            let group = Group::new(args.rooms, members, 1, asked(options, DEPLOY_RATE));
            let comeback = match args.client {
                ClientKind::Stock => Comeback::Stock,
                ClientKind::Jitter | ClientKind::Both => JITTER,
            };
            ("deploy", leaving(group, 0.0, false, comeback))
        }
        _ => return None,
    };
    Some((name, vec![group]))
}

/// The group with people who leave, so many a second, and come back; those who leave on their own choice are no publishers.
fn leaving(mut group: Group, rate: f64, abrupt: bool, comeback: Comeback) -> Group {
    group.leaving = Some(Leaving {
        rate,
        abrupt,
        publishers: !matches!(comeback, Comeback::Pause { .. }),
        comeback,
    });
    group
}

/// Open loop where a rate is asked for, closed loop otherwise.
fn drive(options: &Options, window: u32) -> Drive {
    let window = window.max(1);
    options.rate.map_or(Drive::Closed { window }, open)
}

fn open(rate: f64) -> Drive {
    Drive::Open { rate }
}

fn human(pause: Duration) -> Drive {
    Drive::Human { pause }
}

/// Open loop at the rate that is asked for, or at this one.
fn asked(options: &Options, rate: f64) -> Drive {
    open(options.rate.unwrap_or(rate))
}

/// Members of each room.
fn of_each(members: usize, rooms: usize, options: &Options) -> usize {
    let all = options.connections;
    all.map_or(members, |all| all / rooms.max(1))
}

/// Everything at once: echo, fan-out, readers that stop and go on, chats, idle rooms.
fn soak(connections: usize, echo: f64, fanout: f64) -> Vec<Group> {
    let part = |tenths: usize| (connections * tenths / 10).max(1);
    let mut slow = Group::new(2, 20, 2, open(200.0));
    (slow.stopped, slow.cycle) = (3, Some(Duration::from_secs(20)));
    vec![
        Group::new(part(2), 1, 1, open(echo)),
        Group::new(part(4) / 10 + 1, 10, 2, open(fanout)),
        slow,
        Group::new(part(1), 2, 2, human(Duration::from_secs(10))),
        Group::new(part(2), 1, 1, Drive::Once),
    ]
}
