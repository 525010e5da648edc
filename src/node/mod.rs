//! The composition root: builds every part of a node from its configuration, runs it, and ends it in order.
//!
//! The only module that knows all parts. Each part is given what it needs and no more: the server an
//! [`Entrance`], the operator's listener its [`Sources`](crate::admin::Sources), a worker its [`Supplies`].

mod builder;
mod calls;
mod certificates;
mod documents;
mod ending;
mod memory;
mod reload;
mod serve;
mod signals;
mod sources;
mod supervisor;

pub use builder::{Builder, Server};
pub use ending::Ending;
pub use reload::Reloader;
pub use signals::Signals;
pub use supervisor::InheritedSockets;

use crate::admin::{self, AdminListener};
use crate::archive::{self, Archive};
use crate::assistant::{self, Dispatcher};
use crate::auth::{self, Attendance, Forward, Learnt};
use crate::bridge::Bridge;
use crate::broker::{Broker, Quotas, WORKERS_MAX, Wake};
use crate::channels::Layer;
use crate::chat::{self, OwnRoute};
use crate::clock::Clock;
use crate::config::{Config, MemoryLimit, problem};
use crate::metrics::Metrics;
use crate::redis;
use crate::retrieval;
use crate::server::admission::Admission;
use crate::server::api::{Api, ApiListener};
use crate::server::{self, Entrance, EntryRules, HandshakePolicy, PublicPort, Upstream};
use crate::shedding::Shedding;
use crate::tls::{CertificateFault, TlsServer};
use crate::vetting::{self, Vetting};
use crate::worker::{self, Supplies, WorkerHandle, WorkerHandles, WorkerSlot, Workers};
use reload::{ReadSettings, TakenBy};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch::{self, Sender};
use tokio::task::{JoinError, JoinSet};

/// Why a node cannot start, or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings contradict each other, or the rules that those of files obey; all of it is named.
    #[error(transparent)]
    Settings(#[from] problem::Error),
    /// The public side cannot be opened.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// A file of a certificate or its key is not what its setting says.
    #[error(transparent)]
    Certificates(#[from] CertificateFault),
    /// The operator's listener cannot be opened.
    #[error(transparent)]
    Admin(#[from] admin::Error),
    /// The assistant cannot be started.
    #[error(transparent)]
    Assistant(#[from] assistant::Error),
    /// What answers stand on cannot be looked for.
    #[error(transparent)]
    Retrieval(#[from] retrieval::Error),
    /// What members say cannot be vetted.
    #[error(transparent)]
    Vetting(#[from] vetting::Error),
    /// What is said cannot be kept.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// Nobody can be asked who they are.
    #[error(transparent)]
    Auth(#[from] auth::Error),
    /// The way over Redis cannot be built.
    #[error(transparent)]
    Redis(#[from] redis::Error),
    /// The system gives no descriptor or no thread.
    #[error("cannot start the workers")]
    Workers(#[source] io::Error),
    /// There is no worker to listen.
    #[error(transparent)]
    Listen(#[from] worker::NobodyListens),
    /// The system gives no thread, or no descriptor, to the control plane.
    #[error("cannot start the control plane")]
    Control(#[source] io::Error),
    /// The control plane's own code panicked.
    #[error("the control plane ended")]
    ControlEnded(#[from] JoinError),
    /// A worker thread has ended by a panic outside a connection's code: its rooms are gone.
    #[error("a worker thread ended; whoever supervises this process starts it anew")]
    WorkerEnded,
}

/// One server: its parts, and how they end.
#[derive(Debug)]
pub struct Node {
    address: SocketAddr,
    /// The ways in, until they are opened.
    door: server::Opened,
    admin: AdminListener,
    api: Option<ApiListener>,
    parts: NodeParts,
    /// `None` where nobody has said how settings are read again.
    reloader: Option<Arc<Reloader>>,
    /// Dropped at the end, and the tasks of the program's own with it.
    tasks: Sender<()>,
}

/// What a node is to be.
struct NodePlan {
    config: Arc<Config>,
    /// The settings of routes that have some of their own.
    of_routes: Arc<[Config]>,
    metrics: Arc<Metrics>,
    desks: Desks,
    /// Routes of the program's own.
    own: Vec<OwnRoute>,
    tasks: Sender<()>,
    /// How settings are read again, and what they were the first time.
    read: Option<(ReadSettings, Box<Config>)>,
    /// What the process around the node has been given.
    inherited: InheritedSockets,
}

/// Where messages are brought to.
struct Desks {
    assistant: Dispatcher,
    vetting: Vetting,
}

/// What has to be ended.
#[derive(Debug)]
struct NodeParts {
    config: Arc<Config>,
    clock: Clock,
    metrics: Arc<Metrics>,
    broker: Arc<Broker>,
    workers: Arc<Workers>,
    /// Whether memory is short.
    shedding: Arc<Shedding>,
    /// Who is connected, of those of whom something is known.
    attendance: Arc<Attendance>,
    /// The way to the site behind this node.
    upstream: Option<Arc<Upstream>>,
    assistant: Dispatcher,
    vetting: Vetting,
    bridge: Option<Arc<Bridge>>,
    channels: Option<Arc<Layer>>,
    archive: Option<Arc<Archive>>,
    /// What runs bridge and channels.
    redis: Arc<redis::Runtime>,
    /// Not ready for more; all goes on.
    draining: Sender<bool>,
    /// Nobody new is taken any more.
    closing: Sender<bool>,
    /// Who sees to it that nobody stays who may not be here any more: to the end of a drain, which takes its time.
    watch: JoinSet<()>,
}

impl Node {
    /// Binds both listeners and starts the workers and the bridge.
    async fn compose(plan: NodePlan) -> Result<Self, Error> {
        if !plan.config.tls.is_on() {
            return Box::pin(Self::compose_over(WorkerSlot::over_tcp, None, plan)).await;
        }
        let server = Arc::new(TlsServer::new(&plan.config.tls, &plan.metrics)?);
        tokio::spawn(certificates::watch(Arc::downgrade(&server)));
        let tls = Arc::clone(&server);
        let slot = move |clock| WorkerSlot::over_tls(clock, Arc::clone(&tls));
        Box::pin(Self::compose_over(slot, Some(server), plan)).await
    }

    /// [`Node::compose`], with workers in slots of this port.
    async fn compose_over<P: PublicPort>(
        slot: impl Fn(Clock) -> io::Result<WorkerSlot<P>>,
        tls: Option<Arc<TlsServer>>,
        plan: NodePlan,
    ) -> Result<Self, Error> {
        let NodePlan {
            config,
            of_routes,
            metrics,
            desks,
            mut own,
            tasks,
            read,
            inherited,
        } = plan;
        let workers = config.server.workers.clamp(1, WORKERS_MAX);
        let calls = OwnRoute::note_calls(&mut own, workers, config.consumers.timeout);
        let has_own = !own.is_empty();
        // All that can be refused is refused before anything runs.
        let policy = HandshakePolicy::new(&config, own).map_err(server::Error::Policy)?;
        let site = Forward::of(&config.auth.forward, &metrics)?;
        let learnt = Learnt::new(&metrics);
        let rules = EntryRules::new(&config, site.as_ref(), &learnt).map_err(server::Error::Policy);
        let (rules, current_rules) = watch::channel(Arc::new(rules?));
        let listening = server::listen(&config, inherited.tcp, inherited.unix)?;
        let address = listening.address;
        let admin = admin::listen(&config).await?;
        let api_listener = server::listen_api(&config).await?;
        let [admission, handshakes] = admissions(&config);
        let settings = Arc::clone(&of_routes);
        let (mut parts, handles) =
            NodeParts::start(slot, config, of_routes, metrics, desks, &admission)?;
        let quotas = Arc::new(Quotas::new(&parts.config, &parts.metrics, parts.clock));
        let taken_by = parts.take_settings(rules, &site, [&admission, &handshakes], &quotas, tls);
        let reloader = |read| Reloader::new(read, &parts.config, &settings, taken_by);
        let reloader = read.map(reloader).map(Arc::new);
        if has_own {
            let (broker, closing) = (Arc::clone(&parts.broker), parts.closing.subscribe());
            tokio::spawn(calls::watch(calls, broker, parts.clock, closing));
        }
        parts.watch_attendance(site.as_ref(), current_rules.borrow().learnt());
        let api = Arc::new(Api::new(parts.api_sources()));
        let entrance = Entrance {
            config: Arc::clone(&parts.config),
            metrics: Arc::clone(&parts.metrics),
            workers: Arc::clone(&parts.workers),
            admission,
            shedding: Arc::clone(&parts.shedding),
            handshakes,
            quotas,
            policy,
            rules: current_rules.clone(),
            api: Arc::clone(&api),
            upstream: parts.upstream.clone(),
            closing: parts.closing.subscribe(),
        };
        let door = server::open(entrance, handles, listening);
        let admin = AdminListener::new(admin, parts.sources(reloader.as_ref(), current_rules));
        let api =
            api_listener.map(|listener| ApiListener::new(listener, api, Arc::clone(&parts.config)));
        Ok(Self {
            address,
            door,
            admin,
            api,
            parts,
            reloader,
            tasks,
        })
    }

    /// The address of the public listener, with the port that the system chose if it was 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has this node take settings that have changed; `None` unless [`Builder::reload`] has said how they are read.
    #[must_use]
    pub fn reloader(&self) -> Option<Arc<Reloader>> {
        self.reloader.clone()
    }

    /// The address of the operator's listener, likewise.
    ///
    /// # Errors
    /// The system's.
    pub fn admin_address(&self) -> io::Result<SocketAddr> {
        self.admin.address()
    }

    /// The address of the HTTP API's own listener, if it has one, likewise.
    ///
    /// # Errors
    /// The system's.
    pub fn api_address(&self) -> io::Result<Option<SocketAddr>> {
        self.api.as_ref().map(ApiListener::address).transpose()
    }

    /// Serves until `drain` says how to end. From then on `/ready` says no; after the notice, if there is one
    /// ([`notice`](crate::config::ServerSettings::notice)), the listener closes once everybody who waits there is let in, and
    /// all connections are closed with 1012, spread over two thirds of what is left of `server.drain_grace`; what
    /// is queued for them is written. Returns when the last one is gone or the grace is over. `stop` ends that at
    /// once. The operator is answered until the end, with which the tasks of [`Builder::route_async`] are dropped.
    ///
    /// # Errors
    /// When a worker thread has ended: the others are drained, then the process is better begun anew.
    ///
    /// # Cancel safety
    /// Dropping it leaves the worker threads and the operator's listener running; they end with the process. The tasks
    /// of [`Builder::route_async`] are dropped.
    pub async fn run(
        self,
        drain: impl Future<Output = Ending>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let parts = self.parts;
        let server::Opened {
            public,
            redirect,
            unix,
            visitors,
        } = self.door;
        public.open()?;
        if let Some(redirect) = redirect {
            if let Ok(address) = redirect.address() {
                tracing::info!(%address, "redirecting to https");
            }
            tokio::spawn(redirect.run());
        }
        if let Some(unix) = unix {
            tokio::spawn(unix.run());
        }
        supervisor::tell_ready(&format!("listening on {}", self.address));
        let alive = tokio::spawn(supervisor::tell_alive(Arc::clone(&parts.workers)));
        let admin = tokio::spawn(self.admin.run());
        let api = self.api.map(|api| tokio::spawn(api.run()));
        let (ending, is_whole) = tokio::select! {
            ending = drain => (ending, true),
            // Some rooms cannot be joined any more: nobody is to be let in for them.
            () = supervisor::worker_ended(&parts.workers) => (Ending::Unannounced, false),
        };
        supervisor::tell_stopping();
        parts.end(ending, visitors, stop).await;
        alive.abort();
        drop(self.tasks);
        admin.abort();
        if let Some(api) = api {
            api.abort();
        }
        if is_whole {
            Ok(())
        } else {
            Err(Error::WorkerEnded)
        }
    }
}

/// Of connections, and of handshakes.
fn admissions(config: &Config) -> [Arc<Admission>; 2] {
    let limits = &config.limits;
    let has_more_listeners = config.http.redirect.is_some() || config.server.listen_unix.is_some();
    [
        Admission::new(limits.connections, limits.connections_per_ip),
        Admission::ranked(limits.handshakes, limits.handshakes_per_ip)
            .keeping_spare(has_more_listeners),
    ]
    .map(Arc::new)
}

impl NodeParts {
    /// Starts the bridge and the workers. What a connection held is given back to `admission`.
    fn start<P: PublicPort>(
        slot: impl Fn(Clock) -> io::Result<WorkerSlot<P>>,
        config: Arc<Config>,
        of_routes: Arc<[Config]>,
        metrics: Arc<Metrics>,
        Desks { assistant, vetting }: Desks,
        admission: &Arc<Admission>,
    ) -> Result<(Self, WorkerHandles<P>), Error> {
        let clock = Clock::start();
        let bridge = Bridge::new(&config, &metrics, clock)?.map(Arc::new);
        let channels = Layer::new(&config, &metrics, clock)?;
        let archive = Archive::new(&config.archive, &metrics, clock)?.map(Arc::new);
        let slots = (0..config.server.workers.clamp(1, WORKERS_MAX))
            .map(|_| slot(clock))
            .collect::<io::Result<Vec<_>>>()
            .map_err(Error::Workers)?;
        let broker = Arc::new(Broker::new(
            &config.broker,
            slots.iter().map(|slot| wake(&slot.handle)).collect(),
            [
                bridge.as_deref().map(Bridge::uplink),
                channels.as_ref().map(Layer::uplink),
                archive.as_deref().map(Archive::uplink),
            ]
            .into_iter()
            .flatten(),
        ));
        broker.set_expiry(config.queue.expiry);
        let redis = Arc::new(redis::Runtime::default());
        let end = redis.end();
        let of_bridge = bridge.iter().flat_map(|bridge| bridge.tasks(&broker, &end));
        let of_channels = channels.iter().flat_map(|layer| layer.tasks(&broker, &end));
        redis.run(of_bridge.chain(of_channels).collect())?;
        let leaving = Arc::clone(admission);
        let supplies = Supplies {
            config: Arc::clone(&config),
            of_routes,
            clock,
            broker: Arc::clone(&broker),
            metrics: Arc::clone(&metrics),
            on_close: Arc::new(move |peer| leaving.leave(peer)),
        };
        let handles = WorkerHandles::of(&slots, Arc::clone(&supplies.on_close));
        let attendance = Arc::new(Attendance::default());
        let upstream = Upstream::new(&config, &metrics).map(Arc::new);
        let consumers =
            || chat::Set::new(&config, &metrics, &assistant, &attendance).with_vetting(&vetting);
        let workers = Workers::start(slots, supplies, consumers).map_err(Error::Workers)?;
        let parts = Self {
            config,
            clock,
            metrics,
            broker,
            workers: Arc::new(workers),
            shedding: Arc::default(),
            attendance,
            upstream,
            assistant,
            vetting,
            bridge,
            channels,
            archive,
            redis,
            draining: Sender::new(false),
            closing: Sender::new(false),
            watch: JoinSet::new(),
        };
        Ok((parts, handles))
    }

    /// Looks how much memory is used, as long as this node is there; what it is held against may be changed.
    fn watch_memory(&mut self) -> Sender<MemoryLimit> {
        let (limit, current) = watch::channel(self.config.limits.memory);
        let (shedding, workers) = (Arc::clone(&self.shedding), Arc::clone(&self.workers));
        let metrics = Arc::clone(&self.metrics);
        self.watch
            .spawn(memory::watch(current, shedding, workers, metrics));
        limit
    }

    /// Has connections closed whose identity has ended, those of whom the site says no when it is asked again, and those
    /// whose session is gone; keys that were only named are fetched.
    fn watch_attendance(&mut self, site: Option<&Arc<Forward>>, learnt: &Learnt) {
        let (attendance, broker) = (Arc::clone(&self.attendance), Arc::clone(&self.broker));
        if let Some(site) = site {
            let (attendance, broker) = (Arc::clone(&attendance), Arc::clone(&broker));
            self.watch
                .spawn(Arc::clone(site).recheck(attendance, broker));
        }
        learnt.begin();
        let sessions = learnt.session_rechecks();
        self.watch
            .spawn(sessions.run(Arc::clone(&attendance), Arc::clone(&broker)));
        let clock = self.clock;
        self.watch
            .spawn(async move { attendance.close_ended(&broker, clock).await });
    }

    /// Who takes settings while this node runs.
    fn take_settings(
        &mut self,
        rules: Sender<Arc<EntryRules>>,
        site: &Option<Arc<Forward>>,
        [admission, handshakes]: [&Arc<Admission>; 2],
        quotas: &Arc<Quotas>,
        tls: Option<Arc<TlsServer>>,
    ) -> TakenBy {
        TakenBy {
            tls,
            rules,
            memory: self.watch_memory(),
            site: site.clone(),
            admission: Arc::clone(admission),
            handshakes: Arc::clone(handshakes),
            quotas: Arc::clone(quotas),
            workers: Arc::clone(&self.workers),
            broker: Arc::clone(&self.broker),
            bridge: self.bridge.clone(),
            channels: self.channels.clone(),
            metrics: Arc::clone(&self.metrics),
        }
    }
}

/// Ends the sleep of a worker that has mail.
fn wake<P: PublicPort>(link: &Arc<WorkerHandle<P>>) -> Wake {
    let link = Arc::clone(link);
    Box::new(move || link.wake())
}
