//! The task of a member: takes partitions and gives them up, reads them, and commits what is settled.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use griot_events::adapter::Stay;
use griot_events::{BrokerError, Subscription};
use rdkafka::consumer::stream_consumer::StreamPartitionQueue;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer as _, ConsumerContext, RebalanceProtocol, StreamConsumer,
};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Message as _, Offset, TopicPartitionList};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::config;
use crate::context::Context;
use crate::fault;
use crate::ledger::{Place, Share, SliceId};
use crate::names;
use crate::options::KafkaOptions;
use crate::progress::Progress;
use crate::wire;

/// What is settled is committed this often.
const COMMIT_PAUSE: Duration = Duration::from_millis(100);

/// The pause before something is asked again that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// How long the last acknowledgement of a partition that goes may take, once no handler runs.
const LAST_WORD: Duration = Duration::from_secs(1);

type Client = Arc<StreamConsumer<Context<Changes>>>;

/// A change of what the group gives this member.
#[derive(Debug)]
enum Change {
    Assigned(TopicPartitionList),
    Revoked(TopicPartitionList),
}

/// Told by the client what changes, and how commits end.
#[derive(Debug)]
pub(crate) struct Changes {
    told: mpsc::UnboundedSender<Change>,
    commits: mpsc::UnboundedSender<KafkaResult<()>>,
    /// Nobody decides any more: whatever changes is confirmed at once.
    is_leaving: AtomicBool,
}

impl ConsumerContext for Context<Changes> {
    /// Hands the change on. The client waits for our word before it goes on, and serves the connection
    /// meanwhile; so there is one at a time.
    fn rebalance(
        &self,
        client: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let change = match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                Change::Assigned(partitions.clone())
            }
            _ => Change::Revoked(partitions.clone()),
        };
        let is_leaving = self.role.is_leaving.load(Ordering::Acquire);
        let unheard = if is_leaving {
            Some(change)
        } else {
            self.role.told.send(change).err().map(|unsent| unsent.0)
        };
        if let Some(change) = unheard {
            confirm(client, &change);
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        // Nobody waits for it once the member has left.
        let _ = self.role.commits.send(result);
    }
}

/// Tells the client, which waits for it, that a change is known: nothing is taken any more.
fn confirm(client: &impl rdkafka::consumer::Consumer<Context<Changes>>, change: &Change) {
    let confirmed = match (change, client.rebalance_protocol()) {
        (Change::Assigned(_), RebalanceProtocol::Cooperative) => {
            client.incremental_assign(&TopicPartitionList::new())
        }
        (Change::Revoked(partitions), RebalanceProtocol::Cooperative) => {
            client.incremental_unassign(partitions)
        }
        _ => client.unassign(),
    };
    if let Err(error) = confirmed {
        tracing::debug!(%error, "a change of partitions while leaving");
    }
}

/// What the task runs on.
pub(crate) struct Member {
    share: Arc<Share>,
    options: Arc<KafkaOptions>,
    client: Client,
    changes: mpsc::UnboundedReceiver<Change>,
    commits: mpsc::UnboundedReceiver<KafkaResult<()>>,
    /// What is on its way to be committed.
    committing: Option<Vec<(SliceId, Progress)>>,
    /// The change that the client waits for.
    changing: Option<Change>,
    /// Slices, and what ends the task that reads each.
    slices: HashMap<Place, (SliceId, AbortHandle)>,
    /// All that use the client.
    tasks: JoinSet<()>,
}

impl fmt::Debug for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Member");
        shown
            .field("slices", &self.slices.keys())
            .finish_non_exhaustive()
    }
}

impl Member {
    /// Joins the group.
    pub(crate) fn join(
        options: Arc<KafkaOptions>,
        subscription: &Subscription,
        share: Arc<Share>,
    ) -> Result<Self, BrokerError> {
        let (change, changes) = mpsc::unbounded_channel();
        let (commit, commits) = mpsc::unbounded_channel();
        let role = Changes {
            told: change,
            commits: commit,
            is_leaving: AtomicBool::new(false),
        };
        let context = Context::new(&options, role);
        let client: StreamConsumer<_> = config::consumer(&options, subscription)
            .create_with_context(context)
            .map_err(fault::client)?;
        let topics: Vec<String> = subscription
            .topics
            .iter()
            .map(|topic| names::subscribed(topic))
            .collect();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        client
            .subscribe(&topics)
            .map_err(|error| fault::request("the subscription", error))?;
        Ok(Self {
            share,
            options,
            client: Arc::new(client),
            changes,
            commits,
            committing: None,
            changing: None,
            slices: HashMap::new(),
            tasks: JoinSet::new(),
        })
    }

    /// Runs until the reader is gone or the broker is closed. `alive` is dropped when it has left.
    pub(crate) async fn run(
        mut self,
        mut reading: watch::Receiver<()>,
        mut closing: watch::Receiver<bool>,
        alive: Stay,
    ) {
        self.tasks
            .spawn(serve(Arc::clone(&self.client), Arc::clone(&self.share)));
        tokio::select! {
            biased;
            _ = reading.changed() => {}
            _ = closing.wait_for(|closing| *closing) => {}
            () = self.follow() => {}
        }
        self.leave().await;
        drop(alive);
    }

    /// Does what the group asks for, and commits.
    async fn follow(&mut self) {
        let mut ticks = interval(COMMIT_PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(change) = self.changes.recv() => self.change(change).await,
                Some(_) = self.tasks.join_next() => {}
                Some(result) = self.commits.recv() => self.committed(result),
                _ = ticks.tick() => {
                    self.begin_commit();
                }
            }
        }
    }

    async fn change(&mut self, change: Change) {
        match self.changing.insert(change) {
            Change::Assigned(partitions) => {
                let partitions = partitions.clone();
                self.take(partitions).await;
            }
            Change::Revoked(partitions) => {
                let partitions = partitions.clone();
                self.give_up(partitions).await;
            }
        }
        self.changing = None;
    }

    /// Partitions are given to this member: goes on where the group was.
    async fn take(&mut self, partitions: TopicPartitionList) {
        let committed = self.committed_before(partitions).await;
        let mut wanted = TopicPartitionList::new();
        for partition in committed.elements() {
            let place = (partition.topic().to_owned(), partition.partition());
            let offset = match partition.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            let before = offset.map(|offset| Progress::read(offset, partition.metadata()));
            let begin = before
                .as_ref()
                .map_or(Offset::Beginning, |before| Offset::Offset(before.offset()));
            if let Err(error) = wanted.add_partition_offset(&place.0, place.1, begin) {
                tracing::error!(%error, ?place, "a partition cannot be asked for");
            }
            let Some(queue) = self.client.split_partition_queue(&place.0, place.1) else {
                continue;
            };
            let remember = self.options.remember.into();
            let id = self
                .share
                .ledger()
                .add(place.clone(), before.unwrap_or_default(), remember);
            let reading = self.tasks.spawn(read(queue, id, Arc::clone(&self.share)));
            self.slices.insert(place, (id, reading));
        }
        let assigned = match self.client.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.client.incremental_assign(&wanted),
            _ => self.client.assign(&wanted),
        };
        match assigned {
            Ok(()) => tracing::debug!(?wanted, "partitions were given to this member"),
            Err(error) => self
                .share
                .bell
                .report(fault::request("the partitions", error)),
        }
    }

    /// Where the group was; asks until it is told, since whoever does not know would begin anew.
    async fn committed_before(&self, partitions: TopicPartitionList) -> TopicPartitionList {
        loop {
            let (client, wanted) = (Arc::clone(&self.client), partitions.clone());
            let timeout = self.options.timeout;
            let asked =
                tokio::task::spawn_blocking(move || client.committed_offsets(wanted, timeout));
            let error = match asked.await {
                Ok(Ok(committed)) => {
                    let failed = committed
                        .elements()
                        .iter()
                        .find_map(|partition| partition.error().err());
                    match failed {
                        None => return committed,
                        Some(error) => fault::request("the group's offsets", error),
                    }
                }
                Ok(Err(error)) => fault::request("the group's offsets", error),
                Err(error) => fault::ended(error),
            };
            tracing::warn!(%error, "Kafka does not say how far the group is, it is asked again");
            if matches!(error, BrokerError::Refused { .. }) {
                self.share.bell.report(error);
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    /// Partitions go to another member: waits until nothing of them is under way, commits, lets go.
    async fn give_up(&mut self, partitions: TopicPartitionList) {
        let mut ids = Vec::new();
        for partition in partitions.elements() {
            let place = (partition.topic().to_owned(), partition.partition());
            if let Some((id, reading)) = self.slices.remove(&place) {
                reading.abort();
                ids.push(id);
            }
        }
        let released = self.share.ledger().revoke(&ids);
        self.share.bell.ring();
        // Others have them already where they were lost: there is nothing to wait for.
        if !self.client.assignment_lost() {
            let settled = async {
                while self.share.ledger().out(&ids) > 0 {
                    self.share.settled.notified().await;
                }
            };
            let done = async {
                tokio::pin!(settled);
                tokio::select! {
                    () = &mut settled => return,
                    _ = released => {}
                }
                // The last acknowledgement comes behind the word that nothing is under way.
                let _ = timeout(LAST_WORD, settled).await;
            };
            if timeout(self.options.release, done).await.is_err() {
                tracing::warn!(group = ?partitions, "handlers did not finish before their partitions go: their messages may be handled twice");
            }
            self.commit_at_once().await;
        }
        self.share.ledger().remove(&ids);
        let let_go = match self.client.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.client.incremental_unassign(&partitions),
            _ => self.client.unassign(),
        };
        match let_go {
            Ok(()) => tracing::debug!(?partitions, "partitions were given up"),
            Err(error) => tracing::warn!(%error, "partitions could not be given up"),
        }
    }

    /// Commits all that is settled while partitions change hands: by a call that has an answer of its
    /// own, since that of an asynchronous commit may not come meanwhile.
    async fn commit_at_once(&mut self) {
        let committed = async {
            loop {
                let unsaved = self.share.ledger().unsaved();
                if unsaved.is_empty() {
                    return;
                }
                let (client, offsets) = (Arc::clone(&self.client), offsets(&unsaved));
                let commit = move || client.commit(&offsets, CommitMode::Sync);
                match tokio::task::spawn_blocking(commit).await {
                    Ok(Ok(())) => {
                        let mut ledger = self.share.ledger();
                        for (id, _, progress) in unsaved {
                            ledger.save(id, progress);
                        }
                    }
                    // The group goes on without this member.
                    Ok(Err(error))
                        if error.rdkafka_error_code()
                            == Some(RDKafkaErrorCode::UnknownMemberId) =>
                    {
                        return;
                    }
                    Ok(Err(error)) => {
                        tracing::info!(%error, "a commit failed, it is tried again");
                        sleep(RETRY_PAUSE).await;
                    }
                    Err(_) => return,
                }
            }
        };
        if timeout(self.options.timeout, committed).await.is_err() {
            tracing::warn!("Kafka did not hear in time what was settled: that is given again");
        }
    }

    /// Sends what is settled and not committed. False where that is nothing.
    fn begin_commit(&mut self) -> bool {
        if self.committing.is_some() {
            return false;
        }
        let unsaved = self.share.ledger().unsaved();
        if unsaved.is_empty() {
            return false;
        }
        let offsets = offsets(&unsaved);
        let sent = self.client.commit(&offsets, CommitMode::Async);
        if let Err(error) = sent {
            tracing::warn!(%error, "a commit could not be sent, it is tried again");
            return false;
        }
        self.committing = Some(
            unsaved
                .into_iter()
                .map(|(id, _, progress)| (id, progress))
                .collect(),
        );
        true
    }

    fn committed(&mut self, result: KafkaResult<()>) {
        let sent = self.committing.take().unwrap_or_default();
        match result {
            Ok(()) => {
                let mut ledger = self.share.ledger();
                for (id, progress) in sent {
                    ledger.save(id, progress);
                }
            }
            Err(error) => tracing::info!(%error, "a commit failed, it is tried again"),
        }
    }

    /// Says what is settled, and leaves the group.
    async fn leave(mut self) {
        self.share.bell.end();
        for (_, reading) in self.slices.values() {
            reading.abort();
        }
        if !self.client.assignment_lost() {
            self.commit_at_once().await;
        }
        self.let_go();
        // The last one to let go of the client waits until it has left.
        self.tasks.shutdown().await;
        let left = tokio::task::spawn_blocking(move || drop(self));
        let _ = left.await;
    }

    /// Nobody decides any more: what the client waits for is confirmed, or it would never end.
    fn let_go(&mut self) {
        let role = &self.client.client().context().role;
        role.is_leaving.store(true, Ordering::Release);
        self.changes.close();
        while let Ok(change) = self.changes.try_recv() {
            confirm(self.client.as_ref(), &change);
        }
        if let Some(change) = self.changing.take() {
            confirm(self.client.as_ref(), &change);
        }
    }
}

/// How far each partition is, as the group keeps it.
fn offsets(unsaved: &[(SliceId, Place, Progress)]) -> TopicPartitionList {
    let mut offsets = TopicPartitionList::with_capacity(unsaved.len());
    for (_, (topic, partition), progress) in unsaved {
        let mut wanted = offsets.add_partition(topic, *partition);
        wanted.set_metadata(progress.text());
        if let Err(error) = wanted.set_offset(Offset::Offset(progress.offset())) {
            tracing::error!(%error, topic, partition, "an offset cannot be committed");
        }
    }
    offsets
}

impl Drop for Member {
    /// Also where the runtime ends before it has left.
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Serves the client: without this it hears of no change.
async fn serve(client: Client, share: Arc<Share>) {
    loop {
        match client.recv().await {
            // It was read before its partition had a queue of its own.
            Ok(message) => {
                let mut ledger = share.ledger();
                if let Some(id) = ledger.find(message.topic(), message.partition()) {
                    ledger.receive(id, message.offset(), wire::event(&message), None);
                }
            }
            Err(error) => report(&share, error),
        }
        if let Some(refusal) = client.client().context().take_refusal() {
            share.bell.report(refusal);
        }
    }
}

/// Errors that pass are logged; those that somebody has to mend are told to the reader.
fn report(share: &Share, error: KafkaError) {
    tracing::warn!(%error, "reading from Kafka failed, it goes on");
    let error = fault::request("the subscription", error);
    if matches!(error, BrokerError::Refused { .. }) {
        share.bell.report(error);
    }
}

/// Reads a partition, as far as there is room.
async fn read(queue: StreamPartitionQueue<Context<Changes>>, id: SliceId, share: Arc<Share>) {
    loop {
        let message = match queue.recv().await {
            Ok(message) => message,
            Err(error) => {
                report(&share, error);
                continue;
            }
        };
        let offset = message.offset();
        let wanted = share.ledger().wants(id, offset);
        let room = if wanted {
            Arc::clone(&share.room).acquire_owned().await.ok()
        } else {
            None
        };
        share
            .ledger()
            .receive(id, offset, wire::event(&message), room);
        share.bell.ring();
    }
}
