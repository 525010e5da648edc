//! `conserve`: people talk over a node whose archive a Django site reads into rows, while node, command, Redis and PostgreSQL
//! are killed again and again. What was accepted has a row, and was heard by whoever was there: once, and in order.
//!
//! [`stage`] starts the programs, [`strikes`] kills them from a thread of its own while [`talk`] goes on, and [`account`] lays
//! side by side what was said, heard and stored.

mod account;
mod process;
mod site;
mod stage;
mod strikes;
mod talk;

use crate::cli::{Conserve, Options, flag};
use crate::clock::{Clock, SECOND, nanos};
use crate::print;
use crate::report::{exit_code, write_json};
use crate::template::fill;
use account::{Account, Evidence};
use serde_json::{Value, json};
use site::Site;
use stage::{COMMAND, Stage};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use strikes::Struck;
use talk::Talk;

/// People talk for so long behind the last kill.
const TALK_ON: u64 = 3 * SECOND;

/// Runs it and prints the account.
/// Errors: A program is not there, or does not come back.
pub(crate) fn run(
    args: &Conserve,
    options: &Options,
    stop: &AtomicBool,
) -> Result<ExitCode, String> {
    print(&format!("seed {}", options.seed));
    let mut stage = Stage::start(args)?;
    let clock = Clock::start();
    let (port, admin) = stage.node();
    let mut talk = Talk::new(args, options, port, clock)?;
    stage.start_command(&talk.rooms())?;
    talk.until_all_there(stop)?;
    talk.start();
    let struck = strike_meanwhile(&mut talk, &mut stage, (args, options.seed), clock, stop)?;
    talk.go_on(TALK_ON)?;
    talk.stop();
    talk.until_all_there(stop)?;
    talk.until_quiet()?;
    strikes::until_well(admin, stage.has_bridge)?;
    let (mut evidence, changed) = (talk.evidence(), talk.changed());
    if let Some(command) = stage.programs.get_mut(COMMAND) {
        command.kill();
    }
    let left_behind = read_rows(&stage.site, &talk, &mut evidence)?;
    evidence.unsynced = nanos(args.unsynced);
    evidence.kills.clone_from(&struck.node);
    let mut account = Account::of(&evidence);
    account.strange += changed;
    let residue = account.residue() + left_behind;
    let is_good = residue == 0 && struck.falls.is_empty();
    let names = stage.programs.iter().map(|program| program.name);
    let killed: Vec<_> = names.zip(&struck.times).collect();
    let mut figures = json!(account);
    let about = json!({
        "archive": flag(args.archive), "database": flag(args.database), "killed": killed, "clients": args.clients,
        "rooms": talk.rooms().len(), "left_behind": left_behind, "falls": struck.falls, "residue": residue,
    });
    if let (Value::Object(figures), Value::Object(about)) = (&mut figures, about) {
        figures.extend(about);
    }
    print(&fill(include_str!("conserve.txt"), &figures));
    if let Some(path) = &options.json {
        write_json(path, &figures)?;
    }
    Ok(exit_code(is_good))
}

/// Kills what is to be killed, while people talk for as long as they are to.
fn strike_meanwhile(
    talk: &mut Talk,
    stage: &mut Stage,
    (args, seed): (&Conserve, u64),
    clock: Clock,
    stop: &AtomicBool,
) -> Result<Struck, String> {
    let duration = Duration::from_secs_f64(args.minutes.max(0.0) * 60.0);
    let (programs, has_bridge) = (&mut stage.programs, stage.has_bridge);
    let end = clock.now() + nanos(duration);
    thread::scope(|scope| {
        let kills = (args.kills, duration, seed);
        let striking =
            scope.spawn(move || strikes::strike(programs, kills, has_bridge, clock, stop));
        let mut talked = Ok(clock.now());
        while talked.as_ref().is_ok_and(|now| *now < end) && !stop.load(Ordering::Relaxed)
            || !striking.is_finished()
        {
            talked = talk.turn();
        }
        let struck = striking.join();
        talked?;
        struck.map_err(|_panic| "the thread that kills has panicked".to_owned())?
    })
}

/// Has the command read to the end, and then everything once more: how many events had been left behind, or have no row.
fn read_rows(site: &Site, talk: &Talk, evidence: &mut Evidence) -> Result<u64, String> {
    site.manage("supportal_archive --once")?;
    let rows = site.rows()?;
    evidence.rows = rows.iter().map(|row| talk.said(row)).collect();
    site.manage("supportal_archive --once --restart")?;
    let again = site.rows()?.len();
    let parked = site.manage("supportal_archive --parked")?.lines().count();
    Ok((again.abs_diff(rows.len()) + parked) as u64)
}
