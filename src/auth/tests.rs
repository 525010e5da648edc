use super::*;
use crate::broker::{RoomPattern, RoomScope};
use crate::transport::handshake::RequestHead;

/// Says the same of everybody.
#[derive(Debug)]
struct Always {
    at_once: Judgement,
    later: Judgement,
}

impl AuthMode for Always {
    fn at_once(&self, _credentials: &Credentials<'_>) -> Judgement {
        self.at_once.clone()
    }

    fn in_full<'a>(&'a self, _credentials: &'a Credentials<'a>) -> JudgementLater<'a> {
        let is_later = matches!(self.at_once, Judgement::Later);
        let judgement = if is_later { &self.later } else { &self.at_once };
        Box::pin(async { judgement.clone() })
    }
}

fn known(user: &str, rooms: RoomScope) -> Judgement {
    Judgement::Known(Arc::new(Identity {
        user: Some(user.into()),
        rooms,
        ..Identity::default()
    }))
}

fn refused() -> Judgement {
    Judgement::Refused(AuthRefusal {
        answer: RefusalAnswer::Unauthorized,
        cause: "test",
    })
}

/// What modes that say this in their order, and wait for the other, make of somebody who wants into chat 1, session abc:
/// at once, and in the end.
fn ask(modes: Vec<(Judgement, Judgement)>, admits_anybody: bool) -> [String; 2] {
    let modes = modes.into_iter().map(|(at_once, later)| {
        let mode: Arc<dyn AuthMode> = Arc::new(Always { at_once, later });
        mode
    });
    let authenticator = Authenticator::new(modes.collect(), admits_anybody);
    let head = RequestHead {
        method: "GET",
        is_http_11: true,
        fields: Vec::new(),
    };
    let credentials = Credentials::into_abc(&head, "/ws/chat/1/abc/");
    let say = |known: Known| match known {
        Some(identity) => identity.user.as_deref().unwrap_or("?").to_owned(),
        None => "anybody".to_owned(),
    };
    let at_once = match authenticator.verify_at_once(&credentials) {
        Ok(Some(known)) => say(known),
        Ok(None) => "later".to_owned(),
        Err(refusal) => refusal.cause.to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let verified = runtime
        .unwrap()
        .block_on(authenticator.verify(&credentials));
    let verified = verified.map_or_else(|refusal| refusal.cause.to_owned(), say);
    [at_once, verified]
}

#[test]
fn the_first_mode_that_finds_credentials_of_its_kind_answers() {
    let (any, none) = (RoomScope::Any, RoomScope::Of(Box::default()));
    let here = RoomScope::Of(Box::new([RoomPattern {
        business_id: Some("1".into()),
        session_id: None,
    }]));
    let absent = || (Judgement::Absent, Judgement::Absent);
    let ann = || (known("ann", any.clone()), Judgement::Absent);
    let later = |judgement| (Judgement::Later, judgement);
    for (modes, admits_anybody, at_once, verified) in [
        (vec![], false, "anybody", "anybody"),
        (vec![absent()], false, "none", "none"),
        (vec![absent()], true, "anybody", "anybody"),
        (vec![absent(), ann()], false, "ann", "ann"),
        (
            vec![(refused(), Judgement::Absent), ann()],
            true,
            "test",
            "test",
        ),
        (
            vec![ann(), (refused(), Judgement::Absent)],
            true,
            "ann",
            "ann",
        ),
        (
            vec![later(known("bob", any.clone())), ann()],
            false,
            "later",
            "bob",
        ),
        (vec![later(Judgement::Absent), ann()], false, "later", "ann"),
        (vec![later(refused()), ann()], true, "later", "test"),
        (
            vec![(known("eve", none.clone()), Judgement::Absent)],
            true,
            "room",
            "room",
        ),
        (
            vec![later(known("eve", none.clone()))],
            true,
            "later",
            "room",
        ),
        (
            vec![(known("cy", here), Judgement::Absent)],
            false,
            "cy",
            "cy",
        ),
    ] {
        let what = format!("{modes:?} {admits_anybody}");
        assert_eq!(ask(modes, admits_anybody), [at_once, verified], "{what}");
    }
}
