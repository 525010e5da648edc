//! `manage.py supportal_archive`: each message one row, whatever dies in between.

use super::*;
use crate::support::{Signal, wait};

/// Who in the tests of both databases.
fn for_each_database(test: impl Fn(Option<&Postgres>)) {
    test(None);
    test(Some(&Postgres::start()));
}

#[test]
fn every_message_is_a_row_with_its_type_its_text_and_its_time() {
    for_each_database(|database| {
        let folder = tempfile::tempdir().expect("a folder");
        let gateway = keeping(&folder, &["assistant.kind=faq"]);
        let site = PackageSite::new(database, &["abc", "other"]).beside(&gateway);
        let mut ann = gateway.join("abc");
        ann.send_text(&user("hello \u{1f600}"));
        let (_, reply) = (ann.receive_json(), ann.receive_json());
        ann.send_text(r#"{"message": "noted", "type": "system"}"#);
        ann.receive_json();
        let mut other = gateway.join("other");
        say(&mut other, "it's \"quoted\" %s \\ \u{7f}");
        let unknown = other.receive_json();
        let unknown = unknown["message"].as_str().expect("a reply");
        wait_written(&gateway, 5);
        site.manage(&["supportal_archive", "--once"]);
        let rows = site.rows();
        let reply = reply["message"].as_str().expect("a reply");
        let expected = [
            ("abc", "USER", "hello \u{1f600}"),
            ("abc", "ASSISTANT", reply),
            ("abc", "SYSTEM", "noted"),
            ("other", "USER", "it's \"quoted\" %s \\ \u{7f}"),
            ("other", "ASSISTANT", unknown),
        ];
        assert_eq!(said(&rows), expected);
        let offsets: Vec<_> = rows
            .iter()
            .map(|row| row.4["gateway"]["offset"].as_u64())
            .collect();
        assert_eq!(offsets, [Some(1), Some(2), Some(3), Some(1), Some(2)]);
        let times: Vec<String> = rows.iter().map(|row| row.3.clone()).collect();
        let lines = page(&gateway, "");
        let accepted: Vec<&str> = lines
            .iter()
            .filter_map(|line| line["at"].as_str())
            .collect();
        assert_eq!(
            times, accepted,
            "the time at which it was accepted, to the microsecond"
        );
        site.manage(&["supportal_archive", "--once"]);
        assert_eq!(site.rows().len(), 5, "nothing twice");
    });
}

#[test]
fn killed_at_any_moment_the_command_and_the_node_and_the_database_lose_and_double_nothing() {
    let mut postgres = Postgres::start();
    let folder = tempfile::tempdir().expect("a folder");
    let mut gateway = keeping(
        &folder,
        &["archive.sync=always", "limits.messages_per_second=0"],
    );
    let mut site = PackageSite::new(Some(&postgres), &["abc"]).beside(&gateway);
    let (mut said_so_far, mut kept_before) = (Vec::new(), 0);
    for round in 0..6 {
        let mut ann = gateway.join("abc");
        let command = site.run(&["supportal_archive"]);
        for number in 0..200 {
            let text = format!("{round} {number}");
            say(&mut ann, &text);
            said_so_far.push(text);
            match (round, number) {
                (0 | 3, 100) => drop(site.run(&["supportal_archive"])), // two commands, for a moment
                (1, 100) => postgres.kill_and_start(),
                _ => {}
            }
        }
        if round % 2 == 1 {
            wait_written(&gateway, said_so_far.len() - kept_before);
            kept_before = said_so_far.len();
            gateway.signal(Signal::Kill);
            gateway.wait_exit(PATIENCE);
            gateway = keeping(
                &folder,
                &["archive.sync=always", "limits.messages_per_second=0"],
            );
            site = site.beside(&gateway);
        }
        drop(command);
    }
    wait::until("the command has read to the end", PATIENCE, || {
        site.try_manage(&["supportal_archive", "--once"])
            .status
            .success()
    });
    let rows = site.rows();
    let texts: Vec<&str> = rows.iter().map(|row| row.2.as_str()).collect();
    assert_eq!(texts, said_so_far);
}

#[test]
fn what_has_no_session_waits_until_there_is_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = keeping(&folder, &[]);
    let site = PackageSite::new(None, &["abc"]).beside(&gateway);
    say(&mut gateway.join("later"), "early");
    say(&mut gateway.join("abc"), "on time");
    let mut other = gateway.connect("/ws/chat/2/abc/");
    other.skip_welcome();
    say(&mut other, "of another business");
    site.manage(&["supportal_archive", "--once"]);
    assert_eq!(said(&site.rows()), [("abc", "USER", "on time")]);
    let parked = site.manage(&["supportal_archive", "--parked"]);
    assert_eq!(parked.lines().count(), 2, "{parked}");
    assert!(
        parked.contains("chat_1_later no such session of this business"),
        "{parked}"
    );
    site.manage(&["seed", "later"]);
    assert_eq!(
        site.manage(&["supportal_archive", "--retry"]).trim(),
        "1 rows"
    );
    let expected = [("later", "USER", "early"), ("abc", "USER", "on time")];
    assert_eq!(
        said(&site.rows()),
        expected,
        "at its own time, before the other"
    );
    assert_eq!(
        site.manage(&["supportal_archive", "--parked"])
            .lines()
            .count(),
        1
    );
    site.manage(&["supportal_archive", "--once", "--restart"]);
    assert_eq!(said(&site.rows()), expected, "nothing twice");
    let parked = site.manage(&["supportal_archive", "--parked"]);
    assert_eq!(parked.lines().count(), 1, "{parked}");
}

/// PostgreSQL, and a site with session `abc` that has its rows there, beside a node that keeps what is said in the folder.
#[track_caller]
fn on_postgres() -> (Postgres, TempDir, Gateway, PackageSite) {
    let postgres = Postgres::start();
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = keeping(&folder, &[]);
    let site = PackageSite::new(Some(&postgres), &["abc"]).beside(&gateway);
    (postgres, folder, gateway, site)
}

#[test]
fn a_text_that_the_database_does_not_take_holds_up_nobody() {
    let (_postgres, _folder, gateway, site) = on_postgres();
    let mut ann = gateway.join("abc");
    for text in ["before", "nul \0 inside", "after"] {
        say(&mut ann, text);
    }
    site.manage(&["supportal_archive", "--once"]);
    assert_eq!(
        said(&site.rows()),
        [("abc", "USER", "before"), ("abc", "USER", "after")]
    );
    let parked = site.manage(&["supportal_archive", "--parked"]);
    assert!(
        parked.contains("chat_1_abc") && parked.contains("NUL"),
        "{parked}"
    );
}

/// A site of whose own the database refuses some rows, each in another way.
const REFUSING: &str = r#"
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("CREATE INDEX ON django_supportal_chatmessage (content)")
    cursor.execute("""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.content = 'raised' THEN RAISE EXCEPTION 'not here'; END IF;
        IF NEW.content = 'raised as its own' THEN RAISE EXCEPTION 'not here' USING ERRCODE = 'SHOP1'; END IF;
        RETURN NEW;
    END $$""")
    cursor.execute("""CREATE TRIGGER refuse BEFORE INSERT ON django_supportal_chatmessage
        FOR EACH ROW EXECUTE FUNCTION refuse()""")
"#;

#[test]
fn a_row_that_the_site_s_own_index_or_trigger_refuses_holds_up_nobody() {
    let (_postgres, _folder, gateway, site) = on_postgres();
    site.manage(&["shell", "-c", REFUSING]);
    let mut ann = gateway.join("abc");
    // More than an entry of an index may have, and nothing that could be compressed.
    let seeds = (0..4000_u64).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32);
    let long: String = seeds.map(|seed| format!("{seed:08x}")).collect();
    for text in ["before", "raised", "raised as its own", &long, "after"] {
        say(&mut ann, text);
    }
    site.manage(&["supportal_archive", "--once"]);
    assert_eq!(
        said(&site.rows()),
        [("abc", "USER", "before"), ("abc", "USER", "after")]
    );
    let parked = site.manage(&["supportal_archive", "--parked"]);
    assert_eq!(parked.matches("chat_1_abc").count(), 3, "{parked}");
}

#[test]
fn a_row_that_the_site_makes_when_it_hears_of_one_has_the_time_at_which_it_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = keeping(&folder, &[]);
    let mut site = PackageSite::new(None, &["abc"]).beside(&gateway);
    site.environment
        .push(("SITE_APPS", r#"["remarking"]"#.to_owned()));
    say(&mut gateway.join("abc"), "hello");
    site.manage(&["supportal_archive", "--once"]);
    let expected = [("abc", "USER", "hello"), ("abc", "SYSTEM", "heard hello")];
    assert_eq!(said(&site.rows()), expected);
}

#[test]
fn a_site_that_listens_to_the_signals_of_a_row_hears_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = keeping(&folder, &[]);
    let mut site = PackageSite::new(None, &["abc"]).beside(&gateway);
    site.environment
        .push(("SITE_APPS", r#"["listening"]"#.to_owned()));
    let mut ann = gateway.join("abc");
    for text in ["one", "two"] {
        say(&mut ann, text);
    }
    let heard = site.manage(&["supportal_archive", "--once"]);
    assert_eq!(heard, "row one\nrow two\n2 rows\n");
    assert_eq!(site.rows().len(), 2);
}
