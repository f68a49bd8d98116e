//! The steps of a start. Each can fail, and what was done before it is undone by its drop.

use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use arc_swap::ArcSwap;
use ringfence_base::{Entropy, HashKey, Secret, WorkerIndex};
use ringfence_control::config::{self, Config, FirewallUse, KernelMedia};
use ringfence_dialog::TimerTable;
use ringfence_session::core::{Core, CoreConfig};
use ringfence_session::owner::Ownership;
use ringfence_session::plan::Plan;
use ringfence_store::events::{self, Bounds, EventWriter};
use ringfence_store::{OpenError, Records, SqliteOptions, SqliteRecords, WriteError};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::callers::{CallersKeeper, read_or_make};
use super::lifecycle::{Lifecycle, Signals};
use super::prepare::{Prepared, prepare};
use super::shared::{Applied, Shared};
use super::{Edge, Options, Threads};
use crate::acme;
use crate::clock::{Clock, unix_now};
use crate::entropy::SystemEntropy;
use crate::host;
use crate::http::Servers;
use crate::judge::firewall::{Firewall, Ports};
use crate::judge::ledger::Ledger;
use crate::judge::{self, JudgeSender, Work};
use crate::kernel::KernelRelay;
use crate::records::{self, RecordSender, WAITING_MAX};
use crate::signers::{self, Asked};
use crate::tap::TapSender;
use crate::tap::hep::{self, Collector};
use crate::tls::build::TlsError;
use crate::traces;
use crate::worker::bind::{BindError, Bound, WorkerSockets, bind_all};
use crate::worker::mailbox::{Notice, Reload};
use crate::worker::signalling::Router;
use crate::worker::{Station, Worker, WorkerSetup};

/// Most workers.
const WORKERS_MAX: usize = 64;

/// Why an edge does not start. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Addresses that the host does not give us; all of them.
    #[error("the host does not give all addresses: {}", listed(errors))]
    Bind {
        /// One for each address.
        errors: Vec<BindError>,
    },
    /// The folder for data cannot be made or written.
    #[error("the folder {} cannot be used", path.display())]
    Data {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The export of signalling.
    #[error("signalling cannot be exported to edge.hep.collector")]
    Export(#[source] io::Error),
    /// Another edge runs with this folder.
    #[error("another edge is running with the folder {}", path.display())]
    Running {
        /// The folder.
        path: PathBuf,
    },
    /// The address for metrics or the control socket.
    #[error("{what} cannot be served")]
    Serve {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database.
    #[error("the database of records cannot be opened")]
    Store(#[source] OpenError),
    /// The records of calls that an earlier process left open.
    #[error("the database of records cannot be written")]
    StoreWrite(#[source] WriteError),
    /// A thread, a poller or a runtime.
    #[error("the system refuses a thread or an event queue")]
    System(#[source] io::Error),
    /// The export of traces.
    #[error("traces of calls cannot be sent to edge.traces")]
    Traces(#[source] io::Error),
    /// Certificates and keys.
    #[error("TLS cannot be set up")]
    Tls(#[source] TlsError),
}

fn listed(errors: &[BindError]) -> String {
    let lines = errors
        .iter()
        .map(|error| format!("{error} ({})", error.source));
    lines.collect::<Vec<String>>().join("; ")
}

pub(super) fn start(config: Config, options: Options) -> Result<Edge, StartError> {
    if let Err(error) = host::raise_file_limit() {
        tracing::warn!(%error, "the number of file descriptors cannot be raised");
    }
    let lock = lock_folder(&config.edge.data)?;
    let prepared = prepare(&config, None).map_err(StartError::Tls)?;
    let count = config
        .edge
        .workers
        .map_or_else(host::cores, usize::from)
        .clamp(1, WORKERS_MAX);
    let bound = bind_all(&config.listeners, count);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(StartError::System)?;
    let store = Arc::new(open_store(&runtime, &config)?);
    let clock = Clock::start();
    let mut warnings = options.warnings;
    let (names, ledger) = open_ledger(&config, &mut warnings);
    let (judge, docket) = judge::open(names, config.detects);
    // First, while there is room: the judge does not run yet.
    judge.send(Work::Plan(
        Arc::clone(&prepared.reload.plan),
        config.detect,
        config.scenarios.clone(),
    ));
    judge.send(Work::Lists(config.lists()));
    restore_registrations(&runtime, &store, &prepared.reload.plan, &judge);
    let (sender, queue) = RecordSender::new(WAITING_MAX);
    let callers = CallersKeeper::open(&config.edge.data, sender.clone());
    let callers = callers.map_err(|source| StartError::Data {
        path: config.edge.data.clone(),
        source,
    })?;
    callers.restore(&runtime, &store, &prepared.reload.plan);
    CallersKeeper::restore_habits(&runtime, &store, &prepared.reload.plan, &judge);
    let modes = config.detect;
    let stations: io::Result<Vec<Station>> = (0..count).map(|_| Station::new()).collect();
    let stations = stations.map_err(StartError::System)?;
    let (wishes, wished) = mpsc::channel(WISHES_MAX);
    let (signers, asked) = mpsc::channel(signers::ASKED_MAX);
    let (notices, noticed) = mpsc::channel(NOTICES_PER_WORKER * count);

    warnings.extend(skipped_pairs(&bound));
    if !bound.errors.is_empty() {
        return Err(StartError::Bind {
            errors: bound.errors,
        });
    }
    let firewall = start_firewall(&config, &mut warnings);
    let traces = traces::start(&config.edge.name, config.edge.traces);
    let traces = traces.map_err(StartError::Traces)?;
    let tapped = start_export(&config.edge).map_err(StartError::Export)?;
    let (tap, export) = tapped.unzip();
    let (kernel, media_relay) = start_kernel_relay(config.edge.kernel_media, &bound.workers, clock);
    let progress = Arc::clone(sender.progress());
    let shared = Arc::new(Shared {
        started: unix_now(),
        clock,
        applied: ArcSwap::from_pointee(first_applied(config, &prepared)),
        reloading: Mutex::new(()),
        resolving: AtomicBool::new(false),
        commands: stations
            .iter()
            .map(|station| station.to_commands.clone())
            .collect(),
        progress: Arc::clone(&progress),
        store: Arc::clone(&store),
        callers,
        acme: Mutex::default(),
        captures: Arc::default(),
        judge: judge.clone(),
        export: tap.as_ref().map(TapSender::counters),
        media_relay,
        draining: AtomicBool::new(false),
        stop: AtomicBool::new(false),
        wishes,
        warnings,
    });
    let edge = &shared.applied.load().config.edge;
    let (servers, signals) = {
        let _context = runtime.enter();
        let signals = options.signals.then(Signals::new).transpose();
        (
            Servers::bind(&edge.control, edge.metrics)?,
            signals.map_err(StartError::System)?,
        )
    };
    let (control_path, metrics) = (edge.control.clone(), servers.metrics_addr());

    let judge_records = sender.clone();
    let workers = Crew {
        judge,
        timers: options.timers,
        clock,
        kernel,
        tap,
        shared: prepared.reload,
        records: sender,
        notices,
        signers,
    }
    .make(stations, bound.workers)
    .map_err(StartError::System)?;
    // From here on a failure drops the edge, which ends what was started.
    let mut edge = Edge {
        shared: Arc::clone(&shared),
        threads: Mutex::new(Threads::default()),
        control_path,
        metrics,
    };
    let threads = edge
        .threads
        .get_mut()
        .unwrap_or_else(|poison| poison.into_inner());
    threads.lock = Some(lock);
    threads.export = export;
    let started = docket.start(clock, modes, judge_records, firewall, ledger);
    threads.judge = Some(started.map_err(StartError::System)?);
    threads.records =
        Some(records::start(store, queue, progress, traces).map_err(StartError::System)?);
    for (index, worker) in workers.into_iter().enumerate() {
        let thread = spawn(format!("rf-worker-{index}"), move || worker.run());
        threads.workers.push(thread.map_err(StartError::System)?);
    }
    let lifecycle = Lifecycle {
        shared: Arc::clone(&shared),
        notices: noticed,
        wishes: wished,
        signals,
    };
    let control = spawn("rf-control".to_owned(), move || {
        runtime.block_on(async {
            tokio::spawn(acme::keep(Arc::clone(&shared)));
            tokio::spawn(signers::serve(Arc::clone(&shared), asked));
            let serving = servers.serve(shared);
            lifecycle.run().await;
            serving.finish().await;
        });
        // Not to wait for a resolver that still tries.
        runtime.shutdown_background();
    });
    threads.control = Some(control.map_err(StartError::System)?);
    tracing::info!(workers = count, "running");
    Ok(edge)
}

/// The folder, made if it is missing and ours alone while the returned file is open.
fn lock_folder(path: &Path) -> Result<File, StartError> {
    let data_error = |source| StartError::Data {
        path: path.to_owned(),
        source,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(data_error)?;
    let options = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .to_owned();
    let file = options.open(path.join("lock")).map_err(data_error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(StartError::Running {
            path: path.to_owned(),
        }),
        Err(fs::TryLockError::Error(source)) => Err(data_error(source)),
    }
}

fn open_store(runtime: &Runtime, config: &Config) -> Result<SqliteRecords, StartError> {
    let options = SqliteOptions {
        path: config.edge.database(),
        bytes_max: None,
    };
    let store = runtime
        .block_on(SqliteRecords::open(options))
        .map_err(StartError::Store)?;
    let closed = runtime
        .block_on(store.close_interrupted())
        .map_err(StartError::StoreWrite)?;
    if closed > 0 {
        tracing::warn!(
            calls = closed,
            "an earlier process left calls; closed as interrupted"
        );
    }
    Ok(store)
}

/// Gives phones back what they had registered with an earlier process. What cannot be read is
/// not worth a refusal to start: every phone registers again within its lifetime.
fn restore_registrations(
    runtime: &Runtime,
    store: &SqliteRecords,
    plan: &Plan,
    judge: &JudgeSender,
) {
    if plan.phones.is_empty() {
        return;
    }
    let kept = match runtime.block_on(store.registrations()) {
        Ok(kept) => kept,
        Err(error) => return tracing::warn!(%error, "registrations cannot be read"),
    };
    for registered in kept {
        let group = plan
            .phones
            .iter()
            .find(|group| group.key == registered.group);
        let user = group.and_then(|group| {
            let index = group.index_of(registered.user.as_bytes())?;
            Some((group.user(index)?, &group.realm))
        });
        if let Some((user, realm)) = user {
            // The judge does not run yet: no more than it has room for.
            for binding in registered.bindings.iter().take(2) {
                judge.note_place(binding.flow.remote.ip(), &registered.user, realm);
            }
            user.line.restore(registered.bindings);
        }
    }
}

/// Starts the export to the collector of `edge`, if it names one.
fn start_export(edge: &config::Edge) -> io::Result<Option<(TapSender, JoinHandle<()>)>> {
    let Some(hep) = &edge.hep else {
        return Ok(None);
    };
    let password = hep.password.as_ref().map(|source| {
        let secret = source.read().map_err(io::Error::other)?;
        io::Result::Ok(Secret::new(secret.expose().trim_ascii().to_vec()))
    });
    let collector = Collector {
        address: hep.collector,
        id: hep.id,
        password: password.transpose()?,
    };
    hep::start(collector).map(Some)
}

/// Loads the relay for established media, where that is wanted and the host allows it, and says
/// who relays.
fn start_kernel_relay(
    wanted: KernelMedia,
    workers: &[WorkerSockets],
    clock: Clock,
) -> (Option<KernelRelay>, String) {
    let pairs = workers.iter().flat_map(|worker| &worker.media);
    let mut addresses: Vec<_> = pairs.map(|pair| pair.rtp.local_addr()).collect();
    addresses.dedup_by_key(|address| address.ip());
    if wanted == KernelMedia::Off || addresses.is_empty() {
        return (None, "this process".to_owned());
    }
    match KernelRelay::start(addresses, clock) {
        Ok(relay) => {
            let interfaces = relay.interfaces().collect::<Vec<_>>().join(", ");
            tracing::info!(interfaces, "the kernel relays established media");
            (Some(relay), format!("kernel ({interfaces})"))
        }
        Err(error) => {
            let cause = error.source().map(ToString::to_string);
            tracing::info!(%error, cause, "this process relays all media");
            (None, format!("this process: {error}"))
        }
    }
}

/// Opens the files of events, where events are kept, with the key of names, which then outlives the
/// process so that one name is one name in all of them. Without them there is no replay, and calls go on.
fn open_ledger(config: &Config, warnings: &mut Vec<String>) -> (HashKey, Option<Ledger>) {
    let drawn = || HashKey::generate(&mut SystemEntropy::new());
    let Some(kept) = config.events.filter(|_| config.detects) else {
        return (drawn(), None);
    };
    let bounds = Bounds {
        bytes: kept.bytes,
        age: kept.age,
    };
    let data = &config.edge.data;
    let opened = read_or_make(&data.join(events::KEY), "names in events are new").and_then(|key| {
        let writer = EventWriter::open(&data.join(events::FOLDER), bounds);
        let ledger = Ledger::start(writer.map_err(io::Error::other)?)?;
        Ok((key, Some(ledger)))
    });
    opened.unwrap_or_else(|error| {
        let cause = error.source().map(ToString::to_string);
        tracing::error!(%error, cause, "events of detection are not kept");
        warnings.push(format!("detect.keep_events: events are not kept: {error}"));
        (drawn(), None)
    })
}

/// Makes the firewall's table, where that is wanted and the host allows it, and says who drops.
fn start_firewall(config: &Config, warnings: &mut Vec<String>) -> Option<Firewall> {
    if config.firewall == FirewallUse::Off || !config.detects {
        return None;
    }
    match Firewall::start(&Ports::of(config)) {
        Ok(firewall) => {
            tracing::info!("blocks stand in nftables, table inet ringfence");
            Some(firewall)
        }
        Err(error) => {
            let cause = error.source().map(ToString::to_string);
            tracing::info!(%error, cause, "this process drops what blocked sources send");
            if config.firewall == FirewallUse::Nftables {
                warnings.push(format!("detect.firewall: {error}; this process drops"));
            }
            None
        }
    }
}

fn skipped_pairs(bound: &Bound) -> impl Iterator<Item = String> {
    bound.media_skipped.iter().map(|(listener, pairs)| {
        let warning = format!("listen.{listener}.media: {pairs} port pairs are in use by others");
        tracing::warn!("{warning}");
        warning
    })
}

fn first_applied(config: Config, prepared: &Prepared) -> Applied {
    Applied {
        plan: Arc::clone(&prepared.reload.plan),
        at: unix_now(),
        waiting_for_restart: Vec::new(),
        unresolved: !prepared.unresolved.is_empty(),
        resolve_at: prepared.resolve_at,
        warnings: prepared.unresolved.clone(),
        config: Arc::new(config),
    }
}

/// What all workers share.
struct Crew {
    judge: JudgeSender,
    timers: TimerTable,
    clock: Clock,
    kernel: Option<KernelRelay>,
    shared: Reload,
    records: RecordSender,
    notices: mpsc::Sender<Notice>,
    signers: mpsc::Sender<Asked>,
    tap: Option<TapSender>,
}

impl Crew {
    fn make(self, stations: Vec<Station>, sockets: Vec<WorkerSockets>) -> io::Result<Vec<Worker>> {
        let workers = stations.len() as u8;
        let rings: Vec<_> = stations
            .iter()
            .map(|station| station.to_handovers.clone())
            .collect();
        let mut secret = [0; 16];
        SystemEntropy::new().fill(&mut secret);
        let ownership = Ownership::new(secret, workers);
        let clock = self.clock;
        let anchor = clock.anchor();
        let mut made = Vec::with_capacity(stations.len());
        for (number, (station, sockets)) in stations.into_iter().zip(sockets).enumerate() {
            let worker = WorkerIndex::new(number as u8);
            let config = CoreConfig {
                worker,
                workers,
                secret,
                anchor,
                timers: self.timers,
            };
            let plan = Arc::clone(&self.shared.plan);
            made.push(Worker::new(WorkerSetup {
                index: worker,
                station,
                sockets,
                kernel: self.kernel.clone(),
                core: Core::new(config, plan, Box::new(SystemEntropy::new())),
                router: Router {
                    worker,
                    ownership,
                    rings: rings.clone(),
                },
                clock,
                anchor,
                shared: self.shared.clone(),
                records: self.records.clone(),
                notices: self.notices.clone(),
                signers: self.signers.clone(),
                tap: self.tap.clone(),
                judge: self.judge.clone(),
            })?);
        }
        Ok(made)
    }
}

fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name).spawn(body)
}

/// Wishes that may wait: the third is like the second.
const WISHES_MAX: usize = 8;
/// A worker tells that it is idle, and that it ends.
const NOTICES_PER_WORKER: usize = 4;
