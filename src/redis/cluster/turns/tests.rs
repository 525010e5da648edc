use super::*;
use std::pin::pin;
use std::task::{Context, Waker};

fn is_done(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
    future
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
}

#[test]
fn nobody_waits_while_none_is_sent_on() {
    let turns = Turns::default();
    let mut all = [turns.take(1), turns.take(1), turns.take(2)];
    for turn in &mut all {
        assert!(is_done(pin!(turn.ready())));
    }
    drop(all);
    assert!(turns.0.lock().slots.is_empty());
}

#[test]
fn one_that_is_sent_on_waits_for_those_before_it_and_those_behind_it_wait_for_it() {
    let turns = Turns::default();
    let (before, mut sent_on, mut beside) = (turns.take(1), turns.take(1), turns.take(2));
    {
        let mut sending = pin!(sent_on.send_on());
        assert!(!is_done(sending.as_mut()));
        assert!(is_done(pin!(beside.ready())), "of another slot");
        drop(before);
        assert!(is_done(sending.as_mut()));
    }
    let (mut second, mut third) = (turns.take(1), turns.take(1));
    let mut waits = pin!(second.ready());
    assert!(!is_done(waits.as_mut()));
    assert!(!is_done(pin!(third.ready())));
    drop(sent_on);
    assert!(is_done(waits.as_mut()));
}

#[test]
fn nobody_overtakes_one_that_still_waits_for_one_that_was_sent_on() {
    let turns = Turns::default();
    let mut first = turns.take(1);
    assert!(is_done(pin!(first.send_on())) && first.may_take(7));
    let mut second = turns.take(1);
    drop(first);
    // Nobody has looked at the second one since.
    let mut third = turns.take(1);
    {
        let mut waits = pin!(third.ready());
        assert!(!is_done(waits.as_mut()));
        assert!(is_done(pin!(second.ready())) && second.may_take(7));
        assert!(!is_done(waits.as_mut()), "the second is under way");
        let mut fourth = turns.take(1);
        assert!(!is_done(pin!(fourth.ready())));
        drop(second);
        assert!(is_done(waits.as_mut()));
    }
}

#[test]
fn one_that_is_to_go_another_way_waits_for_those_before_it() {
    let turns = Turns::default();
    let (first, second, mut third) = (turns.take(1), turns.take(1), turns.take(1));
    assert!(first.may_take(7) && second.may_take(7) && !third.may_take(8));
    {
        let mut waits = pin!(third.send_on());
        assert!(!is_done(waits.as_mut()));
        let mut fourth = turns.take(1);
        assert!(!is_done(pin!(fourth.ready())));
        drop(first);
        assert!(!is_done(waits.as_mut()));
        drop(second);
        assert!(is_done(waits.as_mut()));
    }
    assert!(third.may_take(8));
}

#[test]
fn nobody_overtakes_one_whose_refusal_has_not_been_looked_at() {
    let turns = Turns::default();
    let (mut first, second) = (turns.take(1), turns.take(1));
    // Both are refused there; the first is sent on and answered before anybody looks at the second.
    assert!(first.may_take(7) && second.may_take(7));
    assert!(is_done(pin!(first.send_on())) && first.may_take(8));
    drop(first);
    let mut third = turns.take(1);
    assert!(is_done(pin!(third.ready())));
    assert!(!third.may_take(8), "the second is to go there before");
    let mut waits = pin!(third.send_on());
    assert!(!is_done(waits.as_mut()));
    drop(second);
    assert!(is_done(waits.as_mut()));
}

#[test]
fn whoever_gives_up_stands_in_nobodys_way() {
    let turns = Turns::default();
    let (first, mut second) = (turns.take(1), turns.take(1));
    assert!(!is_done(pin!(second.send_on())));
    let mut third = turns.take(1);
    {
        let mut waits = pin!(third.ready());
        assert!(!is_done(waits.as_mut()));
        drop(second);
        assert!(!is_done(waits.as_mut()), "the first is under way");
        drop(first);
        assert!(is_done(waits.as_mut()));
    }
    drop(third);
    assert!(turns.0.lock().slots.is_empty());
}
