//! The command line: `ringfence run`, `check`, `demo`, and the questions to a running edge.
//!
//! Data goes to standard output, talk to standard error. Exit codes: 0 it worked, 1 it did not,
//! 2 the command line is wrong, 3 it works but something is degraded, 4 not allowed.
#![allow(clippy::print_stdout, clippy::print_stderr)] // this is the one crate that talks to people

mod args;
mod attack_mode;
mod callers;
mod capture;
mod check;
mod client;
mod demo;
mod doctor;
mod feed;
mod log_writer;
mod logging;
mod paint;
mod phones;
mod profiles;
mod replay;
mod route;
mod run;
mod scenario;
mod show;
mod sim;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{
    Arguments, BlocksCommand, CallsCommand, Command, FeedCommand, PhonesCommand, RouteCommand,
};
use crate::paint::Paint;

/// What the process says when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It worked.
    Ok,
    /// It did not.
    Failed,
    /// It works, and something is not as it should be.
    Degraded,
    /// The edge said no.
    Denied,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Degraded => 3,
            Exit::Denied => 4,
        })
    }
}

fn main() -> ExitCode {
    // Another provider cannot have been chosen before: this is the first line.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments = Arguments::parse();
    match dispatch(arguments) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("ringfence: {error:#}");
            match error.downcast_ref::<client::ClientError>() {
                Some(client::ClientError::Denied { .. }) => Exit::Denied.into(),
                _ => Exit::Failed.into(),
            }
        }
    }
}

fn dispatch(arguments: Arguments) -> anyhow::Result<Exit> {
    let Arguments {
        target,
        json,
        command,
    } = arguments;
    let paint = Paint::of_stdout();
    match command {
        Command::Check { file } => check::check(&file, json),
        Command::Profiles { name } => profiles::profiles(name.as_deref(), json),
        Command::Run { config } => run::run(&config.unwrap_or(target.config)),
        Command::Capture(options) => capture::capture(&target, &options, json),
        Command::Replay(options) => replay::run(&target, &options, json),
        Command::Demo(options) => demo::demo(&options, json),
        Command::Doctor => doctor::doctor(&target, json, paint),
        Command::Sim { command } => sim::sim(&command, json),
        Command::Status => show::status(&target, json, paint),
        Command::Fraud => show::fraud(&target, json, paint),
        Command::Lines => show::lines(&target, json, paint),
        Command::Phones { command } => match command {
            PhonesCommand::Add {
                group,
                user,
                number,
            } => phones::add(&target, (&group, &user), number, json),
            PhonesCommand::List => phones::list(&target, json, paint),
            PhonesCommand::Rotate { group, user } => phones::rotate(&target, (&group, &user), json),
        },
        Command::Route {
            command: RouteCommand::Test(options),
        } => route::test(&target, &options, json, paint),
        Command::Incidents { limit } => show::incidents(&target, limit, json, paint),
        Command::Blocks { command } => match command {
            None => show::blocks(&target, json),
            Some(BlocksCommand::Remove { whose, .. }) => {
                show::lift(&target, whose.as_deref(), json)
            }
        },
        Command::Feed {
            command: FeedCommand::Export { since, format },
        } => feed::export(&target, since, format, json),
        Command::Scenario { command } => scenario::run(&target, command, json, paint),
        Command::Callers { command } => callers::run(&target, command, json, paint),
        Command::AttackMode { command } => attack_mode::run(&target, command, json, paint),
        Command::Explain { about } => show::explain(&target, &about, json, paint),
        Command::Registrations => show::registrations(&target, json, paint),
        Command::Calls {
            follow,
            records,
            command,
        } => match command {
            Some(CallsCommand::Trace { id }) => show::trace(&target, &id, json, paint),
            Some(CallsCommand::Hangup { id }) => show::hang_up(&target, &id, json),
            None if follow => show::follow(&target, json, paint),
            None => show::calls(&target, records, json, paint),
        },
        Command::Reload => show::reload(&target, json),
        Command::Drain => show::drain(&target, json),
    }
}
