//! A node inside a program of one's own: routes with consumers, an assistant, and the rest as configured.

use super::documents::documents;
use super::reload::ReadSettings;
use super::{Desks, Error, InheritedSockets, Node, NodePlan};
use crate::assistant::{Assistant, Dispatcher, Retrieve};
use crate::banner::MachineFacts;
use crate::broker::Consumer;
use crate::budget::{MemoryBudget, worst_case_memory};
use crate::chat::{Begin, OwnRoute, Session, TASKS_PER_CONNECTION, Tasks};
use crate::config::{Config, LimitSettings, OWN_SETTINGS_MAX, QueueSettings, load, problem};
use crate::metrics::Metrics;
use crate::server;
use crate::vetting::Vetting;
use std::fmt;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

/// The way to a node with consumers or an assistant of one's own: [`Server::builder`].
#[derive(Clone, Copy, Debug)]
pub struct Server;

impl Server {
    /// Begins to describe a node.
    ///
    /// A consumer that counts, and an assistant that repeats, on a port that the system chooses:
    ///
    /// ```
    /// use std::future::pending;
    /// use supportal::config::Config;
    /// use supportal::node::{Ending, Server};
    /// use supportal::{Assistant, Consumer, Context, Message, Question, Replies, Verdict};
    ///
    /// #[derive(Clone, Default)]
    /// struct Counter(u32);
    ///
    /// impl Consumer for Counter {
    ///     fn message(&mut self, cx: &mut Context<'_>, _message: Message<'_>) -> Verdict {
    ///         self.0 += 1;
    ///         let board = cx.parameter("id").unwrap_or_default();
    ///         let line = format!("message {} on board {board}", self.0);
    ///         cx.publish(&line);
    ///         Verdict::Done
    ///     }
    /// }
    ///
    /// struct Parrot;
    ///
    /// impl Assistant for Parrot {
    ///     fn answer(&self, question: Question) -> Replies {
    ///         Replies::of(async move { Ok(question.text) })
    ///     }
    ///
    ///     fn name(&self) -> &'static str {
    ///         "parrot"
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// let mut config = Config::default();
    /// config.server.listen = "127.0.0.1:0".parse()?;
    /// config.admin.listen = "127.0.0.1:0".parse()?;
    /// let server = Server::builder()
    ///     .config(config)
    ///     .route("/ws/board/{id:int}/", Counter::default())
    ///     .assistant(Parrot);
    /// let node = server.start().await?;
    /// println!("listening on {}", node.address());
    /// node.run(async { Ending::Unannounced }, pending()).await?; // until, say, a signal
    /// # Ok(()) })
    /// # }
    /// ```
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            config: Config::default(),
            assistant: None,
            retrieve: None,
            routes: Vec::new(),
            tasks: Vec::new(),
            settings: Vec::new(),
            inherited: InheritedSockets::default(),
            read: None,
        }
    }
}

/// A node that is being described.
pub struct Builder {
    pub(super) config: Config,
    assistant: Option<Arc<dyn Assistant>>,
    retrieve: Option<Arc<dyn Retrieve>>,
    routes: Vec<OwnRoute>,
    tasks: Vec<(String, Begin)>,
    settings: Vec<(String, Settings)>,
    inherited: InheritedSockets,
    read: Option<ReadSettings>,
}

/// Gives a route settings of its own.
type Settings = Box<dyn FnOnce(&mut QueueSettings, &mut LimitSettings) + Send>;

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// The settings; without, the defaults: the guide's chat on 127.0.0.1:8000, the operator's listener on
    /// 127.0.0.1:9000. Settings that come from files and the environment are read by
    /// [`config::load`](crate::config::load). Wherever they come from, [`Builder::start`] checks them.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// How settings are read again while the node runs: at SIGHUP ([`Builder::serve`]), at `POST /reload` of the operator's
    /// listener, and by [`Node::reloader`]. Keys marked `live` in docs/configuration.md then change in place. `read` may
    /// block. Without it settings hold until the end.
    #[must_use]
    pub fn reload(
        mut self,
        read: impl Fn() -> Result<Config, problem::Error> + Send + Sync + 'static,
    ) -> Self {
        self.read = Some(Box::new(read));
        self
    }

    /// Serves the paths of a template, as in `[[routes]]`: literal segments, and parts that are whole segments:
    /// `{name:int}` (1 to 18 digits without a leading zero), `{name:slug}` (1 to 64 of `A-Z a-z 0-9 _ -`),
    /// `{name:uuid}` (in lower case), `{business_id}` with `{session_id}`. Each path is a room. Every connection is
    /// served by a clone of `consumer`, on its worker's thread: see [`Consumer`] for what it may and may not do.
    #[must_use]
    pub fn route<C: Consumer + Clone + Sync + 'static>(
        mut self,
        template: impl Into<String>,
        consumer: C,
    ) -> Self {
        let make = move || Box::new(consumer.clone()) as Box<dyn Consumer>;
        self.routes.push(OwnRoute::new::<C>(template, make));
        self
    }

    /// As [`Builder::route`], for a consumer that waits: `task` is called for each connection, and what it returns runs
    /// on the control plane until it ends. Both ways are bounded: a connection whose task has `consumers.inbox` (16)
    /// messages still to take is not read from, and what the task says waits for room. The connection ends with 1000
    /// when its [`Session`] is dropped, and with 1011 when the task panics, or has neither taken nor said anything within
    /// `consumers.timeout` (5 s), or takes nothing for `consumers.held_timeout` (60 s) while it is not read from. When the
    /// connection is gone, [`Session::next`] is `None` and the task has `consumers.timeout` to end before it is dropped.
    /// A node has at most two tasks for each of `limits.connections`, those whose connections are gone included; who comes
    /// while there are as many is closed with 1013.
    #[must_use]
    pub fn route_async<T>(
        mut self,
        template: impl Into<String>,
        task: impl Fn(Session) -> T + Send + Sync + 'static,
    ) -> Self
    where
        T: Future<Output = ()> + Send + 'static,
    {
        let begin: Begin = Arc::new(move |session| Box::pin(task(session)));
        self.tasks.push((template.into(), begin));
        self
    }

    /// Gives the route of this template settings of its own, as an entry of `[[routes]]` may have: `change` gets the
    /// node's, or what an earlier call has made of them, and makes them the route's. The keys are those marked `route` in docs/configuration.md.
    #[must_use]
    pub fn route_settings(
        mut self,
        template: impl Into<String>,
        change: impl FnOnce(&mut QueueSettings, &mut LimitSettings) + Send + 'static,
    ) -> Self {
        self.settings.push((template.into(), Box::new(change)));
        self
    }

    /// Answers users' messages in chats instead of `assistant.kind`. The limits of `[assistant]` hold:
    /// `assistant.timeout` for each answer, `assistant.concurrency` at once, and one at a time in a room.
    #[must_use]
    pub fn assistant(mut self, assistant: impl Assistant) -> Self {
        self.assistant = Some(Arc::new(assistant));
        self
    }

    /// What is known about a question: what `{context}` stands for in the prompt of `assistant.kind = "openai"`, instead of
    /// what `[retrieval]` finds.
    #[must_use]
    pub fn retrieve(mut self, retrieve: impl Retrieve) -> Self {
        self.retrieve = Some(Arc::new(retrieve));
        self
    }

    /// Listens on sockets that whoever started this process has opened, instead of `server.listen` and
    /// `server.listen_unix`.
    #[must_use]
    pub fn inherited(mut self, sockets: InheritedSockets) -> Self {
        self.inherited = sockets;
        self
    }

    /// Worst-case memory of this node with so many connections and workers, what waits for its tasks included; settings
    /// that [`Builder::route_settings`] gives are not: they are known once the node starts.
    #[must_use]
    pub fn worst_case_memory(&self, connections: usize, workers: usize) -> MemoryBudget {
        let budget = worst_case_memory(&self.config, connections, workers);
        if self.tasks.is_empty() {
            budget
        } else {
            budget.with_tasks(&self.config, connections)
        }
    }

    /// Starts the node: both listeners are bound, and clients wait until [`Node::run`]. Must be called on a
    /// tokio runtime with time and I/O, which becomes the control plane.
    ///
    /// # Errors
    /// When settings break a rule ([`Error::Settings`] names all that do), when a template is wrong or matches the same
    /// paths as another, or settings of a route are wrong ([`Error::Server`]), or when an address, a thread, a descriptor
    /// or a file that the configuration names cannot be had. Of a node that does not start nothing is left running.
    ///
    /// # Cancel safety
    /// Dropping it leaves the worker threads running; they end with the process.
    pub async fn start(self) -> Result<Node, Error> {
        load::check(&self.config)?;
        let config = Arc::new(MachineFacts::gather().resolve(&self.config));
        let handle = Handle::current();
        let metrics = Arc::new(Metrics::new());
        let node = watch::Sender::new(());
        let assistant = match self.assistant {
            Some(assistant) => {
                Dispatcher::with(&handle, &config.assistant, &metrics.panics, assistant)
            }
            None => {
                let retrieve = match self.retrieve {
                    Some(own) => Some(own),
                    None => documents(&config, &metrics)?,
                };
                Dispatcher::start(&handle, &config, &metrics, retrieve)?
            }
        };
        let vetting = Vetting::start(&handle, &config, &metrics)?;
        let mut routes = self.routes;
        let most = config
            .limits
            .connections
            .saturating_mul(TASKS_PER_CONNECTION);
        let places = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        for (template, begin) in self.tasks {
            let settings = config.consumers.clone();
            let (counted, places) = (Arc::clone(&metrics), Arc::clone(&places));
            let life = node.subscribe();
            let tasks = Tasks::new(begin, handle.clone(), counted, settings, places, life);
            let make = move || Box::new(tasks.clone()) as Box<dyn Consumer>;
            routes.push(OwnRoute::new::<Tasks>(template, make));
        }
        let of_routes =
            settle(&config, self.settings, &mut routes).map_err(server::Error::Policy)?;
        Node::compose(NodePlan {
            config,
            of_routes: of_routes.into(),
            metrics,
            desks: Desks { assistant, vetting },
            own: routes,
            tasks: node,
            read: self.read.map(|read| (read, Box::new(self.config))),
            inherited: self.inherited,
        })
        .await
    }
}

/// The settings of all routes that have some of their own, in the order of their numbers; the program's own routes are
/// given theirs.
fn settle(
    config: &Config,
    settings: Vec<(String, Settings)>,
    routes: &mut [OwnRoute],
) -> Result<Vec<Config>, String> {
    let mut of_routes = config.of_routes()?;
    for (template, change) in settings {
        let refuse = |what: String| format!("settings of route {template:?}: {what}");
        let mut own = routes.iter_mut();
        let Some(route) = own.find(|route| route.template() == template) else {
            return Err(refuse(
                "no route of the program has this template".to_owned(),
            ));
        };
        // What was changed by an earlier call holds.
        let place = usize::from(route.settings()).checked_sub(1);
        let before = place.and_then(|place| of_routes.get(place));
        let before = before.unwrap_or(config);
        let (mut queue, mut limits) = (before.queue.clone(), before.limits.clone());
        change(&mut queue, &mut limits);
        let changed = config.admit(&queue, &limits).map_err(refuse)?;
        if let Some(known) = place.and_then(|place| of_routes.get_mut(place)) {
            *known = changed;
            continue;
        }
        of_routes.push(changed);
        let number = u8::try_from(of_routes.len());
        let number = number
            .map_err(|_many| refuse(format!("more than {OWN_SETTINGS_MAX} routes have some")))?;
        *route = route.clone().with_settings(number);
    }
    Ok(of_routes)
}
